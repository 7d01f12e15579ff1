//! Readers of a worker's output, straight from JSON bytes. None of them recurses over the input.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny, Visitor},
};

use super::Malformed;
use crate::{CapData, Delivery, DeliveryResult, JsString, Message, Resolution, Syscall};

impl<'de> Deserialize<'de> for JsString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde_json passes lone surrogates on in bytes, as WTF-8, and refuses them in text.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = JsString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<JsString, E> {
        Ok(text.into())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<JsString, E> {
        JsString::from_wtf8(bytes.to_vec()).map_err(E::custom)
    }
}

/// Iterator over the elements of a JSON array, each as its own JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

/// Splits a JSON array into its [`Elements`].
pub fn elements(json: &[u8]) -> Result<Elements<'_>, Malformed> {
    serde_json::from_slice::<IgnoredAny>(json)?;
    match json.trim_ascii() {
        [b'[', rest @ .., b']'] => Ok(Elements { rest }),
        _ => Err(Malformed("expected an array".to_string())),
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let (mut depth, mut in_string, mut end) = (0usize, false, 0);
        while let Some(byte) = rest.get(end) {
            match byte {
                b'\\' if in_string => end += 1,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => break,
                _ => {}
            }
            end += 1;
        }
        let end = end.min(rest.len());
        self.rest = rest.get(end + 1..).unwrap_or_default();
        Some(rest[..end].trim_ascii_end())
    }
}

/// Reads a [`Syscall`] from the `VatSyscallObject` of a JavaScript worker.
///
/// A lone surrogate in a reference or in a body is malformed. There it can only occur as an escape
/// of the body's own JSON.
pub fn syscall_from_json(json: &[u8]) -> Result<Syscall, Malformed> {
    let tag = name(elements(json)?.next(), "a syscall's name")?;
    Ok(match tag.as_str().unwrap_or_default() {
        "send" => {
            let (_, target, message): (Tag, String, MessageFields) = parse(json)?;
            Syscall::Send { target, message: message.into() }
        }
        "callNow" => {
            let (_, target, method, args): (Tag, String, JsString, CapDataFields) = parse(json)?;
            Syscall::CallNow { target, method, args: args.into() }
        }
        "subscribe" => Syscall::Subscribe { promise: parse::<(Tag, _)>(json)?.1 },
        "resolve" => Syscall::Resolve { resolutions: resolutions(parse::<(Tag, _)>(json)?.1) },
        "exit" => {
            let (_, is_failure, info): (Tag, bool, CapDataFields) = parse(json)?;
            Syscall::Exit { is_failure, info: info.into() }
        }
        "vatstoreGet" => Syscall::VatstoreGet { key: parse::<(Tag, _)>(json)?.1 },
        "vatstoreGetNextKey" => Syscall::VatstoreGetNextKey { prior: parse::<(Tag, _)>(json)?.1 },
        "vatstoreSet" => {
            let (_, key, value): (Tag, _, _) = parse(json)?;
            Syscall::VatstoreSet { key, value }
        }
        "vatstoreDelete" => Syscall::VatstoreDelete { key: parse::<(Tag, _)>(json)?.1 },
        "dropImports" => Syscall::DropImports { refs: parse::<(Tag, _)>(json)?.1 },
        "retireImports" => Syscall::RetireImports { refs: parse::<(Tag, _)>(json)?.1 },
        "retireExports" => Syscall::RetireExports { refs: parse::<(Tag, _)>(json)?.1 },
        "abandonExports" => Syscall::AbandonExports { refs: parse::<(Tag, _)>(json)?.1 },
        _ => return Err(Malformed(format!("there is no syscall {tag}"))),
    })
}

/// Reads a [`Delivery`] as [`delivery_to_json`](super::delivery_to_json) writes it.
pub fn delivery_from_json(json: &[u8]) -> Result<Delivery, Malformed> {
    let tag = name(elements(json)?.next(), "a delivery's name")?;
    Ok(match tag.as_str().unwrap_or_default() {
        "startVat" => {
            Delivery::StartVat { parameters: parse::<(Tag, CapDataFields)>(json)?.1.into() }
        }
        "message" => {
            let (_, target, message): (Tag, String, MessageFields) = parse(json)?;
            Delivery::Message { target, message: message.into() }
        }
        "notify" => Delivery::Notify { resolutions: resolutions(parse::<(Tag, _)>(json)?.1) },
        "dropExports" => Delivery::DropExports { refs: parse::<(Tag, _)>(json)?.1 },
        "retireExports" => Delivery::RetireExports { refs: parse::<(Tag, _)>(json)?.1 },
        "retireImports" => Delivery::RetireImports { refs: parse::<(Tag, _)>(json)?.1 },
        "bringOutYourDead" => Delivery::BringOutYourDead,
        "changeVatOptions" => {
            let (_, options): (Tag, serde_json::Value) = parse(json)?;
            Delivery::ChangeVatOptions { options_json: options.to_string() }
        }
        _ => return Err(Malformed(format!("there is no delivery {tag}"))),
    })
}

