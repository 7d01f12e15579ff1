//! The sources that blocks count as loaded.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

/// A source of workers, as the list of loaded sources has it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LoadedSource {
    /// A name of what a host loads once for all workers that have it in common.
    pub(crate) hash: Hash,
    /// The number of sources as which it counts.
    pub(crate) weight: u32,
}
