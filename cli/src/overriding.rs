//! `capstan override`: how a chain that a critical vat has stopped goes on without a new one.

use std::fs;

use anyhow::{Context as _, bail};
use capstan_app::Override;
use capstan_node::home::{Home, write_whole};
use capstan_node::override_file;
use capstan_store::Store;
use serde_json::json;

use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::Output;

/// `capstan override`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan override --home ./node --uncritical v3\n\n\
    For a chain that a critical vat has stopped (exit code 70), and for a block that ends the process on every node: by an\n\
    abort, a stack overflow, a lack of memory. Its validators have decided that block, and can agree to execute it\n\
    differently: let a vat end without stopping the chain, end a vat before the block, skip transactions of the block, drop\n\
    messages. fatal.txt in the home names the block's transactions, the crank, the vat, and what led to it, and prints each\n\
    of these commands ready to be run; `capstan debug cranks` shows the cranks before.\n\n\
    The node must be stopped. Writes HOME/overrides/HEIGHT.json, which names the height and the app hash under it, and\n\
    prints its SHA-256. Every validator runs this with the same arguments, or copies the file; they compare the SHA-256 and\n\
    start their nodes again. When more than two thirds of the voting power have done so the chain goes on; the others stop\n\
    at that block until they have the file too, and so does a new node that executes the block later. The override is\n\
    recorded in the state, so nodes with different ones are never on one chain. If another crank of the block stops it\n\
    then, the next report prints the command with all options together and --replace.")]
pub(crate) struct OverrideBlock {
    /// A vat that is no longer critical, as in v3. May be given several times.
    #[arg(long, value_name = "VAT")]
    uncritical: Vec<String>,
    /// A vat that ends, critical or not, before anything else in the block, as in v7. Several times too.
    #[arg(long, value_name = "VAT")]
    terminate_vat: Vec<String>,
    /// A transaction of the block that is not executed, by its hash; its signer can send it again. Several times too.
    #[arg(long, value_name = "HASH")]
    skip_tx: Vec<String>,
    /// A message that is not delivered when its turn comes in the block: by its result, as in kp40, or by its place on the
    /// run queue, as in run-17, which every report names. A notification, or the start or upgrade of a vat, too.
    #[arg(long, value_name = "PROMISE|PLACE")]
    drop_message: Vec<String>,
    /// Replace the override that the home has for this block.
    #[arg(long)]
    replace: bool,
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
            "terminate": self.terminate_vat,
            "skip_transactions": self.skip_tx,
            "drop_messages": self.drop_message,
        });
        let agreed = Override::from_json(document.to_string().as_bytes())
            .map_err(|error| usage(format!("{error}; see capstan override --help")))?;
        let file = override_file(&home.overrides(), agreed.height);
        if file.exists() && !self.replace {
            bail!(
                "{} exists; if it is not what the validators agreed on, name all that it is to say, and --replace",
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