/// Name of a syscall or a delivery, which was read before.
type Tag = IgnoredAny;

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Malformed> {
    Ok(serde_json::from_slice(json)?)
}

/// Reads a [`DeliveryResult`] from `["ok", results, usage]` or `["error", text, usage]`.
pub fn delivery_result_from_json(json: &[u8]) -> Result<DeliveryResult, Malformed> {
    let mut fields = elements(json)?;
    let tag = name(fields.next(), "\"ok\" or \"error\"")?;
    match tag.as_str() {
        Some("ok") => Ok(DeliveryResult::Ok),
        Some("error") => Ok(DeliveryResult::Error(name(fields.next(), "an error's text")?)),
        _ => Err(Malformed("expected \"ok\" or \"error\"".to_string())),
    }
}

/// Reads [`CapData`] from `{body, slots}`.
pub fn capdata_from_json(json: &[u8]) -> Result<CapData, Malformed> {
    Ok(parse::<CapDataFields>(json)?.into())
}

#[derive(Deserialize)]
struct CapDataFields {
    body: String,
    slots: Vec<String>,
}

impl From<CapDataFields> for CapData {
    fn from(CapDataFields { body, slots }: CapDataFields) -> Self {
        Self { body, slots }
    }
}

#[derive(Deserialize)]
struct MessageFields {
    methargs: CapDataFields,
    result: Option<String>,
}

impl From<MessageFields> for Message {
    fn from(MessageFields { methargs, result }: MessageFields) -> Self {
        Self { methargs: methargs.into(), result }
    }
}

fn resolutions(list: Vec<(String, bool, CapDataFields)>) -> Vec<Resolution> {
    let resolution = |(promise, rejected, data): (_, _, CapDataFields)| Resolution {
        promise,
        rejected,
        data: data.into(),
    };
    list.into_iter().map(resolution).collect()
}

