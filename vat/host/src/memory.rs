//! The linear memories of workers, and the images that they start from.
//!
//! On Linux the workers of one bundle share pages by copy-on-write, and the system tells which pages a worker has
//! written to. Both need Linux with pages of 4 KiB and lie in [`cow`] and [`pagemap`]. Anywhere else, and where
//! [`MemoryMode::Copies`](crate::MemoryMode::Copies) asks for it, every worker has a plain copy and pages are compared.

pub(crate) mod base;
#[cfg(target_os = "linux")]
pub(crate) mod cow;
pub(crate) mod linear;
#[cfg(target_os = "linux")]
pub(crate) mod pagemap;
pub(crate) mod region;
pub(crate) mod share;

use crate::MemoryMode;

/// Returns for each page of `memory`, which must be page-aligned, whether it may hold a private copy. `None` if the mode or the
/// system does not tell: then any page may.
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
