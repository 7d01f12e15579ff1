//! Ed25519 keys in CometBFT's files: of validators (`priv_validator_key.json`) and of nodes (`node_key.json`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_consensus::{SigningKey, VerificationKey};
use serde_json::{Value, json};
use tendermint::PublicKey;
use tendermint::account::Id;

/// Reason why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key {}: {problem}", path.display())]
pub struct KeyError {
    /// Path of the file.
    pub path: PathBuf,
    /// The reason.
    pub problem: KeyProblem,
}

/// The problem that a [`KeyError`] reports.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The operating system gives no randomness for a new key.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The file is not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The file has no private key.
    #[error("it has no priv_key.value")]
    Missing,
    /// The private key is not base64.
    #[error("priv_key.value is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The private key is not 64 bytes long.
    #[error("priv_key.value is shorter than 64 bytes")]
    Length,
    /// The private key is not a pair.
    #[error("the public half of priv_key.value does not belong to its secret half")]
    Mismatch,
}

/// The Ed25519 key that signs a validator's votes, or by which a node is known to its peers.
#[derive(Clone)]
pub struct ValidatorKey {
    signing: SigningKey,
    public: VerificationKey,
}

impl ValidatorKey {
    /// Makes the key of a secret seed. The same seed makes the same key.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let signing = SigningKey::from(seed);
        Self { public: signing.verification_key(), signing }
    }

    /// Reads the key at `path`, or makes one from the operating system's randomness and writes it
    /// there (readable by its owner only). A file that others can read is used, with a warning in the log.
    ///
    /// # Errors
    /// [`KeyError`] if the file cannot be read or written or holds no such key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Self::read_or_create(path).map_err(|problem| KeyError { path: path.to_owned(), problem })
    }

    fn read_or_create(path: &Path) -> Result<Self, KeyProblem> {
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed)?;
                let key = Self::from_seed(seed);
                key.save(path)?;
                Ok(key)
            }
            other => {
                let bytes = other?;
                if let Some(warning) = capstan_files::exposed(path) {
                    tracing::warn!("the key is not secret: {warning}");
                }
                Self::from_json(&bytes)
            }
        }
    }

    /// Returns the 32 bytes of the public key.
    pub fn public_bytes(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// Returns the address of the validator: the first 20 bytes of the SHA-256 of its public key.
    pub fn address(&self) -> Id {
        Id::from(self.public_key())
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_ed25519_consensus(self.public)
    }

    /// Signs `bytes`. The signature has 64 bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.signing.sign(bytes).to_bytes().to_vec()
    }

    fn from_json(json: &[u8]) -> Result<Self, KeyProblem> {
        let value: Value = serde_json::from_slice(json)?;
        let text = value["priv_key"]["value"].as_str().ok_or(KeyProblem::Missing)?;
        let bytes = BASE64.decode(text)?;
        // Go writes an Ed25519 private key as seed and public key.
        let (seed, public) = bytes.split_at_checked(32).ok_or(KeyProblem::Length)?;
        let seed: [u8; 32] = seed.try_into().map_err(|_| KeyProblem::Length)?;
        let key = Self::from_seed(seed);
        if public != key.public_bytes() {
            return Err(KeyProblem::Mismatch);
        }
        Ok(key)
    }

    /// Writes the key, readable by its owner alone.
    fn save(&self, path: &Path) -> io::Result<()> {
        let public = BASE64.encode(self.public_bytes());
        let private = BASE64.encode([self.signing.to_bytes(), self.public_bytes()].concat());
        let document = json!({
            "address": self.address().to_string(),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": public},
            "priv_key": {"type": "tendermint/PrivKeyEd25519", "value": private},
        });
        capstan_files::write_atomic(path, format!("{document:#}\n").as_bytes(), 0o600)
    }
}

impl std::fmt::Debug for ValidatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ValidatorKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        let made = ValidatorKey::load_or_create(&path).unwrap();
        let found = ValidatorKey::load_or_create(&path).unwrap();
        assert_eq!(made.public_bytes(), found.public_bytes());
        assert_ne!(made.public_bytes(), ValidatorKey::from_seed([1; 32]).public_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        let mixed = BASE64.encode([[1_u8; 32], [2; 32]].concat());
        for content in [
            "",
            "{}",
            r#"{"priv_key":{"value":"!"}}"#,
            &format!(r#"{{"priv_key":{{"value":"{mixed}"}}}}"#),
        ] {
            fs::write(&path, content).unwrap();
            let error = ValidatorKey::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains("key.json"), "{error}");
        }
    }
}
