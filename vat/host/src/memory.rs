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

/// Has Linux back the memory of this process and of its children by pages of its own size alone, from now on. Does nothing
/// on other systems, and nothing where Linux does not know the setting.
///
/// A huge page is cleared whole when the first byte in it is written to. A block fills buffers that are a fraction of one,
/// and the allocator gives freed memory back between blocks. So most of what is cleared is never used.
pub fn disable_huge_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes numbers alone. It changes how later page faults are served, and not what memory holds.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_can_do_without_huge_pages() {
        super::disable_huge_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let setting = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        // Linux before 5.0 does not tell.
        assert!(setting.is_none_or(|value| value.trim() == "0"), "{setting:?}");
    }
}
