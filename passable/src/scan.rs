//! One pass over JSON text, checking it as smallcaps or turning plain JSON into smallcaps.

use std::collections::BTreeSet;

use capstan_abi::JsString;

use crate::{check::Malformed, limits::MAX_DEPTH, reference::Reference, text::starts_special};

/// The language that a text is scanned as.
pub(crate) enum Dialect<'a, R> {
    /// Plain JSON: strings that would be escapes get a `!`.
    Plain,
    /// Smallcaps over these slots.
    Smallcaps { slots: &'a [R] },
}

/// A recursive-descent scanner of at most [`MAX_DEPTH`] levels.
pub(crate) struct Scanner<'a, R> {
    text: &'a str,
    position: usize,
    dialect: Dialect<'a, R>,
    /// Byte offsets at which plain JSON needs a `!`.
    insertions: Vec<usize>,
}

/// The kind of a value, as far as an error or tagged value has to know it.
#[derive(PartialEq)]
enum Kind {
    /// A string that stands for itself.
    String,
    /// Anything else.
    Other,
}

type Scan<T> = Result<T, Malformed>;

impl<'a, R: Reference> Scanner<'a, R> {
    /// Begins at the start of `text`.
    pub(crate) fn new(text: &'a str, dialect: Dialect<'a, R>) -> Self {
        Self { text, position: 0, dialect, insertions: Vec::new() }
    }

    /// Scans the whole text.
    pub(crate) fn scan(&mut self) -> Scan<()> {
        self.value(0)?;
        self.blanks();
        if self.position < self.text.len() {
            return self.refuse("expected the end of the text");
        }
        Ok(())
    }

    /// Returns plain JSON that was scanned, with `!` inserted where smallcaps needs it.
    pub(crate) fn escaped(self) -> String {
        let mut out = String::with_capacity(self.text.len() + self.insertions.len());
        let mut done = 0;
        for at in self.insertions {
            out.push_str(&self.text[done..at]);
            out.push('!');
            done = at;
        }
        out.push_str(&self.text[done..]);
        out
    }

