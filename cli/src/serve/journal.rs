//! The journal of `capstan serve`: what was begun, answered and sent, so that a restart answers nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// Settlements that wait to be sent, in bytes. Further ones are replaced by short rejections.
pub(super) const MAX_WAITING_BYTES: usize = 4 << 20;
/// Promises of the object that it has not settled. An answer with further ones is replaced by a rejection.
const MAX_OPEN: usize = 1_000;
/// Entries that one transaction acknowledges at most.
pub(super) const ACK_BATCH: u64 = 100;

/// The answer to a call, or the settlement of a promise that the object made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) promise: String,
    pub(super) rejected: bool,
    pub(super) body: String,
    pub(super) slots: Vec<String>,
    /// The answer says that the chain did not take the object's own.
    #[serde(default)]
    pub(super) last: bool,
}

/// The transaction that was signed last and whose block has not been seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Its bytes, in hexadecimal. The very same bytes are sent again after a crash.
    pub(super) bytes: String,
    pub(super) sequence: u64,
    /// The calls that it answers.
    pub(super) answers: Vec<u64>,
    /// The number of promises of the object that it settles.
    pub(super) own: usize,
    pub(super) ack: Option<u64>,
}

/// The calls and transactions of a service that are not finished.
///
/// The number of calls that run, [`MAX_WAITING_BYTES`] and [`MAX_OPEN`] bound its size, and the chain's bound of
/// entries that are not acknowledged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) chain_id: String,
    /// The sequence of the last transaction.
    pub(super) sequence: u64,
    /// The highest number of an object or promise of the account that was passed on.
    pub(super) exported: u64,
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
    /// Fees of the last hour, in ucap, by the minute since 1970.
    pub(super) fees: BTreeMap<u64, u64>,
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

    /// Refuses a journal of another chain, or of a chain that began again: its numbers would mean other calls.
    pub(super) fn insist_chain(&mut self, chain_id: &str, sequence: u64) -> anyhow::Result<()> {
        let record = &mut self.record;
        let is_other = !record.chain_id.is_empty() && record.chain_id != chain_id;
        if is_other || record.sequence > sequence {
            bail!(
                "{} is the journal of another chain {:?}, or of one that began again; remove it, or choose another directory with --state",
                self.path.display(),
                record.chain_id
            );
        }
        chain_id.clone_into(&mut record.chain_id);
        Ok(())
    }

    /// Writes the record. What was written is there after a crash.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(&self.record)?;
        capstan_files::write_atomic(&self.path, &bytes, 0o600)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The last entry that the next transaction can acknowledge, counting what `answers` will have dealt with.
    pub(super) fn through(&self, answers: &[u64]) -> u64 {
        let mut through = self.record.acknowledged;
        let last = through.saturating_add(ACK_BATCH);
        while through < last
            && (self.record.done.contains(&(through + 1)) || answers.contains(&(through + 1)))
        {
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
            record.acknowledged = record.acknowledged.max(ack);
            let acknowledged = record.acknowledged;
            record.done.retain(|number| *number > acknowledged);
        }
    }

    /// Removes the first settlement of the object's own promises, which the chain does not take. Returns its promise.
    pub(super) fn give_up_own(&mut self) -> Option<String> {
        let record = &mut self.record;
        let answer = record.own.drain(..record.own.len().min(1)).next()?;
        record.open.remove(&answer.promise);
        Some(answer.promise)
    }

    /// Notes the account's objects and promises in a message or settlement. Returns false, and notes nothing, if too
    /// many promises would be open.
    pub(super) fn export(&mut self, slots: &[String]) -> bool {
        let record = &mut self.record;
        let promises = slots.iter().filter(|slot| slot.starts_with("rp+"));
        let new = promises.filter(|slot| !record.open.contains(*slot)).count();
        if record.open.len() + new > MAX_OPEN {
            return false;
        }
        for slot in slots {
            if let Some(number) = slot.split_once('+').and_then(|(_, digits)| digits.parse().ok()) {
                record.exported = record.exported.max(number);
                if slot.starts_with("rp+") {
                    record.open.insert(slot.clone());
                }
            }
        }
        true
    }

    /// Adds a fee to those of the last hour. Returns false, and adds nothing, if they would exceed `limit`.
    pub(super) fn spend(&mut self, fee: u64, limit: u64, seconds: u64) -> bool {
        let minute = seconds / 60;
        let fees = &mut self.record.fees;
        fees.retain(|at, _| at + 60 >= minute);
        let spent = fees.values().fold(fee, |sum, fee| sum.saturating_add(*fee));
        if spent <= limit {
            *fees.entry(minute).or_default() += fee;
        }
        spent <= limit
    }

    /// Takes back a fee that was not paid, since no block has the transaction.
    pub(super) fn refund(&mut self, mut fee: u64) {
        for spent in self.record.fees.values_mut().rev() {
            let back = fee.min(*spent);
            *spent -= back;
            fee -= back;
        }
    }

    /// Notes that the process ended while calls ran. Each is rejected, unless it may run again.
    pub(super) fn interrupted(&mut self, idempotent: bool) {
        let record = &mut self.record;
        if !idempotent {
            for (number, promise) in std::mem::take(&mut record.started) {
                match promise {
                    Some(promise) => {
                        drop(record.answers.insert(number, Answer::error(promise, RESTARTED)));
                    }
                    None => drop(record.done.insert(number)),
                }
            }
        }
        record.started.clear();
        let answered: BTreeSet<_> = record.own.iter().map(|own| own.promise.clone()).collect();
        let lost: Vec<_> = record.open.difference(&answered).cloned().collect();
        record.own.extend(lost.into_iter().map(|promise| Answer::error(promise, RESTARTED)));
    }
}

