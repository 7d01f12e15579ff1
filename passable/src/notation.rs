//! Values of vats as JSON, as people type and read them on the command line.
//!
//! | vat's value | JSON here |
//! |---|---|
//! | null, booleans, numbers, strings, arrays, records | themselves |
//! | a reference of the account: object or promise | `"@ro-51"`, `"@rp+3"` |
//! | a string or a property name that begins with `@` | the same with a second `@` before it |
//! | a string or a property name with a lone surrogate | `@` and its JSON text: `"@\"a\\ud800\""` |
//! | bigint | `{"@bigint": "7"}` |
//! | symbol | `{"@symbol": "asyncIterator"}` |
//! | NaN, Infinity, -Infinity | `{"@number": "NaN"}` |
//! | error | `{"@error": "message", "name": "TypeError"}` |
//! | tagged (copySet, copyMap, …) | `{"@tag": "copySet", "payload": […]}` |
//! | undefined | `{"@undefined": true}`; as a result just `null` |
//!
//! So what one command prints can be handed to the next.
//!
//! ```
//! use capstan_passable::notation;
//! use serde_json::json;
//!
//! let data = notation::encode(&json!({"to": "@ro-51", "amount": {"@bigint": "7"}}))?;
//! assert_eq!(data.body, r##"#{"to":"$0","amount":"+7"}"##);
//! assert_eq!(data.slots, ["ro-51"]);
//! assert_eq!(notation::decode(&data.body, &data.slots)["amount"], json!({"@bigint": "7"}));
//! # Ok::<(), notation::BadNotation>(())
//! ```

mod read;
mod show;
mod surrogates;

use capstan_abi::CapData;
use serde_json::{Value, json};

pub use show::decode;

use crate::{bigint::BigInt, value::Passable};

/// The reason why a value cannot be encoded. The text names the part that is wrong and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNotation {
    /// A text begins with `@` and is not a reference.
    #[error(
        "\"@{0}\" is not a reference such as @ro-51 or @rp+3; for a text that begins with @ write @@"
    )]
    Reference(String),
    /// An integer is beyond 2^53 - 1.
    #[error("{0} is larger than JavaScript's numbers hold exactly; write {0}n for a bigint")]
    LargeNumber(serde_json::Number),
    /// A bigint is not a string of digits.
    #[error("{0} is not a string of decimal digits")]
    BigInt(Value),
    /// The name of a record's field begins with `@` and is not a known marker.
    #[error(
        "{0:?} is not one of @bigint, @symbol, @number, @error, @tag and @undefined; for such a name write \"@{0}\""
    )]
    Marker(String),
    /// The value of `@error` or `@tag` is not a string.
    #[error("\"{0}\" must be a string")]
    NotString(&'static str),
    /// The text after `@"` is not the JSON of a string.
    #[error("\"@{0}\": what follows @ is not a JSON string such as \"\\ud800\"")]
    JsonString(String),
}

/// Encodes the arguments of a message. Each is JSON if it can be read as JSON, `7n` for a bigint, else a string.
///
/// # Errors
/// Returns [`BadNotation`] for the first argument that cannot be encoded.
pub fn encode_arguments(arguments: &[String]) -> Result<CapData, BadNotation> {
    let values: Vec<Value> = arguments.iter().map(|text| argument(text)).collect();
    encode(&Value::Array(values))
}

/// Encodes a value. It is not checked for what a vat refuses, such as deep nesting.
///
/// # Errors
/// Returns [`BadNotation`] for a malformed reference or marker, or a number that JavaScript would round.
pub fn encode(value: &Value) -> Result<CapData, BadNotation> {
    Ok(read::value(value)?.write(usize::MAX))
}

/// Reads a value for [`Passable::encode`].
///
/// # Errors
/// Returns [`BadNotation`], as [`encode`] does.
pub fn parse(value: &Value) -> Result<Passable, BadNotation> {
    read::value(value)
}

/// Reads JSON, in which strings may have escapes of lone surrogates.
///
/// # Errors
/// Returns the mistake that the JSON parser found.
pub fn from_json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|error| {
        let written = surrogates::rewrite(text, |raw| {
            match (raw.strip_prefix("@@"), raw.strip_prefix('@')) {
                (Some(rest), _) => format!("@\"@{rest}\""),
                // Not a reference: it is refused as one, and shown as it was written.
                (None, Some(_)) => raw.to_owned(),
                (None, None) => format!("@\"{raw}\""),
            }
        });
        serde_json::from_str(&written).map_err(|_| error)
    })
}

