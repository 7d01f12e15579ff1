//! The state of a Capstan chain: an ordered map under one Merkle root, in a database file and its journal.
//!
//! # A block's life
//!
//! ```
//! use capstan_kernel_ports::store::{Overlay, Read};
//! use capstan_store::{Options, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let store = Store::open(directory, Options::default())?;
//! let mut block = store.begin_block();
//! block.push(); // a crank
//! block.set(b"v1.status", b"running".to_vec());
//! block.merge(); // or rollback()
//! let prepared = store.prepare(block)?; // FinalizeBlock: the root, nothing written
//! let root = prepared.root();
//! store.commit(prepared, 1)?; // Commit: one durable transaction
//!
//! let state = store.reader(); // unaffected by later commits
//! assert_eq!(state.get(b"v1.status")?.as_deref(), Some(&b"running"[..]));
//! assert_eq!(state.root(), root);
//! # Ok(())
//! # }
//! ```
//!
//! # Floors
//!
//! Each folder knows only folders below it.
//!
//! ```text
//!   sync      a whole state for nodes that trust its app hash      SnapshotHead, Restore
//!   export    a whole state as a stream of chunks, and back        Export, Import
//!   store.rs  the committed state and its only writer              Store
//!   past.rs   the states of the last heights                       Past
//!   commit    net writes, the prepared block, checkpoints, replay  Prepared
//!   block     a block's overlays            │  tree    Merkle tree, integrity
//!             Block                         │         IntegrityReport
//!                                           │  proven  the IAVL tree of proven records, the app hash
//!   view      reading a committed state: checkpoint and later changes  StateView
//!   disk      the two database files: journal, checkpoint, meta
//!   ────────  error, options, changes, counts, threads: known to all
//! ```
//!
//! # Files
//!
//! There are two files. `journal.log` has the changes of the last commits, and `state.redb`, a redb database, the whole
//! state as of some commits ago. The committed state is the state's file with the later changes written over it.
//!
//! ```text
//! commit ──► journal.log    changes of commits 41 42 43 44     durable when `commit` returns
//!        └─► memory         the same, and the new tree         seen by all later readers
//!                 │ every 64 MiB, in a thread of its own, in one transaction
//!                 ▼
//!            state.redb      everything as of commit 40
//! ```
//!
//! The journal alone decides what is committed: one write and one sync a block. The state's file follows in checkpoints of
//! one transaction each, which contain only what is durable in the journal. An entry leaves the journal after a
//! checkpoint has it. So at any instruction the journal has every commit from the state's to the last, and nothing
//! has to be reconciled. Opening replays the commits that the state's file lacks, and compares the root. A key that
//! changes in every block is written to the state's file once a checkpoint, and so are the upper nodes of the tree.
//!
//! ## Tables of the state's file
//!
//! Integers are big-endian.
//!
//! ```text
//! table  key             value
//! flat   key             value, of every entry, node-local ones included
//! tree   tree key        record of this node and others below it
//! blob   SHA-256 (32)    content with this hash
//! meta   "magic"         "capstan state"
//!        "format"        6, the FORMAT (4)
//!        "height"        block height (8)
//!        "serial"        number of commits so far (8)
//!        "root"          root hash (32), zeros if the tree is empty
//!        "proven root"   root hash of the proven tree (32), zeros if it is empty
//!        "root node"     tree key of the root, absent if the tree is empty
//! ```
//!
//! ## Bytes
//!
//! Lengths in bytes stand in parentheses. Integers of the journal are little-endian, but for the format in its first
//! block, which is as in the state's file.
//!
//! ```text
//! journal   blocks of 4,096 bytes; the first: "capstan journal\n", format (4), zeros
//!           each other one: 0: free, 1: a frame begins, 2: it goes on (1); up to 4,095 bytes of a frame
//! frame     BLAKE3 of varint(56) and the next four fields (32)
//!           length of the entries (8), serials of the first and the last one (8, 8)
//!           BLAKE3 of varint(length) and the entries (32)
//!           entries
//! entry     height (8), serial (8), root (32), proven root (32), root node: 0 (1), or 1 (1), key length (4), tree key
//!           number of changes (4), each: key length (4), key, 0 (1): removed
//!                                                            or 1 (1), value length (4), value
//!           number of new blobs (4), each: length (4), content
//!
//! tree key  key, if it has up to 254 bytes; else its first 223 bytes and its SHA-256 (32)
//!
//! record    a node as in a record
//! in it     links (1): left + 3 * right; 0: no child, 1: the child follows, 2: the child has a record of its own
//!           SHA-256 of the value in `flat` (32), left child?, right child?
//! child     key length (1), tree key, node hash (32), heights of its two children (1, 1), and a node as in a record if it follows
//!
//! node      link to the left child, link to the right child
//!           feature (1), always 0
//!           kv hash (32)      BLAKE3(varint(key length), key, value hash)
//!           value hash (32)   BLAKE3(varint(33), value)
//!           value (33)        0 (1), SHA-256 of the value in `flat` (32)
//! link      0 (1): no child
//!           or 1 (1), key length (1), tree key, node hash (32), heights of its two children (1, 1), 0 (1)
//! node hash BLAKE3(kv hash, left child's node hash, right child's node hash), zeros for an absent child
//!
//! export    records; each: kind (1), key length (4), value length (4), key, value
//!           kind 1 header  "capstan state"   format (4), height (8), root (32), proven root (32), root's tree key
//!                2 node    tree key          node, in key order
//!                3 entry   key               value, in key order
//!                4 blob    SHA-256 (32)      content, in key order
//!                5 end                       number of the records before it but the header (8)
//! ```
//!
//! # The tree
//!
//! For each key that does not begin with `local.` the tree has one node, at the key's *tree key*. (Keys of 255 bytes
//! are hashed too, although the tree would accept them: one could be made to equal the tree key of a longer key.) It
//! is an AVL tree with the hashes of `grovedb-merk`, BLAKE3, in every node. Its shape depends on the order of the blocks,
//! but not on the order of the writes within one. Only a block's *net* writes reach it. A key that is written and
//! removed again, or set to the value that it had, does not.
//!
//! After every block the heights of a node's two sides differ by at most one, whatever the block wrote, since the tree
//! is changed by joins of balanced trees. So `n` keys are at most `1.44 log2(n) + 2` nodes deep. No recursion is
//! deeper than that, and the number of keys in a block takes no stack. An unbalanced node is damage, wherever it is
//! read or imported.
//!
//! Part of the nodes stays decoded in memory ([`Options::tree_nodes`]), shared by all states that have them. Two threads find,
//! apply and hash the two halves of a block's changes. Neither influences the root.
//!
//! A record has a node and those below it of the same four heights, as far as they were changed together. So a way through a
//! tree of a million keys is five or six records.
//!
//! # The proven tree
//!
//! Records that others verify lie in a second tree, with the nodes and hashes of IAVL: see
//! [`Block::set_proven`] and [`StateView::record`]. Its nodes are entries below `local.proven.`. The app hash is one
//! hash over the roots of both trees, [`app_hash`].
//!
//! # Choice of the database
//!
//! Two databases were measured under this tree: redb, a copy-on-write B-tree, and fjall, a log-structured merge tree.
//! The criteria are crash safety first, p99 second, p50 third. redb has one file, checksums, two-phase commits and
//! readers at a fixed state. It was killed and starved of its medium in tests, here and in its own project, without
//! a loss. fjall's compaction stalled a block for most of a second. A B-tree is bad at many small writes all over it
//! in every block, and the journal takes these away. Checkpoints use redb's quick repair: two syncs instead of
//! one, so that opening after a crash need not read the whole file.
//! `cargo bench --workspace --bench commit` measures this crate.
//!
//! # Forged state
//!
//! Two ways to forge state were found in `grovedb-merk` 6.1.1, in parts that are not used here. Its proof verifier
//! accepts values that begin with 1 or 2 without hashing them. Its restorer accepts a forged value under a right root.
//! So an [`Import`] ends with [`StateView::check_integrity`], and a [`Restore`] computes each hash itself.

#![forbid(unsafe_code)]

mod block;
mod changes;
mod commit;
mod counts;
mod disk;
mod error;
mod export;
mod options;
mod past;
mod proven;
mod store;
mod sync;
mod threads;
mod tree;
mod view;

pub use block::overlay::Block;
pub use commit::prepared::Prepared;
pub use counts::{CheckpointCounts, Counts, TreeCounts};
pub use disk::meta::{FILE, FORMAT, JOURNAL_FILE};
pub use error::Error;
pub use export::{
    chunks::{Export, Local, LocalFilter},
    import::{Expected, Import},
};
pub use options::Options;
pub use past::Past;
pub use proven::{
    app_hash::{PROVEN_STORE, STATE_STORE, app_hash},
    record::{Proved, ProvedRecord},
};
pub use store::Store;
pub use sync::{
    format::{CHUNK_BYTES, MAX_CHUNK_BYTES, SNAPSHOT_FORMAT, SnapshotHead, chunk_hash},
    restore::{ChunkError, Restore, Restored, forget_restoration},
    write::ChunkWriter,
};
pub use tree::integrity::IntegrityReport;
pub use view::state_view::StateView;
