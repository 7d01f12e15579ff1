//! The names that a line of the shell can use, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::sources::Loaded;

/// Commands of the shell.
const COMMANDS: &[(&str, &str)] = &[
    ("dump()", "shows the kernel's tables and the run queue"),
    ("step(N)", "executes the next N cranks; step(): one"),
    ("run()", "executes cranks until nothing is left to do"),
    ("help()", "lists the commands and names"),
    ("exit", "ends the shell"),
];

/// The command that moves the time of a fake timer.
const ADVANCE: (&str, &str) =
    ("advance(SECONDS, TIMES)", "does what is due, moves the time, and does what is due then");

/// Names that are there from the start, besides the vats.
const GLOBALS: &[(&str, &str)] = &[
    (
        "E",
        "E(x).method(…) sends a message and returns a promise for the answer; so does x~.method(…)",
    ),
    ("Far", "Far(name, methods) makes an object that vats can call"),
    ("argv", "the arguments after --"),
    ("console", "console.log(…) prints"),
    ("devices", "the devices by name: devices.vatAdmin"),
    ("expect", "expect(x, y) fails unless both, awaited, are equal"),
    ("harden", "harden(x) freezes data, as arguments must be"),
    ("makePromiseKit", "makePromiseKit() makes {promise, resolve, reject}"),
    ("vatAdmin", "the root of the vat that makes vats"),
    ("vats", "the roots of all vats by name"),
];

/// The service of `--timer`.
const TIMER: (&str, &str) =
    ("timer", "the timer service, which accounts of a chain look up as chain/timer");

/// The function that upgrades vats. A vat of its name comes first.
const UPGRADE: (&str, &str) = (
    "upgrade",
    "upgrade(vat, bundle, parameters) gives a vat the code of a --bundle or vat; without parameters it keeps its own",
);

/// Words of the language that Tab completes.
const WORDS: [&str; 3] = ["await", "const", "let"];

/// The names of a shell.
#[derive(Debug)]
pub(super) struct Names {
    commands: Vec<(&'static str, &'static str)>,
    globals: BTreeMap<String, String>,
    declared: BTreeSet<String>,
}

impl Names {
    /// Returns the names that a shell begins with.
    pub(super) fn new(loaded: &Loaded, has_timer: bool) -> Self {
        let mut commands = COMMANDS.to_vec();
        let about = |(name, about): &(&str, &str)| ((*name).to_owned(), (*about).to_owned());
        let mut globals: BTreeMap<String, String> = GLOBALS.iter().map(about).collect();
        globals.extend([about(&UPGRADE)]);
        if has_timer {
            commands.push(ADVANCE);
            globals.extend([about(&TIMER)]);
        }
        let vat = |name: &String| (name.clone(), format!("the root of vat {name}"));
        globals.extend(loaded.vats.keys().map(vat));
        Self { commands, globals, declared: BTreeSet::new() }
    }

    /// Adds names that a line declares.
    pub(super) fn declare(&mut self, names: Vec<String>) {
        self.declared.extend(names);
    }

    /// Returns whether a line declared a name.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }

    /// Returns what Tab completes.
    pub(super) fn completed(&self) -> BTreeSet<String> {
        let command = |(name, _): &(&str, &str)| match name.split_once('(') {
            Some((name, ")")) => format!("{name}()"),
            Some((name, _)) => format!("{name}("),
            None => (*name).to_owned(),
        };
        let words = WORDS.iter().map(|word| (*word).to_owned());
        let all = self.globals.keys().chain(&self.declared).cloned();
        all.chain(self.commands.iter().map(command)).chain(words).collect()
    }

    /// Returns the list of all names: text with a line for each, and the same as JSON.
    pub(super) fn help(&self) -> (String, Value) {
        let commands = self.commands.iter().map(|(name, about)| (*name, *about));
        let globals = self.globals.iter().filter(|(name, _)| !self.declared.contains(*name));
        let globals = globals.map(|(name, about)| (name.as_str(), about.as_str()));
        let declared = self.declared.iter().map(|name| (name.as_str(), "declared here"));
        let all: Vec<_> = commands.chain(globals).chain(declared).collect();
        let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let lines: Vec<String> =
            all.iter().map(|(name, about)| format!("{name:<width$}  {about}")).collect();
        let records = all.iter().map(|(name, about)| json!({"name": name, "about": about}));
        (lines.join("\n"), json!({"help": records.collect::<Vec<_>>()}))
    }
}
