//! Memory images that many workers start from.

use std::{io, ops::Range, ptr::NonNull, sync::OnceLock};

#[cfg(target_os = "linux")]
use super::cow::{self, SealedImage};
use crate::{
    MemoryMode, PAGE_BYTES,
    heap::image::{Leaf, PageTree, leaf},
    memory::own_pages,
};

/// Pages that a start copies before its worker writes to them, at most. The price of a start covers as many. Further pages are
/// copied when the worker writes to them.
#[cfg(target_os = "linux")]
const MAX_POPULATED: usize = 512;

/// Returns the first `most` pages of these ranges.
#[cfg(target_os = "linux")]
fn first_pages(ranges: &[Range<usize>], most: usize) -> impl Iterator<Item = Range<usize>> {
    let cut = |left: &mut usize, pages: &Range<usize>| {
        let pages = pages.start..pages.end.min(pages.start + *left);
        *left -= pages.len();
        (!pages.is_empty()).then_some(pages)
    };
    ranges.iter().scan(most, cut)
}

/// Linear memory that does not change any more.
#[derive(Debug)]
pub(crate) struct BaseMemory {
    bytes: Bytes,
    tree: OnceLock<PageTree>,
    /// Pages that the first worker on this image wrote to. Later workers write to the same.
    written: OnceLock<Vec<Range<usize>>>,
}

/// Failure to share a worker's memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShareError {
    /// The memory is as it was. The worker goes on without sharing.
    #[error("vats cannot share memory: {0}")]
    Unshared(#[from] io::Error),
    /// The system may have removed a part of the memory. The worker cannot go on.
    #[error("a vat's memory is lost, because the system could not map it anew: {0}")]
    Lost(#[source] io::Error),
}

/// Location of an image, by the [`MemoryMode`] that it was made in.
#[derive(Debug)]
enum Bytes {
    /// Workers have private views of it.
    #[cfg(target_os = "linux")]
    Sealed(SealedImage),
    /// Workers have copies of it.
    Copied(Box<[u8]>),
}

impl BaseMemory {
    /// Copies `bytes`, which must be whole wasm pages and not empty.
    pub(crate) fn new(bytes: &[u8], mode: MemoryMode) -> io::Result<Self> {
        let bytes = match mode {
            #[cfg(target_os = "linux")]
            MemoryMode::CopyOnWrite => Bytes::Sealed(SealedImage::new(bytes)?),
            _ => Bytes::Copied(bytes.into()),
        };
        Ok(Self { bytes, tree: OnceLock::new(), written: OnceLock::new() })
    }

    /// Returns the image's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            #[cfg(target_os = "linux")]
            Bytes::Sealed(image) => image.bytes(),
            Bytes::Copied(bytes) => bytes,
        }
    }

    /// Returns the hashes of the image's pages.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        self.tree().leaves()
    }

    /// Returns the Merkle tree over the image's pages, which is computed once.
    pub(crate) fn tree(&self) -> &PageTree {
        self.tree.get_or_init(|| PageTree::new(self.bytes().chunks(PAGE_BYTES).map(leaf).collect()))
    }

    /// Fills the memory at `start` with the image: as a private view of it, or as a copy.
    ///
    /// # Safety
    /// `start` must be page-aligned, and `start..start + self.bytes().len()` must be writable and
    /// lie in one mapping that the caller owns. No reference to that range may exist.
    pub(crate) unsafe fn place(&self, start: NonNull<u8>) -> io::Result<()> {
        match &self.bytes {
            #[cfg(target_os = "linux")]
            Bytes::Sealed(image) => {
                // SAFETY: the caller's promise is what `map_private` asks for.
                unsafe { image.map_private(start) }?;
                let written = self.written.get().map_or(&[][..], Vec::as_slice);
                for pages in first_pages(written, MAX_POPULATED) {
                    // SAFETY: a noted page is one of this image, so it lies in the view that was just mapped.
                    unsafe { cow::populate(start, &pages) };
                }
            }
            Bytes::Copied(bytes) => {
                // SAFETY: the caller owns the range and may write to it. It cannot overlap with `bytes`,
                // which this image owns.
                unsafe {
                    start.copy_from_nonoverlapping(NonNull::from(&**bytes).cast(), bytes.len())
                };
            }
        }
        Ok(())
    }

    /// Turns the memory at `start` into a private view of this image without changing its contents.
    /// Equal pages are shared from then on. Does nothing if workers copy the image.
    ///
    /// # Errors
    /// Returns [`ShareError::Lost`] if the mapping fails. The memory's contents are undefined then,
    /// because the system may remove the old mapping first.
    ///
    /// # Safety
    /// As for [`BaseMemory::place`]. The memory must be readable too. If `old` is given, the range
    /// must be a private view of `old`, and zero beyond it, except for the pages that were written
    /// to.
    pub(crate) unsafe fn remap(
        &self,
        start: NonNull<u8>,
        old: Option<&BaseMemory>,
    ) -> Result<(), ShareError> {
        if matches!(self.bytes, Bytes::Copied(_)) {
            return Ok(());
        }
        let copies = {
            // SAFETY: the range is readable and no other reference to it exists. This one ends before the
            // range is mapped anew.
            let memory = unsafe { std::slice::from_raw_parts(start.as_ptr(), self.bytes().len()) };
            self.differing_pages(memory, old)
        };
        // SAFETY: the caller's promise, and no reference is left from above.
        unsafe { self.place(start) }.map_err(ShareError::Lost)?;
        for (number, bytes) in copies {
            // SAFETY: `differing_pages` numbers whole pages of the range, which is writable.
            unsafe {
                let page = start.add(number * PAGE_BYTES);
                page.copy_from_nonoverlapping(NonNull::from(&*bytes).cast(), bytes.len());
            }
        }
        Ok(())
    }

    /// Returns copies of the pages of `memory` that differ from this image. `memory` is a view of
    /// `old`.
    fn differing_pages(&self, memory: &[u8], old: Option<&BaseMemory>) -> Vec<(usize, Box<[u8]>)> {
        let owned = own_pages(memory, MemoryMode::CopyOnWrite);
        if let (Some(old), Some(owned)) = (old, &owned) {
            old.note_written(&owned[..owned.len().min(old.bytes().len() / PAGE_BYTES)]);
        }
        let leaf_of = |base: &BaseMemory, number: usize| base.leaves().get(number).copied();
        let is_as_before = |number: usize| {
            let shows_old = owned.as_ref().is_some_and(|owned| !owned[number]);
            shows_old && old.is_some_and(|old| leaf_of(old, number) == leaf_of(self, number))
        };
        let pages = memory.chunks_exact(PAGE_BYTES).enumerate();
        pages
            .filter(|(number, _)| !is_as_before(*number))
            .filter(|(number, bytes)| Some(*bytes) != page(self.bytes(), *number))
            .map(|(number, bytes)| (number, bytes.into()))
            .collect()
    }

    /// Records the pages of which a worker on this image has copies, unless those of another are
    /// recorded.
    fn note_written(&self, owned: &[bool]) {
        self.written.get_or_init(|| {
            let runs = owned.chunk_by(|a, b| a == b).scan(0, |from, run| {
                let start = std::mem::replace(from, *from + run.len());
                Some((start..*from, run[0]))
            });
            runs.filter_map(|(pages, is_owned)| is_owned.then_some(pages)).collect()
        });
    }

    /// Drops the private copies of pages that equal the image from the memory at `start`. Does
    /// nothing if workers copy the image.
    ///
    /// # Safety
    /// `start..start + self.bytes().len()` must be a view that [`BaseMemory::place`] or
    /// [`BaseMemory::remap`] of this image made, owned by the caller. No reference to that range
    /// may exist.
    pub(crate) unsafe fn trim(&self, start: NonNull<u8>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Bytes::Sealed(image) = &self.bytes {
            let needless = {
                // SAFETY: the view is readable and no other reference to it exists. This one ends before
                // copies are dropped.
                let memory =
                    unsafe { std::slice::from_raw_parts(start.as_ptr(), image.bytes().len()) };
                needless_copies(memory, image.bytes())
            };
            for pages in needless {
                // SAFETY: whole pages of the view. What shows through is equal.
                unsafe { cow::discard(start, &pages) }?;
            }
        }
        let _ = start;
        Ok(())
    }
}

