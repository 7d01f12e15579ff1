//! A snapshot of a whole state for nodes that trust its app hash and nobody who serves it.
//!
//! A snapshot is a list of chunks. Chunk 0 is the [`head`]: both roots, which give the app hash, and the SHA-256 of
//! every other chunk. The others are a stream of records, cut into chunks of equal length. Each record is checked when it
//! arrives:
//!
//! ```text
//! section     record                     bound by
//! 1 nodes     node of the state's tree   the hash that its parent has, or the root
//! 2 entries   key and value              the leaf of the tree's node
//! 3 proven    node of the proven tree    the hash that its parent has, or the root
//! 4 artifacts bytes                      hashes in the entries, which the kernel knows
//! 5 end       number of the records
//! ```
//!
//! Nodes come from the root downwards, so that a node's hash is known before it comes. What a hash does not bind does
//! not travel: heights are compared with those of the children, and the inner keys and the places of the proven tree's
//! nodes are made anew. So two nodes with the same state write the same bytes.
//!
//! [`format`](self::format) has the encoding, [`write`](self::write) makes the chunks and [`restore`] takes them.
//! [`merk_walk`] and [`iavl_walk`] check the two trees. [`building`] is the state that is being restored.
//!
//! Knows `store`, `proven`, `tree`, `view` and `disk`.

pub(crate) mod building;
pub(crate) mod format;
pub(crate) mod iavl_walk;
pub(crate) mod merk_walk;
pub(crate) mod progress;
pub(crate) mod restore;
pub(crate) mod write;
