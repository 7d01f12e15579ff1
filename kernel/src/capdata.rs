//! What the kernel knows of encoded data: enough smallcaps to make its own messages, to see whether a
//! value is one reference, and to take device arguments apart.
//!
//! Bodies are canonical JSON written by JavaScript, and whatever leaves here must be that too, so
//! numbers and strings are kept as the text they came in and never parsed. The encoding is that of
//! `@endo/marshal` (smallcaps), the kernel-side conventions those of SwingSet's kmarshal.

use std::collections::BTreeMap;

use capstan_abi::{CapData, JsString};

use crate::ids::KRef;

/// Data with krefs.
pub type KernelData = CapData<KRef>;

/// Longest message, in bytes, that is read as a whole to see what its method is called.
const MAX_HEAD_BYTES: usize = 1 << 20;

/// Deepest nesting that the kernel will take apart. Messages between vats may nest deeper: they are
/// passed on unread.
const MAX_DEPTH: usize = 200;

/// A JSON value whose scalars are still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// The text between the quotes, escapes and all.
    Text(String),
    /// A number, `true`, `false` or `null`.
    Scalar(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: raw keys in their order.
    Object(Vec<(String, Json)>),
}

/// `Error(message)`, as the kernel rejects with it.
pub fn error(message: impl Into<JsString>) -> KernelData {
    CapData {
        body: format!("#{{\"#error\":{},\"name\":\"Error\"}}", escape(message.into()).to_json()),
        slots: vec![],
    }
}

/// What promises of an upgraded vat are rejected with; `incarnation` is the one that ended.
pub fn disconnection(upgrade_message: impl Into<JsString>, incarnation: u64) -> KernelData {
    let message = escape(upgrade_message.into()).to_json();
    CapData {
        body: format!(
            "#{{\"incarnationNumber\":{incarnation},\"name\":\"vatUpgraded\",\"upgradeMessage\":{message}}}"
        ),
        slots: vec![],
    }
}

/// Builds kernel-made capdata: pieces of body that share one list of slots.
#[derive(Default)]
pub(crate) struct Builder {
    slots: Vec<KRef>,
}

impl Builder {
    /// A string.
    pub(crate) fn text(&mut self, text: impl Into<JsString>) -> Json {
        let quoted = escape(text.into()).to_json();
        Json::Text(quoted[1..quoted.len() - 1].to_owned())
    }

    /// A reference, with its interface on first mention.
    pub(crate) fn slot(&mut self, kref: KRef, iface: &str) -> Json {
        let sigil = if matches!(kref, KRef::Promise(_)) { '&' } else { '$' };
        if let Some(index) = self.slots.iter().position(|slot| *slot == kref) {
            return Json::Text(format!("{sigil}{index}"));
        }
        self.slots.push(kref);
        let index = self.slots.len() - 1;
        match kref {
            KRef::Promise(_) => Json::Text(format!("{sigil}{index}")),
            _ => Json::Text(format!("{sigil}{index}.Alleged: {iface}")),
        }
    }

    /// A value taken out of other capdata, its slots renumbered and error ids dropped, as
    /// kmarshal's unserialize and serialize would leave it.
    pub(crate) fn splice(&mut self, value: &Json, from: &Parsed) -> Option<Json> {
        Some(match value {
            Json::Text(text) => match text.as_bytes().first() {
                Some(b'$' | b'&') => {
                    let kref = from.slots.get(slot_index(text)?)?;
                    let iface = from.ifaces.get(kref).map_or("undefined", String::as_str);
                    self.slot(*kref, iface)
                }
                _ => value.clone(),
            },
            Json::Scalar(_) => value.clone(),
            Json::Array(items) => Json::Array(
                items.iter().map(|item| self.splice(item, from)).collect::<Option<_>>()?,
            ),
            Json::Object(fields) => {
                let is_error = fields.iter().any(|(key, _)| key == "#error");
                let kept =
                    fields.iter().filter(|(key, _)| !is_error || key == "#error" || key == "name");
                let splice_field =
                    |(key, value): &(String, Json)| Some((key.clone(), self.splice(value, from)?));
                Json::Object(kept.map(splice_field).collect::<Option<_>>()?)
            }
        })
    }

    /// The finished capdata.
    pub(crate) fn finish(self, value: &Json) -> KernelData {
        let mut body = String::from("#");
        value.write(&mut body);
        CapData { body, slots: self.slots }
    }
}

/// `["method",[args…]]`.
pub(crate) fn methargs(mut builder: Builder, method: &str, args: Vec<Json>) -> KernelData {
    let method = builder.text(method);
    builder.finish(&Json::Array(vec![method, Json::Array(args)]))
}

/// Capdata taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// The value.
    pub(crate) value: Json,
    slots: Vec<KRef>,
    /// The interface of each reference, without `Alleged: `.
    ifaces: BTreeMap<KRef, String>,
}

