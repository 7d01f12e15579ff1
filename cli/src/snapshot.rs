//! `capstan snapshot`: the snapshots of the state, from which new nodes begin.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::sync::{Restorer, Snapshot as Written, Snapshots};
use capstan_kernel_ports::Hash;
use capstan_kernel_ports::host::VatHost as _;
use capstan_node::config::Config;
use capstan_node::home::{Home, MARKER, cache_dir};
use capstan_node::open_host;
use capstan_store::{Restored, Store};
use capstan_vat_host::{Compilers, WasmHost};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::{Output, grouped};
use crate::progress::Progress;

/// Arguments of `capstan snapshot`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Example: capstan snapshot list --home ./node\n\n\
    A node writes snapshots every state_sync.interval blocks and serves them to new nodes, which begin with one by\n\
    capstan start --state-sync.")]
pub(crate) enum Snapshot {
    /// List the snapshots of a home. The node may run.
    #[command(after_help = "Example: capstan snapshot list --json")]
    List,
    /// Write a snapshot of the last committed state. The node must be stopped.
    #[command(after_help = "Example: capstan snapshot create --home ./node")]
    Create,
    /// Check a snapshot: every hash, every record, and every heap by bringing it into memory once. The node may run.
    Verify(Verify),
    /// Restore a snapshot into a home without blocks.
    Restore(Restore),
}

/// Arguments of `capstan snapshot verify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan snapshot verify 2000 --app-hash 0123…\n\n\
    Restores the state into a directory beside the snapshot and removes it again, so it needs as much room as the state.\n\
    Ends with 0 if the snapshot is whole, and with 1 if it is not.")]
pub(crate) struct Verify {
    /// Height of the snapshot [default: the highest one].
    #[arg(value_parser = parse_height)]
    height: Option<u64>,
    /// App hash that you trust for this height: that of the header of the next block [default: the snapshot's own].
    #[arg(long, value_name = "HASH")]
    app_hash: Option<String>,
}

/// Arguments of `capstan snapshot restore`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: capstan snapshot restore ./backup/snapshots/2000 --app-hash 0123… --home ./copy\n\n\
    For vat replay, export and recover on another machine. A node that is to join a network begins with capstan start\n\
    --state-sync instead, which brings CometBFT to the same height.\n\
    A restoration that was interrupted goes on from the last whole chunk.\n\
    Overrides that were agreed for later heights are not in a snapshot: copy them from another node."
)]
pub(crate) struct Restore {
    /// Directory of the snapshot.
    dir: PathBuf,
    /// App hash that you trust for this height: that of the header of the next block.
    #[arg(long, value_name = "HASH")]
    app_hash: String,
}

impl Snapshot {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        match self {
            Self::List => list(&snapshots(common)?, output),
            Self::Create => create(common, output),
            Self::Verify(verify) => verify.run(common, output),
            Self::Restore(restore) => restore.run(common, output),
        }
    }
}

/// Returns the snapshots of the home, which need not be free.
fn snapshots(common: &Common) -> anyhow::Result<Snapshots> {
    let home = home::path(common)?;
    if !home.join(MARKER).is_file() {
        bail!("there is no home in {}; name one with --home DIR", home.display());
    }
    Ok(Snapshots::new(home.join(capstan_node::home::SNAPSHOTS)))
}

fn list(snapshots: &Snapshots, output: Output) -> anyhow::Result<()> {
    let found = snapshots.list()?;
    let rows: Vec<Value> = found.iter().map(describe).collect();
    let record = json!({"snapshots": rows});
    output.list(&record, &rows, &["height", "chunks", "bytes", "hash", "app_hash"]);
    Ok(())
}

fn describe(snapshot: &Written) -> Value {
    json!({
        "height": snapshot.head.height,
        "format": snapshot.head.format,
        "chunks": snapshot.head.chunk_count(),
        "bytes": snapshot.head.bytes,
        "hash": snapshot.hash.to_string(),
        "app_hash": snapshot.head.app_hash().to_string(),
        "dir": snapshot.dir,
    })
}

