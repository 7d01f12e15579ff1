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
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use capstan_app::OperatorFiles;
use capstan_client::{Bundle, DEV_NAMES, Key};
use capstan_genesis::{Genesis, GenesisBundle, GenesisDevice};
use capstan_consensus::comet::CometHome;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tendermint::Time;

use crate::Common;
use crate::config::{CONFIG, TEMPLATE};
use crate::failure::usage;
use crate::keys;
use crate::output::Output;

/// The version of a home's layout that this program reads and writes.
const FORMAT: u32 = 1;

/// The chain id of a new home.
pub(crate) const DEFAULT_CHAIN_ID: &str = "capstan-dev";

/// Where the chain's state lies.
pub(crate) const STATE: &str = "state";
/// Where traces of the last blocks lie.
pub(crate) const TRACES: &str = "traces";
/// Where overrides lie.
pub(crate) const OVERRIDES: &str = "overrides";
/// The genesis document.
pub(crate) const GENESIS: &str = "genesis.json";
/// The state that the genesis document goes on from.
pub(crate) const GENESIS_STATE: &str = "genesis.state";
/// Where keys lie.
pub(crate) const KEYS: &str = "keys";

/// Where CometBFT's files lie.
const COMET: &str = "comet";
/// The voting power of each validator of a new chain.
pub(crate) const VALIDATOR_POWER: i64 = 10;

const MARKER: &str = "home.json";
const LOCK: &str = "LOCK";

/// `capstan init`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan init --home ./mychain --chain-id my-chain-1\n\n\
    Edit genesis.json in the home before the first start to change parameters and balances, config.toml at any time \
    to change how the node works.\n\
    With --genesis, FILE's chain is joined; if FILE goes on from a state (capstan export), genesis.state beside it is \
    taken too.")]
pub(crate) struct Init {
    /// The chain's id: 1 to 50 letters, digits, '-', '_' or '.'.
    #[arg(long, value_name = "ID", default_value = DEFAULT_CHAIN_ID, conflicts_with = "genesis")]
    chain_id: String,
    /// The genesis document of an existing chain.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Give the chain a timer: vats look its service up as `chain/timer`. Such a chain makes a block at
    /// least once a second.
    #[arg(long, conflicts_with = "genesis")]
    timer: bool,
    /// Give the chain a mailbox: a governor looks it up as `chain/mailbox`, and as `chain/mailbox-conveyor` the right to
    /// bring in messages from outside.
    #[arg(long, conflicts_with = "genesis")]
    mailbox: bool,
    /// An account that governs the chain: it can look up `chain/validators` and the like. An address or a key's name; may
    /// be given several times.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "genesis")]
    governor: Vec<String>,
    /// Make a validator's key for CometBFT, and name it as the chain's validator: for `capstan start`.
    #[arg(long, conflicts_with = "genesis")]
    validator: bool,
}

/// A home, whole and in this program's format.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

#[derive(Deserialize, Serialize)]
struct Marker {
    format: u32,
    chain_id: String,
}

impl Init {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let path = path(common)?;
        if path.join(MARKER).exists() {
            bail!(
                "{} is a home already; remove it or choose another directory with --home",
                path.display()
            );
        }
        let home = match &self.genesis {
            Some(file) => Home::make_from(path, &read_genesis(file)?.0, file.parent())?,
            None if self.validator => {
                let mut genesis = network_genesis(&self.chain_id)?;
                let comet = CometHome::make(&path, genesis.app_state.params.max_tx_bytes)?;
                let key = comet.validator_key()?.public_bytes();
                genesis.add_validator("validator", &key, VALIDATOR_POWER);
                Home::make_from(path, &genesis, None)?
            }
            None => Home::open_or_make(path, &self.chain_id)?,
        };
        if self.timer {
            home.add_timer()?;
        }
        if self.mailbox {
            home.change_genesis(|genesis| {
                genesis.app_state.kernel.devices.insert(GenesisDevice::Mailbox);
            })?;
        }
        if !self.governor.is_empty() {
            let find = |text: &String| keys::find_address(common, text);
            let governors = self.governor.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            home.change_genesis(|genesis| genesis.app_state.params.governors = governors)?;
        }
        let chain_id = home.genesis()?.0.chain_id;
        let genesis = home.path.join(GENESIS);
        let record = json!({"home": home.path, "chain_id": chain_id, "genesis": genesis});
        let command = if self.validator { "start" } else { "dev" };
        let next = format!("Start the chain: capstan {command} --home {}", home.path.display());
        let text = format!("Made {} for chain {chain_id}.\n{next}", home.path.display());
        output.either(&record, &text);
        Ok(())
    }
}

