//! `capstan init`: makes a home for a new chain or for an existing one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capstan_consensus::comet::CometHome;
use capstan_genesis::Genesis;
use capstan_node::home::{GENESIS, Home, read_genesis};
use capstan_node::{NewChainError, dev_genesis, network_genesis};
use serde_json::json;

use crate::devices::Devices;
use crate::failure::{flag, usage};
use crate::home::path;
use crate::output::Output;
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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["timer", "mailbox"])]
    genesis: Option<PathBuf>,
    #[command(flatten)]
    devices: Devices,
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
        Home::insist_free(&path)?;
        // What can be wrong is found before anything is written.
        let genesis = match &self.genesis {
            Some(file) => read_genesis(file).with_context(|| flag("--genesis", file))?.0,
            None => self.new_chain(common)?,
        };
        let home = if self.validator {
            let mut genesis = genesis;
            let comet = CometHome::make(&path, genesis.app_state.params.max_tx_bytes)?;
            let key = comet.validator_key()?.public_bytes();
            genesis.add_validator("validator", &key, VALIDATOR_POWER);
            Home::make_from(path, &genesis, None)?
        } else {
            Home::make_from(path, &genesis, self.genesis.as_deref().and_then(Path::parent))?
        };
        let chain_id = home.genesis()?.0.chain_id;
        let genesis = home.path.join(GENESIS);
        let record = json!({"home": home.path, "chain_id": chain_id, "genesis": genesis});
        let command = if self.validator { "start" } else { "dev" };
        let next = format!("Start the chain: capstan {command} --home {}", home.path.display());
        let text = format!("Made {} for chain {chain_id}.\n{next}", home.path.display());
        output.either(&record, &text);
        Ok(())
    }

    /// Returns the genesis document of a new chain, with what the options add, checked.
    fn new_chain(&self, common: &Common) -> anyhow::Result<Genesis> {
        let make = if self.validator { network_genesis } else { dev_genesis };
        let mut genesis = new_genesis(&self.chain_id, make)?;
        self.devices.add_to(&mut genesis)?;
        let state = &mut genesis.app_state;
        for file in &self.system_subcluster {
            let subcluster =
                subclusters::read(file).with_context(|| flag("--system-subcluster", file))?;
            subcluster.add_to(state);
        }
        if !self.governor.is_empty() {
            state.params.governors.clear();
        }
        for text in &self.governor {
            let governor =
                keys::find_address(common, text).with_context(|| flag("--governor", text))?;
            if !state.params.governors.contains(&governor) {
                state.params.governors.push(governor);
            }
        }
        genesis.validate().map_err(|error| usage(error.to_string()))?;
        Ok(genesis)
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
