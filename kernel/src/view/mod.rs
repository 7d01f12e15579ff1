//! Reads of a committed state, without running anything: for queries, tools and tests.
//!
//! This room knows the records of the state, the heaps that vats left and what devices keep. It reads them
//! through [`Read`](capstan_kernel_ports::store::Read) alone and changes nothing.

pub mod changes;
mod devices;
mod dump;
mod heaps;
mod io;
mod kept;
mod kernel;
mod local;
mod references;
mod remotes;
mod services;
mod subclusters;
mod vats;

pub use devices::{
    bundle, bundle_after, bundles, has_device, mailbox_ack, mailbox_message_after,
    mailbox_message_key, mailboxes, next_wakeup,
};
pub use dump::{dump, promise_to_json};
pub use heaps::check_heaps;
pub use io::{io_channel, io_output};
pub use kept::count_kept;
pub use kernel::{
    KernelStatus, Queue, events, has_dead, is_busy, is_initialized, kernel_status, queue,
};
pub use local::{NeededLocal, check_local};
pub use references::{clist, clist_after, kref_of, meter, meter_use, object, promise};
pub use remotes::{outbox, outbox_after, outbox_entry, remote, remote_of, settled};
pub use services::{service, services_after};
pub use subclusters::{
    subcluster, subcluster_key, subcluster_of, subclusters_after, system_subcluster,
};
pub use vats::{
    failed_upgrade, heap_bytes, heap_image, parameters_of, vat_by_name, vat_config, vat_parameters,
    vat_state,
};

pub use crate::state::vat::{VatCounts, all_vats as vats, live_vats};
