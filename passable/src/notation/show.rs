//! From smallcaps to the notation. Any body is shown, also one that no check has seen.

use capstan_abi::JsString;
use serde_json::{Map, Value, json};

use super::surrogates;
use crate::{json::Json, text::unescape};

/// Decodes data that came from the chain. What is not smallcaps is shown as a string.
pub fn decode(body: &str, slots: &[impl AsRef<str>]) -> Value {
    let json = body.strip_prefix('#').and_then(Json::parse);
    let value = json.and_then(|json| value(&json, slots, &Value::Null));
    value.unwrap_or_else(|| literal(&body.into()))
}

/// Decodes data as [`decode`] does, with `{"@undefined": true}` for `undefined`.
pub fn decode_exactly(body: &str, slots: &[impl AsRef<str>]) -> Value {
    let json = body.strip_prefix('#').and_then(Json::parse);
    let value = json.and_then(|json| value(&json, slots, &json!({UNDEFINED: true})));
    value.unwrap_or_else(|| literal(&body.into()))
}

/// Decodes data as [`decode_exactly`] does, into the form that people type.
pub fn text(body: &str, slots: &[impl AsRef<str>]) -> String {
    typed(&decode_exactly(body, slots))
}

/// Returns decoded data in the form that people type.
pub fn typed(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

const UNDEFINED: &str = "@undefined";

/// Appends a value to `out`. The bounds of smallcaps bound the recursion.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) if text.starts_with('@') && !text.starts_with("@@") => {
            out.push_str(text)
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => match single(fields) {
            Some((UNDEFINED, _)) => out.push_str("undefined"),
            Some(("@bigint", Value::String(digits))) => out.extend([digits, "n"]),
            Some(("@number", Value::String(name))) => out.push_str(name),
            _ => {
                out.push('{');
                for (index, (name, item)) in fields.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&json!(name).to_string());
                    out.push(':');
                    write(item, out);
                }
                out.push('}');
            }
        },
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Returns the only field of a record.
fn single(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
    Some((name, value))
}

/// Returns `None` for a string with an escape that JSON does not know.
fn value(json: &Json, slots: &[impl AsRef<str>], undefined: &Value) -> Option<Value> {
    let value = |json: &Json| value(json, slots, undefined);
    Some(match json {
        Json::Scalar(text) => serde_json::from_str(text).ok()?,
        Json::Text(raw) => string(&unescape(raw)?, slots, undefined),
        Json::Array(items) => Value::Array(items.iter().map(value).collect::<Option<_>>()?),
        Json::Object(fields) => {
            let mut record = Map::new();
            for (name, content) in fields {
                record.insert(field_name(&unescape(name)?), value(content)?);
            }
            Value::Object(record)
        }
    })
}

fn field_name(name: &JsString) -> String {
    match name.as_str() {
        Some("#error") => "@error".to_owned(),
        Some("#tag") => "@tag".to_owned(),
        _ => surrogates::shown(&name.strip_prefix('!').unwrap_or_else(|| name.clone())),
    }
}

fn string(text: &JsString, slots: &[impl AsRef<str>], undefined: &Value) -> Value {
    let first = text.as_wtf8().first();
    let rest = |sigil| text.strip_prefix(sigil).unwrap_or_default();
    match first {
        Some(b'!') => return literal(&rest('!')),
        Some(b'%') => return json!({"@symbol": symbol(&rest('%'))}),
        Some(b'$' | b'&') => return reference(&text.legible(), slots),
        _ => {}
    }
    match (first, text.as_str()) {
        (Some(b'+'), Some(digits)) => json!({"@bigint": &digits[1..]}),
        (Some(b'-'), Some(digits)) => json!({"@bigint": digits}),
        (Some(b'#'), Some("#undefined")) => undefined.clone(),
        (Some(b'#'), Some(special)) => json!({"@number": &special[1..]}),
        _ => literal(text),
    }
}

fn symbol(name: &JsString) -> String {
    name.as_str().map_or_else(|| surrogates::shown(name), str::to_owned)
}

fn reference(text: &str, slots: &[impl AsRef<str>]) -> Value {
    let index = text[1..].split('.').next().and_then(|digits| digits.parse::<usize>().ok());
    match index.and_then(|index| slots.get(index)) {
        Some(slot) => Value::String(format!("@{}", slot.as_ref())),
        None => literal(&text.into()),
    }
}

fn literal(text: &JsString) -> Value {
    Value::String(surrogates::shown(text))
}
