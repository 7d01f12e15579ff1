//! Values of vats as JSON, for the command line.
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
//! So what one command prints can be handed to the next. On the wire it is the smallcaps encoding of Endo's
//! `@endo/marshal`.

mod lone;

use capstan_abi::JsString;
use serde_json::{Map, Value, json};

use crate::failure::usage;

/// The largest integer that JavaScript's numbers hold exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Encoded data: smallcaps without the leading `#`, and the references that it indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) body: String,
    pub(crate) slots: Vec<String>,
}

/// Encodes the arguments of a message. Each is JSON if it can be read as JSON, `7n` for a bigint, else a string.
///
/// # Errors
/// Wrong usage, naming the argument.
pub(crate) fn encode_arguments(arguments: &[String]) -> anyhow::Result<Encoded> {
    let values: Vec<Value> = arguments.iter().map(|text| argument(text)).collect();
    encode(&Value::Array(values))
}

/// Encodes a value.
///
/// # Errors
/// Wrong usage: a malformed reference or marker, or a number that JavaScript would round.
pub(crate) fn encode(value: &Value) -> anyhow::Result<Encoded> {
    let mut slots = Vec::new();
    let body = lone::unmark(&to_smallcaps(value, &mut slots)?);
    Ok(Encoded { body, slots })
}

/// Reads JSON, in which strings may have escapes of lone surrogates.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn from_json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|error| {
        let written =
            lone::rewrite(text, |raw| match (raw.strip_prefix("@@"), raw.strip_prefix('@')) {
                (Some(rest), _) => format!("@\"@{rest}\""),
                // No reference: it is refused as one, and told as it was written.
                (None, Some(_)) => raw.to_owned(),
                (None, None) => format!("@\"{raw}\""),
            });
        serde_json::from_str(&written).map_err(|_| error)
    })
}

/// Decodes data that came from the chain. What is not smallcaps is given as a string.
pub(crate) fn decode(body: &str, slots: &[impl AsRef<str>]) -> Value {
    let parsed = body.strip_prefix('#').and_then(|json| lone::mark(json).ok());
    parsed.map_or_else(|| literal(body), |value| from_smallcaps(&value, slots))
}

fn argument(text: &str) -> Value {
    if let Some(digits) = text.strip_suffix('n').filter(|digits| is_integer(digits)) {
        return json!({"@bigint": digits});
    }
    from_json(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn to_smallcaps(value: &Value, slots: &mut Vec<String>) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => Value::String(match (plain(text)?, text.strip_prefix('@')) {
            (Some(text), _) => text,
            (None, reference) => slot(reference.unwrap_or_default(), slots)?,
        }),
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_some_and(|size| size > MAX_SAFE_INTEGER) {
                return Err(usage(format!(
                    "{number} is larger than JavaScript's numbers hold exactly; write {number}n for a bigint"
                )));
            }
            value.clone()
        }
        Value::Array(items) => Value::Array(
            items.iter().map(|item| to_smallcaps(item, slots)).collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => match marked(fields, slots)? {
            Some(special) => special,
            None => record_to_smallcaps(fields, slots)?,
        },
        Value::Null | Value::Bool(_) => value.clone(),
    })
}

fn record_to_smallcaps(
    fields: &Map<String, Value>,
    slots: &mut Vec<String>,
) -> anyhow::Result<Value> {
    let mut record = Map::new();
    for (name, value) in fields {
        let Some(name) = plain(name)? else {
            let known = "@bigint, @symbol, @number, @error, @tag and @undefined";
            return Err(usage(format!(
                "{name:?} is not one of {known}; for such a name write \"@{name}\""
            )));
        };
        record.insert(name, to_smallcaps(value, slots)?);
    }
    Ok(Value::Object(record))
}

/// A record that stands for a value that JSON does not have.
fn marked(fields: &Map<String, Value>, slots: &mut Vec<String>) -> anyhow::Result<Option<Value>> {
    if let Some(message) = fields.get("@error") {
        let name = fields.get("name").and_then(Value::as_str).unwrap_or("Error");
        let message = message.as_str().ok_or_else(|| usage("\"@error\" must be a string"))?;
        return Ok(Some(json!({"#error": whole(message)?, "name": whole(name)?})));
    }
    if let Some(tag) = fields.get("@tag") {
        let tag = tag.as_str().ok_or_else(|| usage("\"@tag\" must be a string"))?;
        let payload = to_smallcaps(fields.get("payload").unwrap_or(&Value::Null), slots)?;
        return Ok(Some(json!({"#tag": whole(tag)?, "payload": payload})));
    }
    let Some((name, value)) = fields.iter().next().filter(|_| fields.len() == 1) else {
        return Ok(None);
    };
    let text = value.as_str().unwrap_or_default();
    Ok(Some(Value::String(match name.as_str() {
        "@bigint" if is_integer(text) => match text.strip_prefix('-') {
            Some(_) => text.to_owned(),
            None => format!("+{text}"),
        },
        "@bigint" => return Err(usage(format!("{value} is not a string of decimal digits"))),
        "@symbol" => lone::symbol(text)?,
        "@number" if matches!(text, "NaN" | "Infinity" | "-Infinity") => format!("#{text}"),
        "@undefined" => "#undefined".to_owned(),
        _ => return Ok(None),
    })))
}

