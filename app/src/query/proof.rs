//! Proven records: their values at a height, with proofs for verifiers of ICS-23.

use capstan_store::PROVEN_STORE;
use tendermint_proto::v0_38::{
    abci::{RequestQuery, ResponseQuery},
    crypto::{ProofOp, ProofOps},
};

use super::{
    QueryError, QueryServer,
    args::{malformed, parse},
    signed,
};
use crate::records::proven::Proven;

/// Type of the proof operation from a record, or its absence, to the root of the proven tree.
///
/// The data is a `CommitmentProof` for the ICS-23 specification of IAVL.
pub const PROOF_RECORD: &str = "ics23:iavl";

/// Type of the proof operation from the root of the proven tree to the app hash.
///
/// The key is the name of the store, `capstan`. The data is a `CommitmentProof` for the ICS-23 specification of
/// Tendermint.
pub const PROOF_STORE: &str = "ics23:simple";

/// Returns the key of the proven record that a query asks for, or `None` if it asks for something else.
pub(super) fn key(path: &str, data: &[u8], prove: bool) -> Result<Option<Vec<u8>>, QueryError> {
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    if segments == ["store", PROVEN_STORE, "key"] {
        return match data.len() <= MAX_KEY_BYTES {
            true => Ok(Some(data.to_vec())),
            false => Err(malformed(format!("a key has at most {MAX_KEY_BYTES} bytes"))),
        };
    }
    let record = match *segments {
        // These are no other queries.
        ["balances", address] => Proven::Balance(parse(address)?),
        ["outbox", address, entry] => Proven::Outbox(parse(address)?, number(entry)?),
        _ if !prove => return Ok(None),
        ["accounts", address] => Proven::Account(parse(address)?),
        ["bundles", id] => Proven::Bundle(parse(id)?),
        ["txs", tx, index] => Proven::Result(parse(tx)?, number(index)?),
        ["vats", vat, "stats"] => Proven::Vat(parse(vat)?),
        ["params"] => Proven::Params,
        _ => return Err(QueryError::NoProof),
    };
    Ok(Some(record.key()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, QueryError> {
    text.parse().map_err(|_| malformed(format!("{text:?} is not a number")))
}

/// Upper bound of the length of a proven record's key, in bytes. No record has a longer one.
const MAX_KEY_BYTES: usize = 256;

/// Answers a query for the proven record at `key`.
///
/// Without a height, a proof is of the height before the last one, since the app hash of the last one is in no block
/// yet.
pub(super) fn answer(
    server: &QueryServer<'_>,
    key: Vec<u8>,
    request: &RequestQuery,
) -> Result<ResponseQuery, QueryError> {
    let state = server.state;
    let node = |error: capstan_store::Error| QueryError::Node(error.to_string());
    let last = state.height();
    let kept = state.first_height().map_err(node)?.unwrap_or(last);
    let first = kept.max(last.saturating_sub(server.limits.retain_heights));
    let refused =
        || QueryError::Height { asked: request.height, first: signed(first), height: signed(last) };
    let height = match u64::try_from(request.height).map_err(|_| refused())? {
        0 if request.prove => last.saturating_sub(1).max(first),
        0 => last,
        height if (first..=last).contains(&height) => height,
        _ => return Err(refused()),
    };
    let record = state.record(&key, height, request.prove).map_err(node)?.ok_or_else(refused)?;
    let op =
        |kind: &str, key: &[u8], data| ProofOp { r#type: kind.to_owned(), key: key.to_vec(), data };
    let proof_ops = record.proof.map(|proof| ProofOps {
        ops: vec![
            op(PROOF_RECORD, &key, proof.record),
            op(PROOF_STORE, PROVEN_STORE.as_bytes(), proof.store),
        ],
    });
    let value = record.value.unwrap_or_default().into();
    let height = signed(height);
    Ok(ResponseQuery { key: key.into(), value, proof_ops, height, ..ResponseQuery::default() })
}
