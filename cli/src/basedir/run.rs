//! `capstan run`: the vats of a directory, until nothing is left to do.

use anyhow::bail;
use serde_json::{Value, json};

use super::console;
use super::machine::{Basedir, Ended, Outcome};
use super::sources::Sources;
use crate::Common;
use crate::output::Output;
use crate::progress::Progress;

/// Arguments of `capstan run`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan run examples/encouragement-bot -- Ada\n\n\
    Each vat-NAME.js and each vat-NAME/index.js in BASEDIR becomes a vat. bootstrap.js becomes the vat whose root's\n\
    bootstrap(argv, vats, devices) is called: with the strings after `--` and with the other vats' roots by name. The\n\
    sources export buildRootObject, or by default setup(syscall, state, helpers) as in SwingSet's first years; the wavy\n\
    dot (x~.m()) is understood. The kernel runs until nothing is left to do.\n\
    What vats print goes to standard output; with --json, to standard error.\n\
    Exits with 1 if bootstrap is rejected or a vat fails. --home keeps the state: a second run on it goes on from there.\n\
    Needs Node and this project's npm packages (make setup).")]
pub(crate) struct Run {
    #[command(flatten)]
    sources: Sources,
}

impl Run {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let bundles = self.sources.bundle()?;
        let progress = Progress::new("opening the JavaScript engine");
        let argv = &self.sources.argv;
        let mut machine = Basedir::open(bundles, argv, false, common.home.as_deref(), &progress)?;
        drop(progress);
        console::show(output.is_json());
        let report = machine.run(u64::MAX, None)?;
        let (bootstrap, ended) = (machine.bootstrapped()?, machine.ended()?);
        if output.is_json() {
            let ended: Vec<Value> = ended.iter().map(ended_json).collect();
            let record = json!({
                "bootstrap": bootstrap.to_json(),
                "cranks": report.cranks,
                "computrons": report.computrons,
                "ended": ended,
            });
            output.record(&record);
        }
        judge(&bootstrap, &ended)
    }
}

impl Outcome {
    /// `{status}`, with `value` or `reason`.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Pending => json!({"status": "pending"}),
            Self::Fulfilled(value) => json!({"status": "fulfilled", "value": value}),
            Self::Rejected(reason) => json!({"status": "rejected", "reason": reason}),
        }
    }
}

fn ended_json(ended: &Ended) -> Value {
    json!({"vat": ended.vat, "failure": ended.failure, "reason": ended.reason})
}

/// Returns whether the run succeeded.
fn judge(bootstrap: &Outcome, ended: &[Ended]) -> anyhow::Result<()> {
    if let Some(Ended { vat, reason, .. }) = ended.iter().find(|ended| ended.failure) {
        bail!("vat {vat} failed: {reason}");
    }
    match bootstrap {
        Outcome::Rejected(reason) => bail!("bootstrap was rejected: {}", for_people(reason)),
        Outcome::Pending | Outcome::Fulfilled(_) => Ok(()),
    }
}

/// A reason as text: an error's message, a string itself, else JSON.
fn for_people(reason: &Value) -> String {
    match (reason["@error"].as_str(), reason.as_str()) {
        (Some(message), _) => {
            format!("{}: {message}", reason["name"].as_str().unwrap_or("Error"))
        }
        (None, Some(text)) => text.to_owned(),
        (None, None) => reason.to_string(),
    }
}
