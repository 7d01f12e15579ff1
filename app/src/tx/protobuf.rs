//! The encodings of protobuf that transactions may have.

use prost::{Message, Name};

use super::{TxError, known_fields::Known};

/// Encodings that a part of a transaction may have.
///
/// No stranger can change a transaction without making it invalid. So what the signatures do not cover byte by byte
/// has one encoding only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Any encoding without unknown fields: fields in any order, and fields that have their default values.
    Free,
    /// Any encoding. Unknown fields are ignored if they are not critical.
    FreeNonCritical,
    /// The one encoding that encoding the message again gives.
    Canonical,
}

impl Encoding {
    /// Decodes `bytes`, whose type has the fields that `known` returns. `part` names them in errors.
    pub(super) fn decode<M: Message + Default>(
        self,
        part: &str,
        bytes: &[u8],
        known: impl FnOnce() -> Option<Known>,
    ) -> Result<M, TxError> {
        let message = M::decode(bytes)
            .map_err(|e| TxError::Undecodable { part: part.to_owned(), problem: e.to_string() })?;
        // What is canonical has no unknown fields.
        if message.encode_to_vec() == bytes {
            return Ok(message);
        }
        match (self, known()) {
            (Self::Canonical, _) | (_, None) => Err(TxError::NotCanonical(part.to_owned())),
            (_, Some(known)) => {
                known.check(part, bytes, self == Self::FreeNonCritical)?;
                Ok(message)
            }
        }
    }
}

/// Decodes `bytes`, which must be a canonical encoding.
///
/// So there are no unknown fields, no trailing bytes and no second encoding of a transaction.
pub(super) fn decode_canonical<M: Message + Default>(
    part: &str,
    bytes: &[u8],
) -> Result<M, TxError> {
    Encoding::Canonical.decode(part, bytes, || None)
}

/// Returns the URL of a message type, as in `/capstan.v1.MsgSend`. It allocates only once.
pub(super) fn type_url<M: Name>() -> String {
    format!("/{}.{}", M::PACKAGE, M::NAME)
}
