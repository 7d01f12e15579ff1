//! The names of fields in the JSON that commands print.

use serde_json::Value;

/// Fields whose content has names of its own: values of vats, deliveries in the form of SwingSet, parameters.
const FOREIGN: &[&str] = &["args", "data", "delivery", "parameters", "slots", "value"];

/// A field that only documents for wallets have, whose names are Keplr's.
const WALLETS: &str = "bech32Config";

/// Returns whether a name is in snake case.
pub fn is_snake(name: &str) -> bool {
    let name = name.strip_prefix('@').unwrap_or(name);
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(is_word)
}

/// Returns the names of fields that are not in snake case.
pub fn misnamed(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(misnamed).collect(),
        Value::Object(fields) if fields.contains_key(WALLETS) => Vec::new(),
        Value::Object(fields) => {
            let mut found = Vec::new();
            for (name, inner) in fields {
                if !is_snake(name) {
                    found.push(name.as_str());
                }
                if !FOREIGN.contains(&name.as_str()) {
                    found.extend(misnamed(inner));
                }
            }
            found
        }
        _ => Vec::new(),
    }
}
