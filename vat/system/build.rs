//! Build script that bundles the system vats with the project's own bundler
//! (`vat/js/tools/bundle.mjs`). It checks that each has the id that every other node has.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const VATS: [&str; 4] = ["vat-admin", "provisioner", "timer", "shell"];

/// Committed ids, one line for each: name, space, id.
const IDS: &str = "bundle-ids.txt";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncapstan-vat-system: {error}\n");
            ExitCode::FAILURE
        }
    }
}

/// The reason why the vats cannot be bundled. Its text says what to do.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    /// A file cannot be read.
    #[error("cannot read {file}: {error}")]
    Read { file: String, error: io::Error },
    /// A file cannot be written.
    #[error("cannot write {file}: {error}")]
    Write { file: String, error: io::Error },
    /// There is no Node.
    #[error(
        "cannot run node: {0}.\nInstall Node 20 or newer (Debian, Ubuntu: apt-get install nodejs \
         npm), then run `make setup`."
    )]
    Node(io::Error),
    /// The bundler reported these errors.
    #[error(
        "bundling {} failed.\n{errors}\nIf npm packages are missing, run `make setup`, or `npm ci \
         --ignore-scripts` in vat/js.",
        source_path.display()
    )]
    Bundler { source_path: PathBuf, errors: String },
    /// A bundle has another id than on other nodes.
    #[error(
        "the system vats' bundles are not those of other nodes.\nexpected:\n{expected}found:\n{found}\
         If the installed npm packages are not the locked ones, run `npm ci --ignore-scripts` in \
         vat/js. If the sources were changed on purpose, build once with CAPSTAN_BLESS=1 and commit \
         {}.",
        committed.display()
    )]
    OtherIds { expected: String, found: String, committed: PathBuf },
}

fn build() -> Result<(), BuildError> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let bundler = package.join("../js/tools/bundle.mjs");
    let tools = [
        "../js/tools/archiver.mjs",
        "../js/tools/bundle.mjs",
        "../js/tools/bundler.mjs",
        "../js/tools/causes.mjs",
        "../js/tools/endo.mjs",
        "../js/tools/missing.mjs",
        "../js/tools/module-cache.mjs",
        "../js/tools/module-kit.mjs",
        "../js/tools/notes.mjs",
        "../js/tools/vat-globals.mjs",
        "../js/tools/zip-writer.mjs",
        "../js/package-lock.json",
    ];
    for input in ["src", "package.json", IDS].into_iter().chain(tools) {
        println!("cargo::rerun-if-changed={}", package.join(input).display());
    }
    // The file appears and disappears as npm installs. The lock file pins its contents.
    println!(
        "cargo::rerun-if-changed={}",
        package.join("../js/node_modules/.package-lock.json").display()
    );
    println!("cargo::rerun-if-env-changed=CAPSTAN_BLESS");
    let mut ids = String::new();
    for name in VATS {
        let source = package.join("src").join(name).with_extension("js");
        let id = bundle(&bundler, &source, &out, &out.join(name).with_extension("json"))?;
        ids.push_str(&format!("{name} {id}\n"));
    }
    check_ids(&package.join(IDS), &ids)?;
    fs::write(out.join(IDS), &ids)
        .map_err(|error| BuildError::Write { file: IDS.to_owned(), error })
}

/// Bundles `source` to `target` and returns the bundle's id. The bundler keeps its cache in the build's own directory `out`, so
/// that a build depends on nothing of the user's.
fn bundle(bundler: &Path, source: &Path, out: &Path, target: &Path) -> Result<String, BuildError> {
    let mut node = Command::new("node");
    node.env("CAPSTAN_CACHE", out).arg(bundler).arg(source).arg(target);
    let output = node.output().map_err(BuildError::Node)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_string());
    }
    let errors = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(BuildError::Bundler { source_path: source.to_path_buf(), errors })
}

/// Compares the ids with the committed ones: every chain starts with the same vats.
fn check_ids(committed: &Path, found: &str) -> Result<(), BuildError> {
    let file = committed.display().to_string();
    if env::var_os("CAPSTAN_BLESS").is_some() {
        return fs::write(committed, found).map_err(|error| BuildError::Write { file, error });
    }
    let expected = match fs::read_to_string(committed) {
        Ok(expected) => expected,
        Err(error) => return Err(BuildError::Read { file, error }),
    };
    if expected == found {
        return Ok(());
    }
    let (found, committed) = (found.to_owned(), committed.to_path_buf());
    Err(BuildError::OtherIds { expected, found, committed })
}
