//! The tree of the records that others must be able to prove, in the form of IAVL.
//!
//! [`node`] has its nodes and their hashes, and [`tree`] the changes of a block. [`proof`] makes ICS-23 proofs.
//! [`versions`] finds the tree as it was at an earlier height, and prunes. [`app_hash`] joins both roots of a state.
//!
//! All of it lies in node-local entries, so that a commit writes it like any other entry:
//!
//! ```text
//! local.proven.n.NODEKEY     a node, by the height (8) and the number in it (4) of its creation
//! local.proven.v.NUMBER (8)  Version: the height and the roots of a version
//! local.proven.o.NUMBER (8)  the node keys that the version no longer has
//! local.proven.kept          Kept: numbers of the oldest and the newest version
//! ```
//!
//! A version is added by each commit that changes a root. A commit that changes none writes nothing.
//!
//! Knows `view` and `disk`.

pub(crate) mod app_hash;
pub(crate) mod check;
pub(crate) mod node;
pub(crate) mod proof;
pub(crate) mod record;
pub(crate) mod tree;
pub(crate) mod versions;

pub(crate) use capstan_kernel_ports::store::PROVEN;
