//! Detection of private page copies of this process, from Linux's `/proc/self/pagemap`. All other
//! pages are as they were mapped.

use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};

use crate::PAGE_BYTES;

/// Returns for each page of `memory` whether it may hold a private copy. `memory` must be
/// page-aligned.
///
/// Returns `None` if the system does not tell.
pub(crate) fn own_pages(memory: &[u8]) -> Option<Vec<bool>> {
    let first = memory.as_ptr() as usize / PAGE_BYTES;
    let mut entries = vec![0; memory.len() / PAGE_BYTES * ENTRY_BYTES];
    file()?.read_exact_at(&mut entries, (first * ENTRY_BYTES) as u64).ok()?;
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    Some(entries.iter().map(|entry| is_own(u64::from_ne_bytes(*entry))).collect())
}

/// Size in bytes of an entry in `/proc/PID/pagemap`.
const ENTRY_BYTES: usize = 8;

// The bits of an entry, from Linux, Documentation/admin-guide/mm/pagemap.rst.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_PAGE: u64 = 1 << 61;

/// Checks whether a page's entry denotes a private copy. Reading an absent page shows the mapped
/// contents, and a page of a file shows the file.
fn is_own(entry: u64) -> bool {
    entry & SWAPPED != 0 || entry & (PRESENT | FILE_PAGE) == PRESENT
}

fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    FILE.get_or_init(|| {
        // Entries describe pages of the system's own size.
        match region::page::size() == PAGE_BYTES {
            true => File::open("/proc/self/pagemap").ok(),
            false => None,
        }
    })
    .as_ref()
}
