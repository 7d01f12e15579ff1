//! The public interface of a Capstan chain: the protobuf package `capstan.v1`, addresses, amounts and parameters.

mod address;
mod amount;
mod params;
pub mod v1;

pub use address::{ADDRESS_PREFIX, Address, NotAnAddress};
pub use amount::{Amount, DENOM, NotAnAmount};
pub use params::{CleanupBudget, Fees, InvalidParam, Params, SystemParams};
