//! A method's arguments, from JSON or from a URI.

use serde_json::Value;

use super::go_json::mismatch;
use super::values::{Arg, Kind};

/// Longest text about arguments that an error repeats, in bytes.
const SHOWN_BYTES: usize = 256;

/// The arguments of a call, in the order of the method's.
#[derive(Clone, Debug)]
pub(crate) struct Params(Vec<(&'static str, Arg)>);

/// The names and types of a method's arguments.
pub(crate) type Arguments = &'static [(&'static str, Kind)];

impl Params {
    /// Reads a request's `params`: an object, or a list with all arguments.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub(crate) fn from_json(value: &Value, arguments: Arguments) -> Result<Self, String> {
        let read = match value {
            Value::Null => Ok(arguments.iter().map(|(name, _)| (*name, Arg::None)).collect()),
            Value::Object(map) => arguments
                .iter()
                .map(|(name, kind)| {
                    Ok((
                        *name,
                        map.get(*name).map_or(Ok(Arg::None), |value| kind.from_json(value))?,
                    ))
                })
                .collect(),
            Value::Array(list) if list.len() == arguments.len() => arguments
                .iter()
                .zip(list)
                .map(|((name, kind), value)| Ok((*name, kind.from_json(value)?)))
                .collect(),
            Value::Array(list) => Err(wrong_number(list, arguments)),
            other => Err(format!(
                "unknown type for JSON params: {}. Expected map or array",
                mismatch(other, "[]json.RawMessage")
            )),
        };
        read.map(Self).map_err(|why| format!("error converting json params to arguments: {why}"))
    }

    /// Reads the parameters of a URI: the first of each name counts.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub(crate) fn from_uri(
        given: &[(String, String)],
        arguments: Arguments,
    ) -> Result<Self, String> {
        let read = arguments.iter().map(|(name, kind)| {
            let mut found = given.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
            let value = found.next().filter(|value| !value.is_empty());
            Ok((*name, value.map_or(Ok(Arg::None), |value| kind.from_uri(value))?))
        });
        let read: Result<_, String> = read.collect();
        read.map(Self).map_err(|why| format!("error converting http params to arguments: {why}"))
    }

    /// Returns an integer, or `None` if it is not given.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Arg::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns a truth value. The default is `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Arg::Flag(true))
    }

    /// Returns a text. The default is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Arg::Text(text) => text,
            _ => "",
        }
    }

    /// Returns bytes. The default is empty.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        match self.get(name) {
            Arg::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// Returns the evidence, or `None` if there is none.
    pub(crate) fn evidence(&self, name: &str) -> Option<&Value> {
        match self.get(name) {
            Arg::Evidence(value) => Some(value),
            _ => None,
        }
    }

    fn get(&self, name: &str) -> &Arg {
        self.0.iter().find(|(known, _)| *known == name).map_or(&Arg::None, |(_, value)| value)
    }
}

fn wrong_number(list: &[Value], arguments: Arguments) -> String {
    let names: Vec<&str> = arguments.iter().map(|(name, _)| *name).collect();
    let (most, given, names) = (names.len(), list.len(), names.join(" "));
    let mut shown = String::new();
    for value in list {
        let bytes: Vec<String> = value.to_string().bytes().map(|byte| byte.to_string()).collect();
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(&format!("[{}]", bytes.join(" ")));
        if shown.len() > SHOWN_BYTES {
            break;
        }
    }
    format!("expected {most} parameters ([{names}]), got {given} ([{shown}])")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TWO: Arguments = &[("a", Kind::Int64), ("b", Kind::Flag)];

    #[test]
    fn arguments_come_by_name_or_all_in_order() {
        for value in [json!({"b": true, "a": "7", "c": 1}), json!(["7", true])] {
            let params = Params::from_json(&value, TWO).unwrap();
            assert_eq!((params.integer("a"), params.flag("b")), (Some(7), true));
        }
        for value in [Value::Null, json!({}), json!([null, null])] {
            let params = Params::from_json(&value, TWO).unwrap();
            assert_eq!((params.integer("a"), params.flag("b")), (None, false));
        }
        for value in [json!([]), json!(["7"]), json!(["7", true, 1]), json!("x"), json!({"a": 7})] {
            assert!(Params::from_json(&value, TWO).is_err(), "{value}");
        }
    }

    #[test]
    fn the_first_of_a_name_counts_in_a_uri() {
        let given = [("a", "7"), ("a", "8"), ("b", "")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let params = Params::from_uri(&given, TWO).unwrap();
        assert_eq!((params.integer("a"), params.flag("b")), (Some(7), false));
    }
}
