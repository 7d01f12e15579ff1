//! The directory of snapshots.
//!
//! ```text
//! DIR/1000/0 1 2 …     a finished snapshot: one file for each chunk
//! DIR/2000.partial/    one that is being written
//! DIR/0.removed/       one that is being removed
//! ```
//!
//! A snapshot appears and disappears by the renaming of its directory, so there is never half of one.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use capstan_kernel::sync::Source;
use capstan_kernel_ports::Hash;
use capstan_store::{CHUNK_BYTES, Error, MAX_CHUNK_BYTES, SnapshotHead, StateView, chunk_hash};

use crate::{fault::NodeFault, sync::about::About};

/// Reason why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Error of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The state cannot be read, or is none of which a snapshot can be written.
    #[error(transparent)]
    Store(#[from] Error),
    /// The state cannot be read.
    #[error(transparent)]
    Node(#[from] NodeFault),
    /// A chunk is not the one that its snapshot names.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// Path of the chunk's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such snapshot.
    #[error("there is no snapshot of height {height} in {}", dir.display())]
    Missing {
        /// Height of the snapshot.
        height: u64,
        /// Directory of snapshots.
        dir: PathBuf,
    },
    /// There is a snapshot of this height already.
    #[error("{} has a snapshot of height {height} already", dir.display())]
    Exists {
        /// Height of the snapshot.
        height: u64,
        /// Directory of snapshots.
        dir: PathBuf,
    },
    /// The writing was stopped, because the node ends.
    #[error("the node is being stopped")]
    Stopped,
}

/// The directory of snapshots of a node.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
}

/// A finished snapshot on disk.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its directory.
    pub dir: PathBuf,
    /// Its chunk 0.
    pub head: SnapshotHead,
    /// SHA-256 of chunk 0, which names the snapshot.
    pub hash: Hash,
}

impl Snapshots {
    /// Names the directory of snapshots. It need not exist.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns the finished snapshots, the lowest height first. Damaged ones are left out, and named in the log.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        let mut found = Vec::new();
        for height in self.heights()? {
            match self.open(height) {
                Ok(snapshot) => found.push(snapshot),
                Err(error) => tracing::warn!(height, %error, "a snapshot cannot be used"),
            }
        }
        Ok(found)
    }

    /// Opens the snapshot of `height`.
    ///
    /// # Errors
    /// [`SnapshotError::Missing`] if there is none. [`SnapshotError::Damaged`] if its first chunk is not one.
    pub fn open(&self, height: u64) -> Result<Snapshot, SnapshotError> {
        let snapshot = Snapshot::open(&self.dir.join(height.to_string()));
        let missing = || SnapshotError::Missing { height, dir: self.dir.clone() };
        let snapshot = match snapshot {
            Err(SnapshotError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(missing())
            }
            other => other,
        }?;
        match snapshot.head.height == height {
            true => Ok(snapshot),
            false => Err(SnapshotError::Damaged {
                problem: format!("it is of height {}", snapshot.head.height),
                path: snapshot.dir,
            }),
        }
    }

    /// Reads a chunk of the snapshot of `height`: one file. It is not checked.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], or [`SnapshotError::Damaged`] if the file is too long for a chunk.
    pub fn chunk(&self, height: u64, index: u32) -> Result<Vec<u8>, SnapshotError> {
        read_chunk(&self.dir.join(height.to_string()), index)
    }

    /// Writes a snapshot of a committed state. `go_on` is asked before each chunk, with the number of bytes so far.
    ///
    /// # Errors
    /// [`SnapshotError`]. Nothing of the snapshot is left then.
    pub fn create(
        &self,
        state: &StateView,
        go_on: &dyn Fn(u64) -> bool,
    ) -> Result<Snapshot, SnapshotError> {
        let height = state.height();
        let dir = self.dir.join(height.to_string());
        if dir.exists() {
            return Err(SnapshotError::Exists { height, dir: self.dir.clone() });
        }
        let partial = with_ending(&dir, PARTIAL);
        remove_dir(&partial)?;
        fs::create_dir_all(&partial).map_err(|source| at(&partial, source))?;
        let written = write(state, &partial, go_on);
        if let Err(error) = written {
            // The first error is the one to report. The next start removes the rest.
            let _ = remove_dir(&partial);
            return Err(error);
        }
        sync_dir(&partial)?;
        fs::rename(&partial, &dir).map_err(|source| at(&dir, source))?;
        sync_dir(&self.dir)?;
        Snapshot::open(&dir)
    }

    /// Removes all but the `keep` highest snapshots.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn keep(&self, keep: usize) -> Result<(), SnapshotError> {
        let heights = self.heights()?;
        for height in &heights[..heights.len().saturating_sub(keep)] {
            let dir = self.dir.join(height.to_string());
            let removed = with_ending(&dir, REMOVED);
            remove_dir(&removed)?;
            fs::rename(&dir, &removed).map_err(|source| at(&dir, source))?;
            remove_dir(&removed)?;
        }
        Ok(())
    }

    /// Removes what an interrupted writing or removal left.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn clear(&self) -> Result<(), SnapshotError> {
        for name in self.names()? {
            if name.ends_with(PARTIAL) || name.ends_with(REMOVED) {
                remove_dir(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Returns the heights of the finished snapshots, the lowest first.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn heights(&self) -> Result<Vec<u64>, SnapshotError> {
        let is_canonical = |name: &String, height: &u64| *name == height.to_string();
        let mut heights: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.parse().ok().filter(|height| is_canonical(name, height)))
            .collect();
        heights.sort_unstable();
        Ok(heights)
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| at(&self.dir, source))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| at(&self.dir, source))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

impl Snapshot {
    /// Opens the snapshot in the directory `dir`.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], or [`SnapshotError::Damaged`] if its first chunk is not one.
    pub fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let bytes = read_chunk(dir, 0)?;
        let head = SnapshotHead::decode(&bytes).map_err(|error| SnapshotError::Damaged {
            path: chunk_path(dir, 0),
            problem: error.to_string(),
        })?;
        Ok(Self { dir: dir.to_owned(), head, hash: chunk_hash(&bytes) })
    }

    /// Reads a chunk. It is not checked.
    ///
    /// # Errors
    /// [`SnapshotError::Io`], or [`SnapshotError::Damaged`] if the file is too long for a chunk.
    pub fn chunk(&self, index: u32) -> Result<Vec<u8>, SnapshotError> {
        read_chunk(&self.dir, index)
    }

    /// Reads a chunk, and checks that it is the one that the head names.
    ///
    /// # Errors
    /// As [`Snapshot::chunk`], and [`SnapshotError::Damaged`] if it is another one.
    pub fn checked_chunk(&self, index: u32) -> Result<Vec<u8>, SnapshotError> {
        let bytes = self.chunk(index)?;
        let named = (index as usize).checked_sub(1).map(|at| self.head.chunks.get(at));
        let expected = named.map_or(Some(&self.hash), |named| named);
        let found = chunk_hash(&bytes);
        match expected {
            Some(expected) if *expected == found => Ok(bytes),
            _ => Err(SnapshotError::Damaged {
                path: chunk_path(&self.dir, index),
                problem: format!("its SHA-256 is {found}, which the snapshot does not name"),
            }),
        }
    }
}

