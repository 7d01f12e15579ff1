//! Unknown fields of protobuf, as ADR-020 of the Cosmos SDK treats them.
//!
//! A field that the chain does not know is refused, since it might mean something to the one who signed. Only
//! non-critical fields may be unknown: those whose numbers have bit 11, and only where the caller allows them.

use capstan_proto::v1::descriptors;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{Kind, MessageDescriptor};

use super::TxError;

/// The bit of a field's number that makes it non-critical.
const NON_CRITICAL: u32 = 1 << 10;

/// The fields of a message type that the chain knows.
#[derive(Clone)]
pub(super) enum Known {
    /// A type of the Cosmos SDK.
    Cosmos(&'static Cosmos),
    /// A type of `capstan.v1`.
    Capstan(MessageDescriptor),
}

/// The fields of a type of the Cosmos SDK: their numbers, and the types of those that are messages.
pub(super) struct Cosmos(&'static [(u32, Option<&'static Cosmos>)]);

/// `cosmos.tx.v1beta1.TxBody`. The messages in it are checked each by its own type.
pub(super) static TX_BODY: Cosmos =
    Cosmos(&[(1, Some(&ANY)), (2, None), (3, None), (1023, Some(&ANY)), (2047, Some(&ANY))]);

/// `cosmos.tx.v1beta1.AuthInfo`.
pub(super) static AUTH_INFO: Cosmos =
    Cosmos(&[(1, Some(&SIGNER_INFO)), (2, Some(&FEE)), (3, Some(&TIP))]);

static ANY: Cosmos = Cosmos(&[(1, None), (2, None)]);
static SIGNER_INFO: Cosmos = Cosmos(&[(1, Some(&ANY)), (2, Some(&MODE_INFO)), (3, None)]);
static MODE_INFO: Cosmos = Cosmos(&[(1, Some(&SINGLE)), (2, Some(&MULTI))]);
static SINGLE: Cosmos = Cosmos(&[(1, None)]);
static MULTI: Cosmos = Cosmos(&[(1, Some(&BIT_ARRAY)), (2, Some(&MODE_INFO))]);
static BIT_ARRAY: Cosmos = Cosmos(&[(1, None), (2, None)]);
static FEE: Cosmos = Cosmos(&[(1, Some(&COIN)), (2, None), (3, None), (4, None)]);
static TIP: Cosmos = Cosmos(&[(1, Some(&COIN)), (2, None)]);
static COIN: Cosmos = Cosmos(&[(1, None), (2, None)]);

/// `cosmos.bank.v1beta1.MsgSend`.
static BANK_SEND: Cosmos = Cosmos(&[(1, None), (2, None), (3, Some(&COIN))]);

/// Checks that a message has at most `most` fields. What cannot be decoded is for the decoder to refuse.
pub(super) fn few_fields(part: &str, mut bytes: &[u8], most: usize) -> Result<(), TxError> {
    let mut count = 0;
    while let Ok((number, wire_type)) = decode_key(&mut bytes) {
        count += 1;
        if count > most {
            let problem = format!("it has more than {most} fields");
            return Err(TxError::Undecodable { part: part.to_owned(), problem });
        }
        if skip_field(wire_type, number, &mut bytes, DecodeContext::default()).is_err() {
            break;
        }
    }
    Ok(())
}

impl Known {
    /// Returns the fields of a message type, by its full name.
    pub(super) fn of_message(name: &str) -> Option<Self> {
        if name == "cosmos.bank.v1beta1.MsgSend" {
            return Some(Self::Cosmos(&BANK_SEND));
        }
        descriptors()?.get_message_by_name(name).map(Self::Capstan)
    }

    /// Returns the type of the field `number` if it is a message. The outer `None` stands for an unknown field.
    fn field(&self, number: u32) -> Option<Option<Self>> {
        match self {
            Self::Cosmos(Cosmos(fields)) => {
                let (_, message) = fields.iter().find(|(known, _)| *known == number)?;
                Some(message.map(Self::Cosmos))
            }
            Self::Capstan(message) => match message.get_field(number)?.kind() {
                Kind::Message(message) => Some(Some(Self::Capstan(message))),
                _ => Some(None),
            },
        }
    }

    /// Checks that `bytes`, a message that prost has decoded, have no unknown field that is not allowed. `part` names
    /// the message in the error.
    ///
    /// The recursion is bounded: prost refuses messages that are nested more than 100 deep.
    pub(super) fn check(
        &self,
        part: &str,
        mut bytes: &[u8],
        allows_non_critical: bool,
    ) -> Result<(), TxError> {
        let broken = |e: prost::DecodeError| TxError::Undecodable {
            part: part.to_owned(),
            problem: e.to_string(),
        };
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(broken)?;
            match self.field(number) {
                None if allows_non_critical && number & NON_CRITICAL != 0 => {}
                None => return Err(TxError::UnknownField { part: part.to_owned(), number }),
                Some(Some(message)) if wire_type == WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes).map_err(broken)?;
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let Some((inner, rest)) = bytes.split_at_checked(length) else {
                        let problem = "a field is longer than its message".to_owned();
                        return Err(TxError::Undecodable { part: part.to_owned(), problem });
                    };
                    message.check(part, inner, allows_non_critical)?;
                    bytes = rest;
                    continue;
                }
                Some(_) => {}
            }
            skip_field(wire_type, number, &mut bytes, DecodeContext::default()).map_err(broken)?;
        }
        Ok(())
    }
}
