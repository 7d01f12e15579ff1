//! `capstan export` and `capstan recover`: make a committed state the beginning of a chain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::state_export::{self, Exported};
use capstan_files::write_atomic;
use capstan_genesis::{AppState, Genesis, GenesisError, Validator};
use capstan_node::config::CONFIG;
use capstan_node::home::{GENESIS, GENESIS_STATE, Home, KEYS};
use capstan_store::Store;
use serde_json::json;

use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::Output;
use crate::progress::during;

/// Arguments of `capstan export`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan export --to ./export\n\n\
    The node must be stopped. Writes genesis.json and genesis.state into DIR. To make a home for the new chain:\n\
    capstan init --home ./new --genesis ./export/genesis.json\n\
    Its first block follows the last one of this chain. Vats, accounts and everything else go on.")]
pub(crate) struct Export {
    /// Directory for the two files. It is made if it does not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    chain: NewChain,
}

/// Arguments of `capstan recover`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: capstan recover --home ./old --new-home ./new --chain-id my-chain-2 --uncritical v3\n\n\
    For a chain that a critical vat has stopped (exit code 70) and that does not go on by `capstan override`. The block that\n\
    stopped it was never committed, so the new chain goes on without its transactions. The cause may still wait in the\n\
    kernel's queue and come again. Then name the vat with --uncritical: it ends as any other vat does, and the chain goes on.\n\
    The new chain has the validators that the old one had at its end.\n\
    All validators run this with the same arguments, compare the SHA-256 that it prints, and start the new homes. If it\n\
    differs, copy genesis.json and genesis.state from a validator that the others agree with. The root hash in the document\n\
    is the app hash after the last committed block, which every validator has signed."
)]
pub(crate) struct Recover {
    /// Home of the new chain. It must not exist.
    #[arg(long, value_name = "DIR")]
    new_home: PathBuf,
    /// Vat that is no longer critical, such as v3. Can be given several times.
    #[arg(long, value_name = "VAT")]
    uncritical: Vec<String>,
    #[command(flatten)]
    chain: NewChain,
}

/// Options of the new chain.
#[derive(clap::Args, Debug)]
struct NewChain {
    /// Id of the new chain [default: the old one with -2, or with the next number].
    #[arg(long, value_name = "ID")]
    chain_id: Option<String>,
    /// Genesis time of the new chain, such as 2026-01-01T00:00:00Z [default: the old chain's, so that all validators
    /// write the same document].
    #[arg(long, value_name = "TIME")]
    genesis_time: Option<String>,
}

impl Export {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let old = Home::open(home::path(common)?)?;
        let genesis = export(&old, &self.to, &self.chain, &[])?;
        let document = self.to.join(GENESIS);
        write_atomic(&document, genesis.to_json()?.as_bytes(), 0o644)?;
        report(
            &genesis,
            &self.to,
            &format!("capstan init --genesis {}", document.display()),
            output,
        )
    }
}

impl Recover {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let old = Home::open(home::path(common)?)?;
        let new = &self.new_home;
        if new.exists() {
            bail!("{} exists; choose another directory with --new-home", new.display());
        }
        let genesis = export(&old, new, &self.chain, &self.uncritical)?;
        copy(&old.path, new, Path::new(CONFIG))?;
        copy(&old.path, new, Path::new(KEYS))?;
        drop(Home::make_from(new.clone(), &genesis, None)?);
        // The keys that sign blocks, under either consensus. Signing records belong to the old chain and stay there.
        copy(&old.path, new, Path::new("solo/priv_validator_key.json"))?;
        copy(&old.path, new, Path::new("comet/config"))?;
        report(&genesis, new, &format!("capstan dev --home {}", new.display()), output)
    }
}

