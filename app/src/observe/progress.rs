//! The note of the block in progress, from which the next start reports a block that ended the process.
//!
//! It is written before each [`Step`], in place and without waiting for the disk. So it survives any end of the process,
//! but after a loss of power it is only as new as what the operating system had written. It is outside of consensus, and
//! a node that cannot write it goes on without it.
//!
//! ```text
//! 0      "capstan running 1\n"
//! 64     1: the process was told to stop, or has said itself why it stops
//! 65     1: the transactions of a block that ended the process are being read
//! 4096   a record: Work
//! 8192   a record: BlockNote
//! ```
//!
//! A record consists of its length and CRC-32, each in 4 big-endian bytes, and its borsh encoding. A torn record does
//! not count.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::observe::watch::LastCrank;

/// A step of the execution of a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Step {
    /// The block has started.
    Started,
    /// A transaction is executed, by its place in the block.
    Transaction(u32),
    /// The kernel runs a crank.
    Crank(Box<LastCrank>),
    /// The state's root is computed.
    Root,
    /// The block is executed and waits for Commit.
    Executed,
    /// The block is written to disk.
    Committing,
}

/// The end of a process in the middle of a block, as recorded in the note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Height of the block.
    pub(crate) height: u64,
    /// Bytes of the block's transactions.
    pub(crate) txs: Vec<Vec<u8>>,
    /// SHA-256 of the override with which the block was executed, or `None`.
    pub(crate) with: Option<String>,
    /// [`Step`] that the node was executing.
    pub(crate) step: Step,
    /// Number of processes that ended in this block.
    pub(crate) times: u64,
    /// Number of processes that ended at this step of it.
    pub(crate) times_here: u64,
    /// True if the transactions may be decoded. Decoding them may be what ends processes.
    pub(crate) readable: bool,
}

/// The note, open for writing.
#[derive(Debug)]
pub(crate) struct ProgressNote {
    file: File,
    height: u64,
    deaths: Vec<Death>,
    failing: bool,
    /// Buffer that is reused for the next record.
    record: Vec<u8>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Work {
    height: u64,
    step: Step,
}

/// Borrowed form of [`Work`] for a crank. It is written for every crank, so nothing is copied.
#[derive(BorshSerialize)]
struct CrankWork<'a> {
    height: u64,
    step: CrankStep<'a>,
}

/// Borrowed form of the first variants of [`Step`], with the same encoding.
#[derive(BorshSerialize)]
#[allow(dead_code)] // the others give the crank its number
enum CrankStep<'a> {
    Started,
    Transaction(u32),
    Crank(&'a LastCrank),
}

#[derive(BorshSerialize, BorshDeserialize)]
struct BlockNote {
    height: u64,
    /// Earlier ends of processes in this block.
    deaths: Vec<Death>,
    /// True if the block was started after the last of these ends.
    started: bool,
    /// SHA-256 of the override with which the block is executed, or `None`.
    with: Option<String>,
    txs: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Death {
    at: Where,
    times: u64,
}

/// Place of a [`Step`], without its description.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Where {
    Started,
    Transaction(u32),
    Crank(u64),
    Root,
    Committing,
}

impl ProgressNote {
    /// Opens the note. Returns the [`Crash`] in a block after height `committed`, if one is recorded.
    pub(crate) fn open(path: &Path, committed: u64) -> io::Result<(Self, Option<Crash>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let (mut deaths, mut height, mut crash) = (Vec::new(), 0, None);
        let mut head = vec![0; WORK_AT as usize];
        head[..MARK.len()].copy_from_slice(MARK);
        if let Some(found) = read(&file).filter(|found| found.block.height > committed) {
            height = found.block.height;
            // If the last start ended while it decoded the transactions, no later one tries again.
            head[READING_AT as usize] = u8::from(found.reading);
            deaths = found.block.deaths.clone();
            crash = found.crash(&mut deaths);
        }
        let mut running = Self { file, height, deaths, failing: false, record: Vec::new() };
        let block = running.block_note(false, None, &[[0; 0]; 0]);
        running.file.set_len(WORK_AT)?;
        running.write(0, &head);
        running.write_record(BLOCK_AT, &block);
        Ok((running, crash))
    }

    /// Notes the start of a block. `with` is the SHA-256 of its override.
    pub(crate) fn begin_block(
        &mut self,
        height: u64,
        with: Option<String>,
        txs: &[impl AsRef<[u8]>],
    ) {
        if height != self.height {
            self.height = height;
            self.deaths.clear();
        }
        self.step(Step::Started);
        let block = self.block_note(true, with, txs);
        self.write_record(BLOCK_AT, &block);
    }

