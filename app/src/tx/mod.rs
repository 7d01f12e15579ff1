//! Transactions: `TxRaw` of the Cosmos SDK with one signer, a secp256k1 key or a multisig of such keys. Both sign in
//! `SIGN_MODE_DIRECT` or in `SIGN_MODE_LEGACY_AMINO_JSON`.
//!
//! [`Tx::decode`] makes the checks that need no state, and `admission::check` those that need the signer's account.
//! Both are the same in CheckTx and in FinalizeBlock. So a transaction from the mempool can fail in a block only
//! because the state has changed.

mod action;
mod curve;
mod decode;
mod error;
mod fields;
mod gas;
mod known_fields;
mod messages;
mod protobuf;
mod public_key;
mod signature;
mod upload;

pub use action::Action;
pub(crate) use action::command;
pub use decode::Tx;
pub use error::TxError;
pub(crate) use gas::Gas;
pub use signature::Signature;
pub(crate) use signature::Unverified;
pub use upload::{Announcement, Chunk, Compression, Packed, UploadId};

pub use capstan_proto::{MAX_MULTISIG_KEYS, Multisig, PublicKey, Secp256k1Key};

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};

/// Hash of a transaction: the SHA-256 of its bytes, as CometBFT computes it. It is displayed in upper-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct TxHash(pub [u8; 32]);

impl TxHash {
    /// Computes the hash of a transaction's bytes.
    pub fn digest(tx: &[u8]) -> Self {
        Self(Sha256::digest(tx).into())
    }
}

impl std::fmt::Display for TxHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

impl std::str::FromStr for TxHash {
    type Err = NotATxHash;

    fn from_str(text: &str) -> Result<Self, NotATxHash> {
        let mut bytes = [0; 32];
        let decoded = hex::decode_to_slice(text, &mut bytes);
        decoded.map(|()| Self(bytes)).map_err(|_| NotATxHash(text.to_owned()))
    }
}

/// Error for a text that is not a [`TxHash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a transaction hash: expected 64 hex digits")]
pub struct NotATxHash(String);
