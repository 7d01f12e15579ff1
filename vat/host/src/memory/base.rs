//! Memory images that many workers map copy-on-write: one copy in memory, whoever uses it.

use std::{
    fs::File,
    io::{self, Write},
    ops::Range,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::OnceLock,
};

use crate::{
    PAGE_BYTES,
    heap::image::{Leaf, PageTree, leaf},
    memory::pagemap,
};

/// A linear memory, in an anonymous file that nobody can change any more.
#[derive(Debug)]
pub(crate) struct BaseMemory {
    file: OwnedFd,
    bytes: Mapping,
    tree: OnceLock<PageTree>,
    /// Pages to which the first worker on this wrote, and so will those that follow.
    written: OnceLock<Vec<Range<usize>>>,
}

impl BaseMemory {
    /// Keeps a copy of `bytes`, which are whole wasm pages and not empty.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a NUL-terminated string; the call has no other requirement.
        let fd = check(unsafe { libc::memfd_create(c"capstan-image".as_ptr(), flags) })?;
        // SAFETY: the descriptor was just made and has no other owner.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(bytes)?;
        let seals =
            libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        // The system may hold a page of the file for a moment, as when it moves memory: then it is busy.
        for left in (0..100).rev() {
            // SAFETY: a plain call on a descriptor that is owned here.
            match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }) {
                Err(error) if left > 0 && error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                sealed => {
                    sealed?;
                    break;
                }
            }
        }
        let mapping = Mapping::new(&file, bytes.len())?;
        let (tree, written) = (OnceLock::new(), OnceLock::new());
        Ok(Self { file: file.into(), bytes: mapping, tree, written })
    }

    /// The memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable for its whole length as long as `self` lives, and the file's
        // seals say that nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.bytes.start.as_ptr(), self.bytes.length) }
    }

    /// The hashes of the memory's pages.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        self.tree().leaves()
    }

    pub(crate) fn tree(&self) -> &PageTree {
        self.tree.get_or_init(|| PageTree::new(self.bytes().chunks(PAGE_BYTES).map(leaf).collect()))
    }

    /// Puts a private, writable view of the memory at `start`, in place of what is mapped there.
    ///
    /// # Safety
    /// As many bytes from `start`, a multiple of the system's page size, as the memory has must belong
    /// to a mapping of the caller's to which nothing refers but as raw memory.
    pub(crate) unsafe fn map_private(&self, start: *mut u8) -> io::Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        let (length, file) = (self.bytes.length, self.file.as_raw_fd());
        // SAFETY: the caller gives up what is mapped there.
        let mapped = unsafe { libc::mmap(start.cast(), length, protection, flags, file, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // One call takes less time than a fault for each page. Systems that do not know it refuse it.
        for pages in self.written.get().into_iter().flatten() {
            // SAFETY: these pages are within the view that was just made, and none changes.
            unsafe {
                let first = start.add(pages.start * PAGE_BYTES).cast();
                libc::madvise(first, pages.len() * PAGE_BYTES, libc::MADV_POPULATE_WRITE);
            }
        }
        Ok(())
    }

    /// Notes the pages that a worker on this has copies of, if no other's were noted.
    fn note_written(&self, owned: &[bool]) {
        self.written.get_or_init(|| {
            let runs = owned.chunk_by(|a, b| a == b).scan(0, |from, run| {
                let start = std::mem::replace(from, *from + run.len());
                Some((start..*from, run[0]))
            });
            runs.filter_map(|(pages, is_owned)| is_owned.then_some(pages)).collect()
        });
    }

    /// Makes `memory`, at least as long as this, a private view of this without changing it: pages that
    /// are the same are shared from then on. `memory` is a view of `old` now, if of anything.
    ///
    /// # Safety
    /// As for [`BaseMemory::map_private`] at the start of `memory`.
    pub(crate) unsafe fn put_under(
        &self,
        memory: &mut [u8],
        old: Option<&BaseMemory>,
    ) -> io::Result<()> {
        let lower = &mut memory[..self.bytes.length];
        let owned = pagemap::own_pages(lower);
        if let (Some(old), Some(owned)) = (old, &owned) {
            old.note_written(&owned[..owned.len().min(old.bytes.length / PAGE_BYTES)]);
        }
        let leaf_of = |base: &BaseMemory, at: usize| base.leaves().get(at).copied();
        let is_as_before = |at: usize| {
            let shows_old = owned.as_ref().is_some_and(|owned| !owned[at]);
            shows_old && old.is_some_and(|old| leaf_of(old, at) == leaf_of(self, at))
        };
        let differs =
            |at: &usize| !is_as_before(*at) && page(lower, *at) != page(self.bytes(), *at);
        let copies: Vec<(usize, Vec<u8>)> = (0..lower.len() / PAGE_BYTES)
            .filter(differs)
            .map(|at| (at, lower[at * PAGE_BYTES..][..PAGE_BYTES].to_vec()))
            .collect();
        // SAFETY: the caller's promise; what differs is written again below.
        unsafe { self.map_private(lower.as_mut_ptr()) }?;
        for (at, bytes) in copies {
            lower[at * PAGE_BYTES..][..PAGE_BYTES].copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// Drops the private copies of pages that are the same as here from `memory`.
    ///
    /// # Safety
    /// The start of `memory` must be a view made by [`BaseMemory::map_private`] of this very memory.
    pub(crate) unsafe fn trim(&self, memory: &mut [u8]) -> io::Result<()> {
        let pages = self.bytes.length / PAGE_BYTES;
        let owned = pagemap::own_pages(&memory[..self.bytes.length]);
        let mut from = 0;
        while from < pages {
            let is_needless = |at: &usize| {
                owned.as_ref().is_none_or(|owned| owned[*at])
                    && page(memory, *at) == page(self.bytes(), *at)
            };
            let length = (from..pages).take_while(is_needless).count();
            if length > 0 {
                let start = memory[from * PAGE_BYTES..].as_mut_ptr().cast();
                // SAFETY: whole pages of the view; what shows through from the file is the same.
                let advice =
                    unsafe { libc::madvise(start, length * PAGE_BYTES, libc::MADV_DONTNEED) };
                check(advice)?;
            }
            from += length + 1;
        }
        Ok(())
    }
}

/// The page number `at` of `memory`, if it has one.
pub(crate) fn page(memory: &[u8], at: usize) -> Option<&[u8]> {
    memory.get(at * PAGE_BYTES..)?.get(..PAGE_BYTES)
}

/// A read-only view of a whole file.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the view is owned and read-only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File, length: usize) -> io::Result<Self> {
        let fd = file.as_raw_fd();
        // SAFETY: a new mapping at an address of the system's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0)
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the view was mapped by `new` and is no longer referred to.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A system call's result.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(result),
    }
}