    /// Notes the next [`Step`] of the block.
    pub(crate) fn step(&mut self, step: Step) {
        let work = Work { height: self.height, step };
        self.write_record(WORK_AT, &work);
    }

    /// Notes the next action of a crank.
    pub(crate) fn crank(&mut self, crank: &LastCrank) {
        // The texts in a `LastCrank` were cut to a few hundred characters when it was created.
        let work = CrankWork { height: self.height, step: CrankStep::Crank(crank) };
        self.write_record(WORK_AT, &work);
    }

    /// Notes that the next end of the process says nothing about the block.
    pub(crate) fn stopping(&mut self) {
        self.write(STOPPING_AT, &[1]);
    }

    /// Notes whether transactions of a block that ended the process are being decoded.
    pub(crate) fn reading(&mut self, reading: bool) {
        self.write(READING_AT, &[u8::from(reading)]);
    }

    fn block_note(
        &self,
        started: bool,
        with: Option<String>,
        txs: &[impl AsRef<[u8]>],
    ) -> BlockNote {
        let txs = txs.iter().map(|tx| tx.as_ref().to_vec()).collect();
        let (height, deaths) = (self.height, self.deaths.clone());
        BlockNote { height, deaths, started, with, txs }
    }

    fn write_record(&mut self, at: u64, value: &impl BorshSerialize) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        record.extend([0; 8]);
        // Writing to memory fails only for collections of more than 2^32 elements. A block has fewer bytes.
        if value.serialize(&mut record).is_ok() {
            let bytes = &record[8..];
            let (length, sum) = (bytes.len() as u32, crc32fast::hash(bytes));
            record[..4].copy_from_slice(&length.to_be_bytes());
            record[4..8].copy_from_slice(&sum.to_be_bytes());
            self.write(at, &record);
        }
        if at == WORK_AT {
            self.record = record;
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let written = self.file.write_all_at(bytes, at);
        if let (Err(error), false) = (&written, self.failing) {
            tracing::warn!(%error, "the block in progress cannot be noted");
        }
        self.failing = written.is_err();
    }
}

/// Content of a note that was read from its file.
struct Found {
    block: BlockNote,
    step: Step,
    stopping: bool,
    reading: bool,
}

impl Found {
    /// Returns the [`Crash`] in the block and counts it, or `None` if the process did not end there.
    fn crash(self, deaths: &mut Vec<Death>) -> Option<Crash> {
        let at = self.step.place()?;
        if !self.block.started || self.stopping {
            return None;
        }
        let found = deaths.iter().position(|death| death.at == at);
        let mut here = match found {
            Some(index) => deaths.remove(index),
            None => Death { at, times: 0 },
        };
        here.times += 1;
        let times_here = here.times;
        deaths.push(here);
        // A block has many cranks, so only the latest places are kept.
        deaths.drain(..deaths.len().saturating_sub(MAX_DEATHS));
        let times = deaths.iter().map(|death| death.times).sum();
        let Self { block: BlockNote { height, with, txs, .. }, step, reading, .. } = self;
        Some(Crash { height, txs, with, step, times, times_here, readable: !reading })
    }
}

impl Step {
    fn place(&self) -> Option<Where> {
        Some(match self {
            Self::Started => Where::Started,
            Self::Transaction(index) => Where::Transaction(*index),
            Self::Crank(crank) => Where::Crank(crank.crank),
            Self::Root => Where::Root,
            Self::Executed => return None,
            Self::Committing => Where::Committing,
        })
    }
}

/// Reads a note. Returns `None` if it is missing, or if one of its records is torn.
fn read(file: &File) -> Option<Found> {
    let mut head = vec![0; READING_AT as usize + 1];
    file.read_exact_at(&mut head, 0).ok()?;
    if !head.starts_with(MARK) {
        return None;
    }
    let block: BlockNote = read_record(file, BLOCK_AT)?;
    // If the block was not started again, the work is that of an earlier start.
    let work: Option<Work> = read_record(file, WORK_AT);
    let step = work.filter(|work| work.height == block.height).map_or(Step::Executed, |w| w.step);
    let flag = |at: u64| head[at as usize] == 1;
    Some(Found { block, step, stopping: flag(STOPPING_AT), reading: flag(READING_AT) })
}

