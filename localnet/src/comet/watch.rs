//! What CometBFT says that it survives itself and a node must not.
//!
//! When its consensus panics, CometBFT logs `CONSENSUS FAILURE!!!` and lives on without taking part (`consensus/state.go`,
//! `receiveRoutine`). A node whose app hash the others have outvoted ends so: `+2/3 committed an invalid block: wrong
//! Block.Header.AppHash`. While it fetches blocks it only says so, again and again.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Begins the line with which CometBFT's consensus ends.
const FAILURE: &str = "CONSENSUS FAILURE!!!";
/// What CometBFT says of a block that was built on another app hash (`state/validation.go`).
const WRONG_HASH: &str = "wrong Block.Header.AppHash";
/// The longest line that is kept while its end is missing: the failure's has a stack.
const MAX_LINE_BYTES: usize = 1 << 20;
/// How much of a line is told.
const SHOWN_CHARS: usize = 400;

/// Follows a log from where it ended.
#[derive(Debug)]
pub(super) struct LogWatch {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
    warned: bool,
}

impl LogWatch {
    /// From the present end of the log on; it need not be there yet.
    pub(super) fn from_end(path: PathBuf) -> Self {
        let offset = std::fs::metadata(&path).map_or(0, |log| log.len());
        Self { path, offset, partial: Vec::new(), warned: false }
    }

    /// The log.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what came since the last time; the line with which CometBFT's consensus failed, if it did. A log that cannot be
    /// read tells nothing.
    pub(super) fn look(&mut self) -> Option<String> {
        let read = self.read_on();
        let _ = read.inspect_err(|error| tracing::debug!(%error, "CometBFT's log cannot be read"));
        let end = self.partial.iter().rposition(|byte| *byte == b'\n')?;
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

    fn read_on(&mut self) -> io::Result<()> {
        let mut log = File::open(&self.path)?;
        if log.metadata()?.len() < self.offset {
            // It was put aside, and a new one begun.
            self.offset = 0;
            self.partial.clear();
        }
        log.seek(SeekFrom::Start(self.offset))?;
        let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
        let read = log.take(room as u64).read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        if self.partial.len() >= MAX_LINE_BYTES && !self.partial.contains(&b'\n') {
            self.partial.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_end_of_consensus_is_found_once_its_line_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cometbft.log");
        std::fs::write(&path, "CONSENSUS FAILURE!!! of an earlier run\n").unwrap();
        let mut watch = LogWatch::from_end(path.clone());
        let mut log = File::options().append(true).open(&path).unwrap();
        assert_eq!(watch.look(), None);
        write!(log, "I[x] committed state\nE[x] CONSENSUS FAI").unwrap();
        assert_eq!(watch.look(), None);
        write!(log, "LURE!!! err=\"+2/3 committed an invalid block: wrong Block.").unwrap();
        assert_eq!(watch.look(), None);
        writeln!(log, "Header.AppHash.  Expected AA, got BB\"\nI[x] later").unwrap();
        let found = watch.look().unwrap();
        assert!(found.contains("Expected AA, got BB") && !found.contains("later"), "{found}");
        assert!(watch.warned);
        assert_eq!(watch.look(), None, "it is told once");
    }

    #[test]
    fn a_new_log_is_read_from_its_beginning_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cometbft.log");
        let mut watch = LogWatch::from_end(path.clone());
        assert_eq!(watch.look(), None);
        std::fs::write(&path, "a long line of an old log\n").unwrap();
        assert_eq!(watch.look(), None);
        std::fs::write(&path, "CONSENSUS FAILURE!!!\n").unwrap();
        assert_eq!(watch.look().as_deref(), Some("CONSENSUS FAILURE!!!"));
        std::fs::write(&path, vec![b'x'; 3 * MAX_LINE_BYTES]).unwrap();
        for _ in 0..5 {
            assert_eq!(watch.look(), None);
            assert!(watch.partial.len() <= MAX_LINE_BYTES);
        }
    }
}
