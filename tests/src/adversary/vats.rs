//! The vats that the adversary has: two that do what they are told, and some that cannot be started.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use capstan_client::Bundle;

use crate::{bundle, bundle_text, silent};

/// The wasm vat of `tests/vats/adversary.c`, compiled by the compiler that compiles the JavaScript engine.
///
/// # Panics
/// If the compiler fails; `make setup` installs it.
pub fn wasm_vat() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("vats/adversary.c")))
}

/// The JavaScript vat of `tests/vats/adversary.js`.
pub fn js_vat() -> Bundle {
    bundle("tests/vats/adversary.js")
}

/// Vats whose start or upgrade fails, each in another way.
pub(super) fn broken_vats() -> Vec<Bundle> {
    [
        "export const buildRootObject = () => { for (;;); };",
        "export const buildRootObject = () => { throw Error('\\ud800'.repeat(70000)); };",
        "export const buildRootObject = () => 'no root';",
        "throw Error('while it is loaded');",
        "for (;;);",
        "export const buildRootObject = async () => new Promise(() => {});",
    ]
    .into_iter()
    .map(bundle_text)
    .chain([Bundle::from_wasm(silent().to_vec())])
    .collect()
}

/// Vats whose start fails after it took long, by name.
pub(super) fn failing_starts() -> [(&'static str, Bundle); 4] {
    [
        ("endless", bundle_text("export const buildRootObject = () => { for (;;); };")),
        ("endlessly-loaded", bundle_text("for (;;);")),
        ("rootless", bundle_text("export const buildRootObject = () => 'no root';")),
        ("silent", Bundle::from_wasm(silent().to_vec())),
    ]
}

const FLAGS: [&str; 10] = [
    "--target=wasm32-unknown-unknown",
    "-O2",
    "-nostdlib",
    "-ffreestanding",
    "-mno-reference-types",
    "-mno-multivalue",
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-Wl,--no-entry,--max-memory=268435456,-z,stack-size=65536,--export-memory",
];

fn compile(source: &Path) -> Vec<u8> {
    let compiler = std::env::var("CAPSTAN_CLANG").unwrap_or_else(|_| "clang-22".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("vat.wasm");
    let mut command = Command::new(&compiler);
    if let Ok(linker) = std::env::var("CAPSTAN_WASM_LD") {
        command.arg(format!("-fuse-ld={linker}"));
    }
    let done = command.args(FLAGS).arg("-o").arg(&target).arg(source).output();
    let done = done.unwrap_or_else(|error| panic!("{compiler} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "compiling {} failed: {said}", source.display());
    std::fs::read(target).unwrap()
}
