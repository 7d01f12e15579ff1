//! The traces of the last blocks: the writes of each crank, in files next to the state.
//!
//! Traces are outside of consensus and may be lost at any time. They serve to compare two nodes with different app
//! hashes. [`bisect`] finds the first crank at which they differ, and the keys.
//!
//! A file `HEIGHT.trace` (16 decimal digits) holds `capstan trace 2`, a line feed, and a zlib stream of the borsh of
//! [`BlockTrace`]. The stream's checksum reveals a file that was not written to its end.

pub mod bisect;
mod log;
pub mod state;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel::queue::Place;
use capstan_kernel_ports::Hash;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use sha2::{Digest, Sha256};

use crate::observe::cause::Cause;

pub(crate) use log::TraceLog;

/// Directory and number of the traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// Directory of the traces, which is created if it is missing.
    pub dir: PathBuf,
    /// Number of blocks that are kept. Blocks that wrote nothing do not count.
    pub keep_blocks: u64,
    /// Maximum size of all traces in bytes. The last block's is kept however large it is.
    pub max_bytes: u64,
}

/// Trace of one block, link by link of the crank chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockTrace {
    /// Height of the block.
    pub height: u64,
    /// [`struct@Hash`] of the crank chain before the block.
    pub before: Hash,
    /// [`Link`]s of the crank chain in order: cranks, and changes between them.
    pub links: Vec<Link>,
    /// Writes of the application itself, such as accounts, results and uploads.
    pub app_writes: Vec<Written>,
    /// App hash after the block, or `None` if its execution did not end.
    pub app_hash: Option<Hash>,
}

/// Link of the crank chain: a crank, or a change between cranks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Link {
    /// Number of the crank, or `None` for a change between cranks, such as a transaction's.
    pub crank: Option<u64>,
    /// Description of the crank's event and of its last delivery.
    pub about: Vec<String>,
    /// [`struct@Hash`] of the crank chain after this link.
    pub hash: Hash,
    /// Writes of the link, in key order.
    pub writes: Vec<Written>,
    /// [`Place`] from which the crank took its event, or `None` if it came from no queue.
    pub place: Option<Place>,
    /// [`Cause`] of the crank or change.
    pub cause: Option<Cause>,
    /// Messages that moved from a promise to the acceptance queue: the new [`Place`] and the old one.
    pub moved: Vec<(Place, Place)>,
}

/// A write to one key of the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Written {
    /// Key in the state.
    pub key: Vec<u8>,
    /// The written [`Value`], or `None` if the key was deleted.
    pub value: Option<Value>,
}

/// A written value, whole if it is short and as its hash if it is long.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Value {
    /// A value of at most 256 bytes.
    Whole(Vec<u8>),
    /// The length and SHA-256 of a longer value.
    Hash {
        /// Length of the value, in bytes.
        bytes: u64,
        /// SHA-256 of the value.
        hash: Hash,
    },
}

/// Reason why a trace cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Error of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Damaged trace: the file is not a trace, or was not written to its end.
    #[error("{} is not a whole trace of this version: {problem}", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Description of the damage.
        problem: String,
    },
}

impl Written {
    pub(crate) fn new(key: &[u8], value: Option<&[u8]>) -> Self {
        let value = value.map(|value| match value.len() > WHOLE_BYTES {
            true => {
                Value::Hash { bytes: value.len() as u64, hash: Hash(Sha256::digest(value).into()) }
            }
            false => Value::Whole(value.to_vec()),
        });
        Self { key: key.to_vec(), value }
    }
}

impl BlockTrace {
    /// Reads the trace of the block at `height` in `dir`.
    pub fn read(dir: &Path, height: u64) -> Result<Self, TraceError> {
        let path = file(dir, height);
        let bytes =
            fs::read(&path).map_err(|source| TraceError::Io { path: path.clone(), source })?;
        let damaged = |problem: String| TraceError::Damaged { path: path.clone(), problem };
        let stream =
            bytes.strip_prefix(MARK).ok_or_else(|| damaged("it begins otherwise".to_owned()))?;
        let mut plain = Vec::new();
        ZlibDecoder::new(stream)
            .take(MAX_TRACE_BYTES)
            .read_to_end(&mut plain)
            .map_err(|error| damaged(error.to_string()))?;
        borsh::from_slice(&plain).map_err(|error| damaged(error.to_string()))
    }

    /// Writes the trace into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), TraceError> {
        let path = file(dir, self.height);
        let encode = || -> io::Result<()> {
            let mut out = MARK.to_vec();
            let mut encoder = ZlibEncoder::new(&mut out, Compression::fast());
            let plain = borsh::to_vec(self).map_err(|error| io::Error::other(error.to_string()))?;
            encoder.write_all(&plain)?;
            encoder.finish()?;
            fs::write(&path, out)
        };
        encode().map_err(|source| TraceError::Io { path: path.clone(), source })
    }
}

/// Returns the heights of the traces in `dir`, lowest first.
pub fn heights(dir: &Path) -> Result<Vec<u64>, TraceError> {
    let fault = |source| TraceError::Io { path: dir.to_owned(), source };
    let mut heights = Vec::new();
    for entry in fs::read_dir(dir).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let height: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".trace")?.parse().ok());
        heights.extend(height);
    }
    heights.sort_unstable();
    Ok(heights)
}

fn file(dir: &Path, height: u64) -> PathBuf {
    dir.join(format!("{height:016}.trace"))
}

const MARK: &[u8] = b"capstan trace 2\n";

/// Length, in bytes, up to which values are kept whole.
const WHOLE_BYTES: usize = 256;

/// Upper bound of a trace's uncompressed length, in bytes, whatever a file claims.
const MAX_TRACE_BYTES: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_back_and_a_torn_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = Link {
            crank: Some(3),
            about: vec!["send ko20".to_owned()],
            hash: Hash([1; 32]),
            writes: vec![
                Written::new(b"a", Some(b"short")),
                Written::new(b"b", Some(&[7; 1000])),
                Written::new(b"c", None),
            ],
            place: Some(Place::Run(7)),
            cause: Some(Cause::Kernel),
            moved: vec![(Place::Accepted(2), Place::Waiting { promise: 40, position: 0 })],
        };
        let trace = BlockTrace { height: 12, links: vec![link], ..BlockTrace::default() };
        trace.write(dir.path()).unwrap();
        assert_eq!(heights(dir.path()).unwrap(), [12]);
        assert_eq!(BlockTrace::read(dir.path(), 12).unwrap(), trace);
        let path = file(dir.path(), 12);
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = BlockTrace::read(dir.path(), 12).unwrap_err();
            assert!(matches!(error, TraceError::Damaged { .. }), "{length}: {error}");
        }
    }
}