impl Parsed {
    /// Takes smallcaps apart. None if the body is not smallcaps, is nested too deep, or mentions a
    /// slot that is not there.
    pub(crate) fn new(data: &KernelData) -> Option<Self> {
        let value = Json::parse(data.body.strip_prefix('#')?)?;
        let mut parsed = Self { value, slots: data.slots.clone(), ifaces: BTreeMap::new() };
        let mut ifaces = BTreeMap::new();
        collect_ifaces(&parsed.value, &parsed.slots, &mut ifaces)?;
        parsed.ifaces = ifaces;
        Some(parsed)
    }

    /// The elements, if the value is an array.
    pub(crate) fn elements(&self) -> Option<&[Json]> {
        match &self.value {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The reference that `value` is, if it is one.
    pub(crate) fn reference(&self, value: &Json) -> Option<KRef> {
        match value {
            Json::Text(raw) if matches!(raw.as_bytes().first(), Some(b'$' | b'&')) => {
                self.slots.get(slot_index(raw)?).copied()
            }
            _ => None,
        }
    }

    /// `value` as capdata of its own.
    pub(crate) fn reserialize(&self, value: &Json) -> Option<KernelData> {
        let mut builder = Builder::default();
        let spliced = builder.splice(value, self)?;
        Some(builder.finish(&spliced))
    }
}

/// The reference that the data consists of, if it is one object or promise and nothing else.
pub(crate) fn single_slot(data: &KernelData) -> Option<KRef> {
    single_slot_index(&data.body).and_then(|index| data.slots.get(index).copied())
}

/// The same for data that was not translated yet: an index into its slots.
pub(crate) fn single_slot_index(body: &str) -> Option<usize> {
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
            if body.len() > MAX_HEAD_BYTES {
                return None;
            }
            let old = Json::parse(body)?;
            let is_slot = matches!(old.field("@qclass")?, Json::Text(class) if class == "slot");
            match old.field("index")? {
                Json::Scalar(index) if is_slot => {
                    crate::ids::canonical_decimal(index)?.try_into().ok()
                }
                _ => None,
            }
        }
    }
}

/// Returns the text that a body begins with: the body is a string, or an error with that message. Reads
/// no further than the text, however long the body is.
pub(crate) fn leading_text(body: &str) -> Option<JsString> {
    const ERROR: &str = r##"#{"#error":"##;
    let at = if body.starts_with(ERROR) { ERROR.len() } else { 1 };
    let mut reader = Reader { bytes: body.as_bytes(), at, text: body };
    Json::Text(reader.string()?).as_text()
}

/// What a body says to people: an error's message or a string, else the body itself.
pub(crate) fn message(body: &str) -> String {
    let value = body.strip_prefix('#').and_then(Json::parse);
    let text = value.and_then(|value| match value.field("#error") {
        Some(message) => message.as_text(),
        None => value.as_text(),
    });
    text.map_or_else(|| body.to_owned(), |text| text.legible().into_owned())
}

