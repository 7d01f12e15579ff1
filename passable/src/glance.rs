//! Answers that need only the beginning of a body, or a body that is short.

use capstan_abi::{CapData, JsString};

use crate::{
    json::Json,
    limits::MAX_GLANCE_BYTES,
    reader::Reader,
    text::{canonical_decimal, slot_index, unescape},
};

/// The reference that the data consists of, if it is one object or promise and nothing else.
pub fn single_slot<R: Clone>(data: &CapData<R>) -> Option<R> {
    single_slot_index(&data.body).and_then(|index| data.slots.get(index).cloned())
}

/// Returns the index of the slot that a body consists of, for data that was not translated yet.
pub fn single_slot_index(body: &str) -> Option<usize> {
    match body.strip_prefix('#') {
        // A body may be ten megabytes of something else: only a text is read.
        Some(smallcaps) if !smallcaps.trim_ascii_start().starts_with('"') => None,
        Some(smallcaps) => match Json::parse(smallcaps)? {
            Json::Text(text) if matches!(text.as_bytes().first(), Some(b'$' | b'&')) => {
                slot_index(&text)
            }
            _ => None,
        },
        None => {
            // A reference and its interface are never so long.
            if body.len() > MAX_GLANCE_BYTES {
                return None;
            }
            let old = Json::parse(body)?;
            let is_slot = matches!(old.field("@qclass")?, Json::Text(class) if class == "slot");
            match old.field("index")? {
                Json::Scalar(index) if is_slot => canonical_decimal(index)?.try_into().ok(),
                _ => None,
            }
        }
    }
}

/// Returns the text that a body begins with: the body is a string, or an error with that message. Reads
/// no further than the text, however long the body is.
pub fn leading_text(body: &str) -> Option<JsString> {
    const ERROR: &str = r##"#{"#error":"##;
    let at = if body.starts_with(ERROR) { ERROR.len() } else { 1 };
    Json::Text(Reader::new(body, at).string()?).as_text()
}

/// Returns a body's message for people: an error's message or a string, else the body itself.
pub fn message(body: &str) -> String {
    let value = body.strip_prefix('#').and_then(Json::parse);
    let text = value.and_then(|value| match value.field("#error") {
        Some(message) => message.as_text(),
        None => value.as_text(),
    });
    text.map_or_else(|| body.to_owned(), |text| text.legible().into_owned())
}

/// The method's name for the error that SwingSet makes of a call on data, in either encoding.
pub fn method_name<R>(methargs: &CapData<R>) -> JsString {
    let smallcaps = methargs.body.strip_prefix('#');
    let value = Json::parse_head(smallcaps.unwrap_or(&methargs.body));
    let method = match &value {
        None => return "<unknown>".into(),
        Some(Json::Scalar(text)) if text == "null" => return "<unknown>".into(),
        Some(Json::Array(items)) => items.first(),
        Some(_) => None,
    };
    let name = match (method, smallcaps) {
        (None, _) => Some("<funcall>".into()),
        (Some(Json::Text(raw)), Some(_)) => smallcaps_method(raw),
        (Some(Json::Text(raw)), None) => unescape(raw),
        (Some(Json::Object(_) | Json::Array(_)), None) => method.map(old_method),
        _ => None,
    };
    name.unwrap_or_else(|| "<unintelligible method>".into())
}

fn smallcaps_method(raw: &str) -> Option<JsString> {
    let text = unescape(raw)?;
    match text.as_wtf8().first() {
        Some(b'%') => text.strip_prefix('%').map(bracketed),
        Some(b'#') if text == "#undefined" => Some("<funcall>".into()),
        Some(b'!') => text.strip_prefix('!'),
        Some(b'#' | b'+' | b'-' | b'$' | b'&') => None,
        _ => Some(text),
    }
}

/// A symbol's name as methods are shown.
fn bracketed(name: JsString) -> JsString {
    let mut text = JsString::from("[");
    text.push(&name);
    text.push_str("]");
    text
}

