//! Values of arguments, read as CometBFT reads them, with its texts about what is wrong.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::go_json::{mismatch, syntax_error};

/// Base64 as Go takes it: with padding, and with any bits after the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// The type of an argument in CometBFT's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `int64`, or a pointer to one.
    Int64,
    /// A pointer to `int`.
    Int,
    /// `uint`.
    Uint,
    /// `string`.
    Text,
    /// `bool`.
    Flag,
    /// `[]byte`, base64 in JSON.
    Bytes,
    /// A transaction, base64 in JSON.
    Tx,
    /// `HexBytes`, hexadecimal in JSON.
    Hex,
    /// Evidence of a validator's misbehavior.
    Evidence,
}

/// A value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arg {
    /// It is not given.
    None,
    Integer(i64),
    Text(String),
    Flag(bool),
    Bytes(Vec<u8>),
    /// Evidence with a known type, not decoded.
    Evidence(Value),
}

impl Kind {
    /// Returns the name of the type in Go.
    fn name(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Text => "string",
            Self::Flag => "bool",
            Self::Bytes => "[]uint8",
            Self::Tx => "types.Tx",
            Self::Hex => "bytes.HexBytes",
            Self::Evidence => "interface",
        }
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::Int64 | Self::Int | Self::Uint)
    }

    fn is_bytes(self) -> bool {
        matches!(self, Self::Bytes | Self::Tx | Self::Hex)
    }

    /// Reads a value of a JSON-RPC request.
    pub(crate) fn from_json(self, value: &Value) -> Result<Arg, String> {
        match (self, value) {
            (_, Value::Null) => Ok(Arg::None),
            (Self::Int64 | Self::Int | Self::Uint, Value::String(text)) => self.integer(text),
            (Self::Int64 | Self::Int | Self::Uint, other) => Err(no_integer(&other.to_string())),
            (Self::Text, Value::String(text)) => Ok(Arg::Text(text.clone())),
            (Self::Flag, Value::Bool(flag)) => Ok(Arg::Flag(*flag)),
            (Self::Bytes | Self::Tx, Value::String(text)) => base64(text).map(Arg::Bytes),
            (Self::Bytes | Self::Tx, Value::Array(list)) => bytes_of(list).map(Arg::Bytes),
            (Self::Hex, Value::String(text)) => hex(text).map(Arg::Bytes),
            (Self::Hex, other) => Err(format!("invalid hex string: {other}")),
            (Self::Evidence, value) => evidence(value),
            (_, other) => Err(mismatch(other, self.name())),
        }
    }

    /// Reads a value of a URI. Integers are plain or in double quotes. Texts are in double quotes. Bytes are hexadecimal
    /// after `0x`, or a text in double quotes, whose characters are the bytes.
    pub(crate) fn from_uri(self, text: &str) -> Result<Arg, String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if self.is_integer() && is_plain {
            return self.integer(text);
        }
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return self.from_digits(digits);
        }
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match (self, inner) {
            _ if text == "null" => Ok(Arg::None),
            (Self::Int64 | Self::Int | Self::Uint, Some(inner)) => self.integer(inner),
            (Self::Int64 | Self::Int | Self::Uint, None) => Err(no_integer(text)),
            (Self::Bytes | Self::Tx | Self::Hex, Some(_)) => serde_json::from_str::<String>(text)
                .map(|text| Arg::Bytes(text.into_bytes()))
                .map_err(|error| syntax_error(text, &error)),
            (Self::Hex, None) => Err(format!("invalid hex string: {text}")),
            _ => match serde_json::from_str(text) {
                Ok(value) => self.from_json(&value),
                Err(error) => Err(syntax_error(text, &error)),
            },
        }
    }

    fn from_digits(self, digits: &str) -> Result<Arg, String> {
        if self == Self::Text {
            return hex(digits)
                .map(|bytes| Arg::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        if self.is_bytes() {
            return hex(digits).map(Arg::Bytes);
        }
        Err(format!("got a hex string arg, but expected '{}'", self.name()))
    }

    /// Reads an integer: a JSON number without the quotes around it.
    fn integer(self, text: &str) -> Result<Arg, String> {
        let number = text.trim_matches([' ', '\t', '\n', '\r']);
        let value = serde_json::from_str(text).map_err(|error| syntax_error(text, &error))?;
        let fault = || {
            format!("json: cannot unmarshal number {number} into Go value of type {}", self.name())
        };
        match value {
            Value::Null => Ok(Arg::Integer(0)),
            Value::Number(_) if self == Self::Uint => {
                let number: u64 = number.parse().map_err(|_| fault())?;
                Ok(Arg::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            Value::Number(_) => number.parse().map(Arg::Integer).map_err(|_| fault()),
            other => Err(mismatch(&other, self.name())),
        }
    }
}

fn no_integer(text: &str) -> String {
    format!("invalid 64-bit integer encoding {text:?}, expected string")
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::DecodeError;
    let text = text.replace(['\r', '\n'], "");
    BASE64.decode(&text).map_err(|error| {
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) => text.len() / 4 * 4,
            DecodeError::InvalidPadding if text.ends_with('=') => text.len(),
            DecodeError::InvalidPadding => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

fn bytes_of(list: &[Value]) -> Result<Vec<u8>, String> {
    let byte = |value: &Value| match value {
        Value::Null => Ok(0),
        Value::Number(number) => {
            number.as_u64().and_then(|it| u8::try_from(it).ok()).ok_or_else(|| {
                format!("json: cannot unmarshal number {number} into Go value of type uint8")
            })
        }
        other => Err(mismatch(other, "uint8")),
    };
    list.iter().map(byte).collect()
}

/// Reads hexadecimal digits.
pub(crate) fn hex(digits: &str) -> Result<Vec<u8>, String> {
    if let Some(bad) = digits.bytes().find(|byte| !byte.is_ascii_hexdigit()) {
        let code = u32::from(bad);
        let shown = match char::from(bad) {
            bad if bad.is_control() => String::new(),
            bad => format!(" '{bad}'"),
        };
        return Err(format!("encoding/hex: invalid byte: U+{code:04X}{shown}"));
    }
    hex::decode(digits).map_err(|_| "encoding/hex: odd length hex string".to_owned())
}

/// Reads the envelope of evidence. What is in it is left to the method.
fn evidence(value: &Value) -> Result<Arg, String> {
    let Value::Object(envelope) = value else {
        return Err(mismatch(value, "json.interfaceWrapper"));
    };
    match envelope.get("type") {
        None | Some(Value::Null) => return Err("interface type cannot be empty".to_owned()),
        Some(Value::String(name)) if name.is_empty() => {
            return Err("interface type cannot be empty".to_owned());
        }
        Some(Value::String(name)) => match (name.as_str(), envelope.contains_key("value")) {
            (_, false) => return Err("interface value cannot be empty".to_owned()),
            ("tendermint/DuplicateVoteEvidence" | "tendermint/LightClientAttackEvidence", true) => {
            }
            (name, true)
                if name.starts_with("tendermint/Pub") || name.starts_with("tendermint/Priv") =>
            {
                return Err(format!("invalid type {name:?} for this value"));
            }
            (name, true) => return Err(format!("unknown type {name:?}")),
        },
        Some(other) => {
            let fault = mismatch(other, "string");
            return Err(fault.replace("Go value", "Go struct field interfaceWrapper.type"));
        }
    }
    Ok(Arg::Evidence(value.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_one_encoding_in_json() {
        assert_eq!(Kind::Int64.from_json(&json!("7")), Ok(Arg::Integer(7)));
        assert_eq!(Kind::Hex.from_json(&json!("00fF")), Ok(Arg::Bytes(vec![0, 255])));
        assert_eq!(Kind::Tx.from_json(&json!("AAH/")), Ok(Arg::Bytes(vec![0, 1, 255])));
        assert_eq!(Kind::Bytes.from_json(&json!([0, 1, 255])), Ok(Arg::Bytes(vec![0, 1, 255])));
        assert_eq!(Kind::Uint.from_json(&Value::Null), Ok(Arg::None));
        for (kind, bad) in [
            (Kind::Int64, json!(7)),
            (Kind::Int, json!("1.5")),
            (Kind::Uint, json!("-1")),
            (Kind::Text, json!(7)),
            (Kind::Flag, json!("true")),
            (Kind::Bytes, json!("AA")),
            (Kind::Tx, json!("!")),
            (Kind::Hex, json!("0x12")),
            (Kind::Evidence, json!({"type": "x", "value": 1})),
        ] {
            assert!(kind.from_json(&bad).is_err(), "{kind:?} {bad}");
        }
    }

    #[test]
    fn a_uri_has_quotes_and_hexadecimal() {
        assert_eq!(Kind::Int64.from_uri("5"), Ok(Arg::Integer(5)));
        assert_eq!(Kind::Int64.from_uri("\"6\""), Ok(Arg::Integer(6)));
        assert_eq!(Kind::Hex.from_uri("0x00ff"), Ok(Arg::Bytes(vec![0, 255])));
        assert_eq!(Kind::Tx.from_uri("\"a\\\"b\""), Ok(Arg::Bytes(b"a\"b".to_vec())));
        assert_eq!(Kind::Text.from_uri("0x61"), Ok(Arg::Text("a".to_owned())));
        assert_eq!(Kind::Flag.from_uri("true"), Ok(Arg::Flag(true)));
        for (kind, bad) in [
            (Kind::Int64, "0x5"),
            (Kind::Int64, "007"),
            (Kind::Text, "plain"),
            (Kind::Tx, "plain"),
            (Kind::Hex, "0xz"),
            (Kind::Flag, "yes"),
        ] {
            assert!(kind.from_uri(bad).is_err(), "{kind:?} {bad}");
        }
    }
}
