//! Heap of a vat as data: the linear memory and the mutable globals, which are all of its state.

use std::sync::OnceLock;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Encoding;
use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

/// Size in bytes of a page of an [`Image`], the unit of hashing, of copy-on-write and of snapshots.
pub const PAGE_BYTES: usize = 4_096;

/// Heap of a vat between two deliveries, as [`WasmHost::image`](crate::WasmHost::image) returns it.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Image {
    /// The number that the worker's `capstan_abi()` returned.
    encoding: u8,
    /// The mutable globals: index in the module and value, floats as their bits, in index order.
    globals: Vec<(u32, u64)>,
    /// Linear memory, whole wasm pages.
    memory: Vec<u8>,
}

impl Image {
    pub(crate) fn new(encoding: Encoding, globals: Vec<(u32, u64)>, memory: Vec<u8>) -> Self {
        Self { encoding: encoding as u8, globals, memory }
    }

    /// Returns the image's [`struct@Hash`]. Together with the hash of the module it identifies a
    /// worker.
    ///
    /// It is `sha256("capstan.heap.1" ‖ encoding ‖ memory length (u64 LE) ‖ number of globals (u32
    /// LE) ‖ (index u32 LE ‖ bits u64 LE)… ‖ root)`. `root` is the Merkle root over the memory's
    /// pages of 4 KiB. A leaf is `sha256(0 ‖ page)` and a node `sha256(1 ‖ left ‖ right)`. An odd
    /// last node of a level moves up unchanged.
    pub fn hash(&self) -> Hash {
        let leaves = self.memory.chunks(PAGE_BYTES).map(leaf).collect();
        let head = HeapHead { encoding: self.encoding, globals: self.globals.clone() };
        head.heap_hash(self.memory.len() as u64, leaves, None)
    }

    /// Returns the memory's size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Returns the memory's pages of [`PAGE_BYTES`] bytes, in order.
    pub fn pages(&self) -> impl Iterator<Item = &[u8]> {
        self.memory.chunks(PAGE_BYTES)
    }

    /// Returns the mutable globals, as pairs of index in the module and bits.
    pub(crate) fn globals(&self) -> &[(u32, u64)] {
        &self.globals
    }

    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("size_bytes", &self.memory.len())
            .field("globals", &self.globals)
            .finish_non_exhaustive()
    }
}

/// Hash of one page.
pub(crate) type Leaf = [u8; 32];

/// Page of zeros, the initial contents of memory.
pub(crate) const ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Returns the hash of [`ZERO_PAGE`].
pub(crate) fn zero_leaf() -> Leaf {
    static ZERO_LEAF: OnceLock<Leaf> = OnceLock::new();
    *ZERO_LEAF.get_or_init(|| leaf(&ZERO_PAGE))
}

pub(crate) fn leaf(page: &[u8]) -> Leaf {
    Sha256::new().chain_update([0]).chain_update(page).finalize().into()
}

/// Parts of a heap besides its memory.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct HeapHead {
    /// The number that the worker's `capstan_abi()` returned.
    pub(crate) encoding: u8,
    /// The mutable globals: index in the module and bits, in index order.
    pub(crate) globals: Vec<(u32, u64)>,
}

impl HeapHead {
    /// Returns the heap's hash, as in [`Image::hash`]. It takes less time for a memory that
    /// resembles that of `known`.
    pub(crate) fn heap_hash(
        &self,
        memory_bytes: u64,
        leaves: Vec<Leaf>,
        known: Option<&PageTree>,
    ) -> Hash {
        let mut hash = Sha256::new()
            .chain_update("capstan.heap.1")
            .chain_update([self.encoding])
            .chain_update(memory_bytes.to_le_bytes())
            // A module has far fewer globals than 2^32.
            .chain_update((self.globals.len() as u32).to_le_bytes());
        for (index, bits) in &self.globals {
            hash.update(index.to_le_bytes());
            hash.update(bits.to_le_bytes());
        }
        Hash(hash.chain_update(merkle_root(leaves, known)).finalize().into())
    }
}

/// Merkle tree over the pages of a memory.
#[derive(Debug)]
pub(crate) struct PageTree {
    /// Levels from the leaves up to the root.
    levels: Vec<Vec<Leaf>>,
}

impl PageTree {
    pub(crate) fn new(leaves: Vec<Leaf>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(next_level(level, &[], &[]));
        }
        Self { levels }
    }

    /// Returns the hashes of the pages.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        self.level(0)
    }

    fn level(&self, number: usize) -> &[Leaf] {
        self.levels.get(number).map_or(&[], Vec::as_slice)
    }
}

fn merkle_root(mut level: Vec<Leaf>, known: Option<&PageTree>) -> Leaf {
    if level.is_empty() {
        return Sha256::digest([]).into();
    }
    let known_level = |number| known.map_or(&[][..], |tree| tree.level(number));
    for number in 0.. {
        if level.len() == 1 {
            break;
        }
        level = next_level(&level, known_level(number), known_level(number + 1));
    }
    level[0]
}

/// Returns the nodes above `level`. Nodes above two that equal `known` are taken from
/// `known_above`.
///
/// A node above two that equal the two before is theirs. So a large memory of zeros takes little time.
fn next_level(level: &[Leaf], known: &[Leaf], known_above: &[Leaf]) -> Vec<Leaf> {
    let mut before: Option<(&[Leaf], Leaf)> = None;
    let node = |(at, children)| {
        let node = match (known.get(2 * at..2 * at + 2), known_above.get(at), before) {
            (Some(same), Some(node), _) if same == children => *node,
            (_, _, Some((same, node))) if same == children => node,
            _ => parent(children),
        };
        before = Some((children, node));
        node
    };
    level.chunks(2).enumerate().map(node).collect()
}

/// Returns the node above two. One alone moves up unchanged.
fn parent(children: &[Leaf]) -> Leaf {
    let [left, right] = children else {
        // `chunks(2)` gives one or two.
        return children[0];
    };
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the root by its definition.
    fn root(level: Vec<Leaf>) -> Leaf {
        match &level[..] {
            [only] => *only,
            _ => root(level.chunks(2).map(parent).collect()),
        }
    }

    #[test]
    fn runs_of_equal_pages_and_known_ones_do_not_change_the_root() {
        let leaves = |text: &str| -> Vec<Leaf> { text.bytes().map(|byte| [byte; 32]).collect() };
        let known = PageTree::new(leaves("00000000abab000"));
        assert_eq!(known.levels.last().unwrap()[..], [root(leaves("00000000abab000"))]);
        for text in
            ["0", "00", "000", "0000000000", "abababab0", "0a0a00aaa00000b", "00000000abab00000"]
        {
            assert_eq!(merkle_root(leaves(text), None), root(leaves(text)), "{text}");
            assert_eq!(merkle_root(leaves(text), Some(&known)), root(leaves(text)), "{text}");
        }
    }
}