/// Returns the runs of pages in which `view` has private copies equal to the pages of `image`.
#[cfg(target_os = "linux")]
fn needless_copies(view: &[u8], image: &[u8]) -> Vec<Range<usize>> {
    let owned = own_pages(view, MemoryMode::CopyOnWrite);
    let pages = image.len() / PAGE_BYTES;
    let is_needless = |number: &usize| {
        owned.as_ref().is_none_or(|owned| owned[*number])
            && page(view, *number) == page(image, *number)
    };
    let mut runs = Vec::new();
    let mut from = 0;
    while from < pages {
        let to = (from..pages).find(|number| !is_needless(number)).unwrap_or(pages);
        if to > from {
            runs.push(from..to);
        }
        from = to + 1;
    }
    runs
}

/// Returns the page `number` of `memory`. Returns `None` if it has no such page.
pub(crate) fn page(memory: &[u8], number: usize) -> Option<&[u8]> {
    memory.get(number * PAGE_BYTES..)?.get(..PAGE_BYTES)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_mapped_anew_is_lost() {
        let page = vec![7; 65_536];
        let image = SealedImage::new(&page).unwrap().write_only();
        let base = BaseMemory {
            bytes: Bytes::Sealed(image),
            tree: OnceLock::new(),
            written: OnceLock::new(),
        };
        let mut memory = memmap2::MmapMut::map_anon(page.len()).unwrap();
        let start = NonNull::from(&mut *memory).cast();
        // SAFETY: `memory` is a mapping of its own with the image's length, and nothing else refers to it.
        let done = unsafe { base.remap(start, None) };
        assert!(matches!(done, Err(ShareError::Lost(_))), "{done:?}");
    }

    #[test]
    fn a_start_copies_no_more_pages_than_its_price_covers() {
        let first = |ranges: &[Range<usize>], most| first_pages(ranges, most).collect::<Vec<_>>();
        assert_eq!(first(&[1..3, 5..9], 10), [1..3, 5..9]);
        assert_eq!(first(&[1..3, 5..9, 20..30], 4), [1..3, 5..7]);
        assert_eq!(first(&[1..3, 5..6, 8..9], 3), [1..3, 5..6]);
        // What comes after the last page costs no call.
        let scattered: Vec<_> = (0..2_000).map(|at| 2 * at..2 * at + 1).collect();
        assert_eq!(first(&scattered, MAX_POPULATED).len(), MAX_POPULATED);
        assert!(first(&[], 4).is_empty());
    }
}
