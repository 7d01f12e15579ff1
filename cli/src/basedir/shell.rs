//! `capstan shell`: a prompt among the vats of a directory.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use anyhow::bail;
use serde_json::{Value, json};

use super::editor::Editor;
use super::lines::{Line, Lines};
use super::machine::{Basedir, Outcome, SHELL};
use super::sources::Sources;
use super::{console, dump};
use crate::Common;
use crate::output::{self, Output};
use crate::progress::Progress;

/// Arguments of `capstan shell`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan shell examples/encouragement-bot\n\n\
    A line is JavaScript, evaluated in a vat of its own; its value is awaited and shown, and what it declares stays. The\n\
    vats' roots are there under their names and in `vats`, with E, Far, argv and devices; x~.m() works. At first nothing\n\
    has run: the vats' start and bootstrap(argv, vats) wait in the run queue. A line runs the kernel until its own value\n\
    is there; what else waits is left to the commands:\n\
      dump()    show the kernel's tables and the run queue\n\
      step()    execute the next crank; step(N): the next N\n\
      run()     execute cranks until nothing is left to do\n\
    Tab completes names. Ctrl-D ends. Without a terminal, lines are read from standard input; the first that fails ends\n\
    the shell with exit code 1. With --json each line's outcome is a line of JSON.\n\
    --home keeps the state; what was declared is still there the next time.")]
pub(crate) struct Shell {
    #[command(flatten)]
    sources: Sources,
}

/// The request of a line.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Dump,
    Step(u64),
    Run,
}

/// The result of a line.
enum Answer {
    /// Text for people, and the same as JSON.
    Done { text: Option<String>, record: Value },
    /// Failure, with its text.
    Failed(String),
    /// The line is incomplete.
    Incomplete,
}

struct Session {
    machine: Basedir,
    lines: Lines,
    /// Everything that can be completed.
    names: BTreeSet<String>,
}

impl Shell {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let bundles = self.sources.bundle()?;
        let mut names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        names.extend(bundles.keys().cloned());
        let progress = Progress::new("opening the JavaScript engine");
        let argv = &self.sources.argv;
        let machine = Basedir::open(bundles, argv, true, common.home.as_deref(), &progress)?;
        drop(progress);
        console::show(output.is_json());
        let lines = Lines::start(self.sources.tools.as_deref())?;
        let mut session = Session { machine, lines, names };
        let interactive = std::io::stdin().is_terminal();
        let mut editor = Editor::new(interactive, common.home.as_deref())?;
        let mut typed = String::new();
        while let Some(line) = editor.next(!typed.is_empty(), &session.names)? {
            typed.push_str(&line);
            match session.answer(&typed)? {
                Answer::Incomplete => {
                    typed.push('\n');
                    continue;
                }
                Answer::Done { text, record } => match text {
                    _ if output.is_json() => output.record(&record),
                    Some(text) => output::say(&text),
                    None => {}
                },
                Answer::Failed(why) if interactive => output::warn(&why),
                Answer::Failed(why) => bail!("line {}: {why}", editor.line_number()),
            }
            typed.clear();
        }
        if !typed.trim().is_empty() {
            bail!("the last line is not complete: {}", typed.trim_end());
        }
        Ok(())
    }
}

impl Session {
    fn answer(&mut self, typed: &str) -> anyhow::Result<Answer> {
        match Request::parse(typed) {
            Some(Request::Dump) => {
                let (state, vats) = (self.machine.state(), self.machine.vats()?);
                let record = json!({"dump": capstan_kernel::view::dump(&state)?});
                Ok(Answer::Done { text: Some(dump::tables(&state, &vats)?), record })
            }
            Some(Request::Step(count)) => self.cranks(count),
            Some(Request::Run) => self.cranks(u64::MAX),
            None => self.evaluate(typed),
        }
    }

    fn cranks(&mut self, limit: u64) -> anyhow::Result<Answer> {
        let before = self.machine.ended()?.len();
        let report = self.machine.run(limit, None)?;
        let idle = report.idle || !capstan_kernel::view::is_busy(&self.machine.state())?;
        let plural = if report.cranks == 1 { "" } else { "s" };
        let rest = if idle { "nothing is left to do" } else { "more is to be done" };
        let mut text = format!("{} crank{plural}; {rest}", report.cranks);
        for ended in &self.machine.ended()?[before..] {
            text.push_str(&format!("\nvat {} ended: {}", ended.vat, ended.reason));
        }
        let record =
            json!({"cranks": report.cranks, "computrons": report.computrons, "idle": idle});
        Ok(Answer::Done { text: Some(text), record })
    }

    fn evaluate(&mut self, typed: &str) -> anyhow::Result<Answer> {
        let (source, names) = match self.lines.read(typed)? {
            Line::Whole { source, names } => (source, names),
            Line::Incomplete { .. } => return Ok(Answer::Incomplete),
            Line::Wrong { why } => return Ok(Answer::Failed(format!("SyntaxError: {why}"))),
        };
        if typed.trim().is_empty() {
            return Ok(Answer::Done { text: None, record: json!({"value": null}) });
        }
        let promise = self.machine.send(SHELL, "evaluate", json!([source, names]))?;
        self.names.extend(names);
        self.machine.run(u64::MAX, Some(promise))?;
        Ok(match self.machine.take(promise)? {
            Outcome::Fulfilled(answer) => match answer["thrown"].as_str() {
                Some(thrown) => Answer::Failed(thrown.to_owned()),
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
            Outcome::Pending => Answer::Failed(
                "nothing is left to do, and the value is still a promise that nobody has settled"
                    .to_owned(),
            ),
        })
    }
}

impl Request {
    /// A command, if the line is one: `dump()`, `step()`, `step(5)`, `run()`, with or without a semicolon.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, rest) = line.split_once('(')?;
        let argument = rest.strip_suffix(')')?.trim();
        match (name.trim_end(), argument) {
            ("dump", "") => Some(Self::Dump),
            ("run", "") => Some(Self::Run),
            ("step", "") => Some(Self::Step(1)),
            ("step", count) => count.parse().ok().map(Self::Step),
            _ => None,
        }
    }
}

/// The names that exist from the start, besides the vats.
const NAMES: &[&str] = &[
    "E",
    "Far",
    "argv",
    "await",
    "bootstrap",
    "console",
    "const",
    "devices",
    "dump()",
    "harden",
    "let",
    "makePromiseKit",
    "run()",
    "step()",
    "vatAdmin",
    "vats",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_javascript() {
        assert_eq!(Request::parse(" dump() ; "), Some(Request::Dump));
        assert_eq!(Request::parse("step( 12 )"), Some(Request::Step(12)));
        assert_eq!(Request::parse("step()"), Some(Request::Step(1)));
        assert_eq!(Request::parse("run();"), Some(Request::Run));
        for other in ["run", "run(1)", "step(x)", "dump().x", "E(bot).run()", "await step()", ""] {
            assert_eq!(Request::parse(other), None, "{other}");
        }
    }
}
