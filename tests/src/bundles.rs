use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use capstan_client::Bundle;

/// Bundles the vat at `source` (a path in the checkout) as `capstan bundle` does.
///
/// # Panics
/// If the bundler fails; `make setup` installs what it needs.
pub fn bundle(source: &str) -> Bundle {
    // Many tests of one program start from the same sources.
    static MADE: Mutex<BTreeMap<String, Bundle>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(source.to_owned()).or_insert_with(|| bundle_file(&checkout().join(source))).clone()
}

/// Bundles a vat whose source is `text`.
///
/// # Panics
/// As [`bundle`].
pub fn bundle_text(text: &str) -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("vat.js");
    std::fs::write(&source, text).unwrap();
    bundle_file(&source)
}

/// Bundles one of the examples, such as `counter`.
///
/// # Panics
/// As [`bundle`].
pub fn example(name: &str) -> Bundle {
    bundle(&format!("examples/{name}/vat-{name}.js"))
}

fn bundle_file(source: &Path) -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("bundle.json");
    let script = checkout().join("vat/js/tools/bundle.mjs");
    let done = Command::new("node")
        .arg(script)
        .arg(source)
        .arg(&target)
        .output()
        .expect("node is installed");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "bundling {} failed: {said}", source.display());
    Bundle::from_endo_json(&std::fs::read(target).unwrap()).unwrap()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
