//! JSON commands between a JavaScript worker and its host. They are those of Agoric's xsnap
//! supervisor (npm `@agoric/swingset-xsnap-supervisor`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_abi::{
    BundleKind, Delivery, DeliveryResult, JsString, Syscall, SyscallResult,
    json::{self as abi_json, Elements, Malformed, elements},
};
use capstan_kernel_ports::{VatId, host::WorkerOptions};
use serde_json::json;

use crate::worker::{
    BundleError, ReplyError,
    imports::{LOG_LINE_BYTES, TEST_LOG_BYTES},
};

/// Command that a supervisor issues during a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// `["syscall", vso]`. The error says why it is malformed.
    Syscall(Result<Syscall, Malformed>),
    /// `["testLog", …args]`, the arguments joined without a separator, as in SwingSet.
    TestLog(String),
    /// `["sourcedConsole", source, level, …args]`, the arguments joined by spaces.
    Console {
        /// Source of the line: `vat`, `liveSlots` and so on.
        source: String,
        /// Method of the console.
        level: String,
        /// Text in UTF-8, which may be cut.
        line: String,
    },
    /// Any other command, by its name.
    Unknown(String),
}

/// Reads a command from any bytes.
///
/// Bytes that are no JSON array count as a malformed syscall. Console lines and unknown commands
/// are read whatever they contain: printing never terminates a vat.
pub(crate) fn read_command(bytes: &[u8]) -> Command {
    let mut fields = match elements(bytes) {
        Ok(fields) => fields,
        Err(error) => return Command::Syscall(Err(error)),
    };
    let name = shown(&mut fields, LOG_LINE_BYTES);
    match name.as_str() {
        "syscall" => Command::Syscall(read_syscall(fields)),
        "testLog" => Command::TestLog(join(fields, "", TEST_LOG_BYTES)),
        "sourcedConsole" => {
            let source = shown(&mut fields, LOG_LINE_BYTES);
            let level = shown(&mut fields, LOG_LINE_BYTES);
            Command::Console { source, level, line: join(fields, " ", LOG_LINE_BYTES) }
        }
        _ => Command::Unknown(name),
    }
}

fn read_syscall(mut fields: Elements<'_>) -> Result<Syscall, Malformed> {
    abi_json::syscall_from_json(fields.next().unwrap_or_default())
}

/// Returns the arguments as a line for people, cut at about `max` bytes.
fn join(fields: Elements<'_>, separator: &str, max: usize) -> String {
    let mut line = String::new();
    for (index, field) in fields.enumerate() {
        if line.len() > max {
            break;
        }
        if index > 0 {
            line.push_str(separator);
        }
        line.push_str(&legible(field, max));
    }
    line
}

/// Returns the next argument as text for people.
fn shown(fields: &mut Elements<'_>, max: usize) -> String {
    fields.next().map(|field| legible(field, max)).unwrap_or_default()
}

/// Returns a value as JavaScript's `String` would show it in a log. Strings have no quotes, and
/// anything else is its JSON. Longer values are cut after at least `max` bytes.
fn legible(json: &[u8], max: usize) -> String {
    if let Ok(text) = serde_json::from_slice::<JsString>(json) {
        return text.prefix(max + 4).legible().into_owned();
    }
    String::from_utf8_lossy(&json[..json.len().min(max + 4)]).into_owned()
}

/// Encodes the reply to `["syscall", vso]`.
pub(crate) fn write_result(result: &SyscallResult) -> Vec<u8> {
    abi_json::write_syscall_result(result).into_bytes()
}

/// Encodes the command `["deliver", vdo]`.
pub(crate) fn write_delivery(delivery: &Delivery) -> Vec<u8> {
    json!(["deliver", abi_json::delivery_to_json(delivery)]).to_string().into_bytes()
}

/// Reads the reply to a delivery. `["err", name, message]` is a failure of the supervisor itself,
/// which terminates the vat like an error that it reports.
pub(crate) fn read_delivery_result(reply: &[u8]) -> Result<DeliveryResult, ReplyError> {
    if let Some(text) = supervisor_failure(reply) {
        return Ok(DeliveryResult::Error(text));
    }
    Ok(abi_json::delivery_result_from_json(reply)?)
}

