//! The journal of `capstan serve`: what was begun, answered and sent, so that a restart answers nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// The answer to a call, or the settlement of a promise that the object made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) promise: String,
    pub(super) rejected: bool,
    pub(super) body: String,
    pub(super) slots: Vec<String>,
}

/// The transaction that was signed last and whose block has not been seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Its bytes, in hexadecimal. The very same bytes are sent again after a crash.
    pub(super) bytes: String,
    pub(super) sequence: u64,
    /// The calls that it answers.
    pub(super) answers: Vec<u64>,
    /// The promises of the object that it settles.
    pub(super) own: usize,
    pub(super) ack: Option<u64>,
}

/// The calls and transactions of a service that are not finished. The calls that run at a time bound its size.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The number of starts.
    pub(super) session: u64,
    /// Calls whose method was begun, with the promise of each, if somebody waits.
    pub(super) started: BTreeMap<u64, Option<String>>,
    /// Answers that no block is known to have.
    pub(super) answers: BTreeMap<u64, Answer>,
    /// Settlements of the object's own promises.
    pub(super) own: Vec<Answer>,
    /// Promises that the object made and did not settle.
    pub(super) open: BTreeSet<String>,
    /// Entries that are dealt with and not acknowledged.
    pub(super) done: BTreeSet<u64>,
    pub(super) acknowledged: u64,
    pub(super) pending: Option<Pending>,
    /// Fees of the last hour: seconds since 1970, and ucap.
    pub(super) fees: Vec<(u64, u64)>,
    /// The names under which the object was published.
    pub(super) published: BTreeSet<String>,
}

/// The [`Record`] in its file. One process has it at a time.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pub(super) record: Record,
    _lock: File,
}

impl Journal {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let lock = File::create(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another `capstan serve` uses {}; an account is served by one", dir.display())
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let path = dir.join("journal.json");
        let record = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path, record, _lock: lock })
    }

    /// Writes the record. What was written is there after a crash.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&self.record)?;
        capstan_files::write_atomic(&self.path, &bytes, 0o600)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The last entry up to which everything is dealt with, counting what `answers` will.
    pub(super) fn through(&self, answers: &[u64]) -> u64 {
        let mut through = self.record.acknowledged;
        while self.record.done.contains(&(through + 1)) || answers.contains(&(through + 1)) {
            through += 1;
        }
        through
    }

    /// Notes that a transaction is in its block.
    pub(super) fn settled(&mut self, pending: &Pending) {
        let record = &mut self.record;
        for number in &pending.answers {
            record.answers.remove(number);
            record.done.insert(*number);
        }
        for answer in record.own.drain(..pending.own.min(record.own.len())) {
            record.open.remove(&answer.promise);
        }
        if let Some(ack) = pending.ack {
            record.acknowledged = ack;
            record.done.retain(|number| *number > ack);
        }
        record.pending = None;
    }

    /// Removes the first settlement of the object's own promises, which the chain does not take.
    pub(super) fn give_up_own(&mut self) {
        let record = &mut self.record;
        for answer in record.own.drain(..record.own.len().min(1)) {
            record.open.remove(&answer.promise);
        }
    }

    /// Notes that the process ended while calls ran. Each is rejected, unless it may run again.
    pub(super) fn interrupted(&mut self, idempotent: bool) {
        let record = &mut self.record;
        let reason = r##"#{"#error":"the account's server was restarted while it worked on this call, which it does not repeat","name":"Error"}"##;
        let reject = |promise: String| Answer {
            promise,
            rejected: true,
            body: reason.to_owned(),
            slots: Vec::new(),
        };
        if !idempotent {
            for (number, promise) in std::mem::take(&mut record.started) {
                match promise {
                    Some(promise) => drop(record.answers.insert(number, reject(promise))),
                    None => drop(record.done.insert(number)),
                }
            }
        }
        record.started.clear();
        let answered: BTreeSet<_> = record.own.iter().map(|own| own.promise.clone()).collect();
        let lost: Vec<_> = record.open.difference(&answered).cloned().collect();
        record.own.extend(lost.into_iter().map(reject));
    }
}
