//! Build script of the crate's embedded files: the JavaScript engine as a wasm module, and the
//! scripts that boot it. If something is missing, it stops with a message that says what to
//! install.

mod cheaper;
mod engine;
mod error;
mod faults;
mod objects;
mod permanent;
mod scripts;
mod seams;

use std::{env, fs, path::PathBuf, process::ExitCode};

use sha2::{Digest, Sha256};

use error::BuildError;

fn main() -> ExitCode {
    let built = engine::build().and_then(|()| scripts::build());
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncapstan-vat-js: {error}\n");
            ExitCode::FAILURE
        }
    }
}

/// Returns the folder of this package.
fn package_dir() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default())
}

/// Returns the folder in which the crate's `include_bytes!` finds the built files.
fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default())
}

fn write_output(name: &str, bytes: &[u8]) -> Result<(), BuildError> {
    let path = out_dir().join(name);
    fs::write(&path, bytes).map_err(|error| BuildError::Write { path, error })
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
