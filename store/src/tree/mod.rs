//! The Merkle tree over the keys and values.
//!
//! [`state_tree`] defines entries and the trait of a tree. [`merk`] implements it with the nodes of `grovedb-merk`:
//! [`join`] changes the shape, [`loader`] reads nodes, [`link`] connects them, [`evict`] drops them from memory.
//! [`node`] is the encoding of a node. [`integrity`] reads the stored tree without `grovedb-merk`'s tree.
//!
//! Knows `view`.

pub(crate) mod evict;
pub(crate) mod integrity;
pub(crate) mod join;
pub(crate) mod link;
pub(crate) mod loader;
pub(crate) mod merk;
pub(crate) mod node;
pub(crate) mod state_tree;
