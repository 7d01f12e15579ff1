//! Plain data as SwingSet's marshal writes it: smallcaps, the keys of records in its order.

use serde_json::{Map, Value};

/// The first characters of strings that smallcaps gives a meaning, from `!` to `-`.
const SPECIAL: std::ops::RangeInclusive<char> = '!'..='-';

/// Returns the smallcaps of plain data, without the `#` before it.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(escaped(text)),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (escaped(key), plain(value)));
            sorted(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Returns smallcaps with the keys of all records in marshal's order.
pub fn in_order(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        Value::Object(fields) => {
            sorted(fields.into_iter().map(|(key, value)| (key, in_order(value))).collect())
        }
        other => other,
    }
}

/// A record with its keys in the order of their UTF-16 code units.
fn sorted(mut fields: Vec<(String, Value)>) -> Value {
    fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}

fn escaped(text: &str) -> String {
    match text.starts_with(|first| SPECIAL.contains(&first)) {
        true => format!("!{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_in_the_order_of_utf16_and_special_strings_are_escaped() {
        let data = json!({"zebra": 1, "apple": ["#x", "+1", "plain"], "\u{ff5e}": 2, "\u{1f600}": {"b": 1, "a": null}});
        let expected = "{\"apple\":[\"!#x\",\"!+1\",\"plain\"],\"zebra\":1,\"\u{1f600}\":{\"a\":null,\"b\":1},\"\u{ff5e}\":2}";
        assert_eq!(plain(&data).to_string(), expected);
    }
}