/// Encodes the command `["setBundle", vatID, bundle, liveSlotsOptions, isEarly, isNew]`, with the
/// bundle as in Endo's JSON. Without a vat the bundle is loaded at once, and the worker can be named
/// later.
pub(crate) fn write_set_bundle(
    vat: Option<VatId>,
    digest: BundleDigest<'_>,
    zip: &[u8],
    options: &WorkerOptions,
) -> Vec<u8> {
    let bundle = json!({
        "moduleFormat": "endoZipBase64",
        "endoZipBase64": STANDARD.encode(zip),
        "endoZipBase64Sha512": digest.0,
    });
    let settings = json!({
        "enableDisavow": options.enable_disavow,
        "relaxDurabilityRules": options.relax_durability_rules,
        "enableVatstore": options.enable_vatstore,
        "enableSetup": options.enable_setup,
    });
    let id = vat.map_or_else(String::new, |vat| vat.to_string());
    json!(["setBundle", id, bundle, settings, vat.is_none(), options.is_new])
        .to_string()
        .into_bytes()
}

/// The SHA-512 in the id of an Endo bundle, in hex.
#[derive(Clone, Copy)]
pub(crate) struct BundleDigest<'a>(&'a str);

/// Error for a text that is not the id of an Endo bundle.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the id of an Endo bundle (b1- and 128 hex digits)")]
pub(crate) struct NoEndoBundle(String);

impl<'a> BundleDigest<'a> {
    /// Takes the digest from the id of an Endo bundle.
    pub(crate) fn from_id(bundle_id: &'a str) -> Result<Self, NoEndoBundle> {
        match BundleKind::split(bundle_id) {
            Some((BundleKind::EndoZip, hex))
                if hex.len() == 128 && hex.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Ok(Self(hex))
            }
            _ => Err(NoEndoBundle(bundle_id.to_owned())),
        }
    }
}

/// Encodes the command `["setVatID", vatID]`, for a worker that has its bundle.
pub(crate) fn write_set_vat_id(vat: VatId) -> Vec<u8> {
    json!(["setVatID", vat.to_string()]).to_string().into_bytes()
}

/// Reads the reply to `setBundle` or `setVatID`: `["dispatchReady"]`, or the reason of a failure.
pub(crate) fn read_set_bundle_reply(reply: &[u8]) -> Result<(), BundleError> {
    if let Some(text) = supervisor_failure(reply) {
        return Err(BundleError::Supervisor(text));
    }
    let mut fields = elements(reply)?;
    match shown(&mut fields, LOG_LINE_BYTES).as_str() {
        "dispatchReady" => Ok(()),
        "error" => Err(BundleError::Refused(shown(&mut fields, LOG_LINE_BYTES))),
        _ => Err(BundleError::Unknown),
    }
}

fn supervisor_failure(reply: &[u8]) -> Option<JsString> {
    let mut fields = elements(reply).ok()?;
    if text(fields.next()) != "err" {
        return None;
    }
    let mut failure = text(fields.next());
    failure.push_str(": ");
    failure.push(&text(fields.next()));
    Some(failure)
}

