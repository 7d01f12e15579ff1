use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use borsh::{
    BorshDeserialize, BorshSerialize,
    io::{Error, ErrorKind, Read, Result, Write},
};

/// JavaScript string: any sequence of UTF-16 code units, including lone surrogates.
///
/// It is stored as well-formed [WTF-8](https://simonsapin.github.io/wtf-8/). That is UTF-8 which
/// also encodes lone surrogates, in three bytes each. A surrogate pair is always one sequence of
/// four bytes, so each string has exactly one encoding. A string without lone surrogates is UTF-8:
/// its bytes, borsh encoding and order are those of a [`String`]. Strings are ordered by their
/// bytes, which is the order of their code points.
///
/// # Use
/// It holds raw text from a vat: keys and values of its store, a device method's name, the error of
/// a delivery. The body of [`CapData`](crate::CapData) is no such text. It is JSON in UTF-8, where
/// a lone surrogate is an escape such as `\ud800`. A body with a raw lone surrogate cannot be
/// decoded. Neither can a syscall with bytes that are not WTF-8. The kernel treats both as
/// malformed syscalls.
///
/// # Outside of consensus
/// Logs, the slog, events, traces and queries are UTF-8. They all write each lone surrogate as the
/// six characters of its JSON escape, such as `\ud800`. [`JsString::legible`], [`legible`] and
/// `Display` do so. That form is never read back.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsString(Vec<u8>);

/// Error for bytes that are not well-formed WTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotWtf8 {
    /// Offset of the first invalid byte.
    pub at: usize,
}

impl fmt::Display for NotWtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} begins neither UTF-8 nor a lone surrogate", self.at)
    }
}

impl core::error::Error for NotWtf8 {}

