//! Linear memories of workers, and the images that they start from.
//!
//! On Linux with pages of 4 KiB, the workers of one bundle share pages by copy-on-write ([`cow`]).
//! The system reports the pages that a worker has written to ([`pagemap`]). Elsewhere, and with
//! [`MemoryMode::Copies`](crate::MemoryMode::Copies), every worker has a plain copy and pages are
//! compared.

pub(crate) mod base;
#[cfg(target_os = "linux")]
pub(crate) mod cow;
pub(crate) mod linear;
pub(crate) mod loads;
#[cfg(target_os = "linux")]
pub(crate) mod pagemap;
pub(crate) mod region;
pub(crate) mod share;

use crate::MemoryMode;

/// Returns for each page of `memory` whether it may hold a private copy. `memory` must be
/// page-aligned.
///
/// Returns `None` if the mode or the system does not tell. Then any page may.
pub(crate) fn own_pages(memory: &[u8], mode: MemoryMode) -> Option<Vec<bool>> {
    match mode {
        #[cfg(target_os = "linux")]
        MemoryMode::CopyOnWrite => pagemap::own_pages(memory),
        _ => {
            let _ = memory;
            None
        }
    }
}
