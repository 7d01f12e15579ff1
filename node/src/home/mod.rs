//! The home of a node: the directory that holds a chain and its keys.
//!
//! ```text
//! home.json      format version and chain id, written last: a home that has it is complete
//! genesis.json   genesis document
//! genesis.state  state that the genesis document goes on from, if it goes on from one
//! config.toml    configuration of the node
//! LOCK           locked while a node runs on the home
//! keys/          one file for each key, readable by its owner alone
//! state/         Merkle store with the chain's state
//! solo/          blocks and validator key of solo consensus
//! comet/         CometBFT's files
//! overrides/     one file for each block that the validators agreed to execute differently
//! snapshots/     snapshots of the state, one directory for each height
//! traces/        one file for each of the last blocks, with what each crank wrote
//! running        what the node is working on, written before it begins: names a block that ended the process
//! fatal.txt      report of why the node stopped
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use capstan_app::OperatorFiles;
use capstan_genesis::Genesis;
use serde::{Deserialize, Serialize};

use crate::HomeError;
use crate::config::{CONFIG, TEMPLATE};

/// Version of the layout that this program reads and writes.
const FORMAT: u32 = 1;

/// Name of the directory of the chain's state.
pub const STATE: &str = "state";
/// Name of the directory of the snapshots of the state.
pub const SNAPSHOTS: &str = "snapshots";
/// Name of the directory of the traces.
pub const TRACES: &str = "traces";
/// Name of the directory of the overrides.
pub const OVERRIDES: &str = "overrides";
/// File name of the genesis document.
pub const GENESIS: &str = "genesis.json";
/// File name of the state that the genesis document goes on from.
pub const GENESIS_STATE: &str = "genesis.state";
/// Name of the directory of the keys.
pub const KEYS: &str = "keys";

/// Name of the directory of the journals of `capstan serve`.
pub const SERVE: &str = "serve";

/// Name of the directory of CometBFT's files.
pub const COMET: &str = "comet";

/// Name of the file that marks a directory as a complete home.
pub const MARKER: &str = "home.json";
const LOCK: &str = "LOCK";

/// A complete home in this program's format. It is locked while the value lives.
#[derive(Debug)]
pub struct Home {
    /// Its directory.
    pub path: PathBuf,
    _lock: File,
}

#[derive(Deserialize, Serialize)]
struct Marker {
    format: u32,
    chain_id: String,
}

impl Home {
    /// Opens the home at `path`, or makes one for the chain of `genesis`.
    ///
    /// # Errors
    /// [`HomeError`] if the directory cannot be used, holds other files or another version's home, or if another
    /// process runs on it. Whatever `genesis` fails with.
    pub fn open_or_make<E: From<HomeError>>(
        path: PathBuf,
        genesis: impl FnOnce() -> Result<Genesis, E>,
    ) -> Result<Self, E> {
        let (path, lock) =
            enter(&path, |source| HomeError::Unusable { path: path.clone(), source })?;
        if !has_marker(&path)? {
            make(&path, &genesis()?)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Opens the home at `path`.
    ///
    /// # Errors
    /// As [`Home::open_or_make`]. [`HomeError::NoHome`] if there is none.
    pub fn open(path: PathBuf) -> Result<Self, HomeError> {
        if !path.join(MARKER).exists() {
            return Err(HomeError::NoHome(path));
        }
        let (path, lock) =
            enter(&path, |source| HomeError::Unusable { path: path.clone(), source })?;
        match has_marker(&path)? {
            true => Ok(Self { path, _lock: lock }),
            false => Err(HomeError::NoHome(path)),
        }
    }

    /// Checks that a home can be made at `path`, and makes nothing.
    ///
    /// # Errors
    /// [`HomeError::Exists`] if there is a home. [`HomeError`] if the directory holds other files.
    pub fn insist_free(path: &Path) -> Result<(), HomeError> {
        match path.join(MARKER).exists() {
            true => Err(HomeError::Exists(path.to_owned())),
            false if path.exists() => refuse_foreign(path),
            false => Ok(()),
        }
    }

    /// Makes a home for the chain of a genesis document. If the document goes on from a state, the state's file is
    /// copied from `state_dir`.
    ///
    /// # Errors
    /// As [`Home::open_or_make`]. [`HomeError::Exists`] if there is a home.
    pub fn make_from(
        path: PathBuf,
        genesis: &Genesis,
        state_dir: Option<&Path>,
    ) -> Result<Self, HomeError> {
        Self::insist_free(&path)?;
        let state = match (&genesis.app_state.from_state, state_dir) {
            (Some(_), Some(dir)) => Some(dir.join(GENESIS_STATE)),
            _ => None,
        };
        // Nothing is made if there is no state to go on from.
        if let Some(file) = &state {
            fs::metadata(file)
                .map_err(|source| HomeError::GenesisState { path: file.clone(), source })?;
        }
        let (path, lock) = enter(&path, |source| HomeError::Write { path: path.clone(), source })?;
        if let Some(file) = &state {
            copy_state(file, &path.join(GENESIS_STATE))?;
        }
        make(&path, genesis)?;
        Ok(Self { path, _lock: lock })
    }

    /// Reads and checks the genesis document. Returns its bytes too.
    ///
    /// # Errors
    /// [`HomeError::Read`] or [`HomeError::Genesis`].
    pub fn genesis(&self) -> Result<(Genesis, Vec<u8>), HomeError> {
        read_genesis(&self.path.join(GENESIS))
    }

    /// Returns the file of the state that the genesis document goes on from.
    pub fn genesis_state(&self) -> PathBuf {
        self.path.join(GENESIS_STATE)
    }

    /// Returns the directory of the traces.
    pub fn traces(&self) -> PathBuf {
        self.path.join(TRACES)
    }

    /// Returns the directory of the snapshots of the state.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// Returns the directory of the overrides.
    pub fn overrides(&self) -> PathBuf {
        self.path.join(OVERRIDES)
    }

    /// Returns the directory of the chain's state.
    pub fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Returns the file for the report of a node that had to stop.
    pub fn fatal_report(&self) -> PathBuf {
        self.path.join("fatal.txt")
    }

    /// Returns the files that the application writes for the operator.
    pub fn operator_files(&self) -> OperatorFiles {
        let (home, running) = (self.path.clone(), self.path.join("running"));
        OperatorFiles { home, running, report: self.fatal_report() }
    }
}

/// Reads and checks a genesis document. Returns its bytes too.
///
/// # Errors
/// [`HomeError::Read`] or [`HomeError::Genesis`].
pub fn read_genesis(file: &Path) -> Result<(Genesis, Vec<u8>), HomeError> {
    let bytes = read(file)?;
    let genesis = Genesis::from_json(&bytes)
        .map_err(|source| HomeError::Genesis { path: file.to_owned(), source })?;
    Ok((genesis, bytes))
}

/// Returns where compiled JavaScript engines are kept. The cache belongs to the user and not to a home, so that a new home starts
/// fast too. Losing it costs only time.
pub fn cache_dir(home: &Path) -> PathBuf {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = || {
        let base =
            named("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")))?;
        Some(base.join("capstan"))
    };
    named("CAPSTAN_CACHE").or_else(user).unwrap_or_else(|| home.join("cache"))
}

