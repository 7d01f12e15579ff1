//! Documents whose commands are run: what is in their code blocks, and what the commands print.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Dev, Place, cache, checkout, done};

/// The address that the documents name.
const ADDRESS: &str = "127.0.0.1:26657";
/// The address of REST that the documents name.
const REST: &str = "http://127.0.0.1:1317";
/// Stands for anything in what a document shows.
const ANYTHING: char = '…';

/// A document's code blocks, in order.
pub struct Guide {
    pub parts: Vec<Part>,
}

/// A part of a document that a test acts on.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// A block of commands.
    Shell(String),
    /// Output of the commands before this text.
    Output(String),
    /// The place where the reader has stopped the node.
    Stop,
}

impl Guide {
    /// Reads the blocks marked `sh` and `text`, and the comment `<!-- guide: stop -->`.
    pub fn parse(document: &str) -> Self {
        let mut parts = Vec::new();
        let mut lines = document.lines();
        while let Some(line) = lines.next() {
            let make = match line {
                "<!-- guide: stop -->" => {
                    parts.push(Part::Stop);
                    continue;
                }
                "```sh" => Part::Shell as fn(String) -> Part,
                "```text" => Part::Output,
                _ if line.starts_with("```") => |_| Part::Stop,
                _ => continue,
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            // Blocks of other languages are only shown.
            if matches!(line, "```sh" | "```text") {
                parts.push(make(block.join("\n")));
            }
        }
        Self { parts }
    }
}

/// Runs a block as the reader would, but against `dev`, whose port is not the document's. Returns what it printed on both
/// outputs.
pub fn run(place: &Place, dev: Option<&Dev>, block: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_capstan")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut block = block.to_owned();
    if let Some(dev) = dev {
        block = block.replace(ADDRESS, dev.url().trim_start_matches("http://"));
        block = block.replace(REST, dev.ready["rest"].as_str().unwrap_or_default());
    }
    // The reader stands in the checkout.
    let block = block.replace(" examples/", &format!(" {}/examples/", checkout().display()));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{block}")]);
    shell.current_dir(place.path()).env("PATH", path);
    shell.env("CAPSTAN_HOME", place.home()).env("CAPSTAN_CACHE", cache());
    match dev {
        Some(dev) => shell.env("CAPSTAN_NODE", dev.url()),
        None => shell.env_remove("CAPSTAN_NODE"),
    };
    let done = done(shell.stdin(Stdio::null()).output().unwrap());
    assert_eq!(done.code, 0, "{block}\n{}\n{}", done.stdout, done.stderr);
    done.stdout
}

/// Fails unless each line that a document shows was printed, in order.
pub fn assert_shown(name: &str, expected: &str, printed: &str) {
    let mut lines = printed.lines();
    for line in expected.lines() {
        assert!(
            lines.any(|printed| matches(line, printed)),
            "{name} shows {line:?}, which was not printed there:\n{printed}"
        );
    }
}

/// Returns `true` if a printed line is as shown. Spaces at the ends do not count, nor does how many there are.
fn matches(shown: &str, printed: &str) -> bool {
    let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, printed) = (normal(shown), normal(printed));
    let mut pieces = shown.split(ANYTHING).map(str::trim);
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut is_open = false;
    for piece in pieces {
        is_open = piece.is_empty();
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    is_open || rest.is_empty()
}