/// Writes the state of a home to `to`, and gives the document of a chain that goes on from it.
fn export(
    old: &Home,
    to: &Path,
    chain: &NewChain,
    uncritical: &[String],
) -> anyhow::Result<Genesis> {
    let (before, _) = old.genesis()?;
    let store = Store::open(old.state(), capstan_store::Options::default())?;
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let file = to.join(GENESIS_STATE);
    let Exported { mut from, chain_id, params, validators } =
        during("writing the state", || state_export::export(&store.reader(), &file))?;
    from.uncritical = uncritical.to_vec();
    let mut genesis = Genesis {
        chain_id: chain.chain_id.clone().unwrap_or_else(|| next_chain_id(&chain_id)),
        genesis_time: chain.genesis_time.clone().unwrap_or(before.genesis_time),
        initial_height: i64::try_from(from.height + 1).context("the height is out of range")?,
        app_state: AppState { params, from_state: Some(from), ..AppState::default() },
        consensus_params: before.consensus_params,
        validators: Vec::new(),
        app_hash: String::new(),
    };
    carry_validators(&mut genesis, before.validators, validators);
    if let Err(error) = genesis.validate() {
        // Nothing half-done remains.
        fs::remove_file(&file)?;
        return Err(usage(match flag_of(&error) {
            Some(flag) => format!("{flag}: {error}"),
            None => error.to_string(),
        }));
    }
    Ok(genesis)
}

/// The flag whose value the new document is refused for.
fn flag_of(error: &GenesisError) -> Option<&'static str> {
    let GenesisError::Invalid { field, .. } = error else { return None };
    match field.as_str() {
        "chain_id" => Some("--chain-id"),
        "genesis_time" => Some("--genesis-time"),
        field if field.contains("uncritical") => Some("--uncritical"),
        _ => None,
    }
}

/// Copies the validators that the old chain had at its end.
///
/// They come from its table of validators, with their names from its genesis document. If it has no table, they come
/// from that document.
fn carry_validators(
    genesis: &mut Genesis,
    before: Vec<Validator>,
    table: Option<BTreeMap<[u8; 32], u64>>,
) {
    let Some(table) = table else {
        genesis.validators = before;
        return;
    };
    for (key, power) in table {
        // The app keeps powers far below 2^63.
        genesis.add_validator("", &key, i64::try_from(power).unwrap_or(i64::MAX));
    }
    for validator in &mut genesis.validators {
        let known = before.iter().find(|known| known.pub_key == validator.pub_key);
        validator.name = known.map(|known| known.name.clone()).unwrap_or_default();
    }
}

/// `chain-2` after `chain`, `chain-3` after `chain-2`.
fn next_chain_id(chain_id: &str) -> String {
    match chain_id.rsplit_once('-').map(|(name, number)| (name, number.parse::<u32>())) {
        Some((name, Ok(number))) => format!("{name}-{}", number.saturating_add(1)),
        _ => format!("{chain_id}-2"),
    }
}

/// Copies a file or a directory of files, if it is there.
pub(crate) fn copy(from: &Path, to: &Path, name: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    if from.is_dir() {
        for entry in fs::read_dir(&from)? {
            copy(&from, &to, Path::new(&entry?.file_name()))?;
        }
    } else if from.exists() {
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

fn report(genesis: &Genesis, to: &Path, next: &str, output: Output) -> anyhow::Result<()> {
    let Some(from) = &genesis.app_state.from_state else {
        bail!("the document goes on from no state");
    };
    let hash = genesis.hash()?;
    let record = json!({
        "chain_id": genesis.chain_id, "initial_height": genesis.initial_height, "to": to,
        "root": from.root, "state_sha256": from.sha256, "genesis_sha256": hash,
    });
    let text = format!(
        "Chain {} goes on at height {} from the state {}.\n\
         SHA-256 of the genesis document, which has that of the state: {hash}\nNext: {next}",
        genesis.chain_id, genesis.initial_height, from.root
    );
    output.either(&record, &text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validators_of_the_end_go_on_under_their_names() {
        let accounts: [(&str, _); 0] = [];
        let mut genesis = Genesis::dev("chain-2", "2026-01-01T00:00:00Z", &accounts);
        let mut before = genesis.clone();
        before.add_validator("one", &[1; 32], 10);
        before.add_validator("two", &[2; 32], 10);
        let table = BTreeMap::from([([2; 32], 7), ([3; 32], 5)]);
        carry_validators(&mut genesis, before.validators.clone(), Some(table));
        let carried: Vec<_> =
            genesis.validators.iter().map(|known| (known.name.as_str(), known.power)).collect();
        assert_eq!(carried, [("two", 7), ("", 5)]);
        carry_validators(&mut genesis, before.validators.clone(), None);
        assert_eq!(genesis.validators, before.validators);
    }

    #[test]
    fn a_chain_that_goes_on_has_the_next_id() {
        for (old, new) in
            [("dev", "dev-2"), ("my-chain", "my-chain-2"), ("my-chain-9", "my-chain-10")]
        {
            assert_eq!(next_chain_id(old), new);
        }
    }
}
