//! JSON as text in a tree.

use capstan_abi::JsString;

use crate::text::{escape, raw, unescape};

/// A JSON value whose scalars are still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// The text between the quotes, escapes and all.
    Text(String),
    /// A number, `true`, `false` or `null`.
    Scalar(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: raw keys in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Returns a string in smallcaps, escaped if it has to be.
    pub fn string(text: impl Into<JsString>) -> Self {
        Self::Text(Self::key(text))
    }

    /// Returns the key of a property in an [`Object`](Self::Object): a name in smallcaps, escaped if it has to be.
    pub fn key(name: impl Into<JsString>) -> String {
        raw(&escape(name.into()))
    }

    /// Returns the string, with its smallcaps escape undone. Returns `None` if this is not an ordinary
    /// string.
    pub fn as_text(&self) -> Option<JsString> {
        let Self::Text(raw) = self else { return None };
        let text = unescape(raw)?;
        match text.as_wtf8().first() {
            Some(b'!') => text.strip_prefix('!'),
            Some(b'"'..=b'-') => None,
            _ => Some(text),
        }
    }

    /// The string, if it is one without lone surrogates: a name, an id, or what goes to the application.
    pub fn as_unicode(&self) -> Option<String> {
        self.as_text()?.as_str().map(str::to_owned)
    }

    /// The bigint, if it is one and not negative.
    pub fn as_nat(&self) -> Option<u128> {
        let Self::Text(raw) = self else { return None };
        raw.strip_prefix('+')?.parse().ok()
    }

    /// The value of a field, if it is an object and the field is there and not undefined.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        // As in JavaScript: of two with the same name, which no vat of liveslots writes, the last counts.
        let value = &fields.iter().rev().find(|(key, _)| key == name)?.1;
        (*value != Self::undefined()).then_some(value)
    }

    /// The value that stands for JavaScript's `undefined`.
    pub fn undefined() -> Self {
        Self::Text("#undefined".to_owned())
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Text(raw) => {
                out.push('"');
                out.push_str(raw);
                out.push('"');
            }
            Self::Scalar(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push('"');
                    out.push_str(key);
                    out.push_str("\":");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_bodies_are_refused_not_guessed() {
        for text in ["", "[", "[1,]", "{\"a\"}", "\"a", "[1 2]", "nul", "\"\u{1}\"", "01", "1 1"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), None);
    }

    #[test]
    fn texts_are_what_they_say_whether_unicode_or_not() {
        let text = |json: &str| Json::parse(json).unwrap();
        assert_eq!(text(r#""!\ud800""#).as_text(), JsString::from_json(r#""\ud800""#).ok());
        assert_eq!(text(r#""\ud800""#).as_unicode(), None);
        assert_eq!(text(r#""!$x""#).as_unicode(), Some("$x".to_owned()));
        assert_eq!(text(r#""$0""#).as_unicode(), None);
        assert_eq!(
            Json::string(JsString::from_json(r#""$\udc00""#).unwrap()),
            text(r#""!$\udc00""#)
        );
        // Of two fields with one name the last counts, as in JavaScript.
        let twice = text(r#"{"a":1,"a":2}"#);
        assert_eq!(twice.field("a"), Some(&Json::Scalar("2".to_owned())));
    }
}
