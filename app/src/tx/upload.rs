//! Bundles as transactions carry them: whole or in pieces.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::BundleId;

/// Bytes of a bundle, possibly compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Compression of the bytes.
    pub compression: Compression,
    /// Their length in bytes when they are not.
    pub uncompressed_size: u64,
}

/// A bundle that will come in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Id of the upload.
    pub upload: UploadId,
    /// The id that the bundle must have.
    pub bundle: BundleId,
    /// Compression of the whole upload.
    pub compression: Compression,
    /// The bundle's length in bytes, uncompressed.
    pub uncompressed_size: u64,
    /// Hashes and sizes of the pieces, in order.
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

/// One piece of an upload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chunk {
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
}

/// Names an upload: the SHA-256 of the submitter's address and the announcement, as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct UploadId(pub [u8; 32]);

/// A text that does not name an upload.
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
