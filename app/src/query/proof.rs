//! Proofs of single keys under the app hash.

use capstan_kernel_ports::store::Read;
use capstan_store::StateView;
use tendermint_proto::v0_38::crypto::{ProofOp, ProofOps};

use super::QueryError;

/// Type of the proof operation whose data is the raw value at the key.
pub const PROOF_VALUE: &str = "capstan:value";

/// Type of the proof operation whose data is the path from the key to the app hash.
///
/// The data is an encoded [`Proof`](capstan_store::Proof). Its verification gives the SHA-256 of the value, which
/// must equal that of the data in the operation [`PROOF_VALUE`].
pub const PROOF_PATH: &str = "capstan:path";

/// Returns the value at `key` and its proof as [`ProofOps`].
pub(super) fn prove(state: &StateView, key: &[u8]) -> Result<ProofOps, QueryError> {
    let value = state.get(key)?.unwrap_or_default();
    let path = state.prove(key).map_err(|e| QueryError::Node(e.to_string()))?.to_bytes();
    let op = |kind: &str, data| ProofOp { r#type: kind.to_owned(), key: key.to_vec(), data };
    Ok(ProofOps { ops: vec![op(PROOF_VALUE, value), op(PROOF_PATH, path)] })
}
