//! Canonical protobuf, as required of transactions.

use prost::{Message, Name};

use super::TxError;

/// Decodes `bytes`, which must be a canonical encoding: encoding the message again gives the same bytes.
///
/// So there are no unknown fields, no trailing bytes and no second encoding of a transaction.
pub(super) fn decode_canonical<M: Message + Default>(
    part: &str,
    bytes: &[u8],
) -> Result<M, TxError> {
    let message = M::decode(bytes)
        .map_err(|e| TxError::Undecodable { part: part.to_owned(), problem: e.to_string() })?;
    match message.encode_to_vec() == bytes {
        true => Ok(message),
        false => Err(TxError::NotCanonical(part.to_owned())),
    }
}

/// Returns the URL of a message type, as in `/capstan.v1.MsgSend`. It allocates only once.
pub(super) fn type_url<M: Name>() -> String {
    format!("/{}.{}", M::PACKAGE, M::NAME)
}