/// Reads one argument as people type it: JSON if it can be read as JSON, `7n` for a bigint, else a string.
pub fn argument(text: &str) -> Value {
    if let Some(digits) = text.strip_suffix('n').filter(|digits| BigInt::parse(digits).is_some()) {
        return json!({"@bigint": digits});
    }
    from_json(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use capstan_abi::CapData;
    use serde_json::json;

    use super::*;

    fn arguments(texts: &[&str]) -> CapData {
        encode_arguments(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn arguments_are_json_or_strings_or_bigints_or_references() {
        let encoded = arguments(&[
            "1",
            "true",
            "null",
            "two words",
            "-7n",
            "7n",
            r#"{"a":[1.5]}"#,
            "@ro-51",
            "#x",
            "@@x",
        ]);
        assert_eq!(
            encoded.body,
            r##"#[1,true,null,"two words","-7","+7",{"a":[1.5]},"$0","!#x","@x"]"##
        );
        assert_eq!(encoded.slots, ["ro-51"]);
        assert_eq!(arguments(&[]).body, "#[]");
    }

    #[test]
    fn a_reference_is_one_slot_however_often_and_deep_it_stands() {
        let encoded = arguments(&["@ro-1", r#"{"to":"@ro-1","when":"@rp+2"}"#]);
        assert_eq!(encoded.body, r##"#["$0",{"to":"$0","when":"&1"}]"##);
        assert_eq!(encoded.slots, ["ro-1", "rp+2"]);
    }

    #[test]
    fn what_is_printed_can_be_handed_in_again() {
        let body = r##"#["!#a","!!","@b","plain","+7","-7","%asyncIterator","#NaN",{"!-k":1,"@k":2},"$0","&1",
            {"#tag":"copySet","payload":[1]},{"#error":"bad","name":"TypeError"}]"##;
        let body: String = body.split('\n').map(str::trim).collect();
        let slots = ["ro-5", "rp+6"];
        let value = decode(&body, &slots);
        let again = encode(&value).unwrap();
        assert_eq!(again.body, body);
        assert_eq!(again.slots, slots);
    }

    #[test]
    fn undefined_is_null_and_broken_data_stays_readable() {
        let none: [&str; 0] = [];
        assert_eq!(decode("#\"#undefined\"", &none), Value::Null);
        assert_eq!(encode(&json!({"@undefined": true})).unwrap().body, "#\"#undefined\"");
        assert_eq!(decode("#\"$3\"", &none), json!("$3"));
        assert_eq!(decode("not json", &none), json!("not json"));
    }

    #[test]
    fn lone_surrogates_are_typed_and_printed() {
        let encoded = arguments(&[
            r#""\ud800""#,
            r#"@"a\udfff\"""#,
            r#"{"\ud83d":["@@\ude00","\ud83d\ude00"],"!\uD800":1}"#,
            r#"{"@symbol":"\ud800"}"#,
            r#"{"@error":"no account named \ud800"}"#,
            r"\ud800",
        ]);
        let body = r##"#["\ud800","a\udfff\"",{"\ud83d":["@\ude00","😀"],"!!\ud800":1},"%\ud800",{"#error":"no account named \ud800","name":"Error"},"\\ud800"]"##;
        assert_eq!(encoded.body, body);
        let none: [&str; 0] = [];
        let value = decode(body, &none);
        assert_eq!(value[0], json!(r#"@"\ud800""#));
        assert_eq!(value[2], json!({r#"@"\ud83d""#: [r#"@"@\ude00""#, "😀"], r#"@"!\ud800""#: 1}));
        assert_eq!(value[4]["@error"], json!(r#"@"no account named \ud800""#));
        assert_eq!(value[5], json!(r"\ud800"));
        assert_eq!(encode(&value).unwrap().body, body);
        assert_eq!(decode(r##"#"$0.Alleged: \ud800""##, &["ro-5"]), json!("@ro-5"));
        assert_eq!(decode(r##"#"!%\ud800""##, &none), json!(r#"@"%\ud800""#));
    }

    #[test]
    fn any_body_is_shown() {
        let none: [&str; 0] = [];
        for (body, shown) in [
            (r##"#"\"x""##, json!("\"x")),
            (r##"#"$7.\ud800""##, json!("$7.\\ud800")),
            (r##"#"\ud8""##, json!(r##"#"\ud8""##)),
            (r##"#"\ud800"##, json!(r##"#"\ud800"##)),
            ("#\"\\", json!("#\"\\")),
        ] {
            assert_eq!(decode(body, &none), shown, "{body}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("@ko20", "not a reference"),
            ("@ro-", "not a reference"),
            ("@", "not a reference"),
            ("9007199254740993", "9007199254740993n"),
            (r#"{"@bigint":"x"}"#, "decimal digits"),
            (r#"{"@colour":"red"}"#, "is not one of"),
            (r#""@ro\ud800""#, "not a reference"),
            (r#"@"x"#, "not a JSON string"),
            (r#"@"x"y"#, "not a JSON string"),
        ] {
            let error = encode_arguments(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
