//! The two encodings of a call: protobuf, and a path with options that is answered in JSON.

use std::collections::BTreeMap;

use capstan_proto::{Answer, Call, Field, FieldKind, Method, Request, v1::QUERY_METHODS};
use prost::Message;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{QueryError, Reply, args::malformed};

/// A call with a protobuf request, which gets a protobuf response.
#[derive(Debug)]
pub(super) struct ProtobufCall<'a>(pub(super) &'a [u8]);

/// A call by [`Method::path`], which gets a JSON response.
#[derive(Debug)]
pub(super) struct JsonCall {
    pub(super) method: &'static Method,
    /// Fields of the request by their names.
    fields: Map<String, Value>,
}

impl Call for ProtobufCall<'_> {
    type Error = QueryError;
    type Reply = Reply;

    fn decode<R: Request>(&self) -> Result<R, QueryError> {
        R::decode(self.0)
            .map_err(|e| malformed(format!("the request is not protobuf of the right type: {e}")))
    }

    fn encode<M: Message + Serialize>(&self, answer: Answer<M>) -> Result<Reply, QueryError> {
        Ok(Reply { value: answer.message.encode_to_vec(), key: answer.key })
    }
}

impl Call for JsonCall {
    type Error = QueryError;
    type Reply = Reply;

    fn decode<R: Request>(&self) -> Result<R, QueryError> {
        serde_json::from_value(Value::Object(self.fields.clone()))
            .map_err(|e| malformed(e.to_string()))
    }

    fn encode<M: Message + Serialize>(&self, answer: Answer<M>) -> Result<Reply, QueryError> {
        let failed = |e: serde_json::Error| QueryError::Node(format!("JSON: {e}"));
        let value = match self.method.json_field {
            None => serde_json::to_vec(&answer.message).map_err(failed)?,
            Some(name) => match serde_json::to_value(&answer.message).map_err(failed)?.get(name) {
                Some(Value::String(json)) => json.clone().into_bytes(),
                _ => return Err(QueryError::Node(format!("the field {name} is not a JSON text"))),
            },
        };
        Ok(Reply { value, key: answer.key })
    }
}

impl JsonCall {
    /// Reads a path, its options, and further options from a JSON object in `data`.
    pub(super) fn parse(path: &str, data: &[u8]) -> Result<Self, QueryError> {
        let (segments, mut options) = split(path.trim_start_matches('/'))?;
        options.add_json(data)?;
        let matched = QUERY_METHODS
            .iter()
            .find_map(|method| method.match_path(&segments).map(|variables| (method, variables)));
        let (method, variables) =
            matched.ok_or_else(|| QueryError::UnknownPath(path.to_owned()))?;
        let mut fields = Map::new();
        for (field, text) in variables {
            fields.insert(field.name.to_owned(), value(field, text)?);
        }
        for field in method.options() {
            // An option without a value counts as absent.
            if let Some(text) = options.0.remove(field.name).filter(|text| !text.is_empty()) {
                fields.insert(field.name.to_owned(), value(field, &text)?);
            }
        }
        match options.0.keys().next() {
            None => Ok(Self { method, fields }),
            Some(name) => Err(malformed(format!("this query has no option {name:?}"))),
        }
    }
}

/// Parses the value of a [`Field`].
fn value(field: &Field, text: &str) -> Result<Value, QueryError> {
    let refuse = |max: u64| malformed(format!("{text:?} is not a number from 0 to {max}"));
    match field.kind {
        FieldKind::Text => Ok(text.into()),
        FieldKind::U32 => text.parse::<u32>().map(Value::from).map_err(|_| refuse(u32::MAX.into())),
        FieldKind::U64 => text.parse::<u64>().map(Value::from).map_err(|_| refuse(u64::MAX)),
    }
}

/// Splits `segments/of/the/path?with=options` into segments and options.
fn split(path: &str) -> Result<(Vec<&str>, Options), QueryError> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut options = Options::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            malformed(format!("option {pair:?} has no value: expected name=value"))
        })?;
        options.add(name, value.to_owned())?;
    }
    Ok((path.trim_end_matches('/').split('/').collect(), options))
}

/// The values of options by name.
#[derive(Debug, Default)]
struct Options(BTreeMap<String, String>);

impl Options {
    fn add(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        match self.0.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(malformed(format!("option {name:?} is given twice"))),
        }
    }

    fn add_json(&mut self, data: &[u8]) -> Result<(), QueryError> {
        if data.is_empty() {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data)
            .map_err(|e| malformed(format!("the data is not JSON: {e}")))?;
        let Value::Object(fields) = value else {
            return Err(malformed("the data must be a JSON object of options".to_owned()));
        };
        for (name, value) in fields {
            match value {
                Value::String(text) => self.add(&name, text)?,
                Value::Number(number) => self.add(&name, number.to_string())?,
                _ => {
                    return Err(malformed(format!("option {name:?} must be a string or a number")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use capstan_proto::v1::{QueryVatStatsRequest, QueryVatsRequest};

    use super::*;

    fn json<R: Request>(path: &str, data: &[u8]) -> R {
        let call = JsonCall::parse(path, data).unwrap();
        assert_eq!(call.method, R::METHOD);
        call.decode().unwrap()
    }

    #[test]
    fn both_encodings_give_the_same_request() {
        let request = QueryVatStatsRequest { vat_id: "v7".into() };
        let bytes = request.encode_to_vec();
        assert_eq!(ProtobufCall(&bytes).decode::<QueryVatStatsRequest>().unwrap(), request);
        assert_eq!(json::<QueryVatStatsRequest>("vats/v7/stats", &[]), request);
        assert_eq!(json::<QueryVatStatsRequest>("/vats/v7/stats/", &[]), request);
    }

    #[test]
    fn options_come_from_the_path_or_from_json() {
        let expected = QueryVatsRequest { after: "v3".into(), limit: 7 };
        assert_eq!(json::<QueryVatsRequest>("vats?after=v3&limit=7", &[]), expected);
        assert_eq!(json::<QueryVatsRequest>("vats", br#"{"after":"v3","limit":7}"#), expected);
        let first = QueryVatsRequest { after: String::new(), limit: 7 };
        assert_eq!(json::<QueryVatsRequest>("vats?after=&limit=7", &[]), first);
    }

    #[test]
    fn malformed_paths_and_options_are_refused() {
        for (path, data, part) in [
            ("nonsense", "", "unknown query path"),
            ("", "", "unknown query path"),
            ("vats/v7/stats/more", "", "unknown query path"),
            ("txs/00/x", "", "not a number"),
            ("txs/00/", "", "unknown query path"),
            ("vats?limit", "", "has no value"),
            ("vats?limit=x", "", "not a number"),
            ("mailbox/peer?after=x", "", "not a number"),
            ("vats?limit=1&limit=2", "", "given twice"),
            ("vats?colour=red", "", "no option \"colour\""),
            ("vats/v7?vat_id=v8", "", "no option \"vat_id\""),
            ("vats", "{", "not JSON"),
            ("vats", "[1]", "JSON object"),
            ("vats", "{\"limit\":[1]}", "string or a number"),
        ] {
            let error = JsonCall::parse(path, data.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{path} {data}: {error}");
        }
    }
}