/// Returns a value as JavaScript's `String` would show it. Strings have no quotes, and anything
/// else is its JSON.
fn text(json: Option<&[u8]>) -> JsString {
    let json = json.unwrap_or_default();
    serde_json::from_slice(json).unwrap_or_else(|_| String::from_utf8_lossy(json).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(line: &str) -> Command {
        Command::Console { source: "vat".into(), level: "log".into(), line: line.into() }
    }

    fn printed(args: &str) -> Command {
        read_command(format!("[\"sourcedConsole\",\"vat\",\"log\"{args}]").as_bytes())
    }

    #[test]
    fn nothing_that_a_vat_prints_is_its_end() {
        assert_eq!(printed(""), console(""));
        assert_eq!(
            printed(r#","a",{"b":"\ud800"},-0,1e999,null"#),
            console(r#"a {"b":"\ud800"} -0 1e999 null"#)
        );
        assert_eq!(printed(r#","\ud800","\ud83d","\ude00x""#), console(r"\ud800 \ud83d \ude00x"));
        assert_eq!(printed(r#","\u0000\ufeff","\ud83d\ude00""#), console("\0\u{feff} \u{1F600}"));
        assert_eq!(printed(r#",{"a":1,"a":2}"#), console(r#"{"a":1,"a":2}"#));
        let raw = [&b"[\"sourcedConsole\",\"vat\",\"log\",\"\xed\xb8\x80\",\"\xff\"]"[..]].concat();
        assert_eq!(read_command(&raw), console("\\ude00 \"\u{fffd}\""));
    }

    #[test]
    fn what_is_printed_is_read_as_far_as_there_is_room() {
        let line = |command| match command {
            Command::Console { line, .. } | Command::TestLog(line) => line,
            other => panic!("{other:?}"),
        };
        let deep = ["[".repeat(3_000_000), "]".repeat(3_000_000)].concat();
        let arrays = [",[1]".repeat(3_000_000), format!(",{deep}"), format!(",\"{deep}\"")];
        for args in arrays {
            let length = line(printed(&args)).len();
            assert!((LOG_LINE_BYTES + 1..LOG_LINE_BYTES + 8).contains(&length), "{length}");
        }
        // The test log takes a line whole or not at all.
        for (length, cut) in [(TEST_LOG_BYTES, false), (TEST_LOG_BYTES + 1, true), (3 << 20, true)]
        {
            let command = format!("[\"testLog\",\"{}\"]", "x".repeat(length));
            let found = line(read_command(command.as_bytes()));
            assert_eq!(found.len() > TEST_LOG_BYTES, cut);
            assert!(found.len() <= TEST_LOG_BYTES + 4);
        }
    }

    #[test]
    fn what_is_no_array_is_a_syscall_gone_wrong_and_the_rest_has_a_name() {
        for bytes in [
            &b""[..],
            b"[",
            b"{}",
            b"\"sourcedConsole\"",
            b"[\"sourcedConsole\",\"vat\",\"log\",\"\\ud8\"]",
            b"[\"sourcedConsole\"]\0",
            b"\xef\xbb\xbf[\"sourcedConsole\"]",
            b"[\"syscall\"]",
            b"[\"syscall\",[\"vatstoreGet\"]]",
            b"[\"syscall\",[\"subscribe\",\"\\ud800\"]]",
        ] {
            assert!(matches!(read_command(bytes), Command::Syscall(Err(_))), "{bytes:?}");
        }
        for (bytes, name) in [(&b"[]"[..], ""), (b"[7]", "7"), (b"[\"\\ud800\",1]", "\\ud800")] {
            assert_eq!(read_command(bytes), Command::Unknown(name.to_owned()));
        }
    }

    #[test]
    fn syscalls_and_results_keep_lone_surrogates() {
        let key = JsString::from_json(r#""s\udfff""#).unwrap();
        let command = br#"["syscall",["vatstoreGet","s\udfff"]]"#;
        let get = Syscall::VatstoreGet { key: key.clone() };
        assert_eq!(read_command(command), Command::Syscall(Ok(get)));
        let result = SyscallResult::Ok(capstan_abi::SyscallData::Text(key));
        assert_eq!(write_result(&result), br#"["ok","s\udfff"]"#);
    }

    #[test]
    fn a_failure_of_the_supervisor_is_the_deliverys() {
        let read = |reply: &str| read_delivery_result(reply.as_bytes());
        let of = |reply: &str| read(reply).unwrap();
        let error = |text: &str| DeliveryResult::Error(JsString::from_json(text).unwrap());
        assert_eq!(of(r#"["err","TypeError","x\ud800"]"#), error(r#""TypeError: x\ud800""#));
        assert_eq!(of(r#"["err",null,[1e999]]"#), error(r#""null: [1e999]""#));
        assert_eq!(of(r#"["err"]"#), error(r#"": ""#));
        assert_eq!(of(r#"["error","\ud800",null]"#), error(r#""\ud800""#));
        assert!(read("exception from handleItem").is_err());
        assert_eq!(read_set_bundle_reply(br#"["dispatchReady"]"#), Ok(()));
        let refused = read_set_bundle_reply(br#"["err","Error","\ud800"]"#).unwrap_err();
        assert_eq!(refused.to_string(), "Error: \\ud800");
        assert!(read_set_bundle_reply(b"[\"dispatchReady\"").is_err());
    }
}
