//! Tests that nothing a node does on its own changes a root, a transcript or a computron.

mod ahead;
mod heaps;
mod imported_heaps;
mod replay;
mod same_hashes;