const RESTARTED: &str =
    "the account's server was restarted while it worked on this call, which it does not repeat";

impl Record {
    /// Returns the size of the settlements that wait, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.answers.values().chain(&self.own).map(Answer::bytes).sum()
    }
}

impl Answer {
    /// Returns a rejection with an error.
    pub(super) fn error(promise: String, message: &str) -> Self {
        let body = format!("#{}", serde_json::json!({"#error": message, "name": "Error"}));
        Self { promise, rejected: true, body, slots: Vec::new(), last: false }
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len() + self.slots.iter().map(String::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(dir: &Path) -> Journal {
        Journal::open(dir).unwrap()
    }

    #[test]
    fn one_process_has_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let first = journal(dir.path());
        let error = Journal::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another `capstan serve` uses"), "{error}");
        drop(first);
        journal(dir.path());
    }

    #[test]
    fn a_journal_belongs_to_one_chain() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        journal.insist_chain("a", 5).unwrap();
        journal.record.sequence = 5;
        journal.insist_chain("a", 5).unwrap();
        for (chain_id, sequence) in [("b", 9), ("a", 4)] {
            let error = journal.insist_chain(chain_id, sequence).unwrap_err().to_string();
            assert!(error.contains("--state"), "{error}");
        }
    }

    #[test]
    fn fees_of_an_hour_are_bounded_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        assert!(journal.spend(60, 100, 0) && journal.spend(40, 100, 1_800));
        assert!(!journal.spend(1, 100, 3_000));
        assert!(journal.spend(60, 100, 3_700));
        journal.refund(30);
        assert!(journal.spend(30, 100, 3_700) && !journal.spend(1, 100, 3_700));
        for second in 0..100_000 {
            journal.spend(0, 100, second);
        }
        assert!(journal.record.fees.len() <= 62, "{}", journal.record.fees.len());
        assert!(!journal.spend(u64::MAX, 100, 1_000_000));
    }

    #[test]
    fn open_promises_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        let slots: Vec<String> = (1..=MAX_OPEN).map(|number| format!("rp+{number}")).collect();
        assert!(journal.export(&slots));
        assert!(!journal.export(&["rp+5000".to_owned()]));
        assert!(journal.export(&["ro+7000".to_owned(), "ro-9000".to_owned(), "rp+1".to_owned()]));
        assert_eq!(journal.record.exported, 7000);
    }

    #[test]
    fn one_transaction_acknowledges_a_bounded_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        journal.record.done = (2..1_000).collect();
        assert_eq!(journal.through(&[]), 0);
        assert_eq!(journal.through(&[1]), ACK_BATCH);
        let pending = Pending { answers: vec![1], ack: Some(ACK_BATCH), ..Pending::default() };
        journal.settled(&pending);
        assert_eq!(journal.record.done.first(), Some(&(ACK_BATCH + 1)));
    }
}
