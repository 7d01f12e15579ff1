//! Which pages of this process's memory are its own, as the system tells: what lies in them can differ
//! from what is mapped there, the rest cannot.

use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};

use crate::PAGE_BYTES;

/// For each page of `memory`, which starts at a page's boundary, whether it may be a copy of this
/// process's own. None if the system does not tell.
pub(crate) fn own_pages(memory: &[u8]) -> Option<Vec<bool>> {
    let first = memory.as_ptr() as usize / PAGE_BYTES;
    let mut entries = vec![0; memory.len() / PAGE_BYTES * ENTRY_BYTES];
    file()?.read_exact_at(&mut entries, (first * ENTRY_BYTES) as u64).ok()?;
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    Some(entries.iter().map(|entry| is_own(u64::from_ne_bytes(*entry))).collect())
}

/// Bytes of an entry in `/proc/PID/pagemap`.
const ENTRY_BYTES: usize = 8;

// The bits of an entry, from Linux, Documentation/admin-guide/mm/pagemap.rst.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_PAGE: u64 = 1 << 61;

/// A page that is not present shows what is mapped when it is read; one of a file shows the file.
fn is_own(entry: u64) -> bool {
    entry & SWAPPED != 0 || entry & (PRESENT | FILE_PAGE) == PRESENT
}

fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    FILE.get_or_init(|| {
        // Entries are of pages of the system's own size.
        // SAFETY: a plain question.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        match page_bytes == PAGE_BYTES as libc::c_long {
            true => File::open("/proc/self/pagemap").ok(),
            false => None,
        }
    })
    .as_ref()
}
