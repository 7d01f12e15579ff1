//! From smallcaps to the notation. Any body is shown, also one that no check has seen.

use capstan_abi::JsString;
use serde_json::{Map, Value, json};

use super::surrogates;
use crate::{json::Json, text::unescape};

/// Decodes data that came from the chain. What is not smallcaps is shown as a string.
pub fn decode(body: &str, slots: &[impl AsRef<str>]) -> Value {
    let json = body.strip_prefix('#').and_then(Json::parse);
    let value = json.and_then(|json| value(&json, slots));
    value.unwrap_or_else(|| literal(&body.into()))
}

/// Returns `None` for a string with an escape that JSON does not know.
fn value(json: &Json, slots: &[impl AsRef<str>]) -> Option<Value> {
    Some(match json {
        Json::Scalar(text) => serde_json::from_str(text).ok()?,
        Json::Text(raw) => text(&unescape(raw)?, slots),
        Json::Array(items) => {
            Value::Array(items.iter().map(|item| value(item, slots)).collect::<Option<_>>()?)
        }
        Json::Object(fields) => {
            let mut record = Map::new();
            for (name, content) in fields {
                record.insert(field_name(&unescape(name)?), value(content, slots)?);
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

fn text(text: &JsString, slots: &[impl AsRef<str>]) -> Value {
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
        (Some(b'#'), Some("#undefined")) => Value::Null,
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