/// The home that the command line, the environment or the user's directory names, in this order.
pub(crate) fn path(common: &Common) -> anyhow::Result<PathBuf> {
    let named = common.home.clone().or_else(|| std::env::var_os("CAPSTAN_HOME").map(PathBuf::from));
    let user = || std::env::home_dir().map(|dir| dir.join(".capstan"));
    let path = named.filter(|path| !path.as_os_str().is_empty()).or_else(user);
    path.ok_or_else(|| {
        usage("there is no home directory; name one with --home DIR or CAPSTAN_HOME")
    })
}

/// Where a home keeps its keys. The home need not be there.
pub(crate) fn keys_dir(common: &Common) -> anyhow::Result<PathBuf> {
    Ok(path(common)?.join(KEYS))
}

/// Where compiled engines are kept. It belongs to the user, not to a home, so that a new home starts fast too; losing it
/// costs only time.
pub(crate) fn cache_dir(home: &Path) -> PathBuf {
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
    pub(crate) fn open_or_make(path: PathBuf, chain_id: &str) -> anyhow::Result<Self> {
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
            None => make(&path, &dev_genesis(chain_id)?)?,
        }
        Ok(Self { path, _lock: lock })
    }

    /// Opens the home at `path`, which must be there.
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<Self> {
        if !path.join(MARKER).exists() {
            bail!(
                "{} is no home of a Capstan chain; name one with --home DIR, or make one: capstan init",
                path.display()
            );
        }
        Self::open_or_make(path, DEFAULT_CHAIN_ID)
    }

    /// Makes a home for the chain of a genesis document. If that goes on from a state, its file is taken from
    /// `state_dir`.
    pub(crate) fn make_from(
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

    /// Gives a chain that has not begun yet a timer.
    fn add_timer(&self) -> anyhow::Result<()> {
        let timer = system_bundle(capstan_vat_system::timer_bundle())?;
        self.change_genesis(|genesis| genesis.add_timer(timer))
    }

    /// Changes the genesis document of a chain that has not begun yet.
    fn change_genesis(&self, change: impl FnOnce(&mut Genesis)) -> anyhow::Result<()> {
        let (mut genesis, _) = self.genesis()?;
        change(&mut genesis);
        genesis.validate().map_err(|error| usage(error.to_string()))?;
        Ok(write_whole(&self.path.join(GENESIS), genesis.to_json()?.as_bytes(), 0o644)?)
    }

    /// The genesis document as it stands in the file, checked.
    pub(crate) fn genesis(&self) -> anyhow::Result<(Genesis, Vec<u8>)> {
        read_genesis(&self.path.join(GENESIS))
    }

    /// Where the state lies that the genesis document goes on from.
    pub(crate) fn genesis_state(&self) -> PathBuf {
        self.path.join(GENESIS_STATE)
    }

    /// Where traces are kept.
    pub(crate) fn traces(&self) -> PathBuf {
        self.path.join(TRACES)
    }

    /// Where overrides are kept.
    pub(crate) fn overrides(&self) -> PathBuf {
        self.path.join(OVERRIDES)
    }

    /// Where the chain's state lies.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Where the report of a node that had to stop is written.
    pub(crate) fn fatal_report(&self) -> PathBuf {
        self.path.join("fatal.txt")
    }

    /// What the application writes for the operator.
    pub(crate) fn operator_files(&self) -> OperatorFiles {
        let (home, running) = (self.path.clone(), self.path.join("running"));
        OperatorFiles { home, running, report: self.fatal_report() }
    }
}

