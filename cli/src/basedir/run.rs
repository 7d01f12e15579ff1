//! `capstan run`: the vats of a directory, until nothing is left to do.

use anyhow::bail;
use capstan_kernel::RunReport;
use serde_json::{Value, json};

use super::clock::{Advance, ClockArgs, Timer};
use super::console;
use super::machine::{Basedir, Ended, Outcome, Until};
use super::setup::Setup;
use super::sources::{BOOTSTRAP, Sources};
use super::watch::Watch;
use crate::Common;
use crate::failure::usage;
use crate::output::{self, Output};
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
    vats.vatAdmin makes and upgrades vats: E(E(vats.vatAdmin).createVatAdminService(devices.vatAdmin)).createVatByName(NAME)\n\
    makes one of the bundle of any vat or --bundle. docs/testing-a-vat.md has an example.\n\
    What bootstrap answered is printed. Exits with 1 if bootstrap is rejected or never answered, a vat fails, or a rejection\n\
    is not handled. --home keeps the state: a second run on it goes on from there.\n\
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
        let loaded = self.sources.load()?;
        if !loaded.vats.contains_key(BOOTSTRAP) {
            return Err(usage(
                "nothing would run: name a BASEDIR with bootstrap.js, or --vat bootstrap=FILE",
            ));
        }
        let progress = Progress::new("opening the JavaScript engine");
        let setup = Setup { loaded, argv: self.sources.argv, shell: false, timer, time };
        let mut machine = Basedir::open(setup, common.home.as_deref(), &progress)?;
        drop(progress);
        console::show(output.is_json());
        let mut report = machine.run(u64::MAX, Until::Quiet)?;
        for advance in self.advance {
            let more = machine.advance(advance)?;
            report.cranks += more.cranks;
            report.computrons += more.computrons;
        }
        let end = End {
            bootstrap: machine.bootstrapped()?,
            ended: machine.ended()?,
            unhandled: machine.unhandled()?,
            time: machine.time_json()?,
        };
        if output.is_json() {
            output.record(&end.record(&report));
        } else if let Some(answer) = machine.bootstrap_answer()? {
            output::say(&format!("bootstrap fulfilled: {answer}"));
        }
        end.judge(machine.watch())
    }
}

/// The end of a run.
struct End {
    bootstrap: Outcome,
    ended: Vec<Ended>,
    /// Rejections that nothing handled: the number, and the vats and texts of the first.
    unhandled: (u64, Vec<(String, String)>),
    /// The time and the next wakeup, if the vats have a timer.
    time: Option<(u64, Value)>,
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

impl End {
    /// Returns what programs are told of a run.
    fn record(&self, report: &RunReport) -> Value {
        let unhandled =
            self.unhandled.1.iter().map(|(vat, reason)| json!({"vat": vat, "reason": reason}));
        let mut record = json!({
            "bootstrap": self.bootstrap.to_json(),
            "cranks": report.cranks,
            "computrons": report.computrons,
            "ended": self.ended.iter().map(ended_json).collect::<Vec<_>>(),
            "unhandled_rejections": unhandled.collect::<Vec<_>>(),
        });
        if let Some((time, next)) = &self.time {
            record["time"] = json!(time);
            record["next_wakeup"] = next.clone();
        }
        record
    }

    /// Fails unless the run succeeded.
    fn judge(self, watch: &Watch) -> anyhow::Result<()> {
        if let Some(Ended { vat, reason, .. }) = self.ended.iter().find(|ended| ended.failure) {
            bail!("vat {vat} failed: {reason}");
        }
        match &self.bootstrap {
            Outcome::Rejected(reason) => {
                bail!("bootstrap was rejected: {}", watch.with_cause(for_people(reason)))
            }
            Outcome::Pending => bail!(
                "nothing is left to do, and bootstrap has not answered: nobody settled the promise that it returned{}",
                self.time.map(waits).unwrap_or_default()
            ),
            Outcome::Fulfilled(_) => {}
        }
        let (count, first) = &self.unhandled;
        let Some((vat, reason)) = first.first() else { return Ok(()) };
        let reason = watch.with_cause(reason.clone());
        match count {
            1 => bail!("a rejection was not handled, in vat {vat}: {reason}"),
            _ => bail!("{count} rejections were not handled; the first, in vat {vat}: {reason}"),
        }
    }
}

fn ended_json(ended: &Ended) -> Value {
    json!({"vat": ended.vat, "failure": ended.failure, "reason": ended.reason})
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
