//! The document that signers in `SIGN_MODE_LEGACY_AMINO_JSON` sign, such as Ledgers and multisigs.
//!
//! Its shape is the Cosmos SDK's `StdSignDoc`. The messages of `capstan.v1` have amino names such as
//! `capstan/MsgSend`. Their values are the protobuf's fields under the names of the `.proto` file, without those that
//! have their default values. 64-bit numbers are decimal texts, bytes are base64, enums are numbers.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cosmrs::{
    Any,
    proto::cosmos::{
        bank::v1beta1::MsgSend as MsgBankSend,
        base::v1beta1::Coin,
        tx::v1beta1::{AuthInfo, Fee, TxBody},
    },
};
use prost::{Message as _, Name as _};
use prost_reflect::{DynamicMessage, Value};
use serde::Serialize;

use crate::v1::descriptors;

/// Upper bound of a body that is signed as a document. Its text can be six times as long.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// Reason why a transaction has no amino JSON document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AminoError {
    /// A part of the transaction is not valid protobuf of its type.
    #[error("{part} cannot be decoded: {problem}")]
    Undecodable {
        /// Name of the part.
        part: String,
        /// Error of the decoder.
        problem: String,
    },
    /// A message is of a type that has no amino name.
    #[error("the message type {0} has no amino name")]
    UnknownMessage(String),
    /// A message has a field that amino JSON cannot express.
    #[error("amino JSON has no form for {0}")]
    Unsupported(&'static str),
}

/// JSON whose objects have their keys in order, as amino sorts them.
#[derive(Serialize)]
#[serde(untagged)]
enum Json {
    Text(String),
    Number(i64),
    Bool(bool),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Returns the bytes that a signer signs for a transaction, chain and account number. `body` is a `TxBody`, and
/// `auth_info` an `AuthInfo` whose first signer has the sequence.
///
/// # Errors
/// [`AminoError`].
pub fn sign_bytes(
    body: &[u8],
    auth_info: &[u8],
    chain_id: &str,
    account_number: u64,
) -> Result<Vec<u8>, AminoError> {
    let undecodable = |e: prost::DecodeError| AminoError::Undecodable {
        part: "a transaction that is signed as amino JSON".to_owned(),
        problem: e.to_string(),
    };
    let body = TxBody::decode(body).map_err(undecodable)?;
    let auth = AuthInfo::decode(auth_info).map_err(undecodable)?;
    let messages = body.messages.iter().map(message).collect::<Result<_, _>>()?;
    let sequence = auth.signer_infos.first().map_or(0, |info| info.sequence);
    let mut document = object([
        ("account_number", Json::Text(account_number.to_string())),
        ("chain_id", Json::Text(chain_id.to_owned())),
        ("fee", fee(auth.fee.unwrap_or_default())),
        ("memo", Json::Text(body.memo)),
        ("msgs", Json::Array(messages)),
        ("sequence", Json::Text(sequence.to_string())),
    ]);
    if body.timeout_height != 0 {
        document.insert("timeout_height".to_owned(), Json::Text(body.timeout_height.to_string()));
    }
    let text = serde_json::to_string(&Json::Object(document)).map_err(|e| {
        AminoError::Undecodable { part: "amino JSON".to_owned(), problem: e.to_string() }
    })?;
    Ok(escaped(&text).into_bytes())
}

/// Escapes the characters that Go's encoder escapes. They occur in texts only.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out
}

fn fee(fee: Fee) -> Json {
    let mut fields =
        object([("amount", coins(&fee.amount)), ("gas", Json::Text(fee.gas_limit.to_string()))]);
    for (name, text) in [("payer", fee.payer), ("granter", fee.granter)] {
        if !text.is_empty() {
            fields.insert(name.to_owned(), Json::Text(text));
        }
    }
    Json::Object(fields)
}

fn coins(coins: &[Coin]) -> Json {
    let coin = |coin: &Coin| {
        Json::Object(object([
            ("amount", Json::Text(coin.amount.clone())),
            ("denom", Json::Text(coin.denom.clone())),
        ]))
    };
    Json::Array(coins.iter().map(coin).collect())
}

fn object<const N: usize>(fields: [(&str, Json); N]) -> BTreeMap<String, Json> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn message(any: &Any) -> Result<Json, AminoError> {
    let undecodable = |e: prost::DecodeError| AminoError::Undecodable {
        part: any.type_url.clone(),
        problem: e.to_string(),
    };
    let (name, value) = if any.type_url == MsgBankSend::type_url() {
        let send = MsgBankSend::decode(any.value.as_slice()).map_err(undecodable)?;
        let value = object([
            ("amount", coins(&send.amount)),
            ("from_address", Json::Text(send.from_address)),
            ("to_address", Json::Text(send.to_address)),
        ]);
        ("cosmos-sdk/MsgSend".to_owned(), Json::Object(value))
    } else {
        let full_name = any.type_url.trim_start_matches('/');
        let descriptor = descriptors().and_then(|pool| pool.get_message_by_name(full_name));
        let descriptor =
            descriptor.ok_or_else(|| AminoError::UnknownMessage(any.type_url.clone()))?;
        let name = format!("capstan/{}", descriptor.name());
        let decoded = DynamicMessage::decode(descriptor, any.value.as_slice());
        (name, fields(&decoded.map_err(undecodable)?)?)
    };
    Ok(Json::Object(object([("type", Json::Text(name)), ("value", value)])))
}

/// Returns the fields of a message that do not have their default values. Messages of `capstan.v1` do not contain
/// themselves, which bounds the recursion.
fn fields(message: &DynamicMessage) -> Result<Json, AminoError> {
    let fields = message.fields().map(|(field, value)| Ok((field.name().to_owned(), json(value)?)));
    fields.collect::<Result<_, _>>().map(Json::Object)
}

fn json(value: &Value) -> Result<Json, AminoError> {
    Ok(match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(number) | Value::EnumNumber(number) => Json::Number((*number).into()),
        Value::U32(number) => Json::Number((*number).into()),
        Value::I64(number) => Json::Text(number.to_string()),
        Value::U64(number) => Json::Text(number.to_string()),
        Value::String(text) => Json::Text(text.clone()),
        Value::Bytes(bytes) => Json::Text(STANDARD.encode(bytes)),
        Value::Message(message) => fields(message)?,
        Value::List(values) => Json::Array(values.iter().map(json).collect::<Result<_, _>>()?),
        Value::F32(_) | Value::F64(_) | Value::Map(_) => {
            return Err(AminoError::Unsupported("a float or a map in amino JSON"));
        }
    })
}
