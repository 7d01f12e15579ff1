//! `capstan shell`: a prompt among the vats of a directory.

use std::io::IsTerminal as _;

use anyhow::bail;
use capstan_kernel::RunReport;
use serde_json::{Value, json};

use super::clock::{Advance, ClockArgs, NOT_FAKE, Timer};
use super::editor::{Editor, Typed};
use super::lines::{Line, Lines, Uses};
use super::machine::{Basedir, Outcome, SHELL, Until};
use super::names::Names;
use super::run::waits;
use super::setup::Setup;
use super::sources::Sources;
use super::{console, dump};
use crate::Common;
use crate::output::{self, Output};
use crate::progress::Progress;

/// Arguments of `capstan shell`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  capstan shell examples/encouragement-bot\n  \
    capstan shell --vat counter=src/counter.js --params 'counter={\"start\":7n}'\n  \
    capstan shell --vat auction=src/auction.js --timer fake < test.js\n\n\
    A line is JavaScript, evaluated in a vat of its own; its value is awaited and shown, and what it declares stays. The\n\
    vats' roots are there under their names and in `vats`, with E, Far, argv and devices; x~.m() works. expect(x, y) fails\n\
    unless both, awaited, are equal. upgrade(vat, NAME, parameters) gives a vat the code of a --bundle; without parameters it\n\
    keeps its own. At first nothing has run: the vats' start and bootstrap(argv, vats) wait in the run queue. A line runs\n\
    the kernel until its own value is there; what else waits is left to the commands:\n\
      help      list all names and commands, a line each\n\
      dump()    show the kernel's tables and the run queue\n\
      step()    execute the next crank; step(N): the next N\n\
      run()     execute cranks until nothing is left to do\n\
      advance(60)     do the same, then move a fake timer's time by 60 seconds, and do what is due; advance(10, 6): six\n\
                      times by 10\n\
    With --timer the timer service is there as `timer`, which a chain's accounts look up as chain/timer.\n\
    Tab completes names. A statement can have several lines, and Ctrl-C drops it. Ctrl-D or exit ends. Without a terminal, lines\n\
    are read from standard input; the first that fails ends the shell with exit code 1. With --json each line's outcome is\n\
    a line of JSON.\n\
    --home keeps the state; what was declared is still there the next time.")]
pub(crate) struct Shell {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    clock: ClockArgs,
}

/// The request of a line.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Help,
    Dump,
    Step(u64),
    Run,
    Advance(Advance),
    Exit,
}

/// The result of a line.
enum Answer {
    /// Text for people, and the same as JSON.
    Done { text: Option<String>, record: Value },
    /// Failure, with its text.
    Failed(String),
    /// The line is incomplete.
    Incomplete,
    /// The shell ends.
    Exit,
}

struct Session {
    machine: Basedir,
    lines: Lines,
    names: Names,
}

impl Shell {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let (timer, time) = self.clock.read()?;
        let loaded = self.sources.load()?;
        let names = Names::new(&loaded, timer.is_some());
        let progress = Progress::new("opening the JavaScript engine");
        let setup = Setup { loaded, argv: self.sources.argv, shell: true, timer, time };
        let machine = Basedir::open(setup, common.home.as_deref(), &progress)?;
        drop(progress);
        console::show(output.is_json());
        let lines = Lines::start(self.sources.tools.as_deref())?;
        let interactive = std::io::stdin().is_terminal();
        let mut editor = Editor::new(interactive, common.home.as_deref())?;
        Session { machine, lines, names }.answer_all(&mut editor, interactive, output)
    }
}

impl Session {
    /// Answers what is typed, until its end, or until the first failure if nobody is there to see it.
    fn answer_all(
        &mut self,
        editor: &mut Editor,
        interactive: bool,
        output: Output,
    ) -> anyhow::Result<()> {
        let mut typed = String::new();
        loop {
            match editor.next(!typed.is_empty(), &self.names.completed())? {
                Typed::Line(line) => typed.push_str(&line),
                Typed::Dropped => {
                    typed.clear();
                    continue;
                }
                Typed::End if typed.trim().is_empty() => return Ok(()),
                Typed::End => bail!("the last line is not complete: {}", typed.trim_end()),
            }
            match self.answer(&typed)? {
                Answer::Incomplete => {
                    typed.push('\n');
                    continue;
                }
                Answer::Done { text, record } => match text {
                    _ if output.is_json() => output.record(&record),
                    Some(text) => output::say(&text),
                    None => {}
                },
                Answer::Exit => return Ok(()),
                Answer::Failed(why) if interactive => output::warn(&why),
                Answer::Failed(why) => bail!("line {}: {why}", editor.line_number()),
            }
            typed.clear();
        }
    }

    fn answer(&mut self, typed: &str) -> anyhow::Result<Answer> {
        match Request::parse(typed) {
            Some(Request::Help) => {
                let (text, record) = self.names.help();
                Ok(Answer::Done { text: Some(text), record })
            }
            Some(Request::Dump) => {
                let (state, vats) = (self.machine.state(), self.machine.vats()?);
                let record = json!({"dump": capstan_kernel::view::dump(&state)?});
                Ok(Answer::Done { text: Some(dump::tables(&state, &vats)?), record })
            }
            Some(Request::Exit) if !self.names.is_declared("exit") => Ok(Answer::Exit),
            Some(Request::Exit) => self.evaluate(typed),
            Some(Request::Step(count)) => self.cranks(|machine| machine.run(count, Until::Idle)),
            Some(Request::Run) => self.cranks(|machine| machine.run(u64::MAX, Until::Idle)),
            Some(Request::Advance(_)) if self.machine.timer() != Some(Timer::Fake) => {
                Ok(Answer::Failed(NOT_FAKE.to_owned()))
            }
            Some(Request::Advance(advance)) => self.cranks(|machine| machine.advance(advance)),
            None => self.evaluate(typed),
        }
    }

