//! From what people type to the JSON form of the notation.

use serde_json::{Map, Number, Value, json};

use super::{BadNotation, surrogates};
use crate::{bigint::BigInt, limits::MAX_DEPTH, text::JSON_SPACE};

/// Words that stand for values.
const WORDS: [(&str, fn() -> Value); 7] = [
    ("null", || Value::Null),
    ("true", || Value::Bool(true)),
    ("false", || Value::Bool(false)),
    ("undefined", || json!({"@undefined": true})),
    ("NaN", || json!({"@number": "NaN"})),
    ("Infinity", || json!({"@number": "Infinity"})),
    ("-Infinity", || json!({"@number": "-Infinity"})),
];

/// The largest integer that JavaScript's numbers hold exactly.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Returns true if a text that stands alone can only be meant as the notation.
pub(super) fn looks_like(text: &str) -> bool {
    let text = text.trim_matches(JSON_SPACE);
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    (text.starts_with(['{', '[', '"', '@']) && !text.starts_with("@@"))
        || unsigned.starts_with(|c: char| c.is_ascii_digit())
        || WORDS.iter().any(|(word, _)| *word == text)
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Value, BadNotation> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.space();
    match reader.rest().is_empty() {
        true => Ok(value),
        false => Err(reader.expected("the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Offset of the next byte.
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(JSON_SPACE).len();
    }

    /// Passes a text, after space. Returns false if something else is there.
    fn passes(&mut self, text: &str) -> bool {
        self.space();
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    fn expected(&self, what: &str) -> BadNotation {
        let found = self.rest().chars().next();
        self.mistake(match found {
            Some(found) => format!("expected {what}, found {found:?}"),
            None => format!("expected {what}, found the end"),
        })
    }

    fn mistake(&self, problem: String) -> BadNotation {
        BadNotation::Syntax { position: self.text[..self.at].chars().count() + 1, problem }
    }

    fn value(&mut self) -> Result<Value, BadNotation> {
        self.space();
        match self.rest().as_bytes().first() {
            Some(b'{') => self.nested(Self::record),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'@') => self.reference(),
            Some(b'0'..=b'9') => self.number(),
            Some(b'-') if !self.rest().starts_with("-I") => self.number(),
            _ => self.word(),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value, BadNotation>,
    ) -> Result<Value, BadNotation> {
        if self.depth == MAX_DEPTH {
            return Err(self.mistake(format!("more than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Value, BadNotation> {
        let mut items = Vec::new();
        if self.passes("]") {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.passes("]") {
                return Ok(Value::Array(items));
            }
            if !self.passes(",") {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn record(&mut self) -> Result<Value, BadNotation> {
        let mut fields = Map::new();
        if self.passes("}") {
            return Ok(Value::Object(fields));
        }
        loop {
            self.space();
            if !self.rest().starts_with('"') {
                return Err(self.expected("the name of a field, in double quotes"));
            }
            let begin = self.at;
            let name = self.string()?;
            if fields.contains_key(&name) {
                self.at = begin;
                return Err(self.mistake(format!("the field {name:?} is there twice")));
            }
            if !self.passes(":") {
                return Err(self.expected("`:`"));
            }
            let value = self.value()?;
            fields.insert(name, value);
            if self.passes("}") {
                return Ok(Value::Object(fields));
            }
            if !self.passes(",") {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    /// Reads a string. One with lone surrogates becomes `@` and its JSON text.
    fn string(&mut self) -> Result<String, BadNotation> {
        let inner = &self.rest()[1..];
        let Some(end) = surrogates::string_end(inner) else {
            return Err(self.mistake("the text that begins here has no closing `\"`".to_owned()));
        };
        let raw = &inner[..end];
        let whole = &self.rest()[..end + 2];
        let read = serde_json::from_str(whole).ok().or_else(|| surrogates::written(raw));
        let string = read.ok_or_else(|| {
            self.mistake(
                "the text that begins here has an escape that JSON does not know".to_owned(),
            )
        })?;
        self.at += whole.len();
        Ok(string)
    }

    /// Reads a reference, or a string that is written as `@` and JSON or as `@@` and a text.
    fn reference(&mut self) -> Result<Value, BadNotation> {
        let rest = self.rest();
        if rest.starts_with("@\"") {
            self.at += 1;
            let begin = self.rest();
            self.string()?;
            let json = &begin[..begin.len() - self.rest().len()];
            return Ok(Value::String(format!("@{json}")));
        }
        let length = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && !"+-_".contains(c));
        let whole = &rest[..length.map_or(rest.len(), |length| length + 1)];
        self.at += whole.len();
        Ok(Value::String(whole.to_owned()))
    }

    /// Reads a number of JSON, or an integer and `n`.
    fn number(&mut self) -> Result<Value, BadNotation> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        let whole = &rest[..length.unwrap_or(rest.len())];
        let value = self.integer(whole).unwrap_or_else(|| {
            let number: Result<Number, _> = serde_json::from_str(whole);
            number.map(Value::Number).map_err(|_| self.mistake(format!("{whole} is no number")))
        })?;
        self.at += whole.len();
        Ok(value)
    }

    /// Reads decimal digits, with `n` after them for a bigint. Returns `None` for anything else.
    fn integer(&self, text: &str) -> Option<Result<Value, BadNotation>> {
        let digits = text.strip_suffix('n').unwrap_or(text);
        BigInt::parse(digits)?;
        // There is no negative zero among a vat's numbers.
        let digits = if digits == "-0" { "0" } else { digits };
        Some(match digits.parse::<i64>() {
            _ if text.ends_with('n') => Ok(json!({"@bigint": digits})),
            Ok(number) if number.unsigned_abs() <= MAX_SAFE_INTEGER => Ok(json!(number)),
            _ => {
                let fault = "is larger than JavaScript's numbers hold exactly";
                Err(self.mistake(format!("{text} {fault}; for a bigint write {text}n")))
            }
        })
    }

    fn word(&mut self) -> Result<Value, BadNotation> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let word = &rest[..length.unwrap_or(rest.len())];
        match WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => {
                self.at += word.len();
                Ok(value())
            }
            None => Err(self.expected("a value")),
        }
    }
}
