use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use capstan_app::Override;

use crate::OverridesError;

/// Reads every [`Override`] in the directory `dir`. Returns none if the directory does not exist.
///
/// # Errors
/// [`OverridesError`], which names the file.
pub fn read_overrides(dir: &Path) -> Result<Vec<Override>, OverridesError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| OverridesError::Read { path, source }
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable(dir))?,
    };
    let mut overrides = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable(dir))?.path();
        let bytes = fs::read(&path).map_err(unreadable(&path))?;
        let found = Override::from_json(&bytes)
            .map_err(|source| OverridesError::Invalid { path: path.clone(), source })?;
        if path != override_file(dir, found.height) {
            return Err(OverridesError::Misnamed { path, height: found.height });
        }
        overrides.push(found);
    }
    Ok(overrides)
}

/// Returns the file of the [`Override`] for the block at `height`.
pub fn override_file(dir: &Path, height: u64) -> PathBuf {
    dir.join(format!("{height}.json"))
}
