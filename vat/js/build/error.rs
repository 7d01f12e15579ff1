use std::{io, path::PathBuf};

use crate::engine::{INSTALL, LLVM_MAJOR};

/// The reason why the worker or its scripts cannot be built. Its text says what to install or do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    /// A program cannot be started.
    #[error("cannot run {program}: {error}")]
    Start { program: String, error: io::Error },
    /// A program reported these errors.
    #[error("{program} failed: {errors}")]
    Program { program: String, errors: String },
    /// A program of LLVM does not run.
    #[error("{0}.\n{INSTALL}")]
    Toolchain(Box<Self>),
    /// A program of LLVM has another version.
    #[error("{program} is `{line}`, expected version {LLVM_MAJOR}.\n{INSTALL}")]
    Version { program: String, line: String },
    /// There is no compiler-rt.
    #[error("there is no wasm32 compiler-rt at {}.\n{INSTALL}", .0.display())]
    Builtins(PathBuf),
    /// Cargo does not say where QuickJS-ng lies.
    #[error("cannot find the sources of QuickJS-ng: {0}.\nRun `cargo fetch --locked`.")]
    Sources(Box<Self>),
    /// Cargo's answer is no JSON.
    #[error("cargo metadata: {0}")]
    Metadata(serde_json::Error),
    /// The lock file has no QuickJS-ng.
    #[error("Cargo.lock does not name rquickjs-sys")]
    Unlocked,
    /// The text of a seam is missing from a source, or stands there several times.
    #[error("{source_name} has {count} places like this, expected one: {found}")]
    Seam { source_name: String, count: usize, found: &'static str },
    /// QuickJS counts references where no seam guards what is permanent.
    #[error(
        "quickjs.c counts references in {count} places without a guard, expected {expected}: look for JS_REF_COUNT, and \
         add what is missing to build/permanent.rs"
    )]
    Unguarded { count: usize, expected: usize },
    /// The module differs from the one of all other nodes.
    #[error(
        "the JavaScript engine was compiled to another module than every other node runs.\n\
         expected (SHA-256, compiler / linker):\n{expected}found:\n{found}\
         If the versions differ, install the expected ones. If the sources were changed on purpose, \
         build once with CAPSTAN_BLESS=1 and commit {}.",
        committed.display()
    )]
    OtherModule { expected: String, found: String, committed: PathBuf },
    /// A bundle of the npm packages cannot be read.
    #[error(
        "cannot read {}: {error}\nInstall the locked npm packages: run `make setup`, or \
         `npm ci --ignore-scripts` in {} (Node 20 or newer).",
        path.display(), package.display()
    )]
    Uninstalled { path: PathBuf, error: io::Error, package: PathBuf },
    /// A bundle is not the one of the locked npm packages.
    #[error(
        "{} has SHA-256 {found}, expected {expected}.\nThe installed npm packages are not the \
         locked ones: run `npm ci --ignore-scripts` in {}.",
        path.display(), package.display()
    )]
    OtherBundle { path: PathBuf, found: String, expected: &'static str, package: PathBuf },
    /// A bundle is no JSON.
    #[error("{}: {error}", path.display())]
    BundleJson { path: PathBuf, error: serde_json::Error },
    /// A bundle has another form.
    #[error("{} is not a nestedEvaluate bundle", .0.display())]
    BundleForm(PathBuf),
}
