//! Strings with lone surrogates, which JSON text can hold and Rust's strings cannot.
//!
//! While a body is a [`Value`], such a string is marked: a `"`, with which no smallcaps text begins, and then what
//! stands between the quotes of its JSON.

use capstan_abi::JsString;
use serde_json::Value;

use crate::failure::usage;

const MARK: char = '"';

/// JSON with other strings in the place of those that have lone surrogates: `written` is given what stands between
/// the quotes, and gives the text that the new string has.
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

/// Where the string ends whose opening quote is before `json`.
fn string_end(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

/// Reads smallcaps JSON with its lone surrogates marked.
pub(super) fn mark(json: &str) -> serde_json::Result<Value> {
    serde_json::from_str(json)
        .or_else(|_| serde_json::from_str(&rewrite(json, |raw| format!("{MARK}{raw}"))))
}

/// The string that a marked text stands for; none if it is not marked.
pub(super) fn marked(text: &str) -> Option<JsString> {
    let string = JsString::from_json(&format!("\"{}\"", text.strip_prefix(MARK)?)).ok()?;
    string.as_str().is_none().then_some(string)
}

/// Writes what [`super::to_smallcaps`] made, in which every text that begins with a mark is one.
pub(super) fn unmark(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&quoted(name));
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn quoted(text: &str) -> String {
    marked(text).map_or_else(|| Value::from(text).to_string(), |string| string.to_json())
}

/// The text, marked if it has to be, of a string in smallcaps.
pub(super) fn escaped(string: &JsString) -> String {
    match string.as_str() {
        Some(text) => super::escaped(text),
        None => {
            with_sigil(if matches!(string.as_wtf8()[0], b'!'..=b'-') { "!" } else { "" }, string)
        }
    }
}

/// The text, marked if it has to be, of a symbol. Its name may be written as a string with lone surrogates is.
///
/// # Errors
/// Wrong usage: a name that begins as such a string and is none.
pub(super) fn symbol(name: &str) -> anyhow::Result<String> {
    Ok(match name.strip_prefix('@').filter(|rest| rest.starts_with('"')) {
        Some(json) => match read(json)? {
            string if string.as_str().is_none() => with_sigil("%", &string),
            string => format!("%{string}"),
        },
        None => format!("%{name}"),
    })
}

fn with_sigil(sigil: &str, string: &JsString) -> String {
    let json = string.to_json();
    format!("{MARK}{sigil}{}", &json[1..json.len() - 1])
}

/// Reads the JSON text of a string that was typed after `@`.
///
/// # Errors
/// Wrong usage: it is none.
pub(super) fn read(json: &str) -> anyhow::Result<JsString> {
    JsString::from_json(json).map_err(|_| {
        usage(format!("\"@{json}\": what follows @ is not a JSON string such as \"\\ud800\""))
    })
}

/// A string with lone surrogates as it is printed: `@` and its JSON text.
pub(super) fn shown(string: &JsString) -> String {
    match string.as_str() {
        Some(text) => super::at_escaped(text),
        None => format!("@{}", string.to_json()),
    }
}
