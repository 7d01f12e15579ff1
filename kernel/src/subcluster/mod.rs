//! Subclusters: sets of vats that are launched together and introduced to each other.
//!
//! A launch gives the subcluster an id `sN`, starts its vats and sends `bootstrap(roots, services)` to one of them. If
//! that is rejected, or a vat fails before, the launch is undone: all its vats end. Whoever asked for the launch gets
//! the original error.
//!
//! A *system subcluster* has a unique name and may have services that others may not. The genesis document names the
//! first ones, and the chain's governors change them afterwards.
//!
//! This room knows the records of the state and the registry of services. Devices, services and the
//! [`Kernel`](crate::Kernel) call it.

mod config;
mod end;
mod io;
mod launch;
mod system;

pub use crate::ids::SubclusterId;
pub use crate::state::{
    io_channel::{IoChannel, IoDirection, IoError, IoName, IoState, LineQueue},
    subcluster::{LaunchStatus, News, Notice, Owner, Subcluster, SubclusterError},
};
pub(crate) use config::parse_channels;
pub use config::{MAX_NAMES, SubclusterConfig, is_name};
pub(crate) use io::check_line;
pub(crate) use launch::Label;
pub use launch::LaunchError;
