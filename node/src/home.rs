//! A home: the directory in which a chain and its keys lie.
//!
//! ```text
//! home.json      the format's version and the chain's id; written last, so a home that has it is whole
//! genesis.json   the genesis document
//! genesis.state  the state that the genesis document goes on from, if it goes on from one
//! config.toml    the node's configuration: every option with what it means
//! LOCK           locked while a node runs on the home
//! keys/          one file a key, readable by the owner alone
//! state/         the chain's state: the Merkle store
//! solo/          blocks and the validator's key, of the development engine
//! comet/         CometBFT's files, of a node of a network
//! overrides/     what the validators agreed to do differently in a block, a file a block: `capstan override`
//! traces/        what each crank of the last blocks wrote, a file a block: what `capstan debug` reads
//! running        what the node is at, noted before it is done: tells of a block that ended the process
//! fatal.txt      why the node stopped, if it had to or a block ended the process
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::OperatorFiles;
use capstan_genesis::Genesis;
use serde::{Deserialize, Serialize};

use crate::config::{CONFIG, TEMPLATE};

/// The version of a home's layout that this program reads and writes.
const FORMAT: u32 = 1;

/// Where the chain's state lies.
pub const STATE: &str = "state";
/// Where traces of the last blocks lie.
pub const TRACES: &str = "traces";
/// Where overrides lie.
pub const OVERRIDES: &str = "overrides";
/// The genesis document.
pub const GENESIS: &str = "genesis.json";
/// The state that the genesis document goes on from.
pub const GENESIS_STATE: &str = "genesis.state";
/// Where keys lie.
pub const KEYS: &str = "keys";

/// Where CometBFT's files lie.
const COMET: &str = "comet";

/// Marks a directory as a home that is whole.
pub const MARKER: &str = "home.json";
const LOCK: &str = "LOCK";

/// A home, whole and in this program's format.
#[derive(Debug)]
pub struct Home {
    pub path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

#[derive(Deserialize, Serialize)]
struct Marker {
    format: u32,
    chain_id: String,
}

/// Where compiled engines are kept. It belongs to the user, not to a home, so that a new home starts fast too; losing it
/// costs only time.
pub fn cache_dir(home: &Path) -> PathBuf {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = || {
        Some(
            named("XDG_CACHE_HOME")
                .or_else(|| Some(std::env::home_dir()?.join(".cache")))?
                .join("capstan"),
        )
    };
    named("CAPSTAN_CACHE").or_else(user).unwrap_or_else(|| home.join("cache"))
}

impl Home {
    /// Opens the home at `path`, or makes one for a new chain with the development accounts.
    ///
    /// # Errors
    /// Text for people: the directory cannot be used, holds something else or another version's home, or a node runs on
    /// it.
    pub fn open_or_make(
        path: PathBuf,
        genesis: impl FnOnce() -> anyhow::Result<Genesis>,
    ) -> anyhow::Result<Self> {
        let unusable =
            || format!("cannot use {} as a home; choose another with --home DIR", path.display());
        fs::create_dir_all(&path).with_context(unusable)?;
        let path = path.canonicalize().with_context(unusable)?;
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        match read_marker(&path)? {
            Some(marker) if marker.format == FORMAT => {}
            Some(Marker { format, .. }) => bail!(
                "{} is a home of another version of capstan (format {format}, this one reads {FORMAT}); use that \
                 version, or another directory with --home",
                path.display()
            ),
            None => make(&path, &genesis()?)?,
        }
        Ok(Self { path, _lock: lock })
    }

    /// Opens the home at `path`, which must be there.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        if !path.join(MARKER).exists() {
            bail!(
                "{} is no home of a Capstan chain; name one with --home DIR, or make one: capstan init",
                path.display()
            );
        }
        Self::open_or_make(path, || bail!("the home was removed"))
    }

    /// Makes a home for the chain of a genesis document. If that goes on from a state, its file is taken from
    /// `state_dir`.
    pub fn make_from(
        path: PathBuf,
        genesis: &Genesis,
        state_dir: Option<&Path>,
    ) -> anyhow::Result<Self> {
        if path.join(MARKER).exists() {
            bail!("{} is a home already; choose another directory", path.display());
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let path = path.canonicalize()?;
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        let state = path.join(GENESIS_STATE);
        if let (Some(_), Some(dir)) = (&genesis.app_state.from_state, state_dir) {
            let from = dir.join(GENESIS_STATE);
            if from != state {
                fs::copy(&from, &state).with_context(|| {
                    format!(
                        "the genesis document goes on from a state: cannot copy {}",
                        from.display()
                    )
                })?;
            }
        }
        make(&path, genesis)?;
        Ok(Self { path, _lock: lock })
    }

    /// Changes the genesis document of a chain that has not begun yet.
    pub fn change_genesis(
        &self,
        change: impl FnOnce(&mut Genesis) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut genesis, _) = self.genesis()?;
        change(&mut genesis)?;
        Ok(write_whole(&self.path.join(GENESIS), genesis.to_json()?.as_bytes(), 0o644)?)
    }

    /// The genesis document as it stands in the file, checked.
    pub fn genesis(&self) -> anyhow::Result<(Genesis, Vec<u8>)> {
        read_genesis(&self.path.join(GENESIS))
    }

    /// Where the state lies that the genesis document goes on from.
    pub fn genesis_state(&self) -> PathBuf {
        self.path.join(GENESIS_STATE)
    }

    /// Where traces are kept.
    pub fn traces(&self) -> PathBuf {
        self.path.join(TRACES)
    }

    /// Where overrides are kept.
    pub fn overrides(&self) -> PathBuf {
        self.path.join(OVERRIDES)
    }

    /// Where the chain's state lies.
    pub fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Where the report of a node that had to stop is written.
    pub fn fatal_report(&self) -> PathBuf {
        self.path.join("fatal.txt")
    }

    /// What the application writes for the operator.
    pub fn operator_files(&self) -> OperatorFiles {
        let (home, running) = (self.path.clone(), self.path.join("running"));
        OperatorFiles { home, running, report: self.fatal_report() }
    }
}

