//! Proven records: their values, verified under the app hash in a block's header.

use ics23::{
    CommitmentProof, HostFunctionsManager, ProofSpec, commitment_proof::Proof, iavl_spec,
    tendermint_spec, verify_membership, verify_non_membership,
};
use prost::Message as _;
use tendermint::merkle::proof::{ProofOp, ProofOps};
use tendermint::{Hash, block::Header};

use crate::{AbciQuery, Client, ClientError};

/// Name of the store whose records are proven.
pub const PROVEN_STORE: &str = "capstan";

/// A header that is trusted, by its height and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedHeader {
    /// Height of the header.
    pub height: u32,
    /// Hash of the header.
    pub hash: Hash,
}

/// Error for a text that is not a [`TrustedHeader`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a header: expected HEIGHT:HASH, such as 7:9A… with 64 hex digits")]
pub struct NotAHeader(String);

impl std::str::FromStr for TrustedHeader {
    type Err = NotAHeader;

    fn from_str(text: &str) -> Result<Self, NotAHeader> {
        let refuse = || NotAHeader(text.to_owned());
        let (height, hash) = text.split_once(':').ok_or_else(refuse)?;
        let height = height.parse().ok().filter(|height| *height > 1).ok_or_else(refuse)?;
        // A shorter text would be filled up with zeros.
        match hash.parse() {
            Ok(_) if hash.len() != 64 => Err(refuse()),
            Ok(hash @ Hash::Sha256(_)) => Ok(Self { height, hash }),
            _ => Err(refuse()),
        }
    }
}

/// A record that was verified, or its absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRecord {
    /// Key of the record, such as `accounts/ADDRESS`.
    pub key: String,
    /// Value of the record, which is JSON. `None` if it is proved that there is none.
    pub value: Option<Vec<u8>>,
    /// Height of the state that has the record.
    pub height: u64,
    /// App hash of that state, from the header of the next height.
    pub app_hash: Vec<u8>,
    /// Hash of that header.
    pub header_hash: Hash,
}

/// Reason why an answer is not proved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The answer has no proof of the expected form.
    #[error("the answer has no proof of two operations, ics23:iavl and ics23:simple: {0}")]
    Form(&'static str),
    /// The answer is about another record.
    #[error("the answer is about {found}, not {key}")]
    Key {
        /// Key that was asked for.
        key: String,
        /// Key in the answer.
        found: String,
    },
    /// The proof does not lead from the answer to the app hash.
    #[error("the proof does not lead to the app hash {app_hash}: the node's answer is false")]
    Root {
        /// App hash in the header, in hexadecimal.
        app_hash: String,
    },
    /// The node does not have the header. The header of a height comes with its block.
    #[error(
        "the node has no header of height {0}; the app hash of a height is in the next block, so ask again when there is one"
    )]
    NoHeader(u32),
    /// The header is not the trusted one.
    #[error("the header at height {height} has the hash {found}, not {trusted}{}", elsewhere(.of))]
    Header {
        /// Height of the header.
        height: u64,
        /// Hash of the node's header.
        found: Hash,
        /// Hash that is trusted.
        trusted: Hash,
        /// Height of the node's header with the trusted hash, if it has one.
        of: Option<u64>,
    },
}

fn elsewhere(of: &Option<u64>) -> String {
    of.map_or_else(String::new, |height| {
        format!(", which is the hash of height {height}: is it {height} that you trust?")
    })
}

impl Client {
    /// Returns the record at `key` after verifying it, or its absence, under the app hash of a header.
    ///
    /// The header is the trusted one, and the record that of the height before it. Without `trusted`, the height is
    /// the node's choice and its header is believed.
    ///
    /// # Errors
    /// [`ClientError::Proof`] if the answer or the header is false, or as [`Client::abci_query`].
    pub fn proven_record(
        &self,
        key: &str,
        trusted: Option<&TrustedHeader>,
    ) -> Result<ProvenRecord, ClientError> {
        let height = trusted.map_or(0, |trusted| trusted.height.saturating_sub(1));
        let path = format!("/store/{PROVEN_STORE}/key");
        let answer = self.abci_query(&path, key.as_bytes(), height, true)?;
        let (header, at) = match trusted {
            Some(trusted) => (trusted.height, trusted.height.saturating_sub(1).into()),
            None => {
                (u32::try_from(answer.height).unwrap_or(u32::MAX).saturating_add(1), answer.height)
            }
        };
        let header = match self.block(header) {
            Err(ClientError::Rpc { .. }) => return Err(ProofError::NoHeader(header).into()),
            answer => answer?.block.header,
        };
        let header_hash = check_header(&header, at, trusted).map_err(|error| match error {
            ProofError::Header { height, found, trusted, .. } => {
                ProofError::Header { height, found, trusted, of: self.height_of(&trusted) }
            }
            other => other,
        })?;
        let app_hash = header.app_hash.as_bytes().to_vec();
        let value = verify_record(&answer, key, &app_hash)?;
        Ok(ProvenRecord { key: key.to_owned(), value, height: at, app_hash, header_hash })
    }

