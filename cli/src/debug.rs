//! `capstan debug`: what the cranks of the last blocks did, and where two nodes went apart.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::cause::{Cause, resolve};
use capstan_app::trace::bisect::{Finding, KeyDifference, Write, bisect};
use capstan_app::trace::{BlockTrace, Link, Value as Kept, heights};
use capstan_store::Store;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::Common;
use crate::home;
use crate::output::Output;
use crate::progress::during;
use capstan_node::home::{STATE, TRACES};

/// Arguments of `capstan debug`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Example: capstan debug bisect ./node0 ./node1")]
pub(crate) enum Debug {
    /// Find the first crank at which two nodes of a chain differ, and the keys that they wrote differently.
    #[command(after_help = "Example: capstan debug bisect ./node0 ./node1\n\n\
        Compares what both homes keep of the last blocks (traces.keep_blocks in config.toml); the nodes may run.\n\
        Where these do not reach back far enough, and both nodes are stopped at one height, the states are compared too.\n\
        Ends with 0 if nothing differs, with 1 if something does.")]
    Bisect {
        /// The home of one node.
        home_a: PathBuf,
        /// The home of another one.
        home_b: PathBuf,
    },
    /// Print what the cranks of a block did: the last block that did anything, or another.
    #[command(after_help = "Example: capstan debug cranks --height 12 --keys\n\n\
        The node may run. A block at which the node had to stop is there too.\n\
        With each crank goes what led to it: the transaction whose message, directly or through other vats, put on the \
        kernel's queue what the crank worked on.")]
    Cranks {
        /// Height of the block.
        #[arg(long)]
        height: Option<u64>,
        /// Print the keys that each crank wrote, too.
        #[arg(long)]
        keys: bool,
    },
}

impl Debug {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Bisect { home_a, home_b } => bisect_homes(&home_a, &home_b, output),
            Self::Cranks { height, keys } => cranks(&home::path(common)?, height, keys, output),
        }
    }
}

fn bisect_homes(a: &Path, b: &Path, output: Output) -> anyhow::Result<()> {
    let found = bisect(&a.join(TRACES), &b.join(TRACES))
        .context("cannot compare; name two homes whose nodes keep traces")?;
    let names = [a.display().to_string(), b.display().to_string()];
    let mut record = finding_json(&found, &names);
    let mut text = finding_text(&found, &names);
    // Where the traces do not tell the keys, the states may.
    let untold = matches!(
        found,
        Finding::Before { .. } | Finding::Hash { .. } | Finding::Same { compared: None }
    );
    if untold {
        let (note, keys) = compare_states(a, b)?;
        record["states"] = json!({"note": note, "keys": keys_json(&keys)});
        text =
            [text, note].into_iter().chain(key_lines(&keys, &names)).collect::<Vec<_>>().join("\n");
    }
    output.either(&record, &text);
    match found {
        Finding::Same { compared: Some(_) } => Ok(()),
        Finding::Same { compared: None } => bail!(
            "there is no block of which both homes have a trace; raise traces.keep_blocks in config.toml"
        ),
        Finding::Before { .. } => bail!(
            "the nodes differ already before the first block that both have; raise traces.keep_blocks in config.toml"
        ),
        _ => bail!("the nodes differ"),
    }
}

