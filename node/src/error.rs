use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use capstan_app::state_export::StateExportError;
use capstan_app::{NodeFault, OverrideError};
use capstan_consensus::solo::{GenesisDocError, SoloError};
use capstan_genesis::GenesisError;

use crate::config::ConfigError;

/// Reason why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The directory cannot be made or entered.
    #[error("cannot use {} as a home; choose another with --home DIR", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The directory is no home.
    #[error(
        "{} is no home of a Capstan chain; name one with --home DIR, or make one: capstan init",
        .0.display()
    )]
    NoHome(PathBuf),
    /// A new home was asked for in the place of one.
    #[error("{} is a home already; remove it or choose another directory with --home", .0.display())]
    Exists(PathBuf),
    /// The directory holds files that no home has.
    #[error(
        "{} is no home of a Capstan chain but has {} in it; choose an empty directory with --home",
        path.display(),
        name.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first such file.
        name: OsString,
    },
    /// Another version of this program made the home.
    #[error(
        "{} is a home of another version of capstan (format {found}, this one reads {expected}); use that version, or \
         another directory with --home",
        path.display()
    )]
    Format {
        /// The home.
        path: PathBuf,
        /// The version of its layout.
        found: u32,
        /// The version that this program reads.
        expected: u32,
    },
    /// The home's `home.json` holds no marker.
    #[error("{} is damaged; choose another home with --home DIR", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another process runs on the home.
    #[error(
        "another capstan runs on the home {}; stop it, or choose another home with --home DIR",
        .0.display()
    )]
    InUse(PathBuf),
    /// The home is read-only, or not the user's.
    #[error("cannot write in {}; choose another home with --home DIR", path.display())]
    ReadOnly {
        /// The home.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The home cannot be locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The state that the genesis document goes on from cannot be copied.
    #[error("the genesis document goes on from a state: cannot copy {}", path.display())]
    GenesisState {
        /// The state's file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The genesis document is refused.
    #[error("{}", path.display())]
    Genesis {
        /// The document's file.
        path: PathBuf,
        /// What is wrong with it.
        source: GenesisError,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A new document cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A new genesis document is refused.
    #[error(transparent)]
    NewGenesis(#[from] GenesisError),
}

/// Reason why the genesis document of a new chain cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NewChainError {
    /// The clock shows a time before 1970 or too far ahead.
    #[error("the clock is out of range")]
    Clock,
    /// A bundle of the system, which is part of this program, is damaged: a bug.
    #[error("a bundle of the system is damaged: {0}")]
    SystemBundle(String),
}

/// Reason why a file in `overrides/` is refused.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    /// The file or the directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or the directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file holds no override.
    #[error("{}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: OverrideError,
    },
    /// The file is named after another block than the one that it is for.
    #[error("{} is for block {height}: name it {height}.json", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The block that it is for.
        height: u64,
    },
}

/// Reason why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An override is refused.
    #[error(transparent)]
    Overrides(#[from] OverridesError),
    /// The state that the genesis document goes on from cannot be imported.
    #[error(transparent)]
    StateImport(#[from] StateExportError),
    /// The state cannot be opened.
    #[error(transparent)]
    Store(#[from] capstan_store::Error),
    /// The state was opened, and the application refuses it.
    #[error("the state in {} cannot be used", home.display())]
    State {
        /// The home.
        home: PathBuf,
        /// Why.
        source: NodeFault,
    },
    /// The vat host cannot be opened.
    #[error(transparent)]
    Host(#[from] capstan_vat_host::HostError),
    /// The slog cannot be written.
    #[error("cannot write the slog {}; --slog or log.slog in config.toml names it", path.display())]
    Slog {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The log of vats cannot be written.
    #[error("cannot write the log of vats {}; log.vats in config.toml names it", path.display())]
    VatLog {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Metrics cannot be served.
    #[error("cannot serve metrics on {addr}; choose another metrics.listen in config.toml")]
    Metrics {
        /// The address.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// An option of the configuration is wrong.
    #[error(transparent)]
    Option(#[from] crate::config::OptionError),
    /// gRPC or REST cannot be served.
    #[error(transparent)]
    Gateway(#[from] capstan_gateway::GatewayError),
    /// Consensus refuses the genesis document.
    #[error(transparent)]
    Genesis(#[from] GenesisDocError),
    /// Consensus does not start.
    #[error(transparent)]
    Consensus(#[from] SoloError),
}