    /// Returns the height of the node's header with a hash, if it has one.
    fn height_of(&self, hash: &Hash) -> Option<u64> {
        let params = serde_json::json!({"hash": hash.to_string()});
        let found = self.call_json("header_by_hash", params).ok()?;
        found["header"]["height"].as_str()?.parse().ok()
    }
}

/// Checks that a header is the one after `height`, and the trusted one. Returns its hash.
fn check_header(
    header: &Header,
    height: u64,
    trusted: Option<&TrustedHeader>,
) -> Result<Hash, ProofError> {
    let found = header.hash();
    let trusted = trusted.map_or(found, |trusted| trusted.hash);
    match found == trusted && header.height.value() == height + 1 {
        true => Ok(found),
        false => {
            Err(ProofError::Header { height: header.height.value(), found, trusted, of: None })
        }
    }
}

/// Verifies that an answer with a proof is about `key`, and true under `app_hash`. Returns the value, or `None` if it
/// is proved that there is none.
///
/// # Errors
/// [`ProofError`].
pub fn verify_record(
    answer: &AbciQuery,
    key: &str,
    app_hash: &[u8],
) -> Result<Option<Vec<u8>>, ProofError> {
    if answer.key != key.as_bytes() {
        let found = String::from_utf8_lossy(&answer.key).into_owned();
        return Err(ProofError::Key { key: key.to_owned(), found });
    }
    let (record, store) = operations(answer.proof.as_ref())?;
    let refuse = || ProofError::Root { app_hash: hex::encode_upper(app_hash) };
    let Some(Proof::Exist(exist)) = &store.proof else { return Err(refuse()) };
    let root = exist.value.clone();
    let name = PROVEN_STORE.as_bytes();
    let is_present = |proof, spec: &ProofSpec, root: &Vec<u8>, key, value| {
        verify_membership::<HostFunctionsManager>(proof, spec, root, key, value)
    };
    if !is_present(&store, &tendermint_spec(), &app_hash.to_vec(), name, &root) {
        return Err(refuse());
    }
    let (spec, key) = (iavl_spec(), key.as_bytes());
    match &record.proof {
        Some(Proof::Exist(_)) if is_present(&record, &spec, &root, key, &answer.value) => {
            Ok(Some(answer.value.clone()))
        }
        Some(Proof::Nonexist(_))
            if answer.value.is_empty()
                && verify_non_membership::<HostFunctionsManager>(&record, &spec, &root, key) =>
        {
            Ok(None)
        }
        _ => Err(refuse()),
    }
}

/// Decodes the two operations of a proof.
fn operations(proof: Option<&ProofOps>) -> Result<(CommitmentProof, CommitmentProof), ProofError> {
    let Some([record, store]) = proof.map(|proof| proof.ops.as_slice()) else {
        return Err(ProofError::Form("it has another number of them"));
    };
    let decode = |op: &ProofOp, kind| match op.field_type == kind {
        true => CommitmentProof::decode(op.data.as_slice())
            .map_err(|_| ProofError::Form("one is not a CommitmentProof")),
        false => Err(ProofError::Form("they have other types")),
    };
    Ok((decode(record, "ics23:iavl")?, decode(store, "ics23:simple")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_header_is_a_height_and_a_hash() {
        let hash = "9A".repeat(32);
        let header: TrustedHeader = format!("7:{hash}").parse().unwrap();
        assert_eq!((header.height, header.hash.to_string()), (7, hash.clone()));
        for wrong in ["", "7", "7:", "7:9A", &format!("1:{hash}"), &format!("x:{hash}"), &hash] {
            let error = wrong.parse::<TrustedHeader>().unwrap_err().to_string();
            assert!(error.contains("HEIGHT:HASH"), "{error}");
        }
    }
}