/// A genesis document, checked, and its bytes.
pub(crate) fn read_genesis(file: &Path) -> anyhow::Result<(Genesis, Vec<u8>)> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let genesis = Genesis::from_json(&bytes).with_context(|| file.display().to_string())?;
    Ok((genesis, bytes))
}

/// Writes `bytes` so that the file is either not there or whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
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

/// A chain with the development accounts and the system's vats, beginning now.
fn dev_genesis(chain_id: &str) -> anyhow::Result<Genesis> {
    let now = now()?;
    let accounts: Vec<_> = DEV_NAMES
        .iter()
        .zip(0_u32..)
        .map(|(name, index)| (*name, Key::dev(index).address()))
        .collect();
    let mut genesis = Genesis::dev(chain_id, &now, &accounts);
    let vat_admin = system_bundle(capstan_vat_system::vat_admin_bundle())?;
    let provisioner = system_bundle(capstan_vat_system::provisioner_bundle())?;
    genesis.add_system_vats(vat_admin, provisioner);
    genesis.validate().map_err(|error| usage(error.to_string()))?;
    Ok(genesis)
}

/// The same for CometBFT, where alice governs the validators.
pub(crate) fn network_genesis(chain_id: &str) -> anyhow::Result<Genesis> {
    let mut genesis = dev_genesis(chain_id)?;
    genesis.app_state.params.governors = vec![Key::dev(0).address()];
    Ok(genesis)
}

/// The time of day, RFC 3339.
fn now() -> anyhow::Result<String> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let seconds = i64::try_from(since.as_secs()).context("the clock is out of range")?;
    Ok(Time::from_unix_timestamp(seconds, since.subsec_nanos())
        .context("the clock is out of range")?
        .to_rfc3339())
}

fn system_bundle(json: &[u8]) -> anyhow::Result<GenesisBundle> {
    let bundle = Bundle::from_endo_json(json)?;
    Ok(GenesisBundle::new(bundle.id.parse()?, None, &bundle.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_home_is_found_again_and_keeps_its_genesis() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let made = Home::open_or_make(path.clone(), "one").unwrap().genesis().unwrap().1;
        let (genesis, found) = Home::open_or_make(path, "two").unwrap().genesis().unwrap();
        assert_eq!((genesis.chain_id.as_str(), found), ("one", made));
        assert_eq!(genesis.app_state.accounts.len(), 3);
    }

    #[test]
    fn a_home_is_used_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open_or_make(dir.path().to_owned(), "c").unwrap();
        let error = Home::open_or_make(dir.path().to_owned(), "c").unwrap_err().to_string();
        assert!(error.contains("another capstan runs"), "{error}");
        drop(home);
        Home::open_or_make(dir.path().to_owned(), "c").unwrap();
    }

    #[test]
    fn what_is_no_home_of_this_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        let error = Home::open_or_make(dir.path().to_owned(), "c").unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        fs::remove_file(dir.path().join("thesis.txt")).unwrap();
        fs::write(dir.path().join(MARKER), r#"{"format":99,"chain_id":"c"}"#).unwrap();
        let error = Home::open_or_make(dir.path().to_owned(), "c").unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
        fs::write(dir.path().join(MARKER), "{").unwrap();
        let error = Home::open_or_make(dir.path().to_owned(), "c").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", Home::open_or_make(file.join("home"), "c").unwrap_err());
        assert!(error.contains("file/home") && error.contains("--home"), "{error}");
    }

    #[test]
    fn an_interrupted_start_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("genesis.partial"), "{").unwrap();
        fs::write(dir.path().join(GENESIS), "{").unwrap();
        let home = Home::open_or_make(dir.path().to_owned(), "c").unwrap();
        assert_eq!(home.genesis().unwrap().0.chain_id, "c");
    }
}
