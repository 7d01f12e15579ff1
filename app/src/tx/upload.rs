//! Bundles in transactions, whole or in chunks.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::BundleId;

/// Bytes of a bundle, possibly compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the bundle, compressed or not.
    pub bytes: Vec<u8>,
    /// [`Compression`] of the bytes.
    pub compression: Compression,
    /// Size of the uncompressed bundle, in bytes.
    pub uncompressed_size: u64,
}

/// Announcement of a bundle that will come in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// [`UploadId`] of the upload.
    pub upload: UploadId,
    /// [`BundleId`] that the bundle must have.
    pub bundle: BundleId,
    /// [`Compression`] of the concatenated chunks.
    pub compression: Compression,
    /// Size of the uncompressed bundle, in bytes.
    pub uncompressed_size: u64,
    /// Hash and size of each [`Chunk`], in order.
    pub chunks: Vec<Chunk>,
}

/// Compression of a bundle's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Compression {
    /// No compression.
    None,
    /// Gzip, as one member.
    Gzip,
}

/// Hash and size of one chunk of an upload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chunk {
    /// SHA-256 of the chunk's bytes.
    pub sha256: [u8; 32],
    /// Size of the chunk, in bytes.
    pub size: u64,
}

/// Id of an upload: the SHA-256 of the submitter's address and the [`Announcement`]. It is displayed as 64 hex
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct UploadId(pub [u8; 32]);

/// Error for a text that is not an [`UploadId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an upload id: expected 64 lower-case hex digits")]
pub struct NotAnUploadId(String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, NotAnUploadId> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if hex::encode(bytes) == text => Ok(Self(bytes)),
            _ => Err(NotAnUploadId(text.to_owned())),
        }
    }
}
