//! JSON of requests, whose number of values is bounded: one byte of JSON can become a hundred in memory.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::call::Form;
use super::error::RpcError;
use super::go_json::syntax_error;

/// Maximum number of JSON values in a request. The longest that means something has a dozen.
const VALUES_IN_A_REQUEST: usize = 32;

/// Parses a request or a batch of at most `max_batch` requests. As in CometBFT, a message of a WebSocket may go on after it.
///
/// # Errors
/// A parse error for what is not JSON, and an invalid request for JSON with too many values.
pub(crate) fn parse(json: &[u8], max_batch: usize, form: Form) -> Result<Value, RpcError> {
    let left = Cell::new(VALUES_IN_A_REQUEST.saturating_mul(max_batch.saturating_add(1)));
    let most = left.get();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let parsed = Bounded(&left).deserialize(&mut reader);
    let ends = matches!(form, Form::Http);
    match parsed.and_then(|value| if ends { reader.end().map(|()| value) } else { Ok(value) }) {
        Ok(value) => Ok(value),
        Err(_) if left.get() == 0 => {
            let text = format!(
                "the request has more than {most} JSON values: a batch has at most {max_batch} requests"
            );
            Err(RpcError::invalid_request(text))
        }
        Err(_) if form == Form::WebSocket && json.trim_ascii().is_empty() => {
            Err(RpcError::parse("EOF"))
        }
        Err(error) if form == Form::WebSocket && error.is_eof() => {
            Err(RpcError::parse("unexpected EOF"))
        }
        Err(error) => Err(RpcError::parse(&syntax_error(&String::from_utf8_lossy(json), &error))),
    }
}

/// Reads a [`Value`] as long as there are values left.
struct Bounded<'a>(&'a Cell<usize>);

impl Bounded<'_> {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        self.0.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.count()?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Bounded(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            values.insert(name, map.next_value_seed(Bounded(self.0))?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_is() {
        let json = r#"{"a":[1,-2,0.5,null,true,"\u00e9"],"b":{"c":18446744073709551615}}"#;
        assert_eq!(
            parse(json.as_bytes(), 1, Form::Http).unwrap(),
            serde_json::from_str::<Value>(json).unwrap()
        );
        for bad in ["", "{", "[1,]", "1 2"] {
            let error = parse(bad.as_bytes(), 1, Form::Http).unwrap_err();
            assert!(format!("{error:?}").contains("-32700"), "{bad}: {error:?}");
        }
    }

    #[test]
    fn reading_stops_at_the_first_value_too_many() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        // The list itself is a value too.
        let most = 2 * VALUES_IN_A_REQUEST - 1;
        assert!(parse(list(most).as_bytes(), 1, Form::Http).is_ok());
        // What follows is not read: it need not even be JSON.
        let endless = format!("[{}nonsense", "0,".repeat(most + 1));
        let error = parse(endless.as_bytes(), 1, Form::Http).unwrap_err();
        assert!(format!("{error:?}").contains("-32600"), "{error:?}");
    }
}
