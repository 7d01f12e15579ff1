//! The genesis document: what a chain starts from.
//!
//! [`Genesis`] is a document in CometBFT's format (`genesis.json`) whose `app_state` is an
//! [`AppState`]: accounts with balances, the chain's [`Params`], the bundles and static vats that
//! exist from the start. It is made by [`Genesis::dev`] or read by [`Genesis::from_json`], always
//! validated, written in one canonical form ([`Genesis::to_json`]) and named by the hash of that form
//! ([`Genesis::hash`]). The app gets the `app_state` part from the engine and reads it with
//! [`AppState::from_json`].

mod address;
mod amount;
mod bundle;
mod document;
mod params;
mod state;

pub use address::{ADDRESS_PREFIX, Address, NotAnAddress};
pub use amount::{Amount, DENOM, NotAnAmount};
pub use bundle::{BundleId, BundleKind, NotABundleId};
pub use document::{
    AbciParams, BlockParams, ConsensusParams, EvidenceParams, Genesis, PubKey, Validator,
    ValidatorParams, VersionParams,
};
pub use params::{CleanupBudget, Fees, Params, SystemParams};
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

/// Shorthand for [`GenesisError::Invalid`].
fn invalid(field: impl Into<String>, problem: impl Into<String>) -> GenesisError {
    GenesisError::Invalid { field: field.into(), problem: problem.into() }
}
