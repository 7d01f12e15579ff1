//! Copy-on-write on Linux: images in sealed memory files, and private views of them.

use std::{
    fs::File,
    io::{self, Write},
    ops::Range,
    os::fd::AsRawFd,
    ptr::NonNull,
    time::Duration,
};

use memmap2::Mmap;
use rustix::{
    fs::{MemfdFlags, SealFlags},
    io::Errno,
};

use crate::PAGE_BYTES;

/// Number of attempts at sealing while the system holds a page of the file, a millisecond apart.
const SEAL_ATTEMPTS: u32 = 100;

/// Image in an anonymous file that nothing can change, shrink or grow.
#[derive(Debug)]
pub(crate) struct SealedImage {
    file: File,
    bytes: Mmap,
}

impl SealedImage {
    /// Copies `bytes`, which must not be empty, to a new sealed file.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create(c"capstan-image", flags)?);
        file.write_all(bytes)?;
        seal(&file)?;
        // SAFETY: the seals keep the file's length and contents for as long as the mapping exists.
        let bytes = unsafe { Mmap::map(&file) }?;
        Ok(Self { file, bytes })
    }

    /// Returns the image's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Maps a private, writable view of the image at `start`, in place of what is mapped there.
    ///
    /// # Safety
    /// `start` must be page-aligned, and `start..start + self.bytes().len()` must lie in one mapping that the
    /// caller owns. No reference to that range may exist.
    pub(crate) unsafe fn map_private(&self, start: NonNull<u8>) -> io::Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        let (address, length) = (start.as_ptr().cast(), self.bytes.len());
        // SAFETY: the caller owns the mapping that this replaces, and nothing refers to it.
        let mapped =
            unsafe { libc::mmap(address, length, protection, flags, self.file.as_raw_fd(), 0) };
        match mapped == libc::MAP_FAILED {
            true => Err(io::Error::last_os_error()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
impl SealedImage {
    /// Returns an image of which no view can be mapped, because its file cannot be read.
    pub(crate) fn write_only(self) -> Self {
        let unreadable = tempfile::NamedTempFile::new().map(|file| file.into_temp_path());
        let unreadable = unreadable.and_then(|path| File::options().write(true).open(path));
        Self { file: unreadable.unwrap_or(self.file), bytes: self.bytes }
    }
}

/// Seals `file` against every change. The system refuses this briefly while it holds a page of the
/// file, for example to move memory.
fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 1..SEAL_ATTEMPTS {
        match rustix::fs::fcntl_add_seals(file, seals) {
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(1)),
            sealed => return Ok(sealed?),
        }
    }
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}

/// Copies `pages` of the private view at `start` at once, which takes less time than a fault for
/// each page. A system that does not know the call refuses it, which does no harm.
///
/// # Safety
/// The pages must lie in a private, writable view that the caller owns and that starts at `start`.
pub(crate) unsafe fn populate(start: NonNull<u8>, pages: &Range<usize>) {
    // SAFETY: the caller's promise says that the offset lies within the view.
    let first = unsafe { start.add(pages.start * PAGE_BYTES) };
    // SAFETY: the pages are the caller's, and the call does not change what they hold.
    unsafe {
        libc::madvise(first.as_ptr().cast(), pages.len() * PAGE_BYTES, libc::MADV_POPULATE_WRITE)
    };
}

/// Drops the private copies of `pages` from the view at `start`, so that the image shows through.
///
/// # Safety
/// The pages must lie in a private view that the caller owns and that starts at `start`. No reference to
/// them may exist.
pub(crate) unsafe fn discard(start: NonNull<u8>, pages: &Range<usize>) -> io::Result<()> {
    // SAFETY: the caller's promise says that the offset lies within the view.
    let first = unsafe { start.add(pages.start * PAGE_BYTES) };
    // SAFETY: the pages are the caller's, and nothing refers to what they hold.
    let done = unsafe {
        libc::madvise(first.as_ptr().cast(), pages.len() * PAGE_BYTES, libc::MADV_DONTNEED)
    };
    match done < 0 {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
