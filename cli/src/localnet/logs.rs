//! `capstan localnet logs`: prints the logs of nodes.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use capstan_localnet::{NetError, NodePlan, Plan};

use crate::output::say_log;

/// Interval at which files are looked at for more.
const EVERY: Duration = Duration::from_millis(200);

/// Arguments of `capstan localnet logs`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan localnet logs -f node1\n\n\
    Capstan's own log and CometBFT's, each line after the node's name.")]
pub(super) struct Logs {
    /// Go on with what is logged from now on, until Ctrl-C.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Number of lines that are printed from the end of each file.
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 20)]
    lines: usize,
    /// Nodes whose logs are printed. Without names, all.
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
}

/// A file that is read to its end again and again.
struct Tail {
    label: String,
    path: PathBuf,
    position: u64,
}

impl Logs {
    pub(super) fn run(self, plan: &Plan) -> anyhow::Result<()> {
        let names = super::names(self.nodes);
        let chosen: Vec<&NodePlan> = match names.is_empty() {
            true => plan.nodes.iter().collect(),
            false => names.iter().map(|name| plan.node(name)).collect::<Result<_, NetError>>()?,
        };
        let mut tails = Vec::new();
        for node in chosen {
            tails.push(Tail { label: node.name.clone(), path: own(node), position: 0 });
            let comet = node.home.join("comet/cometbft.log");
            tails.push(Tail { label: format!("{} cometbft", node.name), path: comet, position: 0 });
        }
        for file in &mut tails {
            let text = tail(&file.path, self.lines);
            text.lines().try_for_each(|line| say_log(&file.label, line))?;
            file.position = std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
        }
        if !self.follow {
            return Ok(());
        }
        loop {
            std::thread::sleep(EVERY);
            tails.iter_mut().try_for_each(Tail::more)?;
        }
    }
}

impl Tail {
    /// Prints the whole lines that have come since.
    fn more(&mut self) -> io::Result<()> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(()) };
        if file.metadata()?.len() < self.position {
            // It was put aside and begun anew.
            self.position = 0;
        }
        file.seek(SeekFrom::Start(self.position))?;
        let mut reader = BufReader::new(file);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
            self.position += line.len() as u64;
            say_log(&self.label, line.trim_end())?;
            line.clear();
        }
        Ok(())
    }
}

/// The log of a node's own process.
pub(super) fn own(node: &NodePlan) -> PathBuf {
    node.home.join("node.log")
}

/// Returns the last lines of a file, or an empty text if there is no file.
pub(super) fn tail(path: &Path, lines: usize) -> String {
    /// More than any number of lines that a person asks for.
    const MAX_BYTES: u64 = 4 << 20;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
