//! Bundles to install: their bytes and the id that these must have.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use capstan_abi::{BundleId, BundleKind, NotABundleId};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::proto;

/// First bytes of every wasm module.
const WASM_MAGIC: &[u8] = b"\0asm";

/// A bundle and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// [`BundleId`], which [`Bundle::from_endo_json`] takes from its record and does not compute.
    pub id: BundleId,
    /// Bytes of the zip archive or wasm module.
    pub bytes: Vec<u8>,
}

/// Reason why a bundle cannot be read. The chain itself checks the id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The file is neither a bundle of `@endo/bundle-source` nor a wasm module.
    #[error(
        "not a bundle: {0}; expected the JSON of @endo/bundle-source with moduleFormat endoZipBase64, as `capstan bundle` writes it, or a wasm module"
    )]
    Unknown(String),
    /// The record of `@endo/bundle-source` states no SHA-512.
    #[error("not a bundle: its endoZipBase64Sha512 is no SHA-512: {0}")]
    Id(#[from] NotABundleId),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndoBundle {
    module_format: String,
    #[serde(rename = "endoZipBase64")]
    zip: String,
    #[serde(rename = "endoZipBase64Sha512")]
    sha512: String,
}

impl Bundle {
    /// Reads a bundle of either kind from a file's bytes.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.starts_with(WASM_MAGIC) {
            Ok(Self::from_wasm(bytes.to_vec()))
        } else {
            Self::from_endo_json(bytes)
        }
    }

    /// Reads a bundle from the JSON of `@endo/bundle-source` in the format `endoZipBase64`.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_endo_json(json: &[u8]) -> Result<Self, BundleError> {
        let bundle: EndoBundle = serde_json::from_slice(json)
            .map_err(|error| BundleError::Unknown(error.to_string()))?;
        if bundle.module_format != "endoZipBase64" {
            return Err(BundleError::Unknown(format!(
                "its moduleFormat is {:?}",
                bundle.module_format
            )));
        }
        let bytes = BASE64.decode(&bundle.zip).map_err(|error| {
            BundleError::Unknown(format!("endoZipBase64 is not base64: {error}"))
        })?;
        let id = format!("{}{}", BundleKind::EndoZip.prefix(), bundle.sha512).parse()?;
        Ok(Self { id, bytes })
    }

    /// Creates a bundle of a wasm module.
    pub fn from_wasm(bytes: Vec<u8>) -> Self {
        Self { id: BundleId::wasm(Sha256::digest(&bytes).into()), bytes }
    }
}

/// Bytes of a bundle in a transaction, possibly compressed.
pub(crate) struct Compressed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) compression: proto::Compression,
}

impl Compressed {
    /// Compresses `bytes` with gzip if that makes them shorter.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let gzip = || -> std::io::Result<Vec<u8>> {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes)?;
            encoder.finish()
        };
        match gzip() {
            Ok(smaller) if smaller.len() < bytes.len() => {
                Self { bytes: smaller, compression: proto::Compression::Gzip }
            }
            _ => Self { bytes: bytes.to_vec(), compression: proto::Compression::None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_from_files() {
        let hash = "ab".repeat(64);
        let json = format!(
            r#"{{"moduleFormat":"endoZipBase64","endoZipBase64":"UEsDBA==","endoZipBase64Sha512":"{hash}"}}"#
        );
        let bundle = Bundle::from_file_bytes(json.as_bytes()).unwrap();
        assert_eq!(
            (bundle.id, bundle.bytes),
            (BundleId::endo_zip([0xab; 64]), b"PK\x03\x04".to_vec())
        );
        let module = Bundle::from_file_bytes(b"\0asm\x01\0\0\0").unwrap();
        let empty_module = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";
        assert_eq!((module.id.kind(), module.id.digest()), (BundleKind::Wasm, empty_module));
    }

    #[test]
    fn other_files_are_named() {
        for (text, why) in [
            ("export {}", "not a bundle"),
            (r#"{"moduleFormat":"getExport"}"#, "missing field"),
            (
                r#"{"moduleFormat":"x","endoZipBase64":"","endoZipBase64Sha512":""}"#,
                "moduleFormat is \"x\"",
            ),
            (
                r#"{"moduleFormat":"endoZipBase64","endoZipBase64":"!","endoZipBase64Sha512":""}"#,
                "not base64",
            ),
            (
                r#"{"moduleFormat":"endoZipBase64","endoZipBase64":"","endoZipBase64Sha512":"00"}"#,
                "\"b1-00\" is not a bundle id",
            ),
        ] {
            let error = Bundle::from_file_bytes(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
