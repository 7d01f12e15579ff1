//! The files of CometBFT, under `comet/` in the home of a node.
//!
//! ```text
//! comet/config/config.toml               made once: edit it between starts
//! comet/config/node_key.json             identifies the node to its peers
//! comet/config/priv_validator_key.json   signs votes, if the genesis document names it as a validator
//! comet/data/                            blocks, votes, indices
//! comet/statesync/                       chunks of a snapshot, while a node begins with one
//! comet/run/                             socket of the application, for its owner alone
//! comet/cometbft.log                     output of CometBFT, with cometbft.log.1 before it
//! ```
//!
//! CometBFT reads the `genesis.json` of the home. Addresses and peers are not in `config.toml`: CometBFT gets them at
//! each start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::key::{KeyError, ValidatorKey};

/// The directory `comet/` in the home of a node.
#[derive(Clone, Debug)]
pub struct CometHome {
    /// Its path.
    pub path: PathBuf,
}

/// Reason why the files of CometBFT cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Returns the maximum size of a request to CometBFT if a transaction may have `max_tx_bytes`. In JSON a transaction is
/// base64: four bytes for three.
fn max_body_bytes(max_tx_bytes: u64) -> u64 {
    max_tx_bytes / 3 * 4 + (64 << 10)
}

impl CometHome {
    /// Makes the files that are missing in `comet/` of `node_home`, for transactions of up to `max_tx_bytes`.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn make(node_home: &Path, max_tx_bytes: u64) -> Result<Self, HomeError> {
        let home = Self { path: node_home.join("comet") };
        for dir in ["config", "data"] {
            let path = home.path.join(dir);
            fs::create_dir_all(&path).map_err(|source| HomeError::Write { path, source })?;
        }
        home.validator_key()?;
        home.node_key()?;
        // CometBFT refuses a key without the record of what it has signed.
        home.write_new("data/priv_validator_state.json", FIRST_STATE)?;
        home.write_new("config/config.toml", &config(max_tx_bytes))?;
        Ok(home)
    }

    /// Reads the validator's key. Makes one if there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn validator_key(&self) -> Result<ValidatorKey, KeyError> {
        ValidatorKey::load_or_create(&self.path.join("config/priv_validator_key.json"))
    }

    /// Returns the node id, by which peers know the node: 40 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn node_id(&self) -> Result<String, KeyError> {
        Ok(self.node_key()?.address().to_string().to_lowercase())
    }

    /// Returns the file with the output of CometBFT.
    pub fn log(&self) -> PathBuf {
        self.path.join("cometbft.log")
    }

    /// Returns whether `config.toml` has the option that [`super::CometConfig::cors`] sets. CometBFT ignores the
    /// setting otherwise.
    pub fn has_cors_option(&self) -> bool {
        let config = fs::read_to_string(self.path.join("config/config.toml"));
        config.is_ok_and(|config| config.contains("cors_allowed_origins"))
    }

    /// Returns whether `config.toml` has the options that [`super::CometConfig::state_sync`] sets. CometBFT ignores the
    /// settings otherwise.
    pub fn has_state_sync_options(&self) -> bool {
        let config = fs::read_to_string(self.path.join("config/config.toml"));
        config.is_ok_and(|config| {
            STATE_SYNC.lines().all(|line| config.contains(line.split('=').next().unwrap_or(line)))
        })
    }

    /// Makes the directory in which the chunks of a snapshot wait, and removes those of an earlier process.
    pub(super) fn clear_chunks(&self) -> io::Result<PathBuf> {
        let dir = self.path.join("statesync");
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&dir)?,
        }
        Ok(dir)
    }

    fn node_key(&self) -> Result<ValidatorKey, KeyError> {
        ValidatorKey::load_or_create(&self.path.join("config/node_key.json"))
    }

    fn write_new(&self, name: &str, content: &str) -> Result<(), HomeError> {
        let path = self.path.join(name);
        if path.exists() {
            return Ok(());
        }
        let written = capstan_files::write_atomic(&path, content.as_bytes(), 0o644);
        written.map_err(|source| HomeError::Write { path, source })
    }
}

/// Section of `config.toml` whose options a node sets by environment variables.
pub const STATE_SYNC: &str = "[statesync]
enable = false
rpc_servers = \"\"
trust_height = 0
trust_hash = \"\"
trust_period = \"168h0m0s\"
discovery_time = \"15s\"
temp_dir = \"\"";

const FIRST_STATE: &str = "{\n  \"height\": \"0\",\n  \"round\": 0,\n  \"step\": 0\n}\n";

/// Returns a `config.toml` with everything that differs from CometBFT's defaults
/// (docs.cometbft.com/v0.38/core/configuration).
fn config(max_tx_bytes: u64) -> String {
    let max_body_bytes = max_body_bytes(max_tx_bytes);
    format!(
        r#"# CometBFT's configuration of this node. Options that are not listed have CometBFT's defaults. The file is written once:
# edit it between starts. Addresses, peers and the application's socket are given to CometBFT at each start.

genesis_file = "../genesis.json"
db_backend = "goleveldb"
log_level = "info"

[rpc]
# Room for the largest transaction in base64 and for the rest of its request.
max_body_bytes = {max_body_bytes}
timeout_broadcast_tx_commit = "60s"
# Web pages that may call. rpc.cors in the home's config.toml allows all.
cors_allowed_origins = []
# As CosmJS sends them by default.
max_request_batch_size = 20

[p2p]
# Only the peers that the node is started with.
pex = false
# Nodes of a local network share a private address.
addr_book_strict = false
allow_duplicate_ip = true
# Bytes a second of a connection. A snapshot of a gigabyte takes 20 seconds from one peer.
send_rate = 51200000
recv_rate = 51200000
# Maximum time between attempts to dial a peer that went away.
persistent_peers_max_dial_period = "2s"

[mempool]
max_tx_bytes = {max_tx_bytes}

[consensus]
timeout_propose = "2s"
timeout_commit = "500ms"
# An idle chain makes no blocks. While its queue is not empty, its app hash changes, so CometBFT makes the next block by
# itself. blocks.empty_interval_ms in the home's config.toml makes an idle chain make empty blocks.
create_empty_blocks = false

[tx_index]
indexer = "kv"

# How a node without blocks begins with a snapshot. [state_sync] in the home's config.toml sets these options.
{STATE_SYNC}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let home = CometHome::make(dir.path(), 4 << 20).unwrap();
        let (key, id) = (home.validator_key().unwrap().public_bytes(), home.node_id().unwrap());
        assert!(
            id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        );
        let config = home.path.join("config/config.toml");
        fs::write(&config, "mine").unwrap();
        let again = CometHome::make(dir.path(), 4 << 20).unwrap();
        assert_eq!(
            (again.validator_key().unwrap().public_bytes(), again.node_id().unwrap()),
            (key, id)
        );
        assert_eq!(fs::read_to_string(config).unwrap(), "mine");
    }
}
