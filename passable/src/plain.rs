//! Plain JSON and smallcaps: what passes the bridge to the application.

use serde_json::{Map, Value};

use crate::{json::Json, text::unescape};

impl Json {
    /// Returns the value as JavaScript's `JSON.stringify` writes it, with bigints as decimal strings. Returns
    /// `None` if it holds a reference, an error, a symbol, a tagged value or a string with a lone surrogate,
    /// because the application gets Unicode.
    pub fn to_plain(&self) -> Option<Value> {
        Some(match self {
            Self::Scalar(text) => serde_json::from_str(text).ok()?,
            Self::Text(raw) => plain_text(unescape(raw)?.as_str()?)?,
            Self::Array(items) => {
                Value::Array(items.iter().map(Self::to_plain).collect::<Option<_>>()?)
            }
            Self::Object(fields) => {
                let mut plain = Map::new();
                for (key, value) in fields {
                    let key = unescape(key)?;
                    let key = key.as_str()?;
                    match key.as_bytes().first() {
                        Some(b'!') => plain.insert(key[1..].to_owned(), value.to_plain()?),
                        Some(0x22..=0x2d) => return None,
                        _ if *value == Self::undefined() => None,
                        _ => plain.insert(key.to_owned(), value.to_plain()?),
                    };
                }
                Value::Object(plain)
            }
        })
    }

    /// Plain JSON in smallcaps.
    pub fn from_plain(value: &Value) -> Self {
        let text = |text: &str| Self::string(text);
        match value {
            Value::String(string) => text(string),
            Value::Array(items) => Self::Array(items.iter().map(Self::from_plain).collect()),
            Value::Object(fields) => {
                let field = |(key, value): (&String, &Value)| match text(key) {
                    Self::Text(raw) => (raw, Self::from_plain(value)),
                    _ => (key.clone(), Self::from_plain(value)),
                };
                let mut fields: Vec<_> = fields.iter().collect();
                // Marshal's order: that of JavaScript's strings.
                fields.sort_by_cached_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
                Self::Object(fields.into_iter().map(field).collect())
            }
            scalar => Self::Scalar(scalar.to_string()),
        }
    }
}

fn plain_text(text: &str) -> Option<Value> {
    Some(match text.as_bytes().first() {
        Some(b'!') => Value::from(&text[1..]),
        Some(b'+') => Value::from(&text[1..]),
        Some(b'-') => Value::from(text),
        Some(b'#') => Value::Null,
        Some(0x22..=0x2d) => return None,
        _ => Value::from(text),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_passes_and_everything_else_does_not() {
        let plain = |smallcaps: &str| Json::parse(smallcaps)?.to_plain();
        let data = r##"{"a":[1,true,null,"!#x","+12","-3","#undefined","#NaN"],"!$k":"é"}"##;
        let expected = json!({"a": [1, true, null, "#x", "12", "-3", null, null], "$k": "é"});
        assert_eq!(plain(data), Some(expected));
        for no_data in [
            r#""$0""#,
            r#""&0""#,
            r#""%sym""#,
            r##"{"#error":"e","name":"Error"}"##,
            r#""\ud800""#,
            r#"{"\udfff":1}"#,
        ] {
            assert_eq!(plain(no_data), None, "{no_data}");
        }
    }

    #[test]
    fn plain_json_survives_the_way_there_and_back() {
        for value in [json!(null), json!([1.5, -2, "", "!", "$0", {"#tag": "x", "b": [false]}])] {
            assert_eq!(Json::from_plain(&value).to_plain(), Some(value));
        }
    }
}
