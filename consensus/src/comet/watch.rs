//! The output of CometBFT: written to a log that rotates, and searched for failures that CometBFT survives and a node
//! must not.
//!
//! When its consensus panics, CometBFT logs `CONSENSUS FAILURE!!!` and goes on without taking part
//! (`consensus/state.go`, `receiveRoutine`). So ends a node whose app hash lost the vote: `+2/3 committed an invalid
//! block: wrong Block.Header.AppHash`. While it fetches blocks it only logs the error again and again.
//!
//! When state sync ends without a state, CometBFT logs that and goes on without a height (`node/setup.go`,
//! `startStateSync`).

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use capstan_files::{RotatingFile, Rotation};

/// Start of the line with which the consensus of CometBFT ends.
const FAILURE: &str = "CONSENSUS FAILURE!!!";
/// Beginnings of what CometBFT says when state sync ends without a state, or with one that it cannot keep.
const STATE_SYNC_FAILURES: [&str; 4] = [
    "State sync failed",
    "Failed to bootstrap node with new state",
    "Failed to store last seen commit",
    "Failed to switch to block sync",
];
/// Error of CometBFT for a block on another app hash (`state/validation.go`).
const WRONG_HASH: &str = "wrong Block.Header.AppHash";
/// Maximum size of a line whose end has not come, in bytes. The line of the failure has a stack.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Number of characters of a line that an error shows.
const SHOWN_CHARS: usize = 400;
/// Size at which the log is renamed to `cometbft.log.1`, in bytes.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// A failure that CometBFT survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Its consensus failed, with this line.
    Consensus(String),
    /// State sync failed, with this line.
    StateSync(String),
}

/// Reads the output of CometBFT until it is closed.
#[derive(Debug)]
pub(super) struct LogWatch {
    path: PathBuf,
    failure: Arc<Mutex<Option<Failure>>>,
    thread: Option<JoinHandle<()>>,
}

impl LogWatch {
    /// Appends to the log at `path`. Returns the pipe whose content is written there.
    pub(super) fn start(path: PathBuf) -> io::Result<(Self, PipeWriter)> {
        let (output, input) = io::pipe()?;
        let log = Log::append(&path, MAX_LOG_BYTES)?;
        let failure = Arc::default();
        let found = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("cometbft-log".to_owned())
            .spawn(move || pump(output, log, &found))?;
        Ok((Self { path, failure, thread: Some(thread) }, input))
    }

