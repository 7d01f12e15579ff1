//! Conversion of heaps between a worker and the pages and hashes that a store keeps.
//!
//! The pages of an image are those that differ from the *origin*. That is the image of the engine with
//! the bundle loaded. It is the engine's booted image if the bundle cannot be loaded early, and a memory
//! of zeros for a module from a user. So the pages are the vat's own, and their number depends on
//! nothing that a host keeps. The mapping of a worker's memory does not
//! affect the image: it may lie over the origin or over an image that the vats of one bundle share.

pub(crate) mod image;

use std::sync::Arc;

use capstan_abi::Encoding;
use capstan_kernel_ports::{
    Hash,
    host::{HeapImage, HeapPage, HostFault},
};

use crate::{
    PAGE_BYTES,
    heap::image::{HeapHead, Leaf, ZERO_PAGE, leaf, zero_leaf},
    memory::base::{BaseMemory, page},
    memory::linear::WASM_PAGE,
    module::compile::CompiledModule,
    worker::Worker,
};

impl Worker {
    /// Returns the heap's hash and the memory's size in bytes.
    pub(crate) fn heap(&mut self) -> (Hash, u64) {
        let head = self.heap_head();
        let size = self.memory().len() as u64;
        (head.heap_hash(size, self.leaves(), self.base().map(BaseMemory::tree)), size)
    }

    /// Returns the heap as a [`HeapImage`], whose pages are those that differ from `origin`.
    pub(crate) fn heap_image(
        &mut self,
        origin: Option<&BaseMemory>,
    ) -> Result<HeapImage, HostFault> {
        let head = self.heap_head();
        let leaves = self.leaves();
        let differs = |(number, leaf): (usize, &Leaf)| {
            // A wasm memory has at most 2^20 pages.
            let page = HeapPage { number: number as u32, hash: Hash(*leaf) };
            (*leaf != origin_leaf(origin, number)).then_some(page)
        };
        let pages = leaves.iter().enumerate().filter_map(differs).collect();
        let memory_bytes = self.memory().len() as u64;
        Ok(HeapImage {
            hash: head.heap_hash(memory_bytes, leaves, self.base().map(BaseMemory::tree)),
            memory_bytes,
            head: borsh::to_vec(&head).map_err(|e| HostFault::Engine(e.to_string()))?,
            pages,
        })
    }

    /// Returns the bytes of page `number`. Returns `None` if the memory is smaller.
    pub(crate) fn heap_page(&self, number: u32) -> Option<Vec<u8>> {
        page(self.memory(), number as usize).map(<[u8]>::to_vec)
    }

    /// Returns a worker with the heap of `image`. Where the heap equals `base`, its memory is a
    /// view of it. Everything is checked against the image's hash.
    pub(crate) fn restore(
        module: &Arc<CompiledModule>,
        image: &HeapImage,
        origin: Option<&BaseMemory>,
        base: Option<&Arc<BaseMemory>>,
        fetch: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<Self, HostFault> {
        let damaged =
            |what: &str| HostFault::DamagedHeap(format!("heap snapshot {}: {what}", image.hash));
        let head: HeapHead = borsh::from_slice(&image.head).map_err(|_| damaged("damaged head"))?;
        let encoding = Encoding::from_number(i32::from(head.encoding));
        let encoding = encoding.ok_or_else(|| damaged("unknown encoding"))?;
        let leaves =
            wanted_leaves(image, origin).ok_or_else(|| damaged("damaged list of pages"))?;
        let known = base.map(|base| base.tree());
        if head.heap_hash(image.memory_bytes, leaves.clone(), known) != image.hash {
            return Err(damaged("it is not what its hash says"));
        }
        let size = leaves.len() * PAGE_BYTES;
        let base = base.filter(|base| base.bytes().len() <= size);
        let mut worker = Self::with_memory(module, encoding, &head.globals, base, size)
            .map_err(|e| damaged(&e.to_string()))?;
        let mapped = base.map(Arc::as_ref);
        let memory = worker.memory_mut();
        let mut own = image.pages.iter().peekable();
        for (number, wanted) in leaves.iter().enumerate() {
            let is_own = own.next_if(|page| page.number as usize == number).is_some();
            if *wanted == origin_leaf(mapped, number) {
                continue;
            }
            let target = &mut memory[number * PAGE_BYTES..][..PAGE_BYTES];
            if is_own {
                let bytes = fetch(&Hash(*wanted))?;
                if bytes.len() != PAGE_BYTES || leaf(&bytes) != *wanted {
                    return Err(damaged(&format!("page {number} is damaged")));
                }
                target.copy_from_slice(&bytes);
            } else {
                let original = origin.and_then(|origin| page(origin.bytes(), number));
                target.copy_from_slice(original.unwrap_or(&ZERO_PAGE));
            }
        }
        Ok(worker)
    }

    fn heap_head(&mut self) -> HeapHead {
        HeapHead { encoding: self.encoding() as u8, globals: self.global_bits() }
    }

    /// Returns the hashes of the memory's pages.
    ///
    /// Pages that equal the base are not hashed. If the system reports them, they are not read
    /// either.
    fn leaves(&self) -> Vec<Leaf> {
        let memory = self.memory();
        let own = self.own_pages();
        let base = self.base();
        let of = |number: usize| {
            let bytes = &memory[number * PAGE_BYTES..][..PAGE_BYTES];
            let mapped = base.and_then(|base| page(base.bytes(), number)).unwrap_or(&ZERO_PAGE);
            let is_own = own.as_ref().is_none_or(|own| own[number]);
            match is_own && bytes != mapped {
                true => leaf(bytes),
                false => origin_leaf(base, number),
            }
        };
        (0..memory.len() / PAGE_BYTES).map(of).collect()
    }
}

/// Returns the hash of page `number` of a memory that equals `origin` and is zero beyond it.
fn origin_leaf(origin: Option<&BaseMemory>, number: usize) -> Leaf {
    origin.and_then(|origin| origin.leaves().get(number).copied()).unwrap_or_else(zero_leaf)
}

/// Returns the hashes of all pages of `image`. Returns `None` if its list of pages is not sorted or
/// does not fit its size.
fn wanted_leaves(image: &HeapImage, origin: Option<&BaseMemory>) -> Option<Vec<Leaf>> {
    let size = usize::try_from(image.memory_bytes).ok()?;
    if !size.is_multiple_of(WASM_PAGE) || size > MAX_MEMORY_BYTES {
        return None;
    }
    let mut leaves: Vec<Leaf> =
        (0..size / PAGE_BYTES).map(|number| origin_leaf(origin, number)).collect();
    if !image.pages.is_sorted_by(|a, b| a.number < b.number) {
        return None;
    }
    for page in &image.pages {
        *leaves.get_mut(page.number as usize)? = page.hash.0;
    }
    Some(leaves)
}

/// Size in bytes of the largest memory in wasm32.
const MAX_MEMORY_BYTES: usize = 1 << 32;
