//! Bundles: the programs of vats, verified before they are installed.
//!
//! A JavaScript bundle is an Endo zip archive. It has the file `compartment-map.json`, which names every module with its
//! SHA-512, and the modules. Its id is `b1-` and the SHA-512 of `compartment-map.json`, so the id determines every byte
//! that a vat executes. Agoric's tools wrap the archive in a JSON record `{moduleFormat: "endoZipBase64",
//! endoZipBase64, endoZipBase64Sha512}`. A WebAssembly bundle is a module, and its id is `w1-` and its SHA-256.
//!
//! Verification is a pure function of the bytes, in linear time. It accepts only archives that all readers read alike,
//! as [`ArchiveError`] explains. It rewrites an archive in one canonical form, the form that Endo's own tools write. So
//! all bytes of a [`Bundle`]'s archive are a function of its id.
//!
//! # Example
//!
//! ```
//! use capstan_bundle::{BundleError, check_wasm_id, verify, wasm_id};
//!
//! // A JavaScript bundle comes as a zip archive or as a JSON record. Anything else is refused.
//! assert!(matches!(verify(b"{}"), Err(BundleError::Shape(_))));
//!
//! // A WebAssembly bundle is named by its hash.
//! let module = b"\0asm\x01\0\0\0";
//! let id = wasm_id(module);
//! assert!(id.digest().starts_with("93a44bbb"));
//! assert_eq!(check_wasm_id(module, &id), Ok(()));
//! assert!(matches!(check_wasm_id(b"another", &id), Err(BundleError::Id { .. })));
//! ```
#![forbid(unsafe_code)]

mod archive;
mod map;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use capstan_abi::{BundleId, BundleKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

pub use archive::ArchiveError;
pub use map::CompartmentMapError;

/// Name of the file that lists an archive's other files.
const COMPARTMENT_MAP: &str = "compartment-map.json";

/// The `moduleFormat` of the bundles that can be verified.
const MODULE_FORMAT: &str = "endoZipBase64";

/// A verified JavaScript bundle, in canonical form. [`verify`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    id: BundleId,
    zip: Vec<u8>,
}

impl Bundle {
    /// Returns the [`BundleId`], of the kind [`BundleKind::EndoZip`].
    pub fn id(&self) -> &BundleId {
        &self.id
    }

    /// Returns the archive in canonical form. [`verify_zip`] accepts it.
    pub fn zip(&self) -> &[u8] {
        &self.zip
    }

    /// Consumes the bundle and returns its archive in canonical form.
    pub fn into_zip(self) -> Vec<u8> {
        self.zip
    }

    /// Returns the JSON record that Agoric's tools and a vat's supervisor accept as a bundle.
    pub fn to_json(&self) -> String {
        let record = HostBundle {
            module_format: MODULE_FORMAT.to_string(),
            endo_zip_base64: BASE64.encode(&self.zip),
            endo_zip_base64_sha512: self.id.digest().to_owned(),
        };
        serde_json::json!(record).to_string()
    }

    /// Checks that the sender of the bundle alleged the right id. An id that is none is another one.
    ///
    /// # Errors
    ///
    /// Returns [`BundleError::Id`] if `alleged` is another id.
    pub fn check_id(&self, alleged: impl AsRef<str>) -> Result<(), BundleError> {
        check_id(alleged.as_ref(), &self.id)
    }
}