/// Compares the committed states of two nodes that do not run.
fn compare_states(a: &Path, b: &Path) -> anyhow::Result<(String, Vec<KeyDifference>)> {
    let open = |home: &Path| -> anyhow::Result<Option<Store>> {
        if !home.join(STATE).join(capstan_store::FILE).exists() {
            return Ok(None);
        }
        match Store::open(home.join(STATE), capstan_store::Options::default()) {
            Ok(store) => Ok(Some(store)),
            Err(capstan_store::Error::Locked { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let (Some(left), Some(right)) = (open(a)?, open(b)?) else {
        let note = "The states themselves can be compared when both nodes are stopped.";
        return Ok((note.to_owned(), Vec::new()));
    };
    if left.height() != right.height() {
        let note = format!(
            "The states cannot be compared: they are at heights {} and {}. Let both nodes stop at one height.",
            left.height(),
            right.height()
        );
        return Ok((note, Vec::new()));
    }
    let keys = during("comparing the states", || {
        capstan_app::trace::state::differences(&left.reader(), &right.reader(), MAX_KEYS)
    });
    let note = format!(
        "The states at height {}, of which at most {MAX_KEYS} keys are shown:",
        left.height()
    );
    Ok((note, keys.map_err(anyhow::Error::new)?))
}

/// Number of keys that are printed of states that differ.
const MAX_KEYS: usize = 100;

fn finding_json(found: &Finding, names: &[String; 2]) -> Value {
    match found {
        Finding::Same { compared } => json!({"differ": false, "compared": compared}),
        Finding::Before { height } => json!({"differ": true, "where": "before", "height": height}),
        Finding::Link { height, position, links, keys } => {
            let sides = links.iter().zip(names).map(|(link, name)| {
                json!({"home": name, "link": link.as_ref().map(|link| link_json(link, false))})
            });
            json!({
                "differ": true, "where": "crank", "height": height, "position": position,
                "nodes": sides.collect::<Vec<_>>(), "keys": keys_json(keys),
            })
        }
        Finding::App { height, keys } => {
            json!({"differ": true, "where": "app", "height": height, "keys": keys_json(keys)})
        }
        Finding::Hash { height } => json!({"differ": true, "where": "state", "height": height}),
    }
}

fn finding_text(found: &Finding, names: &[String; 2]) -> String {
    match found {
        Finding::Same { compared: Some((first, last)) } => {
            format!("No difference in the blocks {first} to {last}.")
        }
        Finding::Same { compared: None } => "No block was compared.".to_owned(),
        Finding::Before { height } => {
            format!("Block {height} begins on different states.")
        }
        Finding::Link { height, position, links, keys } => {
            let mut lines =
                vec![format!("The nodes differ from block {height}, step {position}, on.")];
            for (link, name) in links.iter().zip(names) {
                lines.push(format!("{name}:"));
                match link {
                    Some(link) => lines.extend(link_lines(link)),
                    None => lines.push("  the block had ended".to_owned()),
                }
            }
            lines.extend(key_lines(keys, names));
            lines.join("\n")
        }
        Finding::App { height, keys } => {
            let mut lines =
                vec![format!("All cranks of block {height} agree; the app's own records differ.")];
            lines.extend(key_lines(keys, names));
            lines.join("\n")
        }
        Finding::Hash { height } => format!(
            "All that block {height} wrote agrees, and the app hashes do not: one of the stores is damaged. Start each \
             node with store.check_at_start = true in config.toml."
        ),
    }
}

fn cranks(home: &Path, height: Option<u64>, keys: bool, output: Output) -> anyhow::Result<()> {
    let dir = home.join(TRACES);
    let all = heights(&dir)
        .context("there are no traces; has the node run, with traces.keep_blocks above 0?")?;
    let height = match height.or(all.last().copied()) {
        Some(height) if all.contains(&height) => height,
        Some(height) => bail!("there is no trace of block {height}; there are those of {all:?}"),
        None => bail!("there are no traces yet in {}", dir.display()),
    };
    let mut trace = BlockTrace::read(&dir, height)?;
    resolve(&dir, trace.links.iter_mut().filter_map(|link| link.cause.as_mut()), height)?;
    let links: Vec<Value> = trace.links.iter().map(|link| link_json(link, keys)).collect();
    let record = json!({
        "height": height,
        "app_hash": trace.app_hash.map(|hash| hash.to_string()),
        "links": links,
    });
    let ended = match trace.app_hash {
        Some(hash) => format!("app hash {hash}"),
        None => "not completed".to_owned(),
    };
    let mut lines = vec![format!("block {height}, {ended}")];
    for link in &trace.links {
        lines.extend(link_lines(link));
        if keys {
            let line = |written: &capstan_app::trace::Written| {
                format!("    {} = {}", shown(&written.key), kept(written.value.as_ref()))
            };
            lines.extend(link.writes.iter().map(line));
        }
    }
    output.either(&record, &lines.join("\n"));
    Ok(())
}

fn link_json(link: &Link, keys: bool) -> Value {
    let mut record = json!({
        "crank": link.crank,
        "place": link.place.map(|place| place.to_string()),
        "about": link.about,
        "cause": link.cause.as_ref().map(Cause::to_json),
        "hash": link.hash.to_string(),
    });
    if keys {
        let row = |written: &capstan_app::trace::Written| json!({"key": shown(&written.key), "value": kept(written.value.as_ref())});
        record["writes"] = link.writes.iter().map(row).collect();
    }
    record
}

fn link_lines(link: &Link) -> Vec<String> {
    let place = link.place.map(|place| format!(" at {place}")).unwrap_or_default();
    let what = match link.crank {
        Some(crank) => format!("  crank {crank}{place}, chain {}", link.hash),
        None => format!("  between cranks, chain {}", link.hash),
    };
    let about = link.about.iter().map(|text| format!("    {text}"));
    let cause = link.cause.as_ref().map(|cause| format!("    led to by {cause}"));
    std::iter::once(what).chain(about).chain(cause).collect()
}

fn keys_json(keys: &[KeyDifference]) -> Value {
    let row = |difference: &KeyDifference| {
        let [a, b] = &difference.writes;
        json!({"key": shown(&difference.key), "a": write_text(a), "b": write_text(b)})
    };
    keys.iter().map(row).collect()
}

fn key_lines(keys: &[KeyDifference], names: &[String; 2]) -> Vec<String> {
    let mut lines = vec![format!("Keys that they wrote differently: {}", keys.len())];
    for difference in keys {
        lines.push(format!("  {}", shown(&difference.key)));
        for (write, name) in difference.writes.iter().zip(names) {
            lines.push(format!("    {name}: {}", write_text(write)));
        }
    }
    lines
}

fn write_text(write: &Write) -> String {
    match write {
        Write::Untouched => "not written".to_owned(),
        Write::Deleted => "deleted".to_owned(),
        Write::Set(value) => kept(Some(value)),
    }
}

fn kept(value: Option<&Kept>) -> String {
    match value {
        None => "deleted".to_owned(),
        Some(Kept::Whole(bytes)) => shown(bytes),
        Some(Kept::Hash { bytes, hash }) => format!("{bytes} bytes with SHA-256 {hash}"),
    }
}

/// Bytes for people: text as it is, anything else with escapes.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
