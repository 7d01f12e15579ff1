use std::path::Path;

/// Checks that only its owner can read or write the file at `path`. Returns what is wrong and what to do if others can,
/// and `None` if they cannot.
///
/// Returns `None` too if the file cannot be examined, and on systems without Unix permissions.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let key = dir.path().join("key.json");
/// capstan_files::write_atomic(&key, b"{}", 0o600)?;
/// assert_eq!(capstan_files::exposed(&key), None);
/// # Ok(())
/// # }
/// ```
pub fn exposed(path: &Path) -> Option<String> {
    let mode = mode(path)?;
    let others = mode & 0o077 != 0;
    others.then(|| {
        let path = path.display();
        format!("others can use {path} (mode {mode:o}): run `chmod 600 {path}`")
    })
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_that_others_can_use_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        fs::write(&path, "{}").unwrap();
        for (mode, is_exposed) in
            [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o602, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = exposed(&path);
            assert_eq!(found.is_some(), is_exposed, "{mode:o}");
            if let Some(text) = found {
                assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
            }
        }
        assert_eq!(exposed(&dir.path().join("none")), None);
    }
}