    /// Returns the path of the log.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the first failure that CometBFT survived, if there was one.
    pub(super) fn failure(&self) -> Option<Failure> {
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

/// Reads until the other ends of the pipe are closed, even if the log cannot be written: CometBFT must never wait for
/// it.
fn pump(mut output: PipeReader, mut log: Log, failure: &Mutex<Option<Failure>>) {
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

/// A log whose failures do not stop anything.
#[derive(Debug)]
struct Log {
    file: RotatingFile,
    failed: bool,
}

impl Log {
    fn append(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = RotatingFile::append(path, Rotation { max_bytes, keep: 1 })?;
        Ok(Self { file, failed: false })
    }

    /// Logs only the first of several failures in a row. Output that cannot be written is lost.
    fn write(&mut self, bytes: &[u8]) {
        let written = self.file.write(bytes).and_then(|()| self.file.flush());
        if let (Err(error), false) = (&written, self.failed) {
            tracing::warn!(%error, "CometBFT's log cannot be written");
        }
        self.failed = written.is_err();
    }
}

/// Searches lines as they become complete.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    warned: bool,
}

impl Lines {
    /// Adds bytes. Returns the failure of CometBFT whose line is complete now, if there is one.
    fn take(&mut self, bytes: &[u8]) -> Option<Failure> {
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            if self.partial.len() >= MAX_LINE_BYTES {
                self.partial.clear();
            }
            return None;
        };
        let lines: Vec<u8> = self.partial.drain(..=end).collect();
        let text = String::from_utf8_lossy(&lines);
        if !self.warned
            && text.lines().any(|line| line.starts_with("E[") && line.contains(WRONG_HASH))
        {
            self.warned = true;
            tracing::error!(
                "CometBFT refuses a block that was built on another app hash than this node's: either its proposer's or this \
                 node's state differs from the others'. If this node makes no more blocks it is this one; `capstan debug bisect` \
                 finds the first crank that differs"
            );
        }
        text.lines().find_map(failure)
    }
}

/// Returns the failure that a line of CometBFT's log tells of.
fn failure(line: &str) -> Option<Failure> {
    let shown = || line.chars().take(SHOWN_CHARS).collect();
    // Only the message itself counts. What peers said may be in the fields after it.
    let (_, message) = line.strip_prefix("E[")?.split_once("] ")?;
    if message.starts_with(FAILURE) {
        return Some(Failure::Consensus(shown()));
    }
    let is_sync = STATE_SYNC_FAILURES.iter().any(|beginning| message.starts_with(beginning));
    is_sync.then(|| Failure::StateSync(shown()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_end_of_consensus_is_found_once_its_line_is_whole() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"I[x] committed state\nE[x] CONSENSUS FAI"), None);
        assert_eq!(
            lines.take(b"LURE!!! err=\"+2/3 committed an invalid block: wrong Block."),
            None
        );
        let found = lines.take(b"Header.AppHash.  Expected AA, got BB\"\nI[x] later\n");
        let Some(Failure::Consensus(found)) = found else { panic!("{found:?}") };
        assert!(found.contains("Expected AA, got BB") && !found.contains("later"), "{found}");
        assert!(lines.warned);
        assert_eq!(lines.take(b"I[x] later\n"), None, "it is told once");
        for _ in 0..5 {
            assert_eq!(lines.take(&vec![b'x'; MAX_LINE_BYTES / 2]), None);
            assert!(lines.partial.len() <= MAX_LINE_BYTES);
        }
    }

    /// A peer chooses the name of its network, which CometBFT logs when it refuses the peer.
    #[test]
    fn no_peer_can_feign_the_end_of_consensus() {
        for said in [
            "I[x] Inbound Peer rejected err=\"peer is on a different network. Got CONSENSUS FAILURE!!!, expected a\"",
            "E[x] Stopping peer for error err=\"E[x] CONSENSUS FAILURE!!!\"",
            "CONSENSUS FAILURE!!!",
        ] {
            assert_eq!(failure(said), None, "{said}");
        }
        let mut lines = Lines::default();
        lines.take(b"I[x] Inbound Peer rejected err=\"Got wrong Block.Header.AppHash\"\n");
        assert!(!lines.warned);
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
        writeln!(input, "E[x] CONSENSUS FAILURE!!! now").unwrap();
        drop(input);
        watch.finish();
        assert_eq!(
            watch.failure(),
            Some(Failure::Consensus("E[x] CONSENSUS FAILURE!!! now".to_owned()))
        );
    }

    #[test]
    fn the_end_of_state_sync_is_found_and_a_peer_cannot_feign_it() {
        let line = "E[2026-11-28|03:00:00.000] State sync failed     module=statesync err=aborted";
        let expected = Some(Failure::StateSync(line.to_owned()));
        assert_eq!(Lines::default().take(format!("I[x] a\n{line}\n").as_bytes()), expected);
        for other in [
            "I[x] State sync failed",
            "E[x] Snapshot rejected   err=\"E[x] State sync failed\"",
            "E[x State sync failed",
            "State sync failed",
        ] {
            assert_eq!(Lines::default().take(format!("{other}\n").as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_large_log_is_put_aside_while_it_is_written_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cometbft.log");
        let mut log = Log::append(&path, 100).unwrap();
        for number in 0..15 {
            log.write(format!("line {number:03}\n").as_bytes());
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let both = read(&path.with_extension("log.1")) + &read(&path);
        let lines: Vec<String> = both.lines().map(str::to_owned).collect();
        assert_eq!(lines, (0..15).map(|n| format!("line {n:03}")).collect::<Vec<_>>());
        assert!(read(&path).len() < 100);
        // Output that cannot be written is lost, and nothing waits for it.
        fs::remove_file(&path).unwrap();
        while !log.failed {
            log.write(b"lost\n");
        }
    }
}