    fn cranks(
        &mut self,
        work: impl FnOnce(&mut Basedir) -> anyhow::Result<RunReport>,
    ) -> anyhow::Result<Answer> {
        let before = self.machine.ended()?.len();
        let report = work(&mut self.machine)?;
        let idle = report.idle || !capstan_kernel::view::is_busy(&self.machine.state())?;
        let plural = if report.cranks == 1 { "" } else { "s" };
        let rest = if idle { "nothing is left to do" } else { "more is to be done" };
        let mut text = format!("{} crank{plural}; {rest}", report.cranks);
        let time = self.machine.time_json()?;
        if let Some((time, next)) = &time {
            text.push_str(&format!("; the time is {time}"));
            if !next.is_null() {
                text.push_str(&format!(", the next wakeup at {next}"));
            }
        }
        for ended in &self.machine.ended()?[before..] {
            text.push_str(&format!("\nvat {} ended: {}", ended.vat, ended.reason));
        }
        let mut record =
            json!({"cranks": report.cranks, "computrons": report.computrons, "idle": idle});
        if let Some((time, next)) = time {
            record["time"] = json!(time);
            record["next_wakeup"] = next;
        }
        Ok(Answer::Done { text: Some(text), record })
    }

    fn evaluate(&mut self, typed: &str) -> anyhow::Result<Answer> {
        let (source, Uses { names, free, probed }) = match self.lines.read(typed)? {
            Line::Whole { source, uses } => (source, uses),
            Line::Incomplete { .. } => return Ok(Answer::Incomplete),
            Line::Wrong { why } => return Ok(Answer::Failed(format!("SyntaxError: {why}"))),
        };
        if typed.trim().is_empty() {
            return Ok(Answer::Done { text: None, record: json!({"value": null}) });
        }
        let promise = self.machine.send(SHELL, "evaluate", json!([source, names, free, probed]))?;
        self.names.declare(names);
        self.machine.run(u64::MAX, Until::Settled(promise))?;
        Ok(match self.machine.take(promise)? {
            Outcome::Fulfilled(answer) => match answer["thrown"].as_str() {
                Some(thrown) => Answer::Failed(self.machine.watch().with_cause(thrown.to_owned())),
                None => {
                    let text = answer["value"].as_str().unwrap_or_default().to_owned();
                    let record = json!({"value": text});
                    let is_undefined = answer["isUndefined"] == json!(true);
                    Answer::Done { text: (!is_undefined).then_some(text), record }
                }
            },
            Outcome::Rejected(reason) => {
                Answer::Failed(format!("the shell's vat failed: {reason}"))
            }
            Outcome::Pending => Answer::Failed(format!(
                "nothing is left to do, and the value is still a promise that nobody has settled{}",
                self.machine.time_json()?.map(waits).unwrap_or_default()
            )),
        })
    }
}

impl Request {
    /// A command, if the line is one: `help`, `help()`, `dump()`, `step()`, `step(5)`, `run()`, `advance(60)`, `advance(10, 6)`, with or
    /// without a semicolon.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim().trim_end_matches(';').trim_end();
        match line {
            "help" => return Some(Self::Help),
            "exit" => return Some(Self::Exit),
            _ => {}
        }
        let (name, rest) = line.split_once('(')?;
        let argument = rest.strip_suffix(')')?.trim();
        match (name.trim_end(), argument) {
            ("help", "") => Some(Self::Help),
            ("exit", "") => Some(Self::Exit),
            ("dump", "") => Some(Self::Dump),
            ("run", "") => Some(Self::Run),
            ("step", "") => Some(Self::Step(1)),
            ("step", count) => count.parse().ok().map(Self::Step),
            ("advance", numbers) => {
                let (seconds, times) = numbers.split_once(',').unwrap_or((numbers, "1"));
                // Times are bigints elsewhere.
                let number = |text: &str| text.trim().trim_end_matches('n').parse().ok();
                let (seconds, times) = (number(seconds)?, number(times)?);
                Some(Self::Advance(Advance { seconds, times }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_javascript() {
        assert_eq!(Request::parse(" dump() ; "), Some(Request::Dump));
        assert_eq!(Request::parse("help"), Some(Request::Help));
        assert_eq!(Request::parse("help();"), Some(Request::Help));
        assert_eq!(Request::parse("step( 12 )"), Some(Request::Step(12)));
        assert_eq!(Request::parse("step()"), Some(Request::Step(1)));
        assert_eq!(Request::parse("run();"), Some(Request::Run));
        let advance = |seconds, times| Some(Request::Advance(Advance { seconds, times }));
        assert_eq!(Request::parse("advance(60)"), advance(60, 1));
        assert_eq!(Request::parse("advance( 10, 6 );"), advance(10, 6));
        assert_eq!(Request::parse("advance(5n)"), advance(5, 1));
        assert_eq!(Request::parse("exit"), Some(Request::Exit));
        assert_eq!(Request::parse("exit();"), Some(Request::Exit));
        for other in [
            "run",
            "run(1)",
            "step(x)",
            "advance()",
            "advance(x)",
            "advance(1,)",
            "dump().x",
            "E(bot).run()",
            "await step()",
            "",
        ] {
            assert_eq!(Request::parse(other), None, "{other}");
        }
    }
}