/// Returns a method's name in the encoding before smallcaps.
fn old_method(method: &Json) -> JsString {
    let text = |name: &str| match method.field(name) {
        Some(Json::Text(raw)) => unescape(raw),
        _ => None,
    };
    match (text("@qclass").as_ref().and_then(JsString::as_str), text("name")) {
        (Some("undefined"), _) => "<funcall>".into(),
        (Some("symbol"), Some(name)) => bracketed(name),
        (Some("@@asyncIterator"), _) => "[Symbol.asyncIterator]".into(),
        _ => "<invalid method type>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str, slots: &[&str]) -> CapData {
        CapData { body: body.to_owned(), slots: slots.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn single_slots_are_told_from_other_values() {
        let slots = ["ko20", "kp40"];
        assert_eq!(single_slot(&data(r##"#"$0.Alleged: x""##, &slots)), Some("ko20".to_owned()));
        assert_eq!(single_slot(&data(r##"#"&1""##, &slots)), Some("kp40".to_owned()));
        assert_eq!(
            single_slot(&data(r#"{"@qclass":"slot","index":0}"#, &slots)),
            Some("ko20".to_owned())
        );
        let lone = r#"{"@qclass":"slot","iface":"Alleged: \ud800","index":1}"#;
        assert_eq!(single_slot(&data(lone, &slots)), Some("kp40".to_owned()));
        let lone = r##"#"$0.Alleged: \ud800""##;
        assert_eq!(single_slot(&data(lone, &slots)), Some("ko20".to_owned()));
        for body in [
            r#"{"@qclass":"slot","index":2}"#,
            r#"{"@qclass":"slot","index":"0"}"#,
            r#"{"@qclass":"slot","index":0.5}"#,
            r#"{"@qclass":"slots","index":0}"#,
            r#"{"index":0}"#,
        ] {
            assert_eq!(single_slot(&data(body, &slots)), None, "{body}");
        }
        for body in
            [r##"#["$0"]"##, r##"#"!$0""##, r##"#"$7""##, "#12", "#", "", "#\"$00\"", "#\"$0\"x"]
        {
            assert_eq!(single_slot(&data(body, &slots)), None, "{body}");
        }
    }

    #[test]
    fn method_names_are_legible() {
        let name = |body: &str| method_name(&data(body, &[]));
        assert_eq!(name(r##"#["foo",[]]"##), "foo");
        assert_eq!(name(r##"#["%@@asyncIterator",[]]"##), "[@@asyncIterator]");
        assert_eq!(name(r##"#["#undefined",[]]"##), "<funcall>");
        assert_eq!(name(r##"#["!-x",[]]"##), "-x");
        assert_eq!(name(r##"#["\ud800",[]]"##).to_string(), r"\ud800");
        assert_eq!(name(r##"#["%\ud800",[]]"##).to_string(), r"[\ud800]");
        assert_eq!(name(r##"#["!+\ud800",[]]"##).to_string(), r"+\ud800");
        assert_eq!(name(r##"#["\ud83d\ude00",[]]"##), "\u{1F600}");
        assert_eq!(name(r##"#["\ud8",[]]"##), "<unintelligible method>");
        assert_eq!(name("#[\"+3\",[]]"), "<unintelligible method>");
        assert_eq!(name("#[{},[]]"), "<unintelligible method>");
        assert_eq!(name("#[]"), "<funcall>");
        assert_eq!(name("#{}"), "<funcall>");
        assert_eq!(name("#"), "<unknown>");
    }

    #[test]
    fn method_names_of_the_old_encoding_are_legible() {
        let name = |body: &str| method_name(&data(body, &[]));
        assert_eq!(name(r#"["foo",[]]"#), "foo");
        assert_eq!(name(r#"["!foo",[]]"#), "!foo");
        assert_eq!(name(r#"[{"@qclass":"undefined"},[]]"#), "<funcall>");
        assert_eq!(name(r#"[{"@qclass":"symbol","name":"s"},[]]"#), "[s]");
        assert_eq!(name(r#"[{"@qclass":"@@asyncIterator"},[]]"#), "[Symbol.asyncIterator]");
        assert_eq!(name(r#"["\ud800",[]]"#).to_string(), r"\ud800");
        assert_eq!(name(r#"[{"@qclass":"symbol","name":"\ud800"},[]]"#).to_string(), r"[\ud800]");
        assert_eq!(name(r#"[{"@qclass":"bigint"},[]]"#), "<invalid method type>");
        assert_eq!(name("[3,[]]"), "<unintelligible method>");
    }

    #[test]
    fn messages_are_legible_whether_unicode_or_not() {
        assert_eq!(message(r##"#{"#error":"no \ud800","name":"Error"}"##), r"no \ud800");
        assert_eq!(message(r##"#"\udfff""##), r"\udfff");
    }
}
