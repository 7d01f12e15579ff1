use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use capstan_files::{RotatingFile, Rotation};

use super::line::VatLine;

/// Upper bound of what is read of an earlier process's file, in bytes: more than the lines of a block.
const MAX_TAIL_BYTES: u64 = 4 << 20;

/// The file of the log of vats: a line of JSON for each [`VatLine`].
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    out: RotatingFile,
    failed: bool,
}

impl LineFile {
    pub(super) fn append(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let mut out = RotatingFile::append(path, rotation)?;
        if tail(path)?.last().is_some_and(|last| *last != b'\n') {
            // A process ended in the middle of a line, or the disk was full.
            out.write_line("")?;
            out.flush()?;
        }
        Ok(Self { path: path.to_owned(), out, failed: false })
    }

    /// Returns the lines of the block at `height` at the end of the file.
    pub(super) fn last_lines(&self, height: u64) -> VecDeque<VatLine> {
        let Ok(bytes) = tail(&self.path) else { return VecDeque::new() };
        let mut lines = VecDeque::new();
        for line in bytes.rsplit(|byte| *byte == b'\n') {
            // What is no line is what the end of a process has cut.
            match serde_json::from_slice::<VatLine>(line) {
                Ok(line) if line.height == height => lines.push_front(line),
                Ok(_) => break,
                Err(_) => {}
            }
        }
        lines
    }

    /// Writes a line, so that it survives the end of the process. A node goes on without its log.
    pub(super) fn write(&mut self, line: &VatLine) {
        let written = serde_json::to_string(line)
            .map_err(io::Error::other)
            .and_then(|text| self.out.write_line(&text))
            .and_then(|()| self.out.flush());
        if let (Err(error), false) = (&written, self.failed) {
            tracing::warn!(%error, path = %self.path.display(), "the log of vats cannot be written");
        }
        self.failed = written.is_err();
    }
}

/// Returns the last bytes of a file.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