/// Makes the directory, checks that it is a home or can become one, and locks it.
fn enter(
    path: &Path,
    unusable: impl Fn(io::Error) -> HomeError,
) -> Result<(PathBuf, File), HomeError> {
    fs::create_dir_all(path).map_err(&unusable)?;
    let path = path.canonicalize().map_err(unusable)?;
    refuse_foreign(&path)?;
    let lock = lock(&path)?;
    Ok((path, lock))
}

/// Refuses a directory that holds other files than a home does.
fn refuse_foreign(path: &Path) -> Result<(), HomeError> {
    if path.join(MARKER).exists() {
        return Ok(());
    }
    // What an interrupted start leaves, and what `capstan keys`, `capstan serve` and `capstan init --validator` make
    // before.
    let ours = [GENESIS, GENESIS_STATE, CONFIG, LOCK, KEYS, OVERRIDES, COMET, SERVE];
    let unreadable = |source| HomeError::Read { path: path.to_owned(), source };
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if !ours.iter().any(|known| name == *known) && !capstan_files::is_partial(&name) {
            return Err(HomeError::Foreign { path: path.to_owned(), name });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, HomeError> {
    let file = path.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(|source| HomeError::ReadOnly { path: path.to_owned(), source })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(HomeError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(HomeError::Lock { path: file, source }),
    }
}

/// Returns whether the home has a marker of this program's format.
fn has_marker(path: &Path) -> Result<bool, HomeError> {
    let file = path.join(MARKER);
    let bytes = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(|source| HomeError::Read { path: file.clone(), source })?,
    };
    let marker: Marker = serde_json::from_slice(&bytes)
        .map_err(|source| HomeError::Damaged { path: file, source })?;
    match marker.format {
        FORMAT => Ok(true),
        found => Err(HomeError::Format { path: path.to_owned(), found, expected: FORMAT }),
    }
}

fn make(path: &Path, genesis: &Genesis) -> Result<(), HomeError> {
    write_genesis(path, genesis)?;
    if !path.join(CONFIG).exists() {
        write(&path.join(CONFIG), TEMPLATE.as_bytes())?;
    }
    // Last: a home that has it is whole.
    let marker = Marker { format: FORMAT, chain_id: genesis.chain_id.clone() };
    write(&path.join(MARKER), &serde_json::to_vec(&marker)?)
}

fn write_genesis(home: &Path, genesis: &Genesis) -> Result<(), HomeError> {
    write(&home.join(GENESIS), genesis.to_json()?.as_bytes())
}

fn copy_state(from: &Path, to: &Path) -> Result<(), HomeError> {
    if from != to {
        fs::copy(from, to)
            .map_err(|source| HomeError::GenesisState { path: from.to_owned(), source })?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, HomeError> {
    fs::read(file).map_err(|source| HomeError::Read { path: file.to_owned(), source })
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    capstan_files::write_atomic(file, bytes, 0o644)
        .map_err(|source| HomeError::Write { path: file.to_owned(), source })
}

#[cfg(test)]
mod tests;
