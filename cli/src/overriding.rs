//! `capstan override`: how a chain that a critical vat has stopped goes on without a new one.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::Override;
use capstan_store::Store;
use serde_json::json;

use crate::Common;
use crate::failure::usage;
use crate::home::{self, Home, write_whole};
use crate::output::Output;

/// `capstan override`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan override --home ./node --uncritical v3\n\n\
    For a chain that a critical vat has stopped (exit code 70). Its validators have decided the block at which it stopped,\n\
    and can agree to execute it differently: first they take messages out of the kernel's queue, skip transactions of the\n\
    block, or let a vat end without stopping the chain. `capstan debug cranks` shows what killed the vat: a message by its\n\
    result (kp40), a transaction by its hash.\n\n\
    The node must be stopped. Writes HOME/overrides/HEIGHT.json, which names the height and the app hash under it, and\n\
    prints its SHA-256. Every validator runs this with the same arguments, or copies the file; they compare the SHA-256 and\n\
    start their nodes again. When more than two thirds of the voting power have done so the chain goes on; the others stop\n\
    at that block until they have the file too, and so does a new node that executes the block later. The override is\n\
    recorded in the state.")]
pub(crate) struct OverrideBlock {
    /// A vat that is no longer critical, as in v3. May be given several times.
    #[arg(long, value_name = "VAT")]
    uncritical: Vec<String>,
    /// A transaction of the block that is not executed, by its hash; its signer can send it again. Several times too.
    #[arg(long, value_name = "HASH")]
    skip_tx: Vec<String>,
    /// A message on the kernel's queue that is not delivered, by its result, as in kp40. Several times too.
    #[arg(long, value_name = "PROMISE")]
    drop_message: Vec<String>,
}

impl OverrideBlock {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let home = Home::open(home::path(common)?)?;
        let store = Store::open(home.state(), capstan_store::Options::default())?;
        if store.height() == 0 {
            bail!("the chain in {} has no block yet", home.path.display());
        }
        let document = json!({
            "height": store.height() + 1,
            "app_hash": store.root().to_string(),
            "uncritical": self.uncritical,
            "skip_transactions": self.skip_tx,
            "drop_messages": self.drop_message,
        });
        let agreed = Override::from_json(document.to_string().as_bytes())
            .map_err(|error| usage(format!("{error}; see capstan override --help")))?;
        let file = file(&home.overrides(), agreed.height);
        if file.exists() {
            bail!(
                "{} exists; remove it if it is not what the validators agreed on",
                file.display()
            );
        }
        fs::create_dir_all(home.overrides())?;
        write_whole(&file, &agreed.to_json(), 0o644)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let (height, sha256) = (agreed.height, agreed.sha256());
        let record = json!({"height": height, "app_hash": agreed.app_hash.to_string(), "file": file, "sha256": sha256});
        let text = format!(
            "Wrote {}: block {height} is executed differently.\nSHA-256, to be compared among the validators: {sha256}\n\
             Next: start the node again.",
            file.display()
        );
        output.either(&record, &text);
        Ok(())
    }
}

/// All overrides in `dir`, which need not be there.
///
/// # Errors
/// Text that names the file and what is wrong with it.
pub(crate) fn read_all(dir: &Path) -> anyhow::Result<Vec<Override>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let mut overrides = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let agreed = Override::from_json(&bytes).with_context(|| path.display().to_string())?;
        if path != file(dir, agreed.height) {
            let height = agreed.height;
            bail!("{} is for block {height}: name it {height}.json", path.display());
        }
        overrides.push(agreed);
    }
    Ok(overrides)
}

fn file(dir: &Path, height: u64) -> PathBuf {
    dir.join(format!("{height}.json"))
}
