//! From smallcaps to [`Passable`].

use capstan_abi::{CapData, JsString};

use crate::{
    bigint::BigInt,
    check::{Malformed, check},
    json::Json,
    reference::Reference,
    text::{slot_index, unescape},
    value::Passable,
};

impl<R: Reference> Passable<R> {
    /// Decodes a value.
    ///
    /// # Errors
    /// Returns the first mistake if the body is not smallcaps over its slots, or has a number beyond the range of
    /// a `f64`.
    pub fn decode(data: &CapData<R>) -> Result<Self, Malformed> {
        check(data)?;
        let value = data.body.strip_prefix('#').and_then(Json::parse);
        value.and_then(|json| value_of(&json, &data.slots)).ok_or_else(|| Malformed {
            offset: 0,
            problem: "a number is beyond the range of 64-bit floating point".to_owned(),
        })
    }
}

fn value_of<R: Reference>(json: &Json, slots: &[R]) -> Option<Passable<R>> {
    Some(match json {
        Json::Scalar(text) => match serde_json::from_str(text).ok()? {
            serde_json::Value::Bool(value) => Passable::Bool(value),
            serde_json::Value::Number(number) => Passable::Number(number),
            _ => Passable::Null,
        },
        Json::Text(raw) => string_value(&unescape(raw)?, slots)?,
        Json::Array(items) => {
            Passable::Array(items.iter().map(|item| value_of(item, slots)).collect::<Option<_>>()?)
        }
        Json::Object(fields) => object(fields, slots)?,
    })
}

fn object<R: Reference>(fields: &[(String, Json)], slots: &[R]) -> Option<Passable<R>> {
    let find = |name: &str| {
        let is_it = |(key, _): &&(String, Json)| unescape(key).is_some_and(|key| key == name);
        fields.iter().find(is_it).map(|(_, value)| value)
    };
    if let Some(tag) = find("#tag") {
        let payload = Box::new(value_of(find("payload")?, slots)?);
        return Some(Passable::Tagged { tag: tag.as_text()?, payload });
    }
    if let Some(message) = find("#error") {
        let name = find("name")?.as_text()?;
        return Some(Passable::Error { name, message: message.as_text()? });
    }
    let field = |(name, value): &(String, Json)| {
        let name = unescape(name)?;
        Some((name.strip_prefix('!').unwrap_or(name), value_of(value, slots)?))
    };
    fields.iter().map(field).collect::<Option<_>>().map(Passable::Record)
}

fn string_value<R: Reference>(text: &JsString, slots: &[R]) -> Option<Passable<R>> {
    let rest = |sigil| text.strip_prefix(sigil);
    Some(match text.as_wtf8().first() {
        Some(b'!') => Passable::String(rest('!')?),
        Some(b'$' | b'&') => Passable::Reference(slots.get(slot_index(&text.legible())?)?.clone()),
        Some(b'+') => Passable::BigInt(BigInt::from_checked(rest('+')?.as_str()?)),
        Some(b'-') => Passable::BigInt(BigInt::from_checked(text.as_str()?)),
        Some(b'%') => Passable::Symbol(rest('%')?),
        Some(b'#') => match text.as_str()? {
            "#undefined" => Passable::Undefined,
            "#NaN" => Passable::NaN,
            "#Infinity" => Passable::Infinity,
            _ => Passable::NegativeInfinity,
        },
        _ => Passable::String(text.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &str, slots: &[&str]) -> Result<Passable, Malformed> {
        let slots = slots.iter().map(ToString::to_string).collect();
        Passable::decode(&CapData { body: body.to_owned(), slots })
    }

    #[test]
    fn interfaces_and_error_ids_are_not_kept() {
        let value = decode(r##"#["$0.Alleged: \ud800","$0"]"##, &["ro-1"]).unwrap();
        let reference = Passable::Reference("ro-1".to_owned());
        assert_eq!(value, vec![reference.clone(), reference].into());
        let error = decode(r##"#{"#error":"no","errorId":"e#1","name":"TypeError"}"##, &[]);
        let expected = Passable::Error { name: "TypeError".into(), message: "no".into() };
        assert_eq!(error, Ok(expected));
    }

    #[test]
    fn what_is_not_smallcaps_is_refused_with_its_place() {
        assert_eq!(decode(r##"#["$1"]"##, &["ro-1"]).unwrap_err().offset, 2);
        assert!(decode("[]", &[]).unwrap_err().problem.contains("begin with #"));
        assert!(decode("#1e999", &[]).unwrap_err().problem.contains("range"));
    }
}
