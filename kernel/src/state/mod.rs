//! The records of the kernel's state, and the methods of [`State`](handle::State) that read and change them.
//!
//! Each record's file holds its type and what keeps it consistent. Types that the [`State`](handle::State) itself or
//! the structured log need have files of their own below it (`vat_config`, `event`, `notice`), so that no files form a
//! circle. The log is here because its events show these records. This room knows identifiers, limits, errors and the application's port. It runs
//! no vat and decides nothing about a crank.

pub mod bundle;
pub(crate) mod cleanup;
pub mod clist;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod clist_tests;
pub(crate) mod ending;
pub(crate) mod event;
pub(crate) mod event_json;
pub(crate) mod failed_upgrade;
pub(crate) mod gc;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod gc_tests;
pub(crate) mod handle;
pub(crate) mod held;
pub(crate) mod io_channel;
pub(crate) mod io_name;
pub(crate) mod keeping;
mod kept;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod loaded_source;
pub mod meter;
pub(crate) mod meter_use;
pub(crate) mod notice;
pub(crate) mod notification;
pub mod object;
pub(crate) mod parameters;
pub(crate) mod place;
pub mod promise;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod promise_tests;
pub mod queue;
pub mod rejection;
pub mod remote;
pub(crate) mod result_policy;
pub mod revocation;
pub(crate) mod send;
pub(crate) mod settled;
pub mod slog;
pub(crate) mod static_vat;
pub mod stats;
pub(crate) mod subcluster;
pub(crate) mod subscribers;
pub(crate) mod told;
pub mod vat;
pub(crate) mod vat_config;
mod work;
