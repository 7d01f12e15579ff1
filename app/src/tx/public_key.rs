use capstan_proto::{NotAPublicKey, PublicKey};
use cosmrs::Any;

use super::TxError;

/// Decodes a key of a transaction, which must be in canonical form.
pub(super) fn decode(any: &Any) -> Result<PublicKey, TxError> {
    let part = || "public key".to_owned();
    PublicKey::from_any(any).map_err(|error| match error {
        NotAPublicKey::Undecodable(problem) => TxError::Undecodable { part: part(), problem },
        NotAPublicKey::NotCanonical => TxError::NotCanonical(part()),
        NotAPublicKey::Refused(problem) => TxError::PublicKey(problem),
    })
}
