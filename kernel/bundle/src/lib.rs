//! Bundles: what vats are made of, verified before they are installed.
//!
//! A JavaScript bundle is an Endo zip archive: `compartment-map.json`, which names every module with
//! its SHA-512, and the modules. Its id is `b1-` and the SHA-512 of `compartment-map.json`, so the id
//! fixes every byte that a vat executes. Agoric's tools hand it over as a JSON record `{moduleFormat:
//! "endoZipBase64", endoZipBase64, endoZipBase64Sha512}`. A wasm bundle is a module; its id is `w1-`
//! and its SHA-256.
//!
//! Verification is a pure function of the bytes, takes time linear in their number, and accepts only
//! archives that leave a reader no choice: see [`ArchiveError`]. A verified archive is rewritten in
//! one canonical form, the one that Endo's own tools write, so that an archive's bytes, not only its
//! modules, are a function of its id.

mod archive;
mod map;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

pub use archive::ArchiveError;

/// The file of an archive that names all the others.
const COMPARTMENT_MAP: &str = "compartment-map.json";

/// The only module format that can be verified.
const MODULE_FORMAT: &str = "endoZipBase64";

/// A verified JavaScript bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    id: String,
    zip: Vec<u8>,
}

impl Bundle {
    /// The id, `b1-` and 128 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The archive in canonical form.
    pub fn zip(&self) -> &[u8] {
        &self.zip
    }

    /// The archive in canonical form.
    pub fn into_zip(self) -> Vec<u8> {
        self.zip
    }

    /// The JSON record that Agoric's tools, and a vat's supervisor, take for a bundle.
    pub fn to_json(&self) -> String {
        let record = HostBundle {
            module_format: MODULE_FORMAT.to_string(),
            endo_zip_base64: BASE64.encode(&self.zip),
            endo_zip_base64_sha512: self.id.trim_start_matches("b1-").to_string(),
        };
        serde_json::json!(record).to_string()
    }

    /// Compares the id with the one that whoever sent the bundle says it has.
    pub fn check_id(&self, alleged: &str) -> Result<(), BundleError> {
        check_id(alleged, &self.id)
    }
}

/// Why a bundle is refused. The texts are for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not a JSON record with exactly the three string fields of a bundle.
    #[error(
        "not a bundle: expected a JSON record with exactly the strings moduleFormat, endoZipBase64 \
         and endoZipBase64Sha512: {0}"
    )]
    Shape(String),
    /// A module format that cannot be verified.
    #[error("bundles of format {0:?} cannot be verified, only those of format \"endoZipBase64\"")]
    Format(String),
    /// `endoZipBase64` is not padded standard base64.
    #[error("endoZipBase64 is not base64: {0}")]
    Base64(String),
    /// The archive is damaged, or has what a bundle may not have.
    #[error("the bundle's zip archive: {0}")]
    Archive(#[from] ArchiveError),
    /// The archive has no `compartment-map.json`.
    #[error("the bundle's zip archive has no compartment-map.json")]
    NoCompartmentMap,
    /// `compartment-map.json` does not say what a bundle's must.
    #[error("the bundle's compartment-map.json: {0}")]
    CompartmentMap(String),
    /// A module that the compartment map names is not in the archive.
    #[error("the bundle lacks the module {0:?} that its compartment map names")]
    MissingModule(String),
    /// The archive has a file that the compartment map does not name.
    #[error("the bundle has the file {0:?} that its compartment map does not name")]
    ExtraFile(String),
    /// A module is not the one that the compartment map names.
    #[error("module {path:?} has SHA-512 {actual}, the bundle's compartment map says {expected}")]
    ModuleHash {
        /// The file in the archive.
        path: String,
        /// What the compartment map says.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// The bundle is sound but has another id than the one alleged.
    #[error("alleged bundleID {alleged} does not match actual {actual}")]
    Id {
        /// The id that the sender gave.
        alleged: String,
        /// The bundle's id.
        actual: String,
    },
}

/// Verifies a bundle, given as a zip archive (which starts with `PK`) or as JSON.
pub fn verify(bytes: &[u8]) -> Result<Bundle, BundleError> {
    match bytes.starts_with(b"PK") {
        true => verify_zip(bytes),
        false => verify_json(bytes),
    }
}

/// Verifies a bundle given as the JSON text of its record, and that it has the id given there.
pub fn verify_json(text: &[u8]) -> Result<Bundle, BundleError> {
    let record: HostBundle =
        serde_json::from_slice(text).map_err(|e| BundleError::Shape(e.to_string()))?;
    if record.module_format != MODULE_FORMAT {
        return Err(BundleError::Format(record.module_format));
    }
    let zip = BASE64.decode(&record.endo_zip_base64);
    let bundle = verify_zip(&zip.map_err(|e| BundleError::Base64(e.to_string()))?)?;
    bundle.check_id(&format!("b1-{}", record.endo_zip_base64_sha512))?;
    Ok(bundle)
}

/// Verifies a bundle given as a zip archive.
pub fn verify_zip(zip: &[u8]) -> Result<Bundle, BundleError> {
    let mut files = archive::read(zip)?;
    let map_bytes = files.remove(COMPARTMENT_MAP).ok_or(BundleError::NoCompartmentMap)?;
    let modules = map::modules(map_bytes).map_err(BundleError::CompartmentMap)?;
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
    let id = format!("b1-{}", hex::encode(Sha512::digest(map_bytes)));
    Ok(Bundle { id, zip: archive::write(&ordered) })
}

/// The id of a wasm module: `w1-` and its SHA-256 in hexadecimal.
pub fn wasm_id(module: &[u8]) -> String {
    format!("w1-{}", hex::encode(Sha256::digest(module)))
}

/// Compares a wasm module's id with the one that whoever sent the module says it has.
pub fn check_wasm_id(module: &[u8], alleged: &str) -> Result<(), BundleError> {
    check_id(alleged, &wasm_id(module))
}

fn check_id(alleged: &str, actual: &str) -> Result<(), BundleError> {
    match alleged == actual {
        true => Ok(()),
        false => Err(BundleError::Id { alleged: alleged.to_string(), actual: actual.to_string() }),
    }
}

/// A bundle as Agoric's tools hand it over.
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
