//! What CometBFT says: written to its log, which is rotated while it runs, and looked through for what CometBFT survives
//! itself and a node must not.
//!
//! When its consensus panics, CometBFT logs `CONSENSUS FAILURE!!!` and lives on without taking part (`consensus/state.go`,
//! `receiveRoutine`). A node whose app hash the others have outvoted ends so: `+2/3 committed an invalid block: wrong
//! Block.Header.AppHash`. While it fetches blocks it only says so, again and again.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Begins the line with which CometBFT's consensus ends.
const FAILURE: &str = "CONSENSUS FAILURE!!!";
/// What CometBFT says of a block that was built on another app hash (`state/validation.go`).
const WRONG_HASH: &str = "wrong Block.Header.AppHash";
/// The longest line that is kept while its end is missing: the failure's has a stack.
const MAX_LINE_BYTES: usize = 1 << 20;
/// How much of a line is told.
const SHOWN_CHARS: usize = 400;
/// A log of this size is put aside, as `cometbft.log.1`, in place of the one before.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// Takes what CometBFT prints until it closes its output.
#[derive(Debug)]
pub(super) struct LogWatch {
    path: PathBuf,
    failure: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl LogWatch {
    /// Goes on with the log at `path`. What is written to the pipe that it gives lands there.
    pub(super) fn start(path: PathBuf) -> io::Result<(Self, PipeWriter)> {
        let (output, input) = io::pipe()?;
        let log = Log::append(path.clone(), MAX_LOG_BYTES)?;
        let failure = Arc::default();
        let found = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("cometbft-log".to_owned())
            .spawn(move || pump(output, log, &found))?;
        Ok((Self { path, failure, thread: Some(thread) }, input))
    }

    /// The log.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The line with which CometBFT's consensus failed, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything that CometBFT, which has ended, said is in the log.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it was printed.
            let _ = thread.join();
        }
    }
}

/// Reads until the pipe's other ends are closed, whatever becomes of the log: CometBFT must never wait for it.
fn pump(mut output: PipeReader, mut log: Log, failure: &Mutex<Option<String>>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return tracing::warn!(%error, "CometBFT's output cannot be read"),
        };
        log.write(&buffer[..read]);
        if let Some(said) = lines.take(&buffer[..read]) {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(said);
        }
    }
}

/// A log file that is put aside when it is large.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    failed: bool,
}

impl Log {
    fn append(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, max_bytes, failed: false })
    }

    /// Tells the first of several failures in a row; what cannot be written is lost.
    fn write(&mut self, bytes: &[u8]) {
        let written = self.rotate().and_then(|()| self.file.write_all(bytes));
        self.bytes += bytes.len() as u64;
        if let (Err(error), false) = (&written, self.failed) {
            tracing::warn!(%error, "CometBFT's log cannot be written");
        }
        self.failed = written.is_err();
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.bytes < self.max_bytes {
            return Ok(());
        }
        fs::rename(&self.path, self.path.with_extension("log.1"))?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Looks through lines as they become whole.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    warned: bool,
}

impl Lines {
    /// Takes what came; the line with which CometBFT's consensus failed, if that is among what is whole now.
    fn take(&mut self, bytes: &[u8]) -> Option<String> {
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() >= MAX_LINE_BYTES {
                self.partial.clear();
            }
            return None;
        };
        let lines: Vec<u8> = self.partial.drain(..=end).collect();
        let text = String::from_utf8_lossy(&lines);
        if text.contains(WRONG_HASH) && !self.warned {
            self.warned = true;
            tracing::error!(
                "CometBFT refuses a block that was built on another app hash than this node's: either its proposer's or this \
                 node's state differs from the others'. If this node makes no more blocks it is this one; `capstan debug bisect` \
                 finds the first crank that differs"
            );
        }
        let failed = text.lines().find(|line| line.contains(FAILURE))?;
        Some(failed.chars().take(SHOWN_CHARS).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_consensus_is_found_once_its_line_is_whole() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"I[x] committed state\nE[x] CONSENSUS FAI"), None);
        assert_eq!(
            lines.take(b"LURE!!! err=\"+2/3 committed an invalid block: wrong Block."),
            None
        );
        let found = lines.take(b"Header.AppHash.  Expected AA, got BB\"\nI[x] later\n").unwrap();
        assert!(found.contains("Expected AA, got BB") && !found.contains("later"), "{found}");
        assert!(lines.warned);
        assert_eq!(lines.take(b"I[x] later\n"), None, "it is told once");
        for _ in 0..5 {
            assert_eq!(lines.take(&vec![b'x'; MAX_LINE_BYTES / 2]), None);
            assert!(lines.partial.len() <= MAX_LINE_BYTES);
        }
    }

    #[test]
    fn what_is_said_is_in_the_log_after_what_an_earlier_run_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cometbft.log");
        fs::write(&path, "CONSENSUS FAILURE!!! of an earlier run\n").unwrap();
        let (mut watch, mut input) = LogWatch::start(path.clone()).unwrap();
        writeln!(input, "I[x] hello").unwrap();
        drop(input);
        watch.finish();
        assert_eq!(watch.failure(), None);
        let log = fs::read_to_string(&path).unwrap();
        assert_eq!(log, "CONSENSUS FAILURE!!! of an earlier run\nI[x] hello\n");
        let (mut watch, mut input) = LogWatch::start(path).unwrap();
        writeln!(input, "CONSENSUS FAILURE!!! now").unwrap();
        drop(input);
        watch.finish();
        assert_eq!(watch.failure().as_deref(), Some("CONSENSUS FAILURE!!! now"));
    }

    #[test]
    fn a_large_log_is_put_aside_while_it_is_written_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cometbft.log");
        let mut log = Log::append(path.clone(), 100).unwrap();
        for number in 0..15 {
            log.write(format!("line {number:03}\n").as_bytes());
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let both = read(&path.with_extension("log.1")) + &read(&path);
        let lines: Vec<String> = both.lines().map(str::to_owned).collect();
        assert_eq!(lines, (0..15).map(|n| format!("line {n:03}")).collect::<Vec<_>>());
        assert!(read(&path).len() < 100);
        // Where it cannot be written, the lines are lost and nothing waits.
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_extension("log.1")).unwrap();
        let mut gone = Log { path: dir.path().join("no/such"), max_bytes: 0, ..log };
        gone.write(b"lost\n");
        assert!(gone.failed);
    }
}
