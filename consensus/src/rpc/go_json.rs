//! What Go's JSON library says about JSON that it refuses. Clients show these texts, and some look for parts of them.

use serde::de::IgnoredAny;
use serde_json::Value;

/// Returns the text about a value that does not fit the Go type `wanted`.
pub(crate) fn mismatch(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", word(value))
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the text about `text`, which is no JSON for the reason `error`.
pub(crate) fn syntax_error(text: &str, error: &serde_json::Error) -> String {
    const END: &str = "unexpected end of JSON input";
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return END.to_owned() };
    let literal = match first {
        b't' => "true",
        b'f' => "false",
        b'n' => "null",
        b'0' if bytes.get(1).is_some_and(u8::is_ascii_digit) => return after_the_value(bytes[1]),
        b'"' | b'[' | b'{' | b'-' | b'0'..=b'9' => "",
        other => {
            return format!("invalid character {} looking for beginning of value", quoted(*other));
        }
    };
    for (expected, found) in literal.bytes().zip(bytes.iter().map(Some).chain([None])) {
        match found {
            None => return END.to_owned(),
            Some(found) if *found != expected => {
                let (found, expected) = (quoted(*found), quoted(expected));
                return format!(
                    "invalid character {found} in literal {literal} (expecting {expected})"
                );
            }
            Some(_) => {}
        }
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let rest = text[values.byte_offset()..].trim_start_matches([' ', '\t', '\n', '\r']);
            rest.bytes().next().map_or_else(|| error.to_string(), after_the_value)
        }
        Some(Err(error)) if error.is_eof() => END.to_owned(),
        _ => error.to_string(),
    }
}

fn after_the_value(byte: u8) -> String {
    format!("invalid character {} after top-level value", quoted(byte))
}

/// A character as Go quotes it. The bytes of longer ones count singly.
fn quoted(byte: u8) -> String {
    match char::from(byte) {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\\' => r"'\\'".to_owned(),
        '\n' => r"'\n'".to_owned(),
        '\r' => r"'\r'".to_owned(),
        '\t' => r"'\t'".to_owned(),
        control if control.is_control() => format!(r"'\x{byte:02x}'"),
        other => format!("'{other}'"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_words_of_go() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("\"x", "unexpected end of JSON input"),
            ("nu", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("'", r"invalid character '\'' looking for beginning of value"),
            ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
            ("007", "invalid character '0' after top-level value"),
            ("5 x", "invalid character 'x' after top-level value"),
        ] {
            let error = serde_json::from_str::<Value>(text).unwrap_err();
            assert_eq!(syntax_error(text, &error), expected, "{text}");
        }
    }
}
