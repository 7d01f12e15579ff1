//! The public interface of a Capstan chain: the protobuf package `capstan.v1`, addresses, amounts and parameters.

mod address;
mod amount;
mod code;
mod fee;
mod method;
mod params;
pub mod v1;

pub use address::{ADDRESS_PREFIX, Address, NotAnAddress};
pub use amount::{Amount, DENOM, NotAnAmount};
pub use code::{CODESPACE, ErrorCode};
pub use method::{Answer, Call, Field, FieldKind, Handler, Method, Request, Server};
pub use params::{CleanupBudget, Fees, InvalidParam, Params, SystemParams};
