//! The ABCI application.

pub mod account;
mod bundles;
mod chain;
mod events;
mod execute;
mod expiry;
mod fault;
mod keys;
pub mod proto;
mod record;
pub mod results;
pub mod smallcaps;
mod store_seam;
#[cfg(test)]
mod testing;
pub mod tx;
pub mod uploads;

pub use fault::NodeFault;
