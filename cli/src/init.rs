//! `capstan init`: makes a home for a new chain or for an existing one.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use capstan_client::Address;
use capstan_consensus::comet::CometHome;
use capstan_genesis::Genesis;
use capstan_node::home::{GENESIS, Home, MARKER, read_genesis};
use capstan_node::{NewChainError, add_timer, dev_genesis, network_genesis};
use serde_json::json;

use crate::failure::{flag, usage};
use crate::home::path;
use crate::output::Output;
use crate::subclusters::SystemSubcluster;
use crate::{Common, keys, subclusters};

/// Chain id of a new home.
pub(crate) const DEFAULT_CHAIN_ID: &str = "capstan-dev";

/// Voting power of each validator of a new chain.
pub(crate) const VALIDATOR_POWER: i64 = 10;

/// Arguments of `capstan init`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan init --home ./mychain --chain-id my-chain-1\n\n\
    To change parameters and balances, edit genesis.json in the home before the first start. To change how the node works, \
    edit config.toml at any time.\n\
    --genesis joins the chain of FILE. If FILE goes on from a state (capstan export), genesis.state in the same directory is \
    copied too.")]
pub(crate) struct Init {
    /// Id of the chain: 1 to 50 letters, digits, '-', '_' or '.'.
    #[arg(long, value_name = "ID", default_value = DEFAULT_CHAIN_ID, conflicts_with = "genesis")]
    chain_id: String,
    /// Genesis document of an existing chain.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Give the chain a timer. Vats look it up as `chain/timer`. Such a chain makes a block at least once a second.
    #[arg(long, conflicts_with = "genesis")]
    timer: bool,
    /// Give the chain a mailbox. A governor looks it up as `chain/mailbox`, and the right to bring in messages from
    /// outside as `chain/mailbox-conveyor`.
    #[arg(long, conflicts_with = "genesis")]
    mailbox: bool,
    /// Launch a system subcluster: a file with `{"name", "config": {"bootstrap", "services", "vats"}}`. A vat's `bundle`
    /// is an id of the genesis document or a bundle's file beside FILE. The chain gets the kernel services that
    /// FILE names. Can be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "genesis")]
    system_subcluster: Vec<PathBuf>,
    /// Account that governs the chain: it can look up `chain/validators` and the like. An address or a key's name. Can
    /// be given several times.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "genesis")]
    governor: Vec<String>,
    /// Make a validator's key for CometBFT and name it in the genesis document, for `capstan start`.
    #[arg(long, conflicts_with = "genesis")]
    validator: bool,
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
        // What can be wrong is found before anything is written.
        let subclusters = self.read_subclusters()?;
        let find = |text: &String| {
            keys::find_address(common, text).with_context(|| flag("--governor", text))
        };
        let governors = self.governor.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let home = self.make_home(path)?;
        self.extend_genesis(&home, subclusters, governors)?;
        let chain_id = home.genesis()?.0.chain_id;
        let genesis = home.path.join(GENESIS);
        let record = json!({"home": home.path, "chain_id": chain_id, "genesis": genesis});
        let command = if self.validator { "start" } else { "dev" };
        let next = format!("Start the chain: capstan {command} --home {}", home.path.display());
        let text = format!("Made {} for chain {chain_id}.\n{next}", home.path.display());
        output.either(&record, &text);
        Ok(())
    }

    /// Reads the files of system subclusters, and checks that the genesis document can have them.
    fn read_subclusters(&self) -> anyhow::Result<Vec<SystemSubcluster>> {
        let read = |file: &PathBuf| {
            subclusters::read(file).with_context(|| flag("--system-subcluster", file))
        };
        let subclusters = self.system_subcluster.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if !subclusters.is_empty() {
            let mut trial = match &self.genesis {
                Some(file) => read_genesis(file).with_context(|| flag("--genesis", file))?.0,
                None => new_genesis(&self.chain_id, dev_genesis)?,
            };
            for subcluster in &subclusters {
                subcluster.clone().add_to(&mut trial.app_state);
            }
            trial.validate().map_err(|error| usage(error.to_string()))?;
        }
        Ok(subclusters)
    }

    fn make_home(&self, path: PathBuf) -> anyhow::Result<Home> {
        Ok(match &self.genesis {
            Some(file) => {
                let (genesis, _) = read_genesis(file).with_context(|| flag("--genesis", file))?;
                Home::make_from(path, &genesis, file.parent())?
            }
            None if self.validator => {
                let mut genesis = new_genesis(&self.chain_id, network_genesis)?;
                let comet = CometHome::make(&path, genesis.app_state.params.max_tx_bytes)?;
                let key = comet.validator_key()?.public_bytes();
                genesis.add_validator("validator", &key, VALIDATOR_POWER);
                Home::make_from(path, &genesis, None)?
            }
            None => Home::open_or_make(path, || new_genesis(&self.chain_id, dev_genesis))?,
        })
    }

    /// Adds to the genesis document what the flags ask for.
    fn extend_genesis(
        &self,
        home: &Home,
        subclusters: Vec<SystemSubcluster>,
        governors: Vec<Address>,
    ) -> anyhow::Result<()> {
        if self.timer {
            change_genesis(home, |genesis| Ok(add_timer(genesis)?))?;
        }
        if self.mailbox {
            change_genesis(home, |genesis| {
                genesis.add_mailbox();
                Ok(())
            })?;
        }
        for subcluster in subclusters {
            change_genesis(home, |genesis| {
                subcluster.add_to(&mut genesis.app_state);
                Ok(())
            })?;
        }
        if !governors.is_empty() {
            change_genesis(home, |genesis| {
                genesis.app_state.params.governors = governors;
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Makes a genesis document for a chain id that the user chose.
pub(crate) fn new_genesis(
    chain_id: &str,
    make: impl FnOnce(&str) -> Result<Genesis, NewChainError>,
) -> anyhow::Result<Genesis> {
    let genesis = make(chain_id)?;
    genesis.validate().map_err(|error| usage(format!("--chain-id {chain_id:?}: {error}")))?;
    Ok(genesis)
}

/// Changes the genesis document of a chain that has not begun, and checks it.
fn change_genesis(
    home: &Home,
    change: impl FnOnce(&mut Genesis) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    home.change_genesis(|genesis| {
        change(genesis)?;
        genesis.validate().map_err(|error| usage(error.to_string()))
    })
}
