//! Strings of smallcaps: the escape of those that would mean something else, and the numbers in them.

use capstan_abi::JsString;

/// Characters that JSON allows between its tokens.
pub(crate) const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Returns true if a string that begins with `byte` is an escape in smallcaps: those from `!` to `-` are.
pub(crate) fn is_special(byte: u8) -> bool {
    (b'!'..=b'-').contains(&byte)
}

/// Returns true if the string is an escape in smallcaps.
pub(crate) fn starts_special(text: &JsString) -> bool {
    text.as_wtf8().first().copied().is_some_and(is_special)
}

/// Escapes a string: one that is an escape gets a `!` before it.
pub(crate) fn escape(text: JsString) -> JsString {
    if starts_special(&text) { with_sigil('!', &text) } else { text }
}

/// Returns the string with `sigil` before it.
pub(crate) fn with_sigil(sigil: char, text: &JsString) -> JsString {
    let mut whole = JsString::default();
    whole.push_char(sigil);
    whole.push(text);
    whole
}

/// Returns the string whose JSON has `raw` between its quotes, or `None` if `raw` has an escape that JSON lacks.
pub fn unescape(raw: &str) -> Option<JsString> {
    JsString::from_json(&format!("\"{raw}\"")).ok()
}

/// Returns what stands between the quotes of the string's JSON.
pub(crate) fn raw(text: &JsString) -> String {
    let quoted = text.to_json();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the slot's index in `$3.Alleged: x` or `&3`, or `None` if the text holds no canonical number.
pub(crate) fn slot_index(text: &str) -> Option<usize> {
    let digits = text.get(1..)?.split('.').next()?;
    canonical_decimal(digits)?.try_into().ok()
}

/// Reads a decimal number without sign, blanks or leading zeros that fits 64 bits.
pub fn canonical_decimal(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let canonical = !bytes.is_empty()
        && bytes.iter().all(u8::is_ascii_digit)
        && (bytes.len() == 1 || bytes[0] != b'0');
    if canonical { text.parse().ok() } else { None }
}