/// The smallcaps text for a string as it stands here; none if it begins with an `@` that means something else.
fn plain(text: &str) -> anyhow::Result<Option<String>> {
    Ok(match text.strip_prefix('@') {
        Some(rest) if rest.starts_with('@') => Some(escaped(rest)),
        Some(rest) if rest.starts_with('"') => Some(lone::escaped(&lone::read(rest)?)),
        Some(_) => None,
        None => Some(escaped(text)),
    })
}

/// The same where nothing else can stand.
fn whole(text: &str) -> anyhow::Result<String> {
    Ok(plain(text)?.unwrap_or_else(|| escaped(text)))
}

/// The smallcaps text for a reference, which becomes a slot.
fn slot(reference: &str, slots: &mut Vec<String>) -> anyhow::Result<String> {
    let kind = match reference.get(..3) {
        Some("ro+" | "ro-") => '$',
        Some("rp+" | "rp-") => '&',
        _ => ' ',
    };
    if kind == ' ' || !reference[3..].bytes().all(|b| b.is_ascii_digit()) || reference.len() == 3 {
        return Err(usage(format!(
            "\"@{reference}\" is not a reference such as @ro-51 or @rp+3; for a text that begins with @ write @@"
        )));
    }
    let index = slots.iter().position(|known| known == reference).unwrap_or_else(|| {
        slots.push(reference.to_owned());
        slots.len() - 1
    });
    Ok(format!("{kind}{index}"))
}

/// A text in smallcaps: `!` before one that would mean something else.
fn escaped(text: &str) -> String {
    match text.bytes().next() {
        Some(b'!'..=b'-') => format!("!{text}"),
        _ => text.to_owned(),
    }
}

fn from_smallcaps(value: &Value, slots: &[impl AsRef<str>]) -> Value {
    match value {
        Value::String(text) => from_text(text, slots),
        Value::Array(items) => items.iter().map(|item| from_smallcaps(item, slots)).collect(),
        Value::Object(fields) => from_record(fields, slots),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn from_record(fields: &Map<String, Value>, slots: &[impl AsRef<str>]) -> Value {
    let mut record = Map::new();
    for (name, value) in fields {
        let name = match name.as_str() {
            "#error" => "@error".to_owned(),
            "#tag" => "@tag".to_owned(),
            name => match lone::marked(name) {
                Some(name) => lone::shown(&name.strip_prefix('!').unwrap_or(name)),
                None => at_escaped(name.strip_prefix('!').unwrap_or(name)),
            },
        };
        record.insert(name, from_smallcaps(value, slots));
    }
    Value::Object(record)
}

fn from_text(text: &str, slots: &[impl AsRef<str>]) -> Value {
    if let Some(text) = lone::marked(text) {
        return from_lone(&text, slots);
    }
    let rest = text.get(1..).unwrap_or_default();
    match text.bytes().next() {
        Some(b'!') => literal(rest),
        Some(b'$' | b'&') => {
            let index = rest.split('.').next().and_then(|digits| digits.parse::<usize>().ok());
            let slot = index.and_then(|index| slots.get(index));
            slot.map_or_else(|| literal(text), |slot| Value::String(format!("@{}", slot.as_ref())))
        }
        Some(b'+') => json!({"@bigint": rest}),
        Some(b'-') => json!({"@bigint": text}),
        Some(b'%') => json!({"@symbol": rest}),
        Some(b'#') if rest == "undefined" => Value::Null,
        Some(b'#') => json!({"@number": rest}),
        _ => literal(text),
    }
}

/// A text with a lone surrogate, which can be a string, a symbol, or a reference with such an interface.
fn from_lone(text: &JsString, slots: &[impl AsRef<str>]) -> Value {
    let without = |sigil| text.strip_prefix(sigil).map(|rest| lone::shown(&rest));
    match text.as_wtf8().first() {
        Some(b'!') => without('!').into(),
        Some(b'%') => json!({"@symbol": without('%')}),
        Some(b'$' | b'&') => from_text(&text.legible(), slots),
        _ => lone::shown(text).into(),
    }
}

fn literal(text: &str) -> Value {
    Value::String(at_escaped(text))
}

fn at_escaped(text: &str) -> String {
    if text.starts_with('@') { format!("@{text}") } else { text.to_owned() }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Encoded {
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
            r##"[1,true,null,"two words","-7","+7",{"a":[1.5]},"$0","!#x","@x"]"##
        );
        assert_eq!(encoded.slots, ["ro-51"]);
        assert_eq!(arguments(&[]).body, "[]");
    }

    #[test]
    fn a_reference_is_one_slot_however_often_and_deep_it_stands() {
        let encoded = arguments(&["@ro-1", r#"{"to":"@ro-1","when":"@rp+2"}"#]);
        assert_eq!(encoded.body, r#"["$0",{"to":"$0","when":"&1"}]"#);
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
        assert_eq!(format!("#{}", again.body), body);
        assert_eq!(again.slots, slots);
    }

    #[test]
    fn undefined_is_null_and_broken_data_stays_readable() {
        let none: [&str; 0] = [];
        assert_eq!(decode("#\"#undefined\"", &none), Value::Null);
        assert_eq!(encode(&json!({"@undefined": true})).unwrap().body, "\"#undefined\"");
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
        let body = r##"["\ud800","a\udfff\"",{"\ud83d":["@\ude00","😀"],"!!\ud800":1},"%\ud800",{"#error":"no account named \ud800","name":"Error"},"\\ud800"]"##;
        assert_eq!(encoded.body, body);
        let none: [&str; 0] = [];
        let value = decode(&format!("#{body}"), &none);
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
