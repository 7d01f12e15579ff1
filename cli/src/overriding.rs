//! `capstan override`: lets a stopped chain go on, by executing its next block differently.

use std::fs;

use anyhow::{Context as _, bail};
use capstan_app::{Override, OverrideError};
use capstan_files::write_atomic;
use capstan_node::home::Home;
use capstan_node::override_file;
use capstan_store::Store;
use serde_json::json;

use crate::Common;
use crate::failure::usage;
use crate::home;
use crate::output::Output;

/// Arguments of `capstan override`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan override --home ./node --uncritical v3\n\n\
    For a chain that a critical vat has stopped (exit code 70), and for a block that ends the process on every node: by an\n\
    abort, a stack overflow or a lack of memory. Consensus has decided the block, so its transactions cannot change. The\n\
    validators can agree to execute it differently: to let a vat end without stopping the chain, to end a vat before the\n\
    block, to skip transactions, or to drop messages. fatal.txt in the home names the block's transactions, the crank, the\n\
    vat and its cause. It prints each of these commands, ready to be run. `capstan debug cranks` shows the cranks before.\n\n\
    The node must be stopped. This command writes HOME/overrides/HEIGHT.json, which names the height and the app hash before\n\
    it, and prints its SHA-256. Every validator runs it with the same arguments, or copies the file. The validators compare\n\
    the SHA-256 and start their nodes again. When nodes with more than two thirds of the voting power have the file, the\n\
    chain goes on. The others stop at that block until they have it, and so does a new node that executes the block later.\n\
    The override is recorded in the state, so nodes with different ones are never on one chain. If another crank of the\n\
    block stops it then, the next report prints the command with all options together and --replace.")]
pub(crate) struct OverrideBlock {
    /// Vat that is no longer critical, such as v3. Can be given several times.
    #[arg(long, value_name = "VAT")]
    uncritical: Vec<String>,
    /// Vat that ends before anything else in the block, critical or not, such as v7. Can be given several times.
    #[arg(long, value_name = "VAT")]
    terminate_vat: Vec<String>,
    /// Transaction of the block that is not executed, by its hash. Its signer can send it again. Can be given several
    /// times.
    #[arg(long, value_name = "HASH")]
    skip_tx: Vec<String>,
    /// Message that is not delivered when its turn comes in the block: by its result, such as kp40, or by its place on
    /// the run queue, such as run-17, which every report names. This can be a notification, or the start or upgrade of
    /// a vat, too.
    #[arg(long, value_name = "PROMISE|PLACE")]
    drop_message: Vec<String>,
    /// Replace the existing override for this block.
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
            "app_hash": store.app_hash().to_string(),
            "uncritical": self.uncritical,
            "terminate": self.terminate_vat,
            "skip_transactions": self.skip_tx,
            "drop_messages": self.drop_message,
        });
        let agreed = Override::from_json(document.to_string().as_bytes()).map_err(|error| {
            usage(format!("{}; see capstan override --help", with_flags(&error)))
        })?;
        let file = override_file(&home.overrides(), agreed.height);
        if file.exists() && !self.replace {
            bail!(
                "{} exists; if it is not what the validators agreed on, name all that it is to say, and --replace",
                file.display()
            );
        }
        fs::create_dir_all(home.overrides())?;
        write_atomic(&file, &agreed.to_json(), 0o644)
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

/// An override's error with the flags in the place of the document's fields.
fn with_flags(error: &OverrideError) -> String {
    let flags = [
        ("uncritical", "--uncritical"),
        ("terminate", "--terminate-vat"),
        ("skip_transactions", "--skip-tx"),
        ("drop_messages", "--drop-message"),
    ];
    let field = |text: String, (field, flag): (&str, &str)| {
        text.replace(&format!("{field}: "), &format!("{flag} "))
    };
    flags.into_iter().fold(error.to_string(), field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_reported_with_its_flag() {
        let fields = [
            ("uncritical", "--uncritical \"x\""),
            ("terminate", "--terminate-vat \"x\""),
            ("skip_transactions", "--skip-tx \"x\""),
            ("drop_messages", "--drop-message \"x\""),
        ];
        for (field, flag) in fields {
            let mut document = json!({
                "height": 2, "app_hash": "0".repeat(64), "uncritical": [], "terminate": [],
                "skip_transactions": [], "drop_messages": [],
            });
            document[field] = json!(["x"]);
            let error = Override::from_json(document.to_string().as_bytes()).unwrap_err();
            assert!(with_flags(&error).contains(flag), "{error}");
        }
    }
}