/// The reason for refusing a [`Bundle`]. The texts address the bundle's sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The input is not a JSON record with exactly the three string fields of a bundle.
    #[error(
        "not a bundle: expected a JSON record with exactly the strings moduleFormat, endoZipBase64 \
         and endoZipBase64Sha512: {0}"
    )]
    Shape(String),
    /// The bundle's module format cannot be verified.
    #[error("bundles of format {0:?} cannot be verified, only those of format \"endoZipBase64\"")]
    Format(String),
    /// The field `endoZipBase64` is not padded standard base64.
    #[error("endoZipBase64 is not base64: {0}")]
    Base64(String),
    /// The archive is damaged, or uses what a bundle may not use, as [`ArchiveError`] says.
    #[error("the bundle's zip archive: {0}")]
    Archive(#[from] ArchiveError),
    /// The archive has no file `compartment-map.json`.
    #[error("the bundle's zip archive has no compartment-map.json")]
    NoCompartmentMap,
    /// The compartment map is refused, as [`CompartmentMapError`] says.
    #[error("the bundle's compartment-map.json: {0}")]
    CompartmentMap(#[from] CompartmentMapError),
    /// The archive lacks a module that the compartment map names.
    #[error("the bundle lacks the module {0:?} that its compartment map names")]
    MissingModule(String),
    /// The archive has a file that the compartment map does not name.
    #[error("the bundle has the file {0:?} that its compartment map does not name")]
    ExtraFile(String),
    /// A module's content does not have the hash that the compartment map states.
    #[error("module {path:?} has SHA-512 {actual}, the bundle's compartment map says {expected}")]
    ModuleHash {
        /// The module's path in the archive.
        path: String,
        /// The SHA-512 that the compartment map states, in hexadecimal.
        expected: String,
        /// The SHA-512 of the content, in hexadecimal.
        actual: String,
    },
    /// The bundle is valid but does not have the alleged id.
    #[error("alleged bundleID {alleged} does not match actual {actual}")]
    Id {
        /// The id that the sender alleged.
        alleged: String,
        /// The id of the bundle.
        actual: BundleId,
    },
}

/// Verifies a bundle that is a zip archive or a JSON record.
///
/// Bytes that start with `PK` go to [`verify_zip`], all others to [`verify_json`].
pub fn verify(bytes: &[u8]) -> Result<Bundle, BundleError> {
    match bytes.starts_with(b"PK") {
        true => verify_zip(bytes),
        false => verify_json(bytes),
    }
}

/// Verifies a bundle that is a JSON record, the form that [`Bundle::to_json`] writes.
///
/// The bundle must have the id that the record states.
pub fn verify_json(text: &[u8]) -> Result<Bundle, BundleError> {
    let record: HostBundle =
        serde_json::from_slice(text).map_err(|e| BundleError::Shape(e.to_string()))?;
    if record.module_format != MODULE_FORMAT {
        return Err(BundleError::Format(record.module_format));
    }
    let zip = BASE64.decode(&record.endo_zip_base64);
    let bundle = verify_zip(&zip.map_err(|e| BundleError::Base64(e.to_string()))?)?;
    bundle.check_id(format!(
        "{}{}",
        BundleKind::EndoZip.prefix(),
        record.endo_zip_base64_sha512
    ))?;
    Ok(bundle)
}

/// Verifies a bundle that is a zip archive and returns it as a [`Bundle`] in canonical form.
pub fn verify_zip(zip: &[u8]) -> Result<Bundle, BundleError> {
    let mut files = archive::read(zip)?;
    let map_bytes = files.remove(COMPARTMENT_MAP).ok_or(BundleError::NoCompartmentMap)?;
    let modules = map::modules(map_bytes)?;
    let mut ordered = vec![(COMPARTMENT_MAP, map_bytes)];
    for module in &modules {
        let path = module.path.as_str();
        let Some(bytes) = files.remove(path) else {
            return Err(BundleError::MissingModule(module.path.clone()));
        };
        let actual = hex::encode(Sha512::digest(bytes));
        if actual != module.sha512 {
            let (path, expected) = (module.path.clone(), module.sha512.clone());
            return Err(BundleError::ModuleHash { path, expected, actual });
        }
        ordered.push((path, bytes));
    }
    if let Some(path) = files.keys().next() {
        return Err(BundleError::ExtraFile(path.to_string()));
    }
    let id = BundleId::endo_zip(Sha512::digest(map_bytes).into());
    Ok(Bundle { id, zip: archive::write(&ordered) })
}

/// Returns the [`BundleId`] of a WebAssembly module. [`check_wasm_id`] compares it.
pub fn wasm_id(module: &[u8]) -> BundleId {
    BundleId::wasm(Sha256::digest(module).into())
}

/// Checks that the sender of a WebAssembly module alleged the right id.
///
/// # Errors
///
/// Returns [`BundleError::Id`] if `alleged` is another id.
pub fn check_wasm_id(module: &[u8], alleged: impl AsRef<str>) -> Result<(), BundleError> {
    check_id(alleged.as_ref(), &wasm_id(module))
}

fn check_id(alleged: &str, actual: &BundleId) -> Result<(), BundleError> {
    match actual == alleged {
        true => Ok(()),
        false => Err(BundleError::Id { alleged: alleged.to_owned(), actual: actual.clone() }),
    }
}

/// The JSON record in which Agoric's tools wrap a bundle.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostBundle {
    #[serde(rename = "moduleFormat")]
    module_format: String,
    #[serde(rename = "endoZipBase64")]
    endo_zip_base64: String,
    #[serde(rename = "endoZipBase64Sha512")]
    endo_zip_base64_sha512: String,
}
