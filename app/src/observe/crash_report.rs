//! The report of a block that ended the process, made at the next start.

use std::{collections::BTreeMap, fmt, path::Path};

use capstan_files::printable;
use capstan_kernel::view;

use crate::{
    committed::Committed,
    observe::{
        cause,
        fatal::write_crank,
        operator::OperatorFiles,
        progress::{Crash, ProgressNote, Step},
        remedy::{self, Incident, Remedy},
    },
    overrides::Override,
    tx::{Action, Tx, TxHash},
};

/// Report about a block that ended the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// Height of the block.
    pub height: u64,
    /// Number of processes that ended in this block.
    pub times: u64,
    /// Number of processes that ended at this step of it.
    pub times_here: u64,
    /// The block's transactions, as text: hash, signer and messages.
    pub txs: Vec<String>,
    /// [`Step`] that the node was executing.
    pub step: Step,
    /// True if the block is now executed with another [`Override`] than before.
    pub overridden: bool,
    /// [`Remedy`]s for the operator if the process ends there again.
    pub remedies: Vec<Remedy>,
}

/// Opens the note of the block in progress, and reports a block that ended the last process. Returns `None` if the
/// note cannot be written.
pub(crate) fn look(
    operator: &OperatorFiles,
    committed: &Committed,
    overrides: &BTreeMap<u64, Override>,
    traces: Option<&Path>,
) -> Option<ProgressNote> {
    let (mut running, crash) = match ProgressNote::open(&operator.running, committed.state.height())
    {
        Ok(opened) => opened,
        Err(error) => {
            let path = operator.running.display();
            tracing::warn!(%error, "the block in progress cannot be noted in {path}");
            return None;
        }
    };
    if let Some(crash) = crash {
        let readable = crash.readable;
        if readable {
            running.reading(true);
        }
        let report = CrashReport::new(crash, operator, committed, overrides, traces);
        if readable {
            running.reading(false);
        }
        tracing::error!(height = report.height, times = report.times, "a block ended the process");
        let text = report.to_string();
        // It cites what vats said.
        let text = printable(&text);
        eprintln!("{text}");
        if let Err(error) = std::fs::write(&operator.report, format!("{text}\n")) {
            eprintln!("the report cannot be written to {}: {error}", operator.report.display());
        }
    }
    Some(running)
}

impl CrashReport {
    fn new(
        crash: Crash,
        operator: &OperatorFiles,
        committed: &Committed,
        overrides: &BTreeMap<u64, Override>,
        traces: Option<&Path>,
    ) -> Self {
        let Crash { height, txs, with, mut step, times, times_here, readable } = crash;
        let in_force = overrides.get(&height);
        let overridden = in_force.map(Override::sha256).is_some_and(|now| with != Some(now));
        let mut vat = None;
        if let Step::Crank(crank) = &mut step {
            vat = crank.vat().filter(|vat| lives(committed, *vat));
            if let Some(dir) = traces
                && let Err(error) = cause::resolve(dir, &mut crank.cause, height)
            {
                tracing::warn!(%error, "the traces cannot be read");
            }
        }
        let hashes: Vec<TxHash> = txs.iter().map(|tx| TxHash::digest(tx)).collect();
        let trouble = Incident {
            home: &operator.home,
            in_force,
            step: &step,
            txs: &hashes,
            critical: None,
            vat,
        };
        // A new override may already help, so no further remedy is proposed.
        let remedies = if overridden { Vec::new() } else { trouble.remedies() };
        let tell = |(bytes, hash): (&Vec<u8>, &TxHash)| match readable {
            true => about(bytes, hash, committed),
            false => format!("{hash} (not read again: the last start ended over that)"),
        };
        let txs = txs.iter().zip(&hashes).map(tell).collect();
        Self { height, times, times_here, txs, step, overridden, remedies }
    }
}

fn lives(committed: &Committed, vat: capstan_kernel_ports::VatId) -> bool {
    let state = view::vat_state(&committed.state, vat).ok().flatten();
    state.is_some_and(|state| state.status.ending().is_none())
}

/// Describes a transaction: its hash, signer and messages.
fn about(bytes: &[u8], hash: &TxHash, committed: &Committed) -> String {
    let Some(chain) = &committed.chain else { return hash.to_string() };
    match Tx::decode(bytes, &chain.params) {
        Ok(tx) => {
            let messages: Vec<String> = tx.actions.iter().map(about_action).collect();
            format!("{hash} of {}: {}", tx.signer, messages.join(", "))
        }
        Err(error) => format!("{hash}: {error}"),
    }
}

fn about_action(action: &Action) -> String {
    let kind = action.type_url();
    let kind = kind.rsplit('.').next().unwrap_or_default();
    match action {
        Action::Send { target, method, .. } => {
            let method: String = method.chars().take(MAX_METHOD_CHARS).collect();
            format!("{kind} {target} {method}")
        }
        _ => kind.to_owned(),
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, times, times_here, txs, step, .. } = self;
        writeln!(
            f,
            "the last process ended in the middle of block {height} without saying why: by an abort, a stack overflow, a \
             lack of memory, a kill or a loss of power"
        )?;
        writeln!(f, "  times     {times} in this block, {times_here} at this point of it")?;
        writeln!(f, "  block     {height}, with {} transactions", txs.len())?;
        for tx in txs.iter().take(MAX_SHOWN) {
            writeln!(f, "            {tx}")?;
        }
        if txs.len() > MAX_SHOWN {
            writeln!(f, "            and {} more", txs.len() - MAX_SHOWN)?;
        }
        match step {
            Step::Crank(crank) => write_crank(f, crank)?,
            Step::Transaction(index) => {
                writeln!(f, "  point     transaction {index} was executed")?
            }
            Step::Started => writeln!(f, "  point     nothing of it was done yet")?,
            Step::Root => {
                writeln!(f, "  point     all of it was executed, and its app hash computed")?
            }
            Step::Executed => writeln!(f, "  point     it waited to be committed")?,
            Step::Committing => writeln!(f, "  point     it was written to disk")?,
        }
        let how = if self.overridden { " with an override that is new" } else { "" };
        writeln!(f, "Nothing of the block was committed. It is executed again now{how}.")?;
        f.write_str(AGAIN)?;
        remedy::write(f, &self.remedies)
    }
}

const AGAIN: &str = "\
If that ends the process again, and on every node, the block is the cause, and the validators can agree on what to do \
differently in it (`capstan override --help`). If it ends this node alone, look at its memory, disk and program.";

/// Upper bound of the transactions that are listed.
const MAX_SHOWN: usize = 100;

/// Upper bound of the characters of a method's name.
const MAX_METHOD_CHARS: usize = 80;
