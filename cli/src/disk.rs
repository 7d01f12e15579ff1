//! `capstan disk`: the space that a home takes on disk, and what bounds it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::bail;
use capstan_localnet::Plan;
use capstan_node::config::Config;
use capstan_node::home::{COMET, GENESIS, GENESIS_STATE, MARKER, SERVE, SNAPSHOTS, STATE, TRACES};
use serde_json::{Value, json};

use crate::Common;
use crate::home::path;
use crate::output::{self, Output, grouped};

/// Arguments of `capstan disk`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  capstan disk --home ./chain\n  capstan disk --home ~/.capstan-localnet\n\n\
    Of the directory of a localnet it shows the nodes.\n\
    Options are those of config.toml in the home. A node may run meanwhile; its metrics have the same as\n\
    capstan_file_bytes and capstan_trace_bytes. What the chain's state holds is bounded by what accounts and vats pay\n\
    for it. Compiled code lies in $CAPSTAN_CACHE, else ~/.cache/capstan, and is shared by all homes."
)]
pub(crate) struct Disk {}

/// A part of a home.
struct Part {
    name: &'static str,
    bytes: u64,
    /// Bytes that it takes at most by the options, or somewhat more. `None` if no option bounds it.
    bound: Option<u64>,
    bounded_by: &'static str,
}

impl Disk {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let home = path(common)?;
        if let Some(plan) = Plan::load(&home)? {
            return network(&home, &plan, output);
        }
        if !home.join(MARKER).is_file() {
            bail!("there is no home in {}; name one with --home DIR", home.display());
        }
        let parts = parts(&home, &Config::load(&home)?)?;
        let total: u64 = parts.iter().map(|part| part.bytes).sum();
        let rows: Vec<Value> = parts
            .iter()
            .map(|part| {
                json!({
                    "part": part.name,
                    "bytes": part.bytes,
                    "bound_bytes": part.bound,
                    "bounded_by": part.bounded_by,
                })
            })
            .collect();
        let record = json!({"home": home, "total_bytes": total, "parts": rows});
        if output.is_json() {
            output.record(&record);
        } else {
            output.list(&record, &rows, &["part", "bytes", "bound_bytes", "bounded_by"]);
            let total = grouped(&total.to_string());
            output::say(&format!("{total} bytes in {}", home.display()));
        }
        Ok(())
    }
}

/// Prints the space that a network on this machine takes: the sum, and each node's home.
fn network(dir: &Path, plan: &Plan, output: Output) -> anyhow::Result<()> {
    let mut nodes = Vec::new();
    for node in &plan.nodes {
        // A relative home lies in the network's directory.
        let home = dir.join(&node.home);
        let bytes = if home.is_dir() { total(&home)? } else { 0 };
        nodes.push(json!({"node": node.name, "bytes": bytes, "home": home}));
    }
    let all = total(dir)?;
    let record = json!({"home": dir, "total_bytes": all, "nodes": nodes});
    if output.is_json() {
        output.record(&record);
    } else {
        output.list(&record, &nodes, &["node", "bytes", "home"]);
        let all = grouped(&all.to_string());
        output::say(&format!(
            "{all} bytes in {}; for a node's parts: --home NODE'S",
            dir.display()
        ));
    }
    Ok(())
}

/// Returns the number of bytes of all files in a home.
pub(crate) fn total(home: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    visit(home, &mut |_, size| bytes += size)?;
    Ok(bytes)
}

/// Returns a number of bytes as text for people.
pub(crate) fn mib(bytes: &Value) -> String {
    format!("{} MiB", bytes.as_u64().unwrap_or_default().div_ceil(MIB))
}

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The database doubles a file before it uses what was freed in it, and the journal goes on during a checkpoint.
const JOURNAL_FACTOR: u64 = 4;

/// What an index and free pages add to the blocks in their file.
const HISTORY_FACTOR: u64 = 2;

/// Returns the parts of a home with their sizes.
fn parts(home: &Path, config: &Config) -> io::Result<Vec<Part>> {
    let log = &config.log;
    let rotated = |name: &str, max_mib: u64, keep: u32| match (name.is_empty(), max_mib) {
        (true, _) => Some(0),
        (false, 0) => None,
        (false, _) => Some(max_mib.saturating_mul(u64::from(keep) + 1).saturating_mul(MIB)),
    };
    let logs = [
        rotated(&log.vats, log.vats_max_mib, log.vats_keep),
        rotated(&log.slog, log.slog_max_mib, log.slog_keep),
        rotated(&log.file, log.file_max_mib, log.file_keep),
    ];
    let logs = logs.into_iter().try_fold(0_u64, |sum, part| Some(sum.saturating_add(part?)));
    let journal = (config.store.journal_mib as u64).saturating_mul(JOURNAL_FACTOR * MIB);
    let history = config.history_bytes().saturating_mul(HISTORY_FACTOR);
    let traces = config.traces.max_mib.saturating_mul(MIB);
    let part = |name, bound, bounded_by| Part { name, bytes: 0, bound, bounded_by };
    let mut parts = vec![
        part("state", None, "fees and deposits"),
        part("journal of the state", Some(journal), "store.journal_mib"),
        part("blocks", Some(history), "blocks.history_mib"),
        part("CometBFT", None, "comet/config/config.toml"),
        part("traces", Some(traces), "traces.max_mib, traces.keep_blocks"),
        part("logs", logs, "log.*_max_mib, log.*_keep"),
        part("genesis", None, "is written once"),
        part("journals of capstan serve", None, "what accounts answered"),
        part("snapshots", None, "state_sync.keep, and the state"),
        part("other", None, "a few small files"),
    ];
    visit(home, &mut |file, bytes| {
        if let Some(part) = parts.get_mut(index(file, config)) {
            part.bytes += bytes;
        }
    })?;
    Ok(parts)
}

/// Returns the index of the part that a file belongs to. The file's path is relative to the home.
fn index(file: &Path, config: &Config) -> usize {
    let within = |dir: &str| file.starts_with(dir);
    let is_journal = within(STATE) && file.ends_with(capstan_store::JOURNAL_FILE);
    let text = file.to_string_lossy();
    // Rotated files are FILE.1 and so on.
    let mut logs = [&config.log.vats, &config.log.slog, &config.log.file].into_iter();
    let is_log = logs.any(|name| !name.is_empty() && text.starts_with(name.as_str()));
    let belongs = [
        within(STATE) && !is_journal,
        is_journal,
        within("solo"),
        within(COMET),
        within(TRACES),
        is_log,
        within(GENESIS) || within(GENESIS_STATE),
        within(SERVE),
        within(SNAPSHOTS),
    ];
    belongs.iter().position(|belongs| *belongs).unwrap_or(belongs.len())
}

/// Calls `with` for each file below a directory, with its path in it and its size. Files that vanish meanwhile are left
/// out.
fn visit(dir: &Path, with: &mut dyn FnMut(&Path, u64)) -> io::Result<()> {
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries = match fs::read_dir(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && next != dir => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => waiting.push(path),
                Ok(found) => with(path.strip_prefix(dir).unwrap_or(&path), found.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
