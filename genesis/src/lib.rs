//! The genesis document: what a chain starts from.
//!
//! [`Genesis`] is a document in CometBFT's format (`genesis.json`) whose `app_state` is an
//! [`AppState`]: accounts with balances, the chain's [`Params`], the bundles and static vats that
//! exist from the start. It is made by [`Genesis::dev`] or read by [`Genesis::from_json`], always
//! validated, written in one canonical form ([`Genesis::to_json`]) and named by the hash of that form
//! ([`Genesis::hash`]). The app gets the `app_state` part from the engine and reads it with
//! [`AppState::from_json`].

mod bundle;
mod document;
mod state;

pub use bundle::{BundleId, BundleKind, NotABundleId};
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

/// Why a genesis document is refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// It is not JSON, or not of the document's shape.
    #[error("the genesis document cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A field has a value that it must not have.
    #[error("genesis: {field}: {problem}")]
    Invalid {
        /// The field's path, as in `app_state.params.block_computrons`.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl From<InvalidParam> for GenesisError {
    fn from(InvalidParam { name, problem }: InvalidParam) -> Self {
        invalid(format!("app_state.params.{name}"), problem)
    }
}

/// Shorthand for [`GenesisError::Invalid`].
fn invalid(field: impl Into<String>, problem: impl Into<String>) -> GenesisError {
    GenesisError::Invalid { field: field.into(), problem: problem.into() }
}
