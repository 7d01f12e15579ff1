//! A method's arguments, from JSON or from a URI.
//!
//! In JSON: 64-bit integers as texts or numbers, bytes as base64, hash-like bytes as hexadecimal.
//! In a URI, by CometBFT's rules: integers plain or in double quotes, texts in double quotes, bytes
//! as `0x` and hexadecimal or as a text in double quotes, whose characters are the bytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::call::RpcError;

/// The arguments of a call.
#[derive(Clone, Debug)]
pub(crate) enum Params {
    Json(Map<String, Value>),
    Uri(HashMap<String, String>),
}

/// Encoding of bytes in JSON.
#[derive(Clone, Copy)]
enum BytesAs {
    Base64,
    Hex,
}

impl Params {
    /// Arguments from a request's `params`: an object, a list in the order of `names`, or nothing.
    pub(crate) fn from_json(value: Value, names: &[&str]) -> Result<Self, RpcError> {
        match value {
            Value::Null => Ok(Self::Json(Map::new())),
            Value::Object(map) => Ok(Self::Json(map)),
            Value::Array(list) if list.len() <= names.len() => {
                Ok(Self::Json(names.iter().map(|name| (*name).to_owned()).zip(list).collect()))
            }
            Value::Array(list) => {
                let (most, given) = (names.len(), list.len());
                Err(RpcError::invalid_params(format!(
                    "expected at most {most} parameters ({names:?}), got {given}"
                )))
            }
            _ => Err(RpcError::invalid_params("params must be an object or a list")),
        }
    }

    /// Returns a 64-bit integer, or `None` if it is not given.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, RpcError> {
        let fault = |given: &dyn std::fmt::Display| {
            invalid(name, &format!("{given} is not a 64-bit integer"))
        };
        match self {
            Self::Json(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => text.parse().map(Some).map_err(|_| fault(text)),
                Some(value) => value.as_i64().map(Some).ok_or_else(|| fault(value)),
            },
            Self::Uri(map) => {
                let parse =
                    |text: &String| unquoted(text).unwrap_or(text).parse().map_err(|_| fault(text));
                map.get(name).map(parse).transpose()
            }
        }
    }

    /// Returns a truth value. The default is `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, RpcError> {
        let given = match self {
            Self::Json(map) => map.get(name).filter(|value| !value.is_null()).map(Value::to_string),
            Self::Uri(map) => map.get(name).cloned(),
        };
        match given.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(name, &format!("{other} is neither true nor false"))),
        }
    }

    /// Returns a text. The default is empty.
    pub(crate) fn text(&self, name: &str) -> Result<String, RpcError> {
        match self {
            Self::Json(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(String::new()),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(other) => Err(invalid(name, &format!("{other} is not a text"))),
            },
            Self::Uri(_) => String::from_utf8(self.bytes(name)?)
                .map_err(|_| invalid(name, "the text is not UTF-8")),
        }
    }

    /// Returns bytes that are base64 in JSON. The default is empty.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, RpcError> {
        self.any_bytes(name, BytesAs::Base64)
    }

    /// Returns bytes that are hexadecimal in JSON. The default is empty.
    pub(crate) fn hex_bytes(&self, name: &str) -> Result<Vec<u8>, RpcError> {
        self.any_bytes(name, BytesAs::Hex)
    }

    fn any_bytes(&self, name: &str, form: BytesAs) -> Result<Vec<u8>, RpcError> {
        match self {
            Self::Json(_) => {
                let text = self.text(name)?;
                match form {
                    BytesAs::Base64 => BASE64
                        .decode(&text)
                        .map_err(|error| invalid(name, &format!("not base64: {error}"))),
                    BytesAs::Hex => decode_hex(name, &text),
                }
            }
            Self::Uri(map) => {
                map.get(name).map_or_else(|| Ok(Vec::new()), |text| uri_bytes(name, text))
            }
        }
    }
}

fn uri_bytes(name: &str, text: &str) -> Result<Vec<u8>, RpcError> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return decode_hex(name, digits);
    }
    let quoted = unquoted(text).and_then(|_| serde_json::from_str::<String>(text).ok());
    quoted.map(String::into_bytes).ok_or_else(|| {
        invalid(name, "must be a text in double quotes or 0x and hexadecimal digits")
    })
}

fn decode_hex(name: &str, digits: &str) -> Result<Vec<u8>, RpcError> {
    hex::decode(digits).map_err(|error| invalid(name, &format!("not hexadecimal: {error}")))
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn invalid(name: &str, why: &str) -> RpcError {
    RpcError::invalid_params(format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn from_json(value: Value) -> Params {
        Params::from_json(value, &["a", "b"]).unwrap()
    }

    fn uri(pairs: &[(&str, &str)]) -> Params {
        Params::Uri(
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn json_arguments_come_by_name_or_in_order() {
        for value in [json!({"b": true, "a": "7"}), json!(["7", true]), json!([7, true])] {
            let params = from_json(value);
            assert_eq!(params.integer("a"), Ok(Some(7)));
            assert_eq!(params.flag("b"), Ok(true));
        }
        assert_eq!(from_json(Value::Null).integer("a"), Ok(None));
        assert_eq!(from_json(json!({"a": "AAH/"})).bytes("a"), Ok(vec![0, 1, 255]));
        assert_eq!(from_json(json!({"a": "0001ff"})).hex_bytes("a"), Ok(vec![0, 1, 255]));
        assert_eq!(from_json(json!({"a": "é"})).text("a"), Ok("é".to_owned()));
    }

    #[test]
    fn uri_arguments_follow_cometbfts_quoting() {
        let params = uri(&[
            ("n", "5"),
            ("q", "\"6\""),
            ("hex", "0x00ff"),
            ("text", "\"a\\\"b\""),
            ("yes", "true"),
        ]);
        assert_eq!(params.integer("n"), Ok(Some(5)));
        assert_eq!(params.integer("q"), Ok(Some(6)));
        assert_eq!(params.bytes("hex"), Ok(vec![0, 255]));
        assert_eq!(params.bytes("text"), Ok(b"a\"b".to_vec()));
        assert_eq!(params.text("text"), Ok("a\"b".to_owned()));
        assert_eq!(params.flag("yes"), Ok(true));
        assert_eq!(params.text("absent"), Ok(String::new()));
    }

    #[test]
    fn bad_arguments_are_named() {
        let bad = [
            from_json(json!({"a": "x"})).integer("a").unwrap_err(),
            from_json(json!({"a": 1.5})).integer("a").unwrap_err(),
            from_json(json!({"a": "!"})).bytes("a").unwrap_err(),
            from_json(json!({"a": "0x12"})).hex_bytes("a").unwrap_err(),
            from_json(json!({"a": 7})).text("a").unwrap_err(),
            from_json(json!({"a": "true"})).flag("a").unwrap_err(),
            uri(&[("a", "plain")]).bytes("a").unwrap_err(),
            uri(&[("a", "\"")]).text("a").unwrap_err(),
            uri(&[("a", "0xzz")]).bytes("a").unwrap_err(),
        ];
        for error in bad {
            assert!(format!("{error:?}").contains("a: "), "{error:?}");
        }
        assert!(Params::from_json(json!([1, 2, 3]), &["a", "b"]).is_err());
        assert!(Params::from_json(json!("x"), &["a"]).is_err());
    }
}
