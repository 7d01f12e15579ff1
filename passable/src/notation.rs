//! Values of vats as people type and read them on the command line, and as JSON.
//!
//! | vat's value | typed and printed | the same in JSON |
//! |---|---|---|
//! | null, booleans, numbers, strings, arrays, records | as in JSON | themselves |
//! | a reference of the account: object or promise | `@ro-51`, `@rp+3` | `"@ro-51"`, `"@rp+3"` |
//! | bigint | `7n` | `{"@bigint": "7"}` |
//! | NaN, Infinity, -Infinity | themselves | `{"@number": "NaN"}` |
//! | undefined | `undefined` | `{"@undefined": true}`, or `null` as a result |
//! | a string or a property name that begins with `@` | the same with a second `@` before it | the same |
//! | a string or a property name with a lone surrogate | `@` and its JSON text | the same: `"@\"a\\ud800\""` |
//! | symbol | as in JSON | `{"@symbol": "asyncIterator"}` |
//! | error | as in JSON | `{"@error": "message", "name": "TypeError"}` |
//! | tagged (copySet, copyMap, …) | as in JSON | `{"@tag": "copySet", "payload": […]}` |
//!
//! The JSON can be typed too. An argument that stands alone and does not look like any of these is a string, so that
//! quotes are seldom needed.
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
//! let typed = notation::text(&data.body, &data.slots);
//! assert_eq!(typed, r#"{"to":@ro-51,"amount":7n}"#);
//! assert_eq!(notation::encode(&notation::from_text(&typed)?)?, data);
//! # Ok::<(), notation::BadNotation>(())
//! ```

mod parse;
mod read;
mod show;
mod surrogates;

use capstan_abi::CapData;
use serde_json::Value;

pub use show::{decode, decode_exactly, text, typed};

use crate::value::Passable;

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
    /// A text is not in the notation.
    #[error("character {position}: {problem}")]
    Syntax {
        /// Position of the mistake, in characters from 1.
        position: usize,
        /// Description of the mistake.
        problem: String,
    },
    /// One of several arguments cannot be encoded.
    #[error("argument {number}: {error}")]
    Argument {
        /// Number of the argument, from 1.
        number: usize,
        /// The mistake in it.
        error: Box<BadNotation>,
    },
    /// The text after `@"` is not the JSON of a string.
    #[error("\"@{0}\": what follows @ is not a JSON string such as \"\\ud800\"")]
    JsonString(String),
}

/// Encodes the arguments of a message, each as [`argument`] reads it.
///
/// # Errors
/// Returns [`BadNotation`] for the first argument that cannot be encoded.
pub fn encode_arguments(arguments: &[String]) -> Result<CapData, BadNotation> {
    let read = |(index, text): (usize, &String)| {
        let value = argument(text).and_then(|value| read::value(&value));
        value.map_err(|error| BadNotation::Argument { number: index + 1, error: Box::new(error) })
    };
    let values = arguments.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Passable::Array(values).write(usize::MAX))
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

/// Reads a text in the notation, and returns its JSON form.
///
/// # Errors
/// Returns [`BadNotation::Syntax`] with the place of the first mistake.
pub fn from_text(text: &str) -> Result<Value, BadNotation> {
    parse::parse(text)
}

/// Reads a value that stands alone. It is in the notation if it begins as one: with `{`, `[`, `"`, `@`, a digit or a
/// sign and a digit, or if it is one of the words. Everything else is a string.
///
/// # Errors
/// Returns [`BadNotation`] for a value that begins as one in the notation and is none.
pub fn argument(text: &str) -> Result<Value, BadNotation> {
    match parse::looks_like(text) {
        true => from_text(text),
        false => Ok(Value::String(text.to_owned())),
    }
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
    fn bigints_references_and_words_stand_wherever_values_do() {
        let encoded = arguments(&[
            "[1, -2n,@ro-51 , {\"at\":@rp+3,\"none\":undefined}]",
            "undefined",
            "[NaN,Infinity,-Infinity]",
            " 1.5e3 ",
            "-0",
            "-0n",
            "@@@x y",
            "text, [1",
            "-x",
            "nulls",
        ]);
        let body = r##"#[[1,"-2","$0",{"at":"&1","none":"#undefined"}],"#undefined",["#NaN","#Infinity","#-Infinity"],1500.0,"##;
        assert_eq!(encoded.body, body.to_owned() + r##"0,"+0","@@x y","text, [1","!-x","nulls"]"##);
        assert_eq!(encoded.slots, ["ro-51", "rp+3"]);
    }

    #[test]
    fn what_is_printed_for_people_can_be_typed() {
        let body = r##"#["!#a","@b","x\"\ud800","+7","-7","%s","#-Infinity","#undefined",{"!-k":1,"@k":null,"\udfff":[]},"$0","&1",{"#tag":"copySet","payload":[{}]}]"##;
        let slots = ["ro-5", "rp+6"];
        let typed = text(body, &slots);
        assert_eq!(
            typed,
            r##"["#a","@@b",@"x\"\ud800",7n,-7n,{"@symbol":"s"},-Infinity,undefined,{"-k":1,"@@k":null,"@\"\\udfff\"":[]},@ro-5,@rp+6,{"@tag":"copySet","payload":[{}]}]"##
        );
        let again = encode(&from_text(&typed).unwrap()).unwrap();
        assert_eq!((again.body.as_str(), &again.slots[..]), (body, &slots.map(str::to_owned)[..]));
        let none: [&str; 0] = [];
        assert_eq!(text("#\"#undefined\"", &none), "undefined");
        assert_eq!(text("not smallcaps", &none), "\"not smallcaps\"");
    }

    #[test]
    fn the_place_of_a_mistake_is_named() {
        for (typed, position, part) in [
            ("[1,2", 5, "`,` or `]`, found the end"),
            ("[1 2]", 4, "`,` or `]`, found '2'"),
            ("{\"a\":1", 7, "`,` or `}`"),
            ("{a:1}", 2, "in double quotes"),
            ("{\"a\":1,\"a\":2}", 8, "twice"),
            ("[ü,1]", 2, "a value, found 'ü'"),
            ("[\"ü\",x]", 6, "a value"),
            ("\"abc", 1, "no closing"),
            ("[\"\\x\"]", 2, "escape"),
            ("12 apples", 4, "the end"),
            ("2026-11-27", 1, "2026-11-27 is no number"),
            ("007", 1, "is no number"),
            ("1.5n", 1, "is no number"),
            ("[99999999999999999999]", 2, "write 99999999999999999999n"),
            ("-9007199254740992", 1, "write -9007199254740992n"),
            ("[true,nul]", 7, "a value"),
            ("@ro-1 @ro-2", 7, "the end"),
            ("[@ro-1;]", 7, "`,` or `]`"),
        ] {
            let Err(BadNotation::Syntax { position: at, problem }) = argument(typed) else {
                panic!("{typed}: {:?}", argument(typed))
            };
            assert!(at == position && problem.contains(part), "{typed}: {at}: {problem}");
        }
        let deep = "[".repeat(200);
        assert!(argument(&deep).unwrap_err().to_string().contains("100 levels"));
        let second = encode_arguments(&["1".to_owned(), "{".to_owned()]).unwrap_err().to_string();
        assert!(second.starts_with("argument 2: character 2: "), "{second}");
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
            (r#"@"x"#, "no closing"),
            (r#"@"x"y"#, "the end"),
        ] {
            let error = encode_arguments(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
