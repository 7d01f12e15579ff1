//! Reservations of address space.

use std::{io, ptr::NonNull};

use region::{Allocation, Protection};

/// Reservation of address space, released when dropped. Memory in it is accessible once it was
/// [opened](Region::open).
pub(crate) struct Region {
    allocation: Allocation,
    start: NonNull<u8>,
}

// SAFETY: the region owns its address range, which does not depend on a thread.
unsafe impl Send for Region {}
// SAFETY: a shared reference gives only the range's address, and changes its protection.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `length` bytes, none of which is accessible yet.
    pub(crate) fn reserve(length: usize) -> io::Result<Self> {
        let mut allocation = region::alloc(length, Protection::NONE).map_err(io::Error::from)?;
        let start = NonNull::new(allocation.as_mut_ptr::<u8>())
            .ok_or_else(|| io::Error::other("the system reserved the address 0"))?;
        Ok(Self { allocation, start })
    }

    /// Returns the address of the first byte, which is page-aligned.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Makes the `length` bytes from `offset` readable and writable. Those that were not open before are zero.
    pub(crate) fn open(&self, offset: usize, length: usize) -> io::Result<()> {
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.allocation.len()));
        if length == 0 {
            return Ok(());
        }
        // SAFETY: the assertion says that the range lies within this region.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: as above. The call only widens what may be done with the range.
        unsafe { region::protect(start.as_ptr(), length, Protection::READ_WRITE) }
            .map_err(io::Error::from)
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region")
            .field("start", &self.start)
            .field("length", &self.allocation.len())
            .finish()
    }
}
