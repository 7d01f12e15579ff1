//! The kernel's part of a state snapshot: what travels besides the trees, and what is rebuilt.
//!
//! Three kinds of records travel, in this order:
//!
//! 1. the bundles, by the keys of their records, each bound by the SHA-256 in it,
//! 2. for each vat the heap of its last snapshot and the transcript since, bound by the hashes in its record. The last entry
//!    comes first, each with the hash of those before it,
//! 3. the pages of all heaps, once each, in the order of their hashes.
//!
//! The reverse c-lists, the importers of objects, the outbox entries that settled promises and the counts of pages
//! follow from the state. They are rebuilt as its entries arrive. Statistics of operators begin anew, and pages that
//! no heap has any more stay behind.
//!
//! A heap lists the vat's own pages. That they make up the heap of the vat's record only the host can tell, so
//! [`check_heaps`](crate::view::check_heaps) is asked at the end.
//!
//! `cursor` walks over what the state binds, `source` reads it and `sink` checks and writes it. `engines` names
//! the JavaScript engines without which a node cannot go on.

mod cursor;
mod engines;
mod sink;
mod source;

pub use engines::engines;
pub use sink::Sink;
pub use source::Source;

use capstan_kernel_ports::artifact::ArtifactError;

use crate::error::KernelPanic;

/// Tells a wrong record from a fault of this node's store.
fn artifact_error(panic: KernelPanic) -> ArtifactError {
    match panic {
        KernelPanic::Store(fault) => ArtifactError::Store(fault),
        other => ArtifactError::Wrong(other.to_string()),
    }
}
