//! The Merkle tree over the keys and values.
//!
//! [`state_tree`] defines entries and changes. [`merk`] applies them, with the hashes of `grovedb-merk`: [`join`] changes the
//! shape, [`loader`] reads nodes, [`evict`] drops them from memory. [`link`] has the nodes in memory, and [`record`] the
//! records of the file, of several nodes each. [`walk`] goes through a whole tree. [`node`] has the hashes, and the encoding of
//! a node in an export. [`integrity`] checks everything.
//!
//! Knows `view` and `disk`.

pub(crate) mod evict;
pub(crate) mod integrity;
pub(crate) mod join;
pub(crate) mod link;
pub(crate) mod loader;
pub(crate) mod merk;
pub(crate) mod node;
pub(crate) mod record;
pub(crate) mod state_tree;
pub(crate) mod walk;
