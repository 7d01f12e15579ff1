//! Cache of files that can be rebuilt: compiled artifacts and base images.
//!
//! A hash binds each file to its key. It is checked before the contents are used, since the runtime
//! itself would accept an artifact with flipped bits. A file is named by its key in hex and holds
//! `sha256(key ‖ contents) ‖ contents`.

use std::{
    fs, io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

/// Hash over everything that the contents of a cached file depend on.
pub(crate) type Key = [u8; 32];

/// Directory of cached files. Without a directory, nothing is kept.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: Option<PathBuf>,
}

impl Cache {
    /// Opens the cache in `dir`, creating the directory if it does not exist.
    pub(crate) fn open(dir: Option<PathBuf>) -> Result<Self, (PathBuf, io::Error)> {
        if let Some(path) = &dir {
            fs::create_dir_all(path).map_err(|source| (path.clone(), source))?;
        }
        Ok(Self { dir })
    }

    /// Returns the contents stored under `key`. A file that was damaged or tampered with counts as
    /// absent.
    pub(crate) fn read(&self, kind: &str, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(kind, key)?;
        let mut bytes = match fs::read(&path) {
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

    fn path(&self, kind: &str, key: &Key) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(format!("{}.{kind}", hex::encode(key))))
    }
}

fn seal(key: &Key, contents: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(contents).finalize().into()
}

/// Writes to a temporary file and renames it, so that a reader sees all or nothing.
fn write_atomically(path: &std::path::Path, key: &Key, contents: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{unique}.tmp", std::process::id()));
    let mut file = fs::File::create(&temporary)?;
    io::Write::write_all(&mut file, &seal(key, contents))?;
    io::Write::write_all(&mut file, contents)?;
    drop(file);
    fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))
}
