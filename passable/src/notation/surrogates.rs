//! Strings with lone surrogates, which JSON text can hold and Rust's strings cannot.
//!
//! In the notation such a string is `@` and its JSON text.

use capstan_abi::JsString;
use serde_json::Value;

use super::BadNotation;

/// Returns JSON with other strings in the place of those that have lone surrogates. `written` takes the raw text
/// between the quotes and returns the text of the new string.
pub(super) fn rewrite(json: &str, written: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('"') {
        let Some(end) = string_end(after) else { break };
        let (raw, next) = (&after[..end], &after[end + 1..]);
        out.push_str(before);
        match JsString::from_json(&format!("\"{raw}\"")) {
            Ok(text) if text.as_str().is_none() => {
                out.push_str(&Value::String(written(raw)).to_string());
            }
            _ => out.push_str(&rest[before.len()..rest.len() - next.len()]),
        }
        rest = next;
    }
    out + rest
}

/// Returns the end of the string whose opening quote is before `json`.
fn string_end(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

/// Reads the JSON text of a string that was typed after `@`.
pub(super) fn read(json: &str) -> Result<JsString, BadNotation> {
    JsString::from_json(json).map_err(|_| BadNotation::JsonString(json.to_owned()))
}

/// Returns a string as the notation has it: with a second `@` if it begins with one, or with `@` and its JSON text
/// if it has a lone surrogate.
pub(super) fn shown(string: &JsString) -> String {
    match string.as_str() {
        Some(text) if text.starts_with('@') => format!("@{text}"),
        Some(text) => text.to_owned(),
        None => format!("@{}", string.to_json()),
    }
}
