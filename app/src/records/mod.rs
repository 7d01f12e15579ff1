//! The application's own records in the state: accounts, uploads, bundles, results of messages, the chain.

pub mod account;
pub(crate) mod activity;
pub(crate) mod bundles;
pub(crate) mod chain;
pub(crate) mod created;
pub(crate) mod keys;
pub(crate) mod proven;
pub(crate) mod record;
pub mod results;
pub mod uploads;
