//! Strings with lone surrogates, which JSON text can hold and Rust's strings cannot.
//!
//! In the notation such a string is `@` and its JSON text.

use capstan_abi::JsString;

use super::BadNotation;

/// Returns the notation of a string whose JSON has `raw` between its quotes, if it has a lone surrogate. Returns `None`
/// if it is no JSON.
pub(super) fn written(raw: &str) -> Option<String> {
    JsString::from_json(&format!("\"{raw}\"")).ok()?;
    Some(match (raw.strip_prefix("@@"), raw.strip_prefix('@')) {
        (Some(rest), _) => format!("@\"@{rest}\""),
        // Not a reference: it is refused as one, and shown as it was written.
        (None, Some(_)) => raw.to_owned(),
        (None, None) => format!("@\"{raw}\""),
    })
}

/// Returns the end of the string whose opening quote is before `json`.
pub(super) fn string_end(json: &str) -> Option<usize> {
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
