//! The state of a Capstan chain: an ordered map under one Merkle root, in a database file and its journal.
//!
//! # A block's life
//!
//! ```
//! use capstan_kernel_ports::store::{Overlay, Read};
//! use capstan_store::{Store, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::in_memory()?; // or Store::open(directory, Options::default())
//! let mut block = store.begin_block();
//! block.push(); // a crank
//! block.set(b"v1.status", b"running".to_vec());
//! block.merge(); // or rollback()
//! let prepared = store.prepare(block)?; // FinalizeBlock: the root, nothing written
//! let root = prepared.root();
//! store.commit(prepared, 1)?; // Commit: one durable transaction
//!
//! let state = store.reader(); // stays as it is, whatever is committed later
//! assert_eq!(state.get(b"v1.status")?.as_deref(), Some(&b"running"[..]));
//! let proof = state.prove(b"v1.status")?;
//! assert!(verify(&proof, &root, b"v1.status")?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Two redb files. `journal.redb` has what the last commits changed, `state.redb` the whole state as it
//! was some commits ago. A state is what the state's file has, with the changes since written over it.
//!
//! ```text
//! commit ──► journal.redb   changes of commits 41 42 43 44     on disk when `commit` returns
//!        └─► memory         the same, and the tree's nodes     read by all since
//!                 │ every 64 MiB, in a thread of its own, all at once
//!                 ▼
//!            state.redb      everything as of commit 40
//! ```
//!
//! Only the journal decides what is committed: one transaction a block. The state's file follows, in
//! one transaction each time, and only with what is on disk in the journal; entries of the journal go after
//! the state's file has them. So at any instruction the journal has every commit from the state's to the
//! last, and there is nothing to reconcile: opening does again what the state's file lacks, commit by
//! commit, and compares the root. A key that changes in every block is written to the state's file once
//! for all of them, and so are the upper nodes of the tree.
//!
//! | file | table | key | value |
//! |---|---|---|---|
//! | state | `flat` | key | value: every committed entry, node-local ones too |
//! | | `tree` | tree key | node of the Merkle tree |
//! | | `blob` | SHA-256 | the bytes with this hash |
//! | journal | `journal` | serial of the commit (8 bytes), part (4) | changed entries and new blobs, in parts |
//! | both | `meta` | `magic` | `capstan state`, `capstan journal` |
//! | | | `format` | [`FORMAT`], 4 bytes |
//! | | | `height` | 8 bytes |
//! | | | `serial` | the number of commits so far, 8 bytes |
//! | | | `root` | 32 bytes |
//! | | | `root node` | the tree key of the root; absent if the tree is empty |
//!
//! Numbers are big endian, but for redb's own in the keys of `journal`.
//!
//! Part of the tree's nodes stays decoded in memory ([`Options::tree_nodes`]); two halves of a block's
//! changes are found, applied and hashed in two threads. Neither has any influence on the root.
//!
//! # The tree
//!
//! For each key that does not begin with `local.` the tree has one node, at a *tree key*: the key
//! itself up to 254 bytes, else its first 223 bytes and its SHA-256. (Not from 256 bytes on, as one
//! might think from the 255 the tree takes: a key of 255 bytes could be made to look like the tree
//! key of a longer one.) The node's value is a byte 0 and the SHA-256 of the value. The tree is an
//! AVL tree with BLAKE3 hashes in every node, that of `grovedb-merk`; its shape depends on the order
//! of the blocks, not on the order of writes within one. A block's *net* writes reach it: what is
//! written and removed within a block, or set to what it was, does not.
//!
//! After every block the heights of a node's two sides differ by one at most, whatever the block wrote: the tree
//! is changed by joins of balanced trees. So `n` keys are at most `1.44 log2(n) + 2` nodes deep. No calls are nested
//! deeper than that: the number of keys that a block sets or removes takes no stack. A node that is not
//! balanced is damage, wherever it is read or imported.
//!
//! # Why redb
//!
//! Two databases were measured with this tree above them: redb, a copy-on-write B-tree, and fjall, a
//! log-structured merge tree. The criteria are crash safety first, p99 second, p50 third. redb has one
//! file, checksums, two-phase commits and readers at a fixed state; it was killed and starved of its medium in
//! tests, here and in its own project, without a loss. fjall's compaction stalled a block for most of a
//! second. What a B-tree does badly, many small writes all over it in every block, is what the journal
//! takes away. Durable commits use redb's quick repair: two syncs instead of one, for an opening after a
//! crash that does not have to read the whole file.
//! `cargo bench --workspace --bench commit --profile dev` measures this crate.
//!
//! # What must never come back
//!
//! Two ways to forge state were found in `grovedb-merk` 6.1.1, in parts that are not used here. Its
//! proof verifier believes values that begin with 1 or 2 without hashing them: see [`Proof`], which is
//! of another make. Its restorer accepts a forged value under a right root: an [`Import`] ends with
//! [`StateView::check_integrity`]. Both have tests.

mod block;
mod changes;
mod commit;
mod disk;
mod error;
mod export;
mod options;
mod store;
mod threads;
mod tree;
mod view;

pub use block::overlay::Block;
pub use commit::prepared::Prepared;
pub use disk::meta::{FILE, FORMAT, JOURNAL_FILE};
pub use error::Error;
pub use export::{
    chunks::Export,
    import::{Expected, Import},
};
pub use options::Options;
pub use store::Store;
pub use tree::{
    integrity::IntegrityReport,
    proof::{Proof, ProofError, verify},
};
pub use view::state_view::StateView;
