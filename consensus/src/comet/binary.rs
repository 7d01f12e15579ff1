//! Finding CometBFT: the program, in the version that Capstan is tested with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of CometBFT that nodes run, as Go writes it. It is pinned in `consensus/cometbft.version`, which `make
/// setup` reads too.
pub const COMETBFT_VERSION: &str = include_str!("../../cometbft.version").trim_ascii();

/// Reason why no CometBFT can be run.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// No program was found.
    #[error(
        "cometbft {COMETBFT_VERSION} was not found in {}; install it by `make setup` or `go install \
         github.com/cometbft/cometbft/cmd/cometbft@{COMETBFT_VERSION}`, or name it with --cometbft FILE or CAPSTAN_COMETBFT",
        looked.join(", ")
    )]
    Missing {
        /// The paths that were looked at.
        looked: Vec<String>,
    },
    /// The program that was named does not run.
    #[error("{} does not run: {why}", path.display())]
    Unusable {
        /// Path of the program.
        path: PathBuf,
        /// The reason, for people.
        why: String,
    },
    /// The program has another version, which may make other blocks.
    #[error(
        "{} is cometbft {found}; Capstan runs with {COMETBFT_VERSION}. Install that by `make setup`",
        path.display()
    )]
    Version {
        /// Path of the program.
        path: PathBuf,
        /// Version of that program.
        found: String,
    },
}

/// Finds CometBFT and checks its version.
///
/// It is the program `named`, or else the one in `$CAPSTAN_COMETBFT`. Without either, the first match is taken among
/// the directories of `make setup` and `go install` and those of `$PATH`.
///
/// # Errors
/// [`BinaryError`], which says what to do.
pub fn find(named: Option<&Path>) -> Result<PathBuf, BinaryError> {
    let from_env = std::env::var_os("CAPSTAN_COMETBFT").map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(from_env) {
        return check(&path).map(|()| path);
    }
    let mut wrong = None;
    let candidates = candidates();
    for path in candidates.iter().filter(|path| path.is_file()) {
        match check(path) {
            Ok(()) => return Ok(path.clone()),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    let looked = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(wrong.unwrap_or(BinaryError::Missing { looked }))
}

fn candidates() -> Vec<PathBuf> {
    let home = std::env::home_dir();
    let cached = home
        .as_ref()
        .map(|home| home.join(".cache/capstan/cometbft").join(COMETBFT_VERSION).join("cometbft"));
    let gopath = std::env::var_os("GOPATH").map(PathBuf::from);
    let go = gopath.or_else(|| Some(home?.join("go"))).map(|go| go.join("bin/cometbft"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("cometbft"));
    cached.into_iter().chain(go).chain(on_path).collect()
}

fn check(path: &Path) -> Result<(), BinaryError> {
    let unusable = |why: String| BinaryError::Unusable { path: path.to_owned(), why };
    let output = Command::new(path).arg("version").output().map_err(|e| unusable(e.to_string()))?;
    if !output.status.success() {
        return Err(unusable(format!("`cometbft version` ended with {}", output.status)));
    }
    let found = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    // A build by `go install` knows no commit, and adds `+` and one or nothing.
    let plain = found.split('+').next().unwrap_or_default();
    match plain == COMETBFT_VERSION.trim_start_matches('v') {
        true => Ok(()),
        false => Err(BinaryError::Version { path: path.to_owned(), found }),
    }
}
