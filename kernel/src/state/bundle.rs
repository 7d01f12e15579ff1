//! Installed bundles. Their bytes are blobs.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

use crate::{
    error::Result,
    state::{handle::State, keys},
};

/// An installed bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InstalledBundle {
    /// SHA-256 of the bundle's bytes, which is the key of their blob.
    pub hash: Hash,
    /// Number of the bundle's bytes.
    pub size: u64,
}

impl State<'_> {
    /// Installs a bundle whose bytes were verified.
    pub(crate) fn put_bundle(&mut self, id: &str, bytes: Vec<u8>) -> Result<()> {
        let size = bytes.len() as u64;
        let hash = self.over.put_blob(bytes);
        self.put(&keys::bundle(id), &InstalledBundle { hash, size })
    }
}
