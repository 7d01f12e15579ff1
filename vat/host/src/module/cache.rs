//! Cache of files that can be rebuilt: compiled artifacts and base images.
//!
//! A hash binds each file to its key. It is checked before the contents are used, since the runtime
//! itself would accept an artifact with flipped bits. A file is named by its key in hex and holds
//! `sha256(key ‖ contents) ‖ contents`.
//!
//! The artifacts of users' modules are bounded together: those that were used least recently go. A module whose
//! artifact is gone is compiled again, which no vat can observe.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use sha2::{Digest, Sha256};

use crate::Usage;

/// Hash over everything that the contents of a cached file depend on.
pub(crate) type Key = [u8; 32];

/// Kind of the files that are removed when the cache is full. The few others are the engines'.
pub(crate) const ARTIFACT: &str = "artifact";

/// Directory of cached files. Without a directory, nothing is kept.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: Option<PathBuf>,
    /// Maximum size of all artifacts, in bytes. Those in use are kept all the same.
    max_bytes: u64,
    usage: Arc<Usage>,
}

impl Cache {
    /// Opens the cache in `dir`, creating the directory if it does not exist.
    pub(crate) fn open(
        dir: Option<PathBuf>,
        max_bytes: u64,
        usage: Arc<Usage>,
    ) -> Result<Self, (PathBuf, io::Error)> {
        if let Some(path) = &dir {
            fs::create_dir_all(path).map_err(|source| (path.clone(), source))?;
        }
        Ok(Self { dir, max_bytes, usage })
    }

    /// Returns the contents stored under `key`. A file that was damaged or tampered with counts as
    /// absent.
    pub(crate) fn read(&self, kind: &str, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(kind, key)?;
        let mut bytes = match read_used(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read a cached file");
                return None;
            }
        };
        match bytes.split_at_checked(32) {
            Some((hash, contents)) if hash == seal(key, contents) => {
                bytes.drain(..32);
                Some(bytes)
            }
            _ => {
                tracing::warn!(path = %path.display(), "a cached file is damaged: making it again");
                None
            }
        }
    }

    /// Stores `contents` under `key`. A failure is only logged, since they can be rebuilt next
    /// time.
    pub(crate) fn write(&self, kind: &str, key: &Key, contents: &[u8]) {
        let Some(path) = self.path(kind, key) else {
            return;
        };
        if let Err(error) = write_atomically(&path, key, contents) {
            tracing::warn!(path = %path.display(), %error, "cannot keep a cached file");
        }
    }

    /// Removes the artifacts that were used least recently until the rest is within the bound. Those for which
    /// `is_in_use` returns true stay. A failure is only logged.
    pub(crate) fn trim(&self, is_in_use: impl Fn(&Key) -> bool) {
        let Some(dir) = &self.dir else { return };
        match self.remove_oldest(dir, is_in_use) {
            Ok(bytes) => self.usage.artifact_bytes.store(bytes, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(path = %dir.display(), %error, "cannot tidy the cache");
            }
        }
    }

    /// Returns the size of the artifacts that are left.
    fn remove_oldest(&self, dir: &Path, is_in_use: impl Fn(&Key) -> bool) -> io::Result<u64> {
        let mut files = artifacts(dir)?;
        files.sort_unstable_by_key(|file| file.used);
        let mut bytes = files.iter().map(|file| file.bytes).sum::<u64>();
        for file in files {
            if bytes <= self.max_bytes {
                break;
            }
            if file.key.is_none_or(|key| !is_in_use(&key)) {
                fs::remove_file(&file.path)?;
                bytes -= file.bytes;
            }
        }
        Ok(bytes)
    }

    fn path(&self, kind: &str, key: &Key) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{}.{kind}", hex::encode(key))))
    }
}

/// A file with an artifact, or what an interrupted write left of one.
struct Artifact {
    path: PathBuf,
    /// Key of the artifact. `None` if the file is not whole.
    key: Option<Key>,
    bytes: u64,
    /// Time of the last use, which is that of the file's last change, in seconds and nanoseconds.
    used: (i64, i64),
}

fn artifacts(dir: &Path) -> io::Result<Vec<Artifact>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        let is_whole = extension == Some(ARTIFACT);
        if !is_whole && extension != Some("tmp") {
            continue;
        }
        // Another process with this cache may have removed it.
        let Ok(about) = fs::metadata(&path) else { continue };
        if !about.is_file() {
            continue;
        }
        let name = path.file_stem().and_then(OsStr::to_str);
        let key =
            name.filter(|_| is_whole).and_then(|name| hex::decode(name).ok()?.try_into().ok());
        found.push(Artifact {
            key,
            bytes: about.len(),
            used: (about.mtime(), about.mtime_nsec()),
            path,
        });
    }
    Ok(found)
}

/// Reads a file and notes its use.
fn read_used(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // The operating system's own time, which nothing here reads. Without it the file counts as older than it is.
    let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(&file, &Timestamps { last_access: now(), last_modification: now() });
    Ok(bytes)
}

fn seal(key: &Key, contents: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(contents).finalize().into()
}

/// Writes to a temporary file and renames it, so that a reader sees all or nothing.
fn write_atomically(path: &Path, key: &Key, contents: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{unique}.tmp", std::process::id()));
    let mut file = File::create(&temporary)?;
    io::Write::write_all(&mut file, &seal(key, contents))?;
    io::Write::write_all(&mut file, contents)?;
    drop(file);
    fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        [number; 32]
    }

    #[test]
    fn the_artifacts_that_were_used_least_recently_go_unless_they_are_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let usage = Arc::<Usage>::default();
        // Each file has a seal of 32 bytes.
        let cache = Cache::open(Some(dir.path().to_owned()), 500, Arc::clone(&usage)).unwrap();
        let age = |number: u8, seconds: u64| {
            let file =
                File::options().append(true).open(cache.path(ARTIFACT, &key(number)).unwrap());
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.unwrap().set_modified(time).unwrap();
        };
        for number in 1..=5 {
            cache.write(ARTIFACT, &key(number), &[number; 100]);
            age(number, u64::from(number));
        }
        cache.write("image", &key(9), &[9; 1000]);
        fs::write(dir.path().join("left.1-1.tmp"), [0; 90]).unwrap();
        // Reading is a use.
        assert_eq!(cache.read(ARTIFACT, &key(1)).unwrap(), [1; 100]);
        cache.trim(|used| *used == key(2));
        let kept = |number| cache.read(ARTIFACT, &key(number)).is_some();
        assert_eq!([1, 2, 3, 4, 5].map(kept), [true, true, false, false, true]);
        assert!(cache.read("image", &key(9)).is_some());
        assert!(usage.artifact_bytes() <= 500 && usage.artifact_bytes() >= 3 * 132);
        // What is in use stays, however much it is.
        cache.trim(|_| true);
        assert_eq!(usage.artifact_bytes(), 486);
    }
}
