//! The overrides of a home: what the validators agreed to do differently in a block, a file a block.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_app::Override;

/// All overrides in `dir`, which need not be there.
///
/// # Errors
/// Text that names the file and what is wrong with it.
pub fn read_all(dir: &Path) -> anyhow::Result<Vec<Override>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    let mut overrides = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let agreed = Override::from_json(&bytes).with_context(|| path.display().to_string())?;
        if path != override_file(dir, agreed.height) {
            let height = agreed.height;
            bail!("{} is for block {height}: name it {height}.json", path.display());
        }
        overrides.push(agreed);
    }
    Ok(overrides)
}

/// The file of the override for the block at `height`.
pub fn override_file(dir: &Path, height: u64) -> PathBuf {
    dir.join(format!("{height}.json"))
}