/// The method's name for the error that SwingSet makes of a call on data, in either encoding.
pub(crate) fn method_name(methargs: &KernelData) -> JsString {
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

/// The same of the encoding before smallcaps.
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

impl Json {
    /// Reads one JSON value with nothing after it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, text };
        let value = reader.value(0)?;
        reader.blank();
        (reader.at == reader.bytes.len()).then_some(value)
    }

    /// Reads as much of an array as its first element, which is all that is left of it. What is no array,
    /// or begins with something other than a text, is read only if it is small.
    fn parse_head(text: &str) -> Option<Self> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, text };
        if reader.eat(b'[') {
            reader.blank();
            if let Some(method) = reader.string() {
                return Some(Self::Array(vec![Self::Text(method)]));
            }
        }
        (text.len() <= MAX_HEAD_BYTES).then(|| Self::parse(text)).flatten()
    }

    /// The string, with its smallcaps escape undone; none if it is not an ordinary string.
    pub(crate) fn as_text(&self) -> Option<JsString> {
        let Self::Text(raw) = self else { return None };
        let text = unescape(raw)?;
        match text.as_wtf8().first() {
            Some(b'!') => text.strip_prefix('!'),
            Some(0x22..=0x2d) => None,
            _ => Some(text),
        }
    }

    /// The string, if it is one without lone surrogates: a name, an id, or what goes to the application.
    pub(crate) fn as_unicode(&self) -> Option<String> {
        self.as_text()?.as_str().map(str::to_owned)
    }

    /// The bigint, if it is one and not negative.
    pub(crate) fn as_nat(&self) -> Option<u128> {
        let Self::Text(raw) = self else { return None };
        raw.strip_prefix('+')?.parse().ok()
    }

    /// The value of a field, if it is an object and the field is there and not undefined.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        // As in JavaScript: of two with the same name, which no vat of liveslots writes, the last counts.
        let value = &fields.iter().rev().find(|(key, _)| key == name)?.1;
        (*value != Self::undefined()).then_some(value)
    }

    /// The value that stands for JavaScript's `undefined`.
    pub(crate) fn undefined() -> Self {
        Self::Text("#undefined".to_owned())
    }

    fn write(&self, out: &mut String) {
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

/// Records the interface that each reference is first mentioned with; none if a slot is missing.
fn collect_ifaces(value: &Json, slots: &[KRef], ifaces: &mut BTreeMap<KRef, String>) -> Option<()> {
    match value {
        Json::Text(text) if matches!(text.as_bytes().first(), Some(b'$' | b'&')) => {
            let kref = slots.get(slot_index(text)?)?;
            if let Some((_, iface)) = text.split_once('.') {
                let iface = iface.strip_prefix("Alleged: ").unwrap_or(iface);
                ifaces.entry(*kref).or_insert_with(|| iface.to_owned());
            }
        }
        Json::Text(_) | Json::Scalar(_) => {}
        Json::Array(items) => {
            items.iter().try_for_each(|item| collect_ifaces(item, slots, ifaces))?;
        }
        Json::Object(fields) => {
            fields.iter().try_for_each(|(_, item)| collect_ifaces(item, slots, ifaces))?;
        }
    }
    Some(())
}

/// The index in `$3.Alleged: x` or `&3`.
fn slot_index(text: &str) -> Option<usize> {
    let digits = text.get(1..)?.split('.').next()?;
    crate::ids::canonical_decimal(digits)?.try_into().ok()
}

/// Escapes a string for smallcaps: those that begin with `!` to `-` get a `!`.
fn escape(text: JsString) -> JsString {
    match text.as_wtf8().first() {
        Some(0x21..=0x2d) => {
            let mut escaped = JsString::from("!");
            escaped.push(&text);
            escaped
        }
        _ => text,
    }
}

/// The string that a raw text stands for; none if it has an escape that JSON does not know.
pub(crate) fn unescape(raw: &str) -> Option<JsString> {
    JsString::from_json(&format!("\"{raw}\"")).ok()
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.blank();
        match self.bytes.get(self.at)? {
            b'"' => self.string().map(Json::Text),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.scalar(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.at += 1;
        let mut items = Vec::new();
        if self.eat(b']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Some(Json::Array(items));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.eat(b'}') {
            return Some(Json::Object(fields));
        }
        loop {
            self.blank();
            let key = self.string()?;
            if !self.eat(b':') {
                return None;
            }
            fields.push((key, self.value(depth + 1)?));
            if self.eat(b'}') {
                return Some(Json::Object(fields));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                0..=0x1f => return None,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        self.text.get(start..end).map(str::to_owned)
    }

    fn scalar(&mut self) -> Option<Json> {
        let start = self.at;
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        while self.bytes.get(self.at).is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at)?;
        // serde_json is the judge of what a number is.
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        Some(Json::Scalar(text.to_owned()))
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.blank();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn blank(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str, slots: &[KRef]) -> KernelData {
        CapData { body: body.to_owned(), slots: slots.to_vec() }
    }

    #[test]
    fn kernel_errors_have_swingsets_form() {
        assert_eq!(
            error("vat terminated").body,
            r##"#{"#error":"vat terminated","name":"Error"}"##
        );
        assert_eq!(
            disconnection("vat upgraded", 0).body,
            r##"#{"incarnationNumber":0,"name":"vatUpgraded","upgradeMessage":"vat upgraded"}"##
        );
        let lone = JsString::from_json(r#""!\ud800 \udfff""#).unwrap();
        assert_eq!(error(&lone).body, r##"#{"#error":"!!\ud800 \udfff","name":"Error"}"##);
        assert_eq!(
            disconnection(lone, 3).body,
            r##"#{"incarnationNumber":3,"name":"vatUpgraded","upgradeMessage":"!!\ud800 \udfff"}"##
        );
        assert_eq!(error("!x \"y\"\n").body, r##"#{"#error":"!!x \"y\"\n","name":"Error"}"##);
    }

    #[test]
    fn a_part_keeps_its_text_and_gets_its_own_slots() {
        let whole = data(
            r##"#["$0.Alleged: a",{"vatParameters":{"n":1e21,"p":"&1","q":["$2.Alleged: b","$2","$0"],"s":"\ud800"}}]"##,
            &[KRef::Object(20), KRef::Promise(40), KRef::Object(21)],
        );
        let parsed = Parsed::new(&whole).unwrap();
        let part = parsed.elements().unwrap()[1].field("vatParameters").unwrap().clone();
        let own = parsed.reserialize(&part).unwrap();
        assert_eq!(
            own.body,
            r##"#{"n":1e21,"p":"&0","q":["$1.Alleged: b","$1","$2.Alleged: a"],"s":"\ud800"}"##
        );
        assert_eq!(own.slots, [KRef::Promise(40), KRef::Object(21), KRef::Object(20)]);
    }

    #[test]
    fn errors_lose_their_ids() {
        let whole = data(
            r##"#{"#error":"enough","errorId":"error:liveSlots:v2#70001","name":"Error"}"##,
            &[],
        );
        let parsed = Parsed::new(&whole).unwrap();
        assert_eq!(
            parsed.reserialize(&parsed.value).unwrap().body,
            r##"#{"#error":"enough","name":"Error"}"##
        );
    }

    #[test]
    fn single_slots_are_told_from_other_values() {
        let slots = [KRef::Object(20), KRef::Promise(40)];
        assert_eq!(single_slot(&data(r##"#"$0.Alleged: x""##, &slots)), Some(KRef::Object(20)));
        assert_eq!(single_slot(&data(r##"#"&1""##, &slots)), Some(KRef::Promise(40)));
        assert_eq!(
            single_slot(&data(r#"{"@qclass":"slot","index":0}"#, &slots)),
            Some(KRef::Object(20))
        );
        let lone = r#"{"@qclass":"slot","iface":"Alleged: \ud800","index":1}"#;
        assert_eq!(single_slot(&data(lone, &slots)), Some(KRef::Promise(40)));
        let lone = r##"#"$0.Alleged: \ud800""##;
        assert_eq!(single_slot(&data(lone, &slots)), Some(KRef::Object(20)));
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
    fn malformed_bodies_are_refused_not_guessed() {
        for text in ["", "[", "[1,]", "{\"a\"}", "\"a", "[1 2]", "nul", "\"\u{1}\"", "01", "1 1"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), None);
    }

    #[test]
    fn mutated_bodies_are_read_or_refused_and_what_is_read_is_stable() {
        let seed = 0x5eed_cafe_u64;
        let mut dice = seed;
        let mut roll = |sides: usize| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides
        };
        let good: &[&str] = &[
            r##"#["m",[{"a":"$0.Alleged: x","b":[1,-2.5e3,null,true],"c":"&1"},"+12","#undefined"]]"##,
            r##"#{"#error":"no","errorId":"error:v1#1","name":"TypeError"}"##,
            r##"#"!$escaped\u00e9\n""##,
            r##"{"@qclass":"slot","index":1}"##,
        ];
        let bytes: &[u8] = b"#\"$&!+-[]{},:.0123456789\\ue aZ";
        let slots = [KRef::Object(20), KRef::Promise(40)];
        for round in 0..60_000 {
            let mut body = good[roll(good.len())].as_bytes().to_vec();
            for _ in 0..=roll(4) {
                let at = roll(body.len());
                match roll(3) {
                    0 => body[at] = bytes[roll(bytes.len())],
                    1 => body.insert(at, bytes[roll(bytes.len())]),
                    _ if body.len() > 1 => drop(body.remove(at)),
                    _ => {}
                }
            }
            let Ok(body) = String::from_utf8(body) else { continue };
            let whole = data(&body, &slots);
            let (_, _) = (single_slot(&whole), method_name(&whole));
            let Some(parsed) = Parsed::new(&whole) else { continue };
            let Some(once) = parsed.reserialize(&parsed.value) else { continue };
            let again = Parsed::new(&once).and_then(|parsed| parsed.reserialize(&parsed.value));
            assert_eq!(again.as_ref(), Some(&once), "seed {seed} round {round}: {body}");
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
    fn texts_are_what_they_say_whether_unicode_or_not() {
        let text = |json: &str| Json::parse(json).unwrap();
        assert_eq!(text(r#""!\ud800""#).as_text(), JsString::from_json(r#""\ud800""#).ok());
        assert_eq!(text(r#""\ud800""#).as_unicode(), None);
        assert_eq!(text(r#""!$x""#).as_unicode(), Some("$x".to_owned()));
        assert_eq!(text(r#""$0""#).as_unicode(), None);
        assert_eq!(message(r##"#{"#error":"no \ud800","name":"Error"}"##), r"no \ud800");
        assert_eq!(message(r##"#"\udfff""##), r"\udfff");
        let mut builder = Builder::default();
        assert_eq!(
            builder.text(JsString::from_json(r#""$\udc00""#).unwrap()),
            text(r#""!$\udc00""#)
        );
        // Of two fields with one name the last counts, as in JavaScript.
        let twice = text(r#"{"a":1,"a":2}"#);
        assert_eq!(twice.field("a"), Some(&Json::Scalar("2".to_owned())));
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
}
