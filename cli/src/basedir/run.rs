//! `capstan run`: the vats of a directory, until nothing is left to do.

use anyhow::bail;
use capstan_kernel::RunReport;
use serde_json::{Value, json};

use super::clock::{Advance, ClockArgs, Timer};
use super::console;
use super::machine::{Basedir, Ended, Outcome, Until};
use super::setup::Setup;
use super::sources::{BOOTSTRAP, Sources};
use crate::Common;
use crate::failure::usage;
use crate::output::Output;
use crate::progress::Progress;

/// Arguments of `capstan run`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  capstan run examples/encouragement-bot -- Ada\n  \
    capstan run --vat bootstrap=test.js --vat counter=src/counter.js --params 'counter={\"start\":7n}'\n  \
    capstan run tests --vat auction=src/auction.js --timer fake --advance 60x5\n\n\
    Each vat-NAME.js and each vat-NAME/index.js in BASEDIR becomes a vat. bootstrap.js becomes the vat whose root's\n\
    bootstrap(argv, vats, devices) is called: with the strings after `--` and with the other vats' roots by name. The\n\
    sources export buildRootObject, or by default setup(syscall, state, helpers) as in SwingSet's first years; the wavy\n\
    dot (x~.m()) is understood. The kernel runs until nothing is left to do.\n\
    With --timer the timer service is E(vats.timer).createTimerService(devices.timer). A real timer is waited for as long\n\
    as a vat wants to be woken.\n\
    What vats print goes to standard output; with --json, to standard error.\n\
    Exits with 1 if bootstrap is rejected or never answered, or a vat fails. --home keeps the state: a second run on it\n\
    goes on from there.\n\
    Needs Node and this project's npm packages (make setup).")]
pub(crate) struct Run {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    clock: ClockArgs,
    /// Once nothing is left to do, move a fake timer's time by so many seconds and go on. 10x6: six times by 10 seconds.
    /// Can be given several times.
    #[arg(long, value_name = "SECONDS", value_parser = Advance::parse, requires = "timer")]
    advance: Vec<Advance>,
}

impl Run {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let (timer, time) = self.clock.read()?;
        if timer == Some(Timer::Real) && !self.advance.is_empty() {
            return Err(usage(
                "--advance: a real timer follows this machine's clock; use --timer fake",
            ));
        }
        let vats = self.sources.bundle()?;
        if !vats.contains_key(BOOTSTRAP) {
            return Err(usage(
                "nothing would run: name a BASEDIR with bootstrap.js, or --vat bootstrap=FILE",
            ));
        }
        let progress = Progress::new("opening the JavaScript engine");
        let setup = Setup { vats, argv: self.sources.argv, shell: false, timer, time };
        let mut machine = Basedir::open(setup, common.home.as_deref(), &progress)?;
        drop(progress);
        console::show(output.is_json());
        let mut report = machine.run(u64::MAX, Until::Quiet)?;
        for advance in self.advance {
            let more = machine.advance(advance)?;
            report.cranks += more.cranks;
            report.computrons += more.computrons;
        }
        let (bootstrap, ended) = (machine.bootstrapped()?, machine.ended()?);
        let time = machine.time_json()?;
        if output.is_json() {
            output.record(&record(&report, &bootstrap, &ended, time.as_ref()));
        }
        judge(&bootstrap, &ended, time)
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

/// Returns what programs are told of a run. The time is there if the vats have a timer.
fn record(
    report: &RunReport,
    bootstrap: &Outcome,
    ended: &[Ended],
    time: Option<&(u64, Value)>,
) -> Value {
    let mut record = json!({
        "bootstrap": bootstrap.to_json(),
        "cranks": report.cranks,
        "computrons": report.computrons,
        "ended": ended.iter().map(ended_json).collect::<Vec<_>>(),
    });
    if let Some((time, next)) = time {
        record["time"] = json!(time);
        record["next_wakeup"] = next.clone();
    }
    record
}

fn ended_json(ended: &Ended) -> Value {
    json!({"vat": ended.vat, "failure": ended.failure, "reason": ended.reason})
}

/// Returns whether the run succeeded.
fn judge(bootstrap: &Outcome, ended: &[Ended], time: Option<(u64, Value)>) -> anyhow::Result<()> {
    if let Some(Ended { vat, reason, .. }) = ended.iter().find(|ended| ended.failure) {
        bail!("vat {vat} failed: {reason}");
    }
    match bootstrap {
        Outcome::Rejected(reason) => bail!("bootstrap was rejected: {}", for_people(reason)),
        Outcome::Pending => bail!(
            "nothing is left to do, and bootstrap has not answered: nobody settled the promise that it returned{}",
            time.map(waits).unwrap_or_default()
        ),
        Outcome::Fulfilled(_) => Ok(()),
    }
}

/// Says when the next wakeup is due, if there is one.
pub(super) fn waits((time, next): (u64, Value)) -> String {
    let next = match next {
        Value::Null => return format!("; the time is {time}, and no vat waits for a later one"),
        Value::String(next) => next,
        other => other.to_string(),
    };
    format!("; the time is {time}, and a vat waits for {next}: advance a fake timer")
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
