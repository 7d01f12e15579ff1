//! From the notation to [`Passable`].

use capstan_abi::JsString;
use serde_json::{Map, Value};

use super::{BadNotation, surrogates};
use crate::{bigint::BigInt, value::Passable};

/// The largest integer that JavaScript's numbers hold exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

type Read<T> = Result<T, BadNotation>;

pub(super) fn value(value: &Value) -> Read<Passable> {
    Ok(match value {
        Value::Null => Passable::Null,
        Value::Bool(value) => Passable::Bool(*value),
        Value::String(text) => match (plain(text)?, text.strip_prefix('@')) {
            (Some(text), _) => Passable::String(text),
            (None, name) => reference(name.unwrap_or_default())?,
        },
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_some_and(|size| size > MAX_SAFE_INTEGER) {
                return Err(BadNotation::LargeNumber(number.clone()));
            }
            Passable::Number(number.clone())
        }
        Value::Array(items) => {
            Passable::Array(items.iter().map(self::value).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => match marked(fields)? {
            Some(special) => special,
            None => record(fields)?,
        },
    })
}

fn record(fields: &Map<String, Value>) -> Read<Passable> {
    let field = |(name, content): (&String, &Value)| match plain(name)? {
        Some(name) => Ok((name, value(content)?)),
        None => Err(BadNotation::Marker(name.clone())),
    };
    fields.iter().map(field).collect::<Result<_, _>>().map(Passable::Record)
}

/// Reads a record that stands for a value which JSON does not have. Returns `None` if it is an ordinary record.
fn marked(fields: &Map<String, Value>) -> Read<Option<Passable>> {
    if let Some(message) = fields.get("@error") {
        let name = fields.get("name").and_then(Value::as_str).unwrap_or("Error");
        let message = whole(message.as_str().ok_or(BadNotation::NotString("@error"))?)?;
        return Ok(Some(Passable::Error { name: whole(name)?, message }));
    }
    if let Some(tag) = fields.get("@tag") {
        let tag = tag.as_str().ok_or(BadNotation::NotString("@tag"))?;
        let payload = value(fields.get("payload").unwrap_or(&Value::Null))?;
        return Ok(Some(Passable::tagged(whole(tag)?, payload)));
    }
    let Some((name, content)) = fields.iter().next().filter(|_| fields.len() == 1) else {
        return Ok(None);
    };
    let text = content.as_str().unwrap_or_default();
    Ok(Some(match (name.as_str(), text) {
        ("@bigint", digits) => match BigInt::parse(digits) {
            Some(number) => Passable::BigInt(number),
            None => return Err(BadNotation::BigInt(content.clone())),
        },
        ("@symbol", name) => Passable::Symbol(symbol(name)?),
        ("@number", "NaN") => Passable::NaN,
        ("@number", "Infinity") => Passable::Infinity,
        ("@number", "-Infinity") => Passable::NegativeInfinity,
        ("@undefined", _) => Passable::Undefined,
        _ => return Ok(None),
    }))
}

/// Returns the string that a text stands for, or `None` if it begins with an `@` that means something else.
fn plain(text: &str) -> Read<Option<JsString>> {
    Ok(match text.strip_prefix('@') {
        Some(rest) if rest.starts_with('@') => Some(rest.into()),
        Some(rest) if rest.starts_with('"') => Some(surrogates::read(rest)?),
        Some(_) => None,
        None => Some(text.into()),
    })
}

/// Returns the string that a text stands for where nothing but a string can occur.
fn whole(text: &str) -> Read<JsString> {
    Ok(plain(text)?.unwrap_or_else(|| text.into()))
}

/// Reads the name of a symbol, which may be written as a string with lone surrogates is.
fn symbol(name: &str) -> Read<JsString> {
    match name.strip_prefix('@').filter(|rest| rest.starts_with('"')) {
        Some(json) => surrogates::read(json),
        None => Ok(name.into()),
    }
}

fn reference(name: &str) -> Read<Passable> {
    let digits = ["ro+", "ro-", "rp+", "rp-"].iter().find_map(|kind| name.strip_prefix(kind));
    match digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
        true => Ok(Passable::Reference(name.to_owned())),
        false => Err(BadNotation::Reference(name.to_owned())),
    }
}
