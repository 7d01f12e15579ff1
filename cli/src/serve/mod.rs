//! `capstan serve`: an account's object, written in JavaScript on the user's own machine.

mod answers;
mod calls;
mod chain;
mod child;
mod inbox;
mod journal;
mod messages;
mod service;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use capstan_client::Wallet;
use capstan_node::home::SERVE;

use crate::failure::{flag, usage};
use crate::output::Output;
use crate::tx::{NodeArgs, explain};
use crate::{Common, home, keys, process};

/// Arguments of `capstan serve`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Serve {
    /// ES module that exports makeObject(powers), which returns the methods.
    #[arg(value_name = "FILE.js")]
    file: PathBuf,
    /// The key of the account: best one that nothing else uses.
    #[arg(long, value_name = "KEY")]
    from: String,
    /// Publish the object under this name of the account, if it is not yet.
    #[arg(long, value_name = "NAME")]
    publish: Vec<String>,
    /// Reference that the account holds, such as ro-51. The object gets it as powers.imports["ro-51"].
    #[arg(long, value_name = "REF")]
    import: Vec<String>,
    /// Largest sum of fees in an hour, in ucap, the start included. Further calls wait.
    #[arg(long, value_name = "UCAP", default_value_t = 1_000_000)]
    max_fee_per_hour: u64,
    /// Time after which a call is rejected that the object has not answered, in seconds. At most a day.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    method_timeout: u64,
    /// Calls of one method that run at a time. Further ones wait, and other methods go on.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=128))]
    max_calls_per_method: u16,
    /// Calls that run at a time of one object that the published one has handed out, such as one for each caller.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    max_calls_per_object: u16,
    /// Directory of the journal [default: serve/ADDRESS in the home].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

impl Serve {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        if !self.file.is_file() {
            return Err(usage(format!("there is no file {}", self.file.display())));
        }
        if let Some(wrong) = self.import.iter().find(|reference| !is_import(reference)) {
            let why = "is not an object that the account holds, which is written ro-51";
            return Err(usage(format!("--import {wrong:?} {why}")));
        }
        let key = keys::find(common, &self.from).with_context(|| flag("--from", &self.from))?;
        let wallet = Wallet::new(&self.node.client()?, key);
        // Before anything is written. A node that does not answer is told here, too.
        wallet
            .client()
            .account(&wallet.address())
            .map_err(|error| explain(error.into(), &wallet.address(), &self.from))?;
        for reference in &self.import {
            let held =
                wallet.client().held(&wallet.address(), reference.trim_start_matches('@'))?;
            if held.is_none() {
                let from = &self.from;
                return Err(usage(format!(
                    "--import {reference}: {from} does not hold it (any more); `capstan query clist {from}` lists what it holds"
                )));
            }
        }
        let dir = match self.state {
            Some(dir) => dir,
            None => home::path(common)?.join(SERVE).join(wallet.address().to_string()),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        process::on_signal(move || stopped.store(true, Ordering::Relaxed))?;
        let imports = self.import.iter().map(|text| text.trim_start_matches('@').to_owned());
        let options = service::Options {
            file: self.file,
            names: self.publish,
            imports: imports.collect(),
            max_fee: self.max_fee_per_hour,
            limits: calls::Limits {
                per_method: self.max_calls_per_method.into(),
                per_object: self.max_calls_per_object.into(),
                time: Duration::from_secs(self.method_timeout),
            },
        };
        service::Service::start(wallet, &dir, options, output, &stop)?.run(&stop)
    }
}

fn is_import(reference: &str) -> bool {
    let digits = reference.trim_start_matches('@').strip_prefix("ro-");
    digits.is_some_and(|digits| digits.parse::<u64>().is_ok())
}

/// Ends the process at a step that a test names in the environment, as a crash would.
fn planted(step: &str) {
    // Only builds for development can be crashed so.
    if cfg!(debug_assertions) && std::env::var("CAPSTAN_SERVE_CRASH_AT").is_ok_and(|at| at == step)
    {
        std::process::abort();
    }
}

const HELP: &str = "\
Example: capstan serve oracle.js --from carol --publish oracle

The account pays the fee of each answer, so --max-fee-per-hour bounds what callers can cause. An answer is on the chain
once, also after crashes. A method that never answers holds no other: --max-calls-per-method and --max-calls-per-object
bound what runs at a time, and --method-timeout for how long. A call that a crash interrupted is rejected, unless the file exports `idempotent = true`: then
its method runs again. While the node is away, it is tried again. Stop with Ctrl-C: what is answered by then is sent at
the next start.";