impl JsString {
    /// Returns the string with these bytes.
    ///
    /// # Errors
    /// [`NotWtf8`], also for a surrogate pair that is encoded as two surrogates.
    pub fn from_wtf8(bytes: Vec<u8>) -> core::result::Result<Self, NotWtf8> {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Ok(text.into()),
            Err(error) => error.into_bytes(),
        };
        let (mut at, mut after_leading) = (0, false);
        while at < bytes.len() {
            let whole = utf8_prefix(&bytes[at..]).len();
            at += whole;
            after_leading &= whole == 0;
            if at == bytes.len() {
                break;
            }
            let unit = surrogate_at(&bytes, at).ok_or(NotWtf8 { at })?;
            if after_leading && is_trailing(unit) {
                return Err(NotWtf8 { at: at - 3 });
            }
            after_leading = !is_trailing(unit);
            at += 3;
        }
        Ok(Self(bytes))
    }

    /// Returns the bytes in WTF-8.
    pub fn as_wtf8(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes in WTF-8, consuming the string.
    pub fn into_wtf8(self) -> Vec<u8> {
        self.0
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text as UTF-8. Returns `None` if it contains a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }

    /// Returns the string in UTF-8, for uses outside of consensus. Each lone surrogate becomes the
    /// six characters of its JSON escape, such as `\ud800`.
    pub fn legible(&self) -> Cow<'_, str> {
        if let Some(text) = self.as_str() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(self.0.len() + 3);
        self.pieces(|piece| match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Lone(unit) => out.push_str(&escape(unit)),
        });
        Cow::Owned(out)
    }

    /// Appends a code unit. A trailing surrogate after a leading one forms a pair with it, as in
    /// JavaScript.
    pub fn push_unit(&mut self, unit: u16) {
        if let (true, Some(leading)) = (is_trailing(unit), self.ends_with_leading()) {
            self.0.truncate(self.0.len() - 3);
            let code = 0x10000 + ((u32::from(leading) & 0x3ff) << 10) + (u32::from(unit) & 0x3ff);
            if let Some(c) = char::from_u32(code) {
                self.push_char(c);
            }
            return;
        }
        match char::from_u32(unit.into()) {
            Some(c) => self.push_char(c),
            None => {
                self.0.extend([0xed, 0x80 | ((unit >> 6) as u8 & 0x3f), 0x80 | (unit as u8 & 0x3f)])
            }
        }
    }

    /// Appends UTF-8 text.
    pub fn push_str(&mut self, text: &str) {
        self.0.extend(text.as_bytes());
    }

    /// Appends one Unicode character.
    pub fn push_char(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    /// Appends another [`JsString`], as JavaScript's `+` does. Two surrogates that meet form a
    /// pair.
    pub fn push(&mut self, other: &Self) {
        let mut rest = &other.0[..];
        if let Some(unit) = surrogate_at(rest, 0) {
            self.push_unit(unit);
            rest = &rest[3..];
        }
        self.0.extend(rest);
    }

    /// Returns the longest prefix of at most `max` bytes that ends between two code points.
    pub fn prefix(&self, max: usize) -> Self {
        let mut end = max.min(self.0.len());
        while end < self.0.len() && self.0[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        Self(self.0[..end].to_vec())
    }

    /// Returns the string without its first character. Returns `None` if that is not `first`.
    pub fn strip_prefix(&self, first: char) -> Option<Self> {
        self.0
            .strip_prefix(first.encode_utf8(&mut [0; 4]).as_bytes())
            .map(|rest| Self(rest.to_vec()))
    }

    /// Returns the code unit at the end. Returns `None` if it is not a lone leading surrogate.
    fn ends_with_leading(&self) -> Option<u16> {
        let unit = surrogate_at(&self.0, self.0.len().checked_sub(3)?)?;
        (!is_trailing(unit)).then_some(unit)
    }

    /// Calls `visit` with each piece of the string, in order.
    pub(crate) fn pieces(&self, mut visit: impl FnMut(Piece<'_>)) {
        let mut rest = &self.0[..];
        while !rest.is_empty() {
            let text = utf8_prefix(rest);
            if !text.is_empty() {
                visit(Piece::Text(text));
            }
            rest = &rest[text.len()..];
            let Some(unit) = surrogate_at(rest, 0) else { return };
            visit(Piece::Lone(unit));
            rest = &rest[3..];
        }
    }
}

/// Converts text from a vat to UTF-8, for uses outside of consensus. Lone surrogates are escaped as
/// in [`JsString::legible`]. Bytes that are not WTF-8 are replaced by U+FFFD.
pub fn legible(bytes: &[u8]) -> String {
    match JsString::from_wtf8(bytes.to_vec()) {
        Ok(text) => text.to_string(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Part of a [`JsString`].
pub(crate) enum Piece<'a> {
    /// UTF-8 text without lone surrogates.
    Text(&'a str),
    /// Code unit of a lone surrogate.
    Lone(u16),
}

/// Returns the JSON escape of a lone surrogate, as `JSON.stringify` writes it.
pub(crate) fn escape(unit: u16) -> String {
    format!("\\u{unit:04x}")
}

fn is_trailing(unit: u16) -> bool {
    (0xdc00..=0xdfff).contains(&unit)
}

/// Returns the surrogate that is encoded at `at`. Returns `None` if there is none.
fn surrogate_at(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at..at.checked_add(3)?)? {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf] => {
            Some(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

/// Returns the longest prefix that is UTF-8.
fn utf8_prefix(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

impl fmt::Display for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.legible(), f)
    }
}

impl fmt::Debug for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.legible(), f)
    }
}

impl From<String> for JsString {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for JsString {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<&String> for JsString {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Cow<'_, str>> for JsString {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl From<&JsString> for JsString {
    fn from(text: &JsString) -> Self {
        text.clone()
    }
}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for JsString {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl BorshSerialize for JsString {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        self.0.serialize(writer)
    }
}

impl BorshDeserialize for JsString {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let bytes = Vec::<u8>::deserialize_reader(reader)?;
        Self::from_wtf8(bytes)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn units(units: &[u16]) -> JsString {
        let mut text = JsString::default();
        units.iter().for_each(|unit| text.push_unit(*unit));
        text
    }

    /// Returns the string's code units.
    fn to_units(text: &JsString) -> Vec<u16> {
        let mut out = vec![];
        text.pieces(|piece| match piece {
            Piece::Text(text) => out.extend(text.encode_utf16()),
            Piece::Lone(unit) => out.push(unit),
        });
        out
    }

    /// Code units at the boundaries between encodings.
    const EDGES: [u16; 14] = [
        0, 0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xfffd,
        0xffff,
    ];

    #[test]
    fn every_sequence_of_units_comes_back_and_has_one_encoding() {
        for a in EDGES {
            for b in EDGES {
                for c in EDGES {
                    let wanted = [a, b, c];
                    let text = units(&wanted);
                    assert_eq!(to_units(&text), wanted);
                    assert_eq!(JsString::from_wtf8(text.as_wtf8().to_vec()), Ok(text.clone()));
                    let bytes = borsh::to_vec(&text).unwrap();
                    assert_eq!(borsh::from_slice::<JsString>(&bytes).unwrap(), text);
                    let is_unicode = String::from_utf16(&wanted);
                    assert_eq!(text.as_str(), is_unicode.as_deref().ok(), "{wanted:x?}");
                    if let Ok(utf8) = is_unicode {
                        assert_eq!(bytes, borsh::to_vec(&utf8).unwrap());
                    }
                }
            }
        }
    }

    #[test]
    fn each_string_is_its_code_units_and_none_besides() {
        // Every string of two bytes more than a surrogate is read or refused, but never misread.
        for first in [0xecu8, 0xed, 0xee] {
            for second in 0x7f..=0xc0 {
                for third in [0x7fu8, 0x80, 0xbf, 0xc0] {
                    let bytes = vec![b'a', first, second, third, b'b'];
                    let text = JsString::from_wtf8(bytes.clone());
                    let cesu = first == 0xed && (0xa0..=0xbf).contains(&second);
                    let tail = (0x80..=0xbf).contains(&third);
                    match String::from_utf8(bytes.clone()) {
                        Ok(utf8) => assert_eq!(text, Ok(utf8.into())),
                        Err(_) if cesu && tail => assert_eq!(text.unwrap().as_wtf8(), bytes),
                        Err(_) => assert_eq!(text, Err(NotWtf8 { at: 1 }), "{bytes:x?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused_at_its_place() {
        let pair = [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80];
        for (bytes, at) in [
            (&pair[..], 0),
            (&[&b"ab"[..], &pair[..]].concat(), 2),
            (&[&pair[..3], &pair[..]].concat(), 3),
            (b"\xed\xa0", 0),
            (b"x\xed", 1),
            (b"\xff", 0),
            (b"\xc0\x80", 0),
            (b"\xf0\x9f\x98", 0),
            (b"\xf4\x90\x80\x80", 0),
            (b"\x80", 0),
        ] {
            let refused = JsString::from_wtf8(bytes.to_vec());
            assert_eq!(refused, Err(NotWtf8 { at }), "{bytes:x?}");
            let error = borsh::from_slice::<JsString>(&borsh::to_vec(bytes).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        // A trailing surrogate before a leading one is no pair. Neither are two with something
        // between them.
        for fine in
            [[&pair[3..], &pair[..3]].concat(), [&pair[..3], &b"-"[..], &pair[3..]].concat()]
        {
            assert_eq!(JsString::from_wtf8(fine.clone()).unwrap().as_wtf8(), fine);
        }
    }

    #[test]
    fn halves_that_meet_make_a_pair() {
        let mut text = units(&[0x61, 0xd83d]);
        text.push(&units(&[0xde00, 0xde00]));
        assert_eq!(to_units(&text), [0x61, 0xd83d, 0xde00, 0xde00]);
        assert_eq!(text.legible(), "a\u{1F600}\\ude00");
        text.push(&JsString::default());
        text.push(&units(&[0xd83d]));
        text.push(&"x".into());
        assert_eq!(text.legible(), "a\u{1F600}\\ude00\\ud83dx");
    }

    #[test]
    fn the_order_is_that_of_code_points() {
        let sorted = [
            units(&[]),
            "a".into(),
            "\u{d7ff}".into(),
            units(&[0xd800]),
            units(&[0xd800, 0x61]),
            units(&[0xdfff]),
            "\u{e000}".into(),
            "\u{ffff}".into(),
            "\u{10000}".into(),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn prefixes_end_between_code_points() {
        let text = units(&[0x61, 0xd800, 0x62, 0xd83d, 0xde00]);
        assert_eq!(text.len(), 9);
        let lengths: Vec<usize> = (0..11).map(|max| text.prefix(max).len()).collect();
        assert_eq!(lengths, [0, 1, 1, 1, 4, 5, 5, 5, 5, 9, 9]);
        for max in 0..11 {
            let prefix = text.prefix(max).into_wtf8();
            assert!(JsString::from_wtf8(prefix).is_ok(), "{max}");
        }
    }

    #[test]
    fn people_see_escapes() {
        let text = units(&[0xd800, 0x41, 0xdfff]);
        assert_eq!(text.to_string(), "\\ud800A\\udfff");
        assert_eq!(JsString::from("é\u{1F600}").legible(), "é\u{1F600}");
        assert_eq!(legible(text.as_wtf8()), "\\ud800A\\udfff");
        assert_eq!(legible(b"a\xff\xed\xa0\x80"), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(units(&[0x21, 0xd800]).strip_prefix('!'), Some(units(&[0xd800])));
        assert_eq!(units(&[0xd800]).strip_prefix('!'), None);
    }
}
