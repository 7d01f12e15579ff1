use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Replaces the file at `path` by one that holds `bytes`, durably.
///
/// After a crash the file is the old one or the new one, never a part. The bytes are written to a file beside it, whose
/// name is that of the file between `.` and `.capstan-partial`. A crash may leave it behind. `mode` holds the Unix permission
/// bits of the new file. Other systems ignore it.
///
/// # Errors
/// The partial file cannot be written or renamed. The old file is then still in place.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let partial = partial(path);
    // A file that an interrupted write left may have other permissions: the mode counts only where a file is made.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&partial, path)?;
    sync_parent(path)
}

/// Returns the path of the file that becomes the one at `path`. Nobody gives such a name to a file of their own.
fn partial(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(PARTIAL);
    path.with_file_name(name)
}

/// Returns whether a file name is that of what an interrupted [`write_atomic`] left.
pub fn is_partial(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
        && name.as_encoded_bytes().ends_with(PARTIAL.as_bytes())
}

/// End of the names of files that are being written.
const PARTIAL: &str = ".capstan-partial";

/// Makes the names in the file's directory durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Other systems cannot open a directory as a file.
    match cfg!(unix) {
        true => File::open(parent.unwrap_or(Path::new(".")))?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_file_replaces_the_old_one_and_what_an_interrupted_write_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        fs::write(dir.path().join(".key.json.capstan-partial"), "half").unwrap();
        for bytes in [b"old".as_slice(), b"new"] {
            write_atomic(&path, bytes, 0o600).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn files_of_similar_names_stay() {
        let dir = tempfile::tempdir().unwrap();
        let others = ["tx.partial", "tx.json.partial", ".tx.json.partial", "tx"];
        others.iter().for_each(|name| fs::write(dir.path().join(name), name).unwrap());
        write_atomic(&dir.path().join("tx.json"), b"new", 0o600).unwrap();
        for name in others {
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
        }
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomic(&dir.path().join("none/file"), b"", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
