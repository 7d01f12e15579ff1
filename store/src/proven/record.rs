//! The proven tree as users of the store see it: a record at a height, with its proof.

use capstan_kernel_ports::Hash;
use prost::Message as _;

use crate::{
    Error, StateView,
    proven::{
        app_hash::{app_hash, prove_store},
        proof, tree,
        versions::{Kept, Version},
    },
};

/// A record of the proven tree, or its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedRecord {
    /// Value of the record, or `None` if there is none.
    pub value: Option<Vec<u8>>,
    /// The proof, if it was asked for.
    pub proof: Option<Proved>,
}

/// A proof of a record under the app hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// ICS-23 `CommitmentProof` of the record, or of its absence, under the root of the proven tree.
    pub record: Vec<u8>,
    /// ICS-23 `CommitmentProof` of that root under the app hash.
    pub store: Vec<u8>,
}

impl StateView {
    /// Returns the app hash of this state: one hash over the root of the whole state and that of the proven tree.
    pub fn app_hash(&self) -> Hash {
        app_hash(&self.meta().proven, &self.root())
    }

    /// Returns the record at `key` of the proven tree as it was at `height`, with its proof if `prove` is set. Returns
    /// `None` if that height is not kept.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NothingToProve`] if the absence from an empty tree is to be proved, and errors of this node.
    pub fn record(
        &self,
        key: &[u8],
        height: u64,
        prove: bool,
    ) -> Result<Option<ProvedRecord>, Error> {
        let Some(version) = self.version(height)? else { return Ok(None) };
        let record = match (&version.root, prove) {
            (None, true) => return Err(Error::NothingToProve),
            (None, false) => ProvedRecord { value: None, proof: None },
            (Some(root), false) => ProvedRecord { value: tree::get(self, root, key)?, proof: None },
            (Some(root), true) => {
                let (value, record) = proof::prove(self, root, key)?;
                let store = prove_store(&version.proven_root(), &version.state_root());
                let (record, store) = (record.encode_to_vec(), store.encode_to_vec());
                ProvedRecord { value, proof: Some(Proved { record, store }) }
            }
        };
        Ok(Some(record))
    }

    /// Returns the app hash at `height`, or `None` if that height is not kept.
    pub fn app_hash_at(&self, height: u64) -> Result<Option<Hash>, Error> {
        let version = self.version(height)?;
        Ok(version.map(|version| app_hash(&version.proven_root(), &version.state_root())))
    }

    /// Returns the first height of which the proven tree is kept, or `None` before the first commit.
    pub fn first_height(&self) -> Result<Option<u64>, Error> {
        let Some(kept) = Kept::load(self)? else { return Ok(None) };
        Ok(Some(Version::numbered(self, kept.first)?.height))
    }

    fn version(&self, height: u64) -> Result<Option<Version>, Error> {
        match height <= self.height() {
            true => Version::at(self, height),
            false => Ok(None),
        }
    }
}