    fn value(&mut self, depth: usize) -> Scan<Kind> {
        self.blanks();
        match self.peek() {
            Some(b'[') => self.array(depth).map(|()| Kind::Other),
            Some(b'{') => self.object(depth).map(|()| Kind::Other),
            Some(b'"') => self.string_value(),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Other),
            _ => {
                let word = ["null", "true", "false"]
                    .into_iter()
                    .find(|word| self.text[self.position..].starts_with(word));
                let Some(word) = word else {
                    return self.refuse("expected a JSON value");
                };
                self.position += word.len();
                Ok(Kind::Other)
            }
        }
    }

    fn array(&mut self, depth: usize) -> Scan<()> {
        self.open(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.blanks();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "expected , or ] in an array")?;
        }
    }

    fn object(&mut self, depth: usize) -> Scan<()> {
        let start = self.position;
        self.open(depth)?;
        let mut members = Members::default();
        if !self.take(b'}') {
            loop {
                self.member(depth, &mut members)?;
                self.blanks();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',', "expected , or } in an object")?;
            }
        }
        match self.dialect {
            Dialect::Plain => Ok(()),
            Dialect::Smallcaps { .. } => members
                .check()
                .map_err(|problem| Malformed { offset: start, problem: problem.into() }),
        }
    }

    fn member(&mut self, depth: usize, members: &mut Members) -> Scan<()> {
        self.blanks();
        let start = self.position;
        if self.peek() != Some(b'"') {
            return self.refuse("expected a string as the name of a property");
        }
        let name = self.string()?;
        let refuse = |problem: String| Err(Malformed { offset: start, problem });
        if name == "__proto__" {
            return refuse("a property must not be named __proto__".into());
        }
        if starts_special(&name) {
            match self.dialect {
                Dialect::Plain => self.insertions.push(start + 1),
                Dialect::Smallcaps { .. } if name.as_wtf8()[0] == b'!' => {}
                Dialect::Smallcaps { .. } if name == TAG || name == ERROR => {}
                Dialect::Smallcaps { .. } => {
                    return refuse(format!(
                        "the property name {name:?} must be escaped: {:?}",
                        format!("!{name}")
                    ));
                }
            }
        }
        self.blanks();
        self.expect(b':', "expected : after the name of a property")?;
        let kind = self.value(depth + 1)?;
        match members.add(name, kind) {
            None => Ok(()),
            Some(name) => refuse(format!("the property {name:?} stands twice")),
        }
    }

    /// A string in the place of a value.
    fn string_value(&mut self) -> Scan<Kind> {
        let start = self.position;
        let text = self.string()?;
        if !starts_special(&text) {
            return Ok(Kind::String);
        }
        match self.dialect {
            Dialect::Plain => {
                self.insertions.push(start + 1);
                Ok(Kind::String)
            }
            Dialect::Smallcaps { slots } => {
                // What is special is ASCII, which looks the same wherever the text is legible.
                check_special(&text.legible(), slots)
                    .map_err(|error| Malformed { offset: start, problem: error.to_string() })
            }
        }
    }

    /// A JSON string, decoded. Escapes give code units, as in JavaScript: surrogates that have no other half too.
    fn string(&mut self) -> Scan<JsString> {
        self.position += 1;
        let mut out = JsString::default();
        loop {
            let rest = &self.text[self.position..];
            let Some(c) = rest.chars().next() else {
                return self.refuse("a string does not end");
            };
            match c {
                '"' => {
                    self.position += 1;
                    return Ok(out);
                }
                '\\' => out.push_unit(self.escape()?),
                c if c < ' ' => {
                    return self.refuse("a control character in a string must be escaped");
                }
                c => {
                    out.push_char(c);
                    self.position += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> Scan<u16> {
        let simple = match self.text.as_bytes().get(self.position + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x8,
            Some(b'f') => 0xc,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.code_unit(),
            _ => return self.refuse("unknown escape in a string"),
        };
        self.position += 2;
        Ok(simple.into())
    }

    /// `\uXXXX` at the position.
    fn code_unit(&mut self) -> Scan<u16> {
        let digits = self.text.get(self.position + 2..self.position + 6);
        let hex = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|d| u16::from_str_radix(d, 16).ok()) {
            Some(unit) => {
                self.position += 6;
                Ok(unit)
            }
            None => self.refuse("expected four hex digits after \\u"),
        }
    }

    fn number(&mut self) -> Scan<()> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let bytes = &self.text.as_bytes()[self.position..];
        let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        self.position += count;
        if count == 0 { self.refuse("expected a digit") } else { Ok(()) }
    }

    fn open(&mut self, depth: usize) -> Scan<()> {
        if depth >= MAX_DEPTH {
            return self.refuse(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.position += 1;
        self.blanks();
        Ok(())
    }

    fn blanks(&mut self) {
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.position += self.text.as_bytes()[self.position..].iter().take_while(blank).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, problem: &str) -> Scan<()> {
        if self.take(byte) { Ok(()) } else { self.refuse(problem) }
    }

    fn refuse<T>(&self, problem: impl Into<String>) -> Scan<T> {
        Err(Malformed { offset: self.position, problem: problem.into() })
    }
}

const TAG: &str = "#tag";
const ERROR: &str = "#error";

/// The names of an object's members, and which of them have strings as values.
#[derive(Default)]
struct Members {
    names: BTreeSet<JsString>,
    /// Those of the names whose value is a plain string.
    strings: BTreeSet<JsString>,
}

impl Members {
    /// Returns the name if it was there before.
    fn add(&mut self, name: JsString, kind: Kind) -> Option<JsString> {
        if kind == Kind::String {
            self.strings.insert(name.clone());
        }
        match self.names.contains(&name) {
            true => Some(name),
            false => {
                self.names.insert(name);
                None
            }
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let has = |name: &str| self.names.contains(&JsString::from(name));
        let is_string = |name: &str| self.strings.contains(&JsString::from(name));
        if has(TAG) {
            let exact = is_string(TAG) && has("payload") && self.names.len() == 2;
            return if exact {
                Ok(())
            } else {
                Err("a tagged value is {\"#tag\": string, \"payload\": value}")
            };
        }
        if has(ERROR) {
            let whole =
                is_string(ERROR) && is_string("name") && (!has("errorId") || is_string("errorId"));
            return if whole {
                Ok(())
            } else {
                Err(
                    "an error is {\"#error\": string, \"name\": string} and perhaps \"errorId\": string",
                )
            };
        }
        Ok(())
    }
}

/// Error for a string value that starts with a special character.
#[derive(Debug, thiserror::Error)]
enum SpecialError {
    /// Smallcaps knows no such value.
    #[error("{text:?} is no smallcaps value; a plain string with this text is {plain:?}")]
    Unknown { text: String, plain: String },
    /// The text of a reference has no canonical index.
    #[error("{text:?} must be {kind} and the index of a slot")]
    NoIndex { text: String, kind: String },
    /// A reference names a slot that is not there.
    #[error("{text:?} names slot {index}, but there are {slots}")]
    NoSlot { text: String, index: usize, slots: usize },
    /// A reference names a slot of the other kind.
    #[error("{text:?} stands for {expected}, but slot {index} is {slot}")]
    OtherKind { text: String, expected: &'static str, index: usize, slot: String },
}

/// Checks a string value that starts with a special character.
fn check_special<R: Reference>(text: &str, slots: &[R]) -> Result<Kind, SpecialError> {
    // Special characters are one byte long.
    let (kind, rest) = text.split_at(1);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fits = match kind {
        "!" => return Ok(Kind::String),
        "$" => return check_slot(text, rest, slots, false).map(|()| Kind::Other),
        "&" => return check_slot(text, rest, slots, true).map(|()| Kind::Other),
        "+" | "-" => digits(rest),
        "#" => matches!(rest, "undefined" | "NaN" | "Infinity" | "-Infinity"),
        "%" => !rest.is_empty() && (!rest.starts_with("@@") || rest == "@@asyncIterator"),
        _ => false,
    };
    if fits {
        return Ok(Kind::Other);
    }
    Err(SpecialError::Unknown { text: text.to_owned(), plain: format!("!{text}") })
}

/// `rest` is a slot's index, perhaps with `.` and an interface name.
fn check_slot<R: Reference>(
    text: &str,
    rest: &str,
    slots: &[R],
    promise: bool,
) -> Result<(), SpecialError> {
    let digits = rest.split_once('.').map_or(rest, |(digits, _)| digits);
    let index = digits.parse::<usize>().ok().filter(|index| index.to_string() == digits);
    let Some(index) = index else {
        return Err(SpecialError::NoIndex { text: text.to_owned(), kind: text[..1].to_owned() });
    };
    match slots.get(index) {
        None => Err(SpecialError::NoSlot { text: text.to_owned(), index, slots: slots.len() }),
        Some(slot) if slot.is_promise() != promise => Err(SpecialError::OtherKind {
            text: text.to_owned(),
            expected: if promise { "a promise" } else { "an object" },
            index,
            slot: slot.to_string(),
        }),
        Some(_) => Ok(()),
    }
}