/// A genesis document, checked, and its bytes.
pub fn read_genesis(file: &Path) -> anyhow::Result<(Genesis, Vec<u8>)> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let genesis = Genesis::from_json(&bytes).with_context(|| file.display().to_string())?;
    Ok((genesis, bytes))
}

/// Writes `bytes` so that the file is either not there or whole.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let partial = path.with_extension("partial");
    // A partial file of an earlier run may have another mode: the mode counts only where a file is made.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// Refuses a directory that holds other things than a home does.
fn refuse_foreign(path: &Path) -> anyhow::Result<()> {
    if path.join(MARKER).exists() {
        return Ok(());
    }
    // What an interrupted start leaves, and what `capstan keys` makes.
    let ours = [
        GENESIS,
        GENESIS_STATE,
        CONFIG,
        LOCK,
        KEYS,
        OVERRIDES,
        COMET,
        "genesis.partial",
        "home.partial",
        "config.partial",
    ];
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let name = entry?.file_name();
        if !ours.iter().any(|known| name == *known) {
            bail!(
                "{} is no home of a Capstan chain but has {} in it; choose an empty directory with --home",
                path.display(),
                name.display()
            );
        }
    }
    Ok(())
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = path.join(LOCK);
    let unusable =
        || format!("cannot write in {}; choose another home with --home DIR", path.display());
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .with_context(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another capstan runs on the home {}; stop it, or choose another home with --home DIR",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", file.display()))
        }
    }
}

fn read_marker(path: &Path) -> anyhow::Result<Option<Marker>> {
    let file = path.join(MARKER);
    match fs::read(&file) {
        Ok(bytes) => {
            let damaged =
                || format!("{} is damaged; choose another home with --home DIR", file.display());
            serde_json::from_slice(&bytes).map(Some).with_context(damaged)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn make(path: &Path, genesis: &Genesis) -> anyhow::Result<()> {
    write_whole(&path.join(GENESIS), genesis.to_json()?.as_bytes(), 0o644)?;
    if !path.join(CONFIG).exists() {
        write_whole(&path.join(CONFIG), TEMPLATE.as_bytes(), 0o644)?;
    }
    let marker = Marker { format: FORMAT, chain_id: genesis.chain_id.clone() };
    let marker = serde_json::to_vec(&marker)?;
    write_whole(&path.join(MARKER), &marker, 0o644)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::dev_genesis;

    #[test]
    fn a_new_home_is_found_again_and_keeps_its_genesis() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let made =
            Home::open_or_make(path.clone(), || dev_genesis("one")).unwrap().genesis().unwrap().1;
        let (genesis, found) =
            Home::open_or_make(path, || dev_genesis("two")).unwrap().genesis().unwrap();
        assert_eq!((genesis.chain_id.as_str(), found), ("one", made));
        assert_eq!(genesis.app_state.accounts.len(), 3);
    }

    #[test]
    fn a_home_is_used_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap();
        let error =
            Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap_err().to_string();
        assert!(error.contains("another capstan runs"), "{error}");
        drop(home);
        Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap();
    }

    #[test]
    fn what_is_no_home_of_this_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        let error =
            Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        fs::remove_file(dir.path().join("thesis.txt")).unwrap();
        fs::write(dir.path().join(MARKER), r#"{"format":99,"chain_id":"c"}"#).unwrap();
        let error =
            Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
        fs::write(dir.path().join(MARKER), "{").unwrap();
        let error =
            Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!(
            "{:#}",
            Home::open_or_make(file.join("home"), || dev_genesis("c")).unwrap_err()
        );
        assert!(error.contains("file/home") && error.contains("--home"), "{error}");
    }

    #[test]
    fn an_interrupted_start_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("genesis.partial"), "{").unwrap();
        fs::write(dir.path().join(GENESIS), "{").unwrap();
        let home = Home::open_or_make(dir.path().to_owned(), || dev_genesis("c")).unwrap();
        assert_eq!(home.genesis().unwrap().0.chain_id, "c");
    }
}