fn read_record<T: BorshDeserialize>(file: &File, at: u64) -> Option<T> {
    let mut head = [0; 8];
    file.read_exact_at(&mut head, at).ok()?;
    let number = |bytes: [u8; 4]| u32::from_be_bytes(bytes);
    let [a, b, c, d, e, f, g, h] = head;
    let length = u64::from(number([a, b, c, d]));
    if length > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, at + 8).ok()?;
    (crc32fast::hash(&bytes) == number([e, f, g, h])).then(|| borsh::from_slice(&bytes).ok())?
}

const MARK: &[u8] = b"capstan running 1\n";
const STOPPING_AT: u64 = 64;
const READING_AT: u64 = 65;
const WORK_AT: u64 = 4096;
const BLOCK_AT: u64 = 8192;

/// Upper bound of the places in one block at which ends of processes are counted.
const MAX_DEATHS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn crank(number: u64) -> Step {
        let message = "send ko20 #[\"die\",[]]".to_owned();
        let crank = LastCrank { height: 7, crank: number, message, ..LastCrank::default() };
        Step::Crank(Box::new(crank))
    }

    fn note(running: &mut ProgressNote, step: Step) {
        match &step {
            Step::Crank(crank) => running.crank(crank),
            _ => running.step(step),
        }
    }

    fn open(path: &Path, committed: u64) -> (ProgressNote, Option<Crash>) {
        ProgressNote::open(path, committed).unwrap()
    }

    #[test]
    fn a_block_that_was_begun_and_not_committed_is_told_with_its_deaths_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        let txs = [b"one".to_vec(), b"two".to_vec()];
        let die = |step: Step| {
            let (mut running, crash) = open(&path, 6);
            running.begin_block(7, None, &txs);
            note(&mut running, step);
            crash
        };
        assert_eq!(die(crank(31)), None);
        let first = die(crank(31)).unwrap();
        assert_eq!((first.height, &first.txs[..], first.step), (7, &txs[..], crank(31)));
        assert_eq!((first.times, first.times_here, first.readable), (1, 1, true));
        let second = die(Step::Transaction(1)).unwrap();
        assert_eq!((second.times, second.times_here), (2, 2));
        let third = die(Step::Root).unwrap();
        assert_eq!((third.step, third.times, third.times_here), (Step::Transaction(1), 3, 1));
        // A start that did not come to the block does not tell it again, but goes on counting.
        assert!(open(&path, 6).1.is_some_and(|crash| crash.times == 4));
        assert_eq!(open(&path, 6).1, None);
        assert_eq!(die(crank(31)), None);
        let last = open(&path, 6).1.unwrap();
        assert_eq!((last.times, last.times_here), (5, 3));
        // Committed after all, or another block: all begins anew.
        assert_eq!(die(crank(31)), None);
        assert_eq!(open(&path, 7).1, None);
        assert_eq!(die(crank(31)), None);
        assert_eq!(open(&path, 6).1.unwrap().times, 1);
    }

    #[test]
    fn what_says_nothing_about_the_block_is_no_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        let begin = || {
            let (mut running, crash) = open(&path, 6);
            assert_eq!(crash, None);
            running.begin_block(7, Some("sha".to_owned()), &[b"one"]);
            running
        };
        begin().step(Step::Executed);
        let mut told = begin();
        told.step(crank(3));
        told.stopping();
        // The work goes on for a while.
        told.step(crank(4));
        begin();
        let mut crashed = open(&path, 6);
        let found = crashed.1.as_ref().map(|crash| (&crash.step, crash.readable));
        assert_eq!(found, Some((&Step::Started, true)));
        assert_eq!(crashed.1.unwrap().with.as_deref(), Some("sha"));
        crashed.0.begin_block(7, None, &[b"one"]);
        crashed.0.reading(true);
        // As long as the block is not done the transactions are left alone.
        for _ in 0..2 {
            let (mut running, crash) = open(&path, 6);
            assert!(!crash.unwrap().readable);
            running.begin_block(7, Some("sha".to_owned()), &[b"one"]);
        }
    }

    #[test]
    fn a_torn_note_is_none_and_never_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        let (mut running, _) = open(&path, 6);
        running.begin_block(7, None, &[vec![9; 100]]);
        running.step(crank(3));
        drop(running);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).filter(|at| whole[*at] != 0) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(open(&path, 6).1, None, "byte {at}");
        }
        for length in [0, 5, 64, 4096, 4100, 8192, 8199, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(open(&path, 6).1, None, "length {length}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(open(&path, 6).1.is_some());
    }
}