/// Writes the chunks of a snapshot into `dir`.
fn write(state: &StateView, dir: &Path, go_on: &dyn Fn(u64) -> bool) -> Result<(), SnapshotError> {
    let about = About::of(state)?.to_json();
    let mut source = Source::new(state).map_err(|error| Error::Snapshot(error.to_string()))?;
    let (mut bytes_so_far, mut stopped) = (0, false);
    let written = state.snapshot(about, &mut source, CHUNK_BYTES, &mut |index, bytes| {
        if !go_on(bytes_so_far) {
            stopped = true;
            return Err(Error::Snapshot("it is not wanted any more".to_owned()));
        }
        bytes_so_far += bytes.len() as u64;
        let path = chunk_path(dir, index);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|source| Error::Io { path: path.clone(), source })
    });
    match written {
        Err(_) if stopped => Err(SnapshotError::Stopped),
        other => Ok(other.map(drop)?),
    }
}

fn read_chunk(dir: &Path, index: u32) -> Result<Vec<u8>, SnapshotError> {
    let path = chunk_path(dir, index);
    // Opening another kind of file may take for ever.
    if !fs::metadata(&path).map_err(|source| at(&path, source))?.is_file() {
        return Err(SnapshotError::Damaged { path, problem: "it is no file".to_owned() });
    }
    let file = File::open(&path).map_err(|source| at(&path, source))?;
    let (mut bytes, most) = (Vec::new(), MAX_CHUNK_BYTES as u64);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|source| at(&path, source))?;
    match bytes.len() as u64 > most {
        false => Ok(bytes),
        true => {
            Err(SnapshotError::Damaged { path, problem: format!("it has more than {most} bytes") })
        }
    }
}

fn chunk_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(index.to_string())
}

/// Removes a directory, if it is there.
fn remove_dir(dir: &Path) -> Result<(), SnapshotError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(dir, error)),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), SnapshotError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| at(dir, source))
}

fn with_ending(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn at(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.to_owned(), source }
}

/// Ending of the directory of a snapshot that is being written.
const PARTIAL: &str = ".partial";
/// Ending of the directory of a snapshot that is being removed.
const REMOVED: &str = ".removed";