fn create(common: &Common, output: Output) -> anyhow::Result<()> {
    let home = Home::open(home::path(common)?)?;
    let progress = Progress::new("opening the state");
    let store = Store::open(home.state(), Config::load(&home.path)?.store_options())?;
    let state = store.reader();
    if state.height() == 0 {
        bail!("the chain of {} has no block yet", home.path.display());
    }
    let tell = |bytes: u64| {
        progress.update(format!("writing the snapshot: {} MiB", bytes >> 20));
        true
    };
    let written = Snapshots::new(home.snapshots()).create(&state, &tell)?;
    drop(progress);
    let text = format!(
        "Snapshot of height {}, {} bytes, in {}\nIts app hash is {}",
        written.head.height,
        grouped(&written.head.bytes.to_string()),
        written.dir.display(),
        written.head.app_hash()
    );
    output.either(&describe(&written), &text);
    Ok(())
}

impl Verify {
    fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let snapshots = snapshots(common)?;
        let height = match self.height {
            Some(height) => height,
            None => *snapshots.heights()?.last().context("there is no snapshot")?,
        };
        let snapshot = snapshots.open(height)?;
        let own = snapshot.head.app_hash();
        let app_hash = self.app_hash.as_deref().map(parse_hash).transpose()?.unwrap_or(own);
        let home = home::path(common)?;
        let dir = home.join(capstan_node::home::SNAPSHOTS);
        // The next start of the node removes it, if this process is killed.
        let temp = tempfile::Builder::new().suffix(".partial").tempdir_in(&dir)?;
        let options = Config::load(&home)?.store_options();
        let restored = restore(&home, temp.path(), options, &snapshot, app_hash)?;
        let state = restored.state();
        let text =
            format!("The snapshot of height {height} is whole, and has the app hash {app_hash}.");
        let record =
            json!({"height": height, "app_hash": state.app_hash().to_string(), "whole": true});
        output.either(&record, &text);
        Ok(())
    }
}

impl Restore {
    fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let app_hash = parse_hash(&self.app_hash)?;
        let snapshot = Written::open(&self.dir)?;
        let home = Home::open(home::path(common)?)?;
        let options = Config::load(&home.path)?.store_options();
        let own = Store::open(home.state(), options.clone())?.height();
        if own > 0 {
            bail!(
                "{} has the state of height {own} already; make another home by `capstan init`",
                home.path.display()
            );
        }
        let restored = restore(&home.path, &home.state(), options, &snapshot, app_hash)?;
        let store = restored.settle()?;
        let (height, app_hash) = (store.height(), store.app_hash().to_string());
        let text = format!("Restored the state of height {height}, whose app hash is {app_hash}.");
        output.either(&json!({"height": height, "app_hash": app_hash}), &text);
        Ok(())
    }
}

/// Restores a snapshot beside the store in `dir`, with all checks.
fn restore(
    home: &Path,
    dir: &Path,
    options: capstan_store::Options,
    snapshot: &Written,
    app_hash: Hash,
) -> anyhow::Result<Restored> {
    let progress = Progress::new("opening the vat host");
    let mut host: WasmHost =
        open_host(cache_dir(home), Compilers::default(), &|step| progress.step(step))?;
    let head = snapshot.checked_chunk(0)?;
    let mut restorer = Restorer::begin(dir, options, &head, app_hash, host.engine())?;
    progress.step("restoring");
    let count = restorer.head().chunk_count();
    for index in restorer.next_chunk()..count {
        progress.update(format!("restoring chunk {index} of {}", count - 1));
        restorer.chunk(index, &snapshot.checked_chunk(index)?)?;
    }
    progress.step("checking the state and all heaps");
    Ok(restorer.finish(&mut host)?)
}

/// Parses the height of a snapshot.
fn parse_height(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        "a snapshot is named by its height, a number that `capstan snapshot list` shows; one in another directory is checked by `capstan snapshot restore DIR` into a new home"
            .to_owned()
    })
}

fn parse_hash(text: &str) -> anyhow::Result<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| usage(format!("--app-hash {text:?} is no hash; write 64 hex digits")))?;
    Ok(Hash(hash))
}
