//! The genesis document: the initial state and parameters of a chain.
//!
//! [`Genesis`] is a document in CometBFT's format (`genesis.json`). Its `app_state` is an [`AppState`]: accounts with
//! balances, the chain's [`Params`], and the bundles and static vats that exist from the start.
//!
//! [`Genesis::new`] and [`Genesis::dev`] build a document, and [`Genesis::from_json`] reads and validates one.
//! [`Genesis::to_json`] writes it in one canonical form, whose hash ([`Genesis::hash`]) names the chain. The application
//! receives the `app_state` part from consensus and reads it with [`AppState::from_json`].
//!
//! # Example
//!
//! ```
//! use capstan_genesis::{Address, BundleId, Genesis, GenesisBundle, GenesisError, GenesisVat};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let alice = Address([1; 20]);
//! let mut genesis = Genesis::dev("example-1", "2026-01-01T00:00:00Z", &[("alice", alice)]);
//! genesis.add_validator("one", &[7; 32], 10);
//!
//! let module = b"the bytes of a WebAssembly module";
//! let id: BundleId = format!("w1-{}", "00".repeat(32)).parse()?;
//! genesis.app_state.bundles.push(GenesisBundle::new(id.clone(), None, module));
//! genesis.app_state.kernel.vats.insert("greeter".to_owned(), GenesisVat::new(id));
//! genesis.validate()?;
//!
//! let read = Genesis::from_json(genesis.to_json()?.as_bytes())?;
//! assert_eq!(read.hash()?, genesis.hash()?);
//!
//! // A refusal names the field.
//! genesis.chain_id.clear();
//! let refused = genesis.validate();
//! assert!(matches!(refused, Err(GenesisError::Invalid { field, .. }) if field == "chain_id"));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod document;
mod state;

pub use capstan_abi::{BundleId, BundleKind, NotABundleId};
pub use capstan_proto::{
    ADDRESS_PREFIX, Address, Amount, CleanupBudget, DENOM, Fees, InvalidParam, NotAnAddress,
    NotAnAmount, Params, SystemParams,
};
pub use document::{
    AbciParams, BlockParams, ConsensusParams, EvidenceParams, Genesis, PubKey, Validator,
    ValidatorParams, VersionParams,
};
pub use state::{
    AppState, FromState, GenesisAccount, GenesisBundle, GenesisDevice, GenesisKernel, GenesisVat,
};

/// The reason for refusing a genesis document.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The text is not JSON, lacks a field, or has an unknown one.
    #[error("the genesis document cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A field has a value that is not allowed.
    #[error("genesis: {field}: {problem}")]
    Invalid {
        /// The path of the field, as in `app_state.params.block_computrons`.
        field: String,
        /// The fault, and what would be allowed.
        problem: String,
    },
}

impl From<InvalidParam> for GenesisError {
    fn from(InvalidParam { name, problem }: InvalidParam) -> Self {
        invalid(format!("app_state.params.{name}"), problem)
    }
}

/// Returns a [`GenesisError::Invalid`].
fn invalid(field: impl Into<String>, problem: impl Into<String>) -> GenesisError {
    GenesisError::Invalid { field: field.into(), problem: problem.into() }
}