fn name(json: Option<&[u8]>, what: &str) -> Result<JsString, Malformed> {
    let text = json.and_then(|json| serde_json::from_slice(json).ok());
    text.ok_or_else(|| Malformed(format!("expected {what}")))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::json::{delivery_to_json, syscall_to_json};

    fn read(json: &str) -> Result<Syscall, Malformed> {
        syscall_from_json(json.as_bytes())
    }

    fn lone(text: &str) -> JsString {
        JsString::from_json(text).unwrap()
    }

    #[test]
    fn lone_surrogates_come_through() {
        let key = read(r#"["vatstoreGet","s\ud800"]"#);
        assert_eq!(key, Ok(Syscall::VatstoreGet { key: lone(r#""s\uD800""#) }));
        for (json, units) in [
            (r#""\ud800""#, &[0xd800][..]),
            (r#""\udc00\ud800""#, &[0xdc00, 0xd800]),
            (r#""\ud83d\ude00""#, &[0xd83d, 0xde00]),
            (r#""\ud83d\ud83d\ude00\ude00""#, &[0xd83d, 0xd83d, 0xde00, 0xde00]),
            (r#""\ud800\n""#, &[0xd800, 10]),
            (r#""\ud800é\"\\""#, &[0xd800, 0xe9, 34, 92]),
            (r#""\u0000\u001f\u007f""#, &[0, 0x1f, 0x7f]),
        ] {
            let mut text = JsString::default();
            units.iter().for_each(|unit| text.push_unit(*unit));
            assert_eq!(JsString::from_json(json), Ok(text.clone()), "{json}");
            assert_eq!(JsString::from_json(&text.to_json()), Ok(text), "{json}");
        }
        assert_eq!(lone(r#""a\uDFFF\u001f\"""#).to_json(), r#""a\udfff\u001f\"""#);
    }

    #[test]
    fn what_cannot_be_a_syscall_is_malformed() {
        for json in [
            "",
            "[]",
            "null",
            "{}",
            "[7]",
            "[\"vatstoreGet\"]",
            "[\"vatstoreGet\",7]",
            "[\"vatstoreGet\",[115]]",
            "[\"vatstoreGet\",\"a\",\"b\"]",
            "[\"vatstoreGet\",\"a\"",
            "[\"vatstoreGet\",\"a\"]]",
            "[\"vatstoreGet\",\"a\"]\0",
            "\u{feff}[\"vatstoreGet\",\"a\"]",
            "[\"vatstoreGet\",\"\\ud83\"]",
            "[\"vatstoreGet\",\"\\u\"]",
            "[\"vatstoreget\",\"a\"]",
            "[\"subscribe\",\"p\\ud800\"]",
            "[\"exit\",1e999,{\"body\":\"\",\"slots\":[]}]",
            "[\"exit\",true,{\"body\":\"\"}]",
            "[\"exit\",true,{\"body\":\"\",\"body\":\"\",\"slots\":[]}]",
            "[\"exit\",true,{\"body\":\"\\ud800\",\"slots\":[]}]",
            "[\"exit\",true,{\"body\":\"\",\"slots\":[\"\\ud800\"]}]",
            "[\"exit\",true,{\"body\":null,\"slots\":[]}]",
            "[\"dropImports\",{}]",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        for raw in [&b"\xed\xa0\xbd\xed\xb8\x80"[..], b"\xff", b"\\ud83d\xed\xb8\x80"] {
            let json = [b"[\"vatstoreGet\",\"", raw, b"\"]"].concat();
            assert!(syscall_from_json(&json).is_err(), "{raw:x?}");
        }
        let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        assert!(read(&format!("[\"vatstoreGet\",{deep}]")).is_err());
        assert!(read(&deep).is_err());
    }

    #[test]
    fn every_syscall_is_read_as_it_is_written() {
        let data = || CapData { body: "#[\"\\ud800\"]".into(), slots: vec!["o+1".into()] };
        let (text, refs) = (|| "p-60".to_string(), || vec!["o-1".into(), "o-2".into()]);
        let message = |result| Message { methargs: data(), result };
        for syscall in [
            Syscall::Send { target: text(), message: message(Some(text())) },
            Syscall::Send { target: text(), message: message(None) },
            Syscall::CallNow { target: text(), method: "m".into(), args: data() },
            Syscall::Subscribe { promise: text() },
            Syscall::Resolve { resolutions: vec![] },
            Syscall::Resolve {
                resolutions: vec![Resolution { promise: text(), rejected: true, data: data() }],
            },
            Syscall::Exit { is_failure: false, info: data() },
            Syscall::VatstoreGet { key: "ü".into() },
            Syscall::VatstoreGetNextKey { prior: "".into() },
            Syscall::VatstoreSet { key: "k".into(), value: "\0\"\\".into() },
            Syscall::VatstoreDelete { key: "k".into() },
            Syscall::DropImports { refs: refs() },
            Syscall::RetireImports { refs: refs() },
            Syscall::RetireExports { refs: refs() },
            Syscall::AbandonExports { refs: vec![] },
        ] {
            assert_eq!(read(&syscall_to_json(&syscall).to_string()), Ok(syscall));
        }
        let null = read(r#"["send","o-1",{"methargs":{"body":"","slots":[]},"result":null}]"#);
        assert!(matches!(null, Ok(Syscall::Send { message, .. }) if message.result.is_none()));
    }

    #[test]
    fn every_delivery_is_read_as_it_is_written() {
        let data = || CapData { body: "#[\"\\ud800\"]".into(), slots: vec!["ro-1".into()] };
        let refs = || vec!["ro+1".to_string(), "ro+2".to_string()];
        let message = |result| Message { methargs: data(), result };
        let resolution = Resolution { promise: "rp-60".into(), rejected: true, data: data() };
        for delivery in [
            Delivery::StartVat { parameters: data() },
            Delivery::Message { target: "ro+1".into(), message: message(Some("rp-60".into())) },
            Delivery::Message { target: "ro+1".into(), message: message(None) },
            Delivery::Notify { resolutions: vec![resolution] },
            Delivery::DropExports { refs: refs() },
            Delivery::RetireExports { refs: refs() },
            Delivery::RetireImports { refs: refs() },
            Delivery::BringOutYourDead,
            Delivery::ChangeVatOptions { options_json: r#"{"reapInterval":7}"#.into() },
        ] {
            let json = delivery_to_json(&delivery).to_string();
            assert_eq!(delivery_from_json(json.as_bytes()), Ok(delivery));
        }
        for bad in ["", "[]", "[\"no\"]", "[\"message\",\"ro+1\"]", "[\"dropExports\",[7]]"] {
            assert!(delivery_from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn arrays_are_taken_apart_at_any_depth() {
        let of = |json: &'static str| {
            elements(json.as_bytes()).map(|found| {
                found.map(|part| core::str::from_utf8(part).unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(of("[]"), Ok(vec![]));
        assert_eq!(of(" [ ] "), Ok(vec![]));
        assert_eq!(
            of(r#"["a,]\"" , [1,[2]],{"b":"}"},1e999,-0]"#),
            Ok(vec![r#""a,]\"""#, "[1,[2]]", r#"{"b":"}"}"#, "1e999", "-0"])
        );
        assert_eq!(of(r#"["\\","\ud800"]"#), Ok(vec![r#""\\""#, r#""\ud800""#]));
        for bad in ["", "[", "[1,]", "[,]", "{}", "7", "[1] 2", "[\"a]", "[\"\n\"]"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        assert_eq!(elements(deep.as_bytes()).unwrap().next().unwrap().len(), deep.len() - 2);
    }

    #[test]
    fn delivery_results_are_read() {
        let of = |json: &str| delivery_result_from_json(json.as_bytes());
        let error = |text: &str| Ok(DeliveryResult::Error(lone(text)));
        assert_eq!(of(r#"["ok",null,{"compute":1e999}]"#), Ok(DeliveryResult::Ok));
        assert_eq!(of(r#"["error","RangeError: \ud800",null]"#), error(r#""RangeError: \ud800""#));
        for bad in ["[]", "[\"error\"]", "[\"error\",7]", "[\"no\"]", "{\"0\":\"ok\"}", "ok", ""] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
