//! The JSON commands between a JavaScript worker and its host, those of Agoric's xsnap supervisor
//! (npm `@agoric/swingset-xsnap-supervisor`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult, json as abi_json};
use capstan_kernel_ports::{VatId, host::WorkerOptions};
use serde_json::{Value, json};

/// What a supervisor issues while it works.
pub(crate) enum Command {
    /// `["syscall", vso]`; the error says why it is not one.
    Syscall(Result<Syscall, String>),
    /// `["testLog", …args]`, one after the other with nothing between, as SwingSet joins them.
    TestLog(String),
    /// `["sourcedConsole", source, level, …args]`, the arguments joined by spaces.
    Console {
        /// `vat`, `liveSlots` and so on.
        source: String,
        /// The console's method.
        level: String,
        /// The text.
        line: String,
    },
    /// Anything else, by its name.
    Unknown(String),
}

/// Reads a command. What is not JSON can only be a syscall gone wrong.
pub(crate) fn read_command(bytes: &[u8]) -> Command {
    let fields: Vec<Value> = match serde_json::from_slice(bytes) {
        Ok(fields) => fields,
        Err(error) => return Command::Syscall(Err(format!("not a JSON array: {error}"))),
    };
    let text = |i: usize| fields.get(i).map(plain).unwrap_or_default();
    let rest = |from: usize| fields.iter().skip(from).map(plain).collect::<Vec<String>>();
    match fields.first().and_then(Value::as_str) {
        Some("syscall") => {
            let vso = fields.get(1).unwrap_or(&Value::Null);
            Command::Syscall(abi_json::syscall_from_json(vso).map_err(|e| e.to_string()))
        }
        Some("testLog") => Command::TestLog(rest(1).concat()),
        Some("sourcedConsole") => {
            Command::Console { source: text(1), level: text(2), line: rest(3).join(" ") }
        }
        _ => Command::Unknown(text(0)),
    }
}

/// The reply to `["syscall", vso]`.
pub(crate) fn write_result(result: &SyscallResult) -> Vec<u8> {
    abi_json::syscall_result_to_json(result).to_string().into_bytes()
}

/// `["deliver", vdo]`.
pub(crate) fn write_delivery(delivery: &Delivery) -> Vec<u8> {
    json!(["deliver", abi_json::delivery_to_json(delivery)]).to_string().into_bytes()
}

/// Reads what a delivery was answered with. `["err", name, message]` is the supervisor's own failure,
/// for which the vat must die as for an error that it reports.
pub(crate) fn read_delivery_result(reply: &[u8]) -> Result<DeliveryResult, String> {
    let value: Value = serde_json::from_slice(reply).map_err(|e| e.to_string())?;
    if let Some(text) = supervisor_failure(&value) {
        return Ok(DeliveryResult::Error(text));
    }
    abi_json::delivery_result_from_json(&value).map_err(|e| e.to_string())
}

/// `["setBundle", vatID, bundle, liveSlotsOptions, isEarly]`, the bundle as Endo writes it to JSON.
/// Without a vat the bundle is loaded at once, and the worker can be named later.
pub(crate) fn write_set_bundle(
    vat: Option<VatId>,
    bundle_id: &str,
    zip: &[u8],
    options: &WorkerOptions,
) -> Result<Vec<u8>, String> {
    let sha512 = bundle_digest(bundle_id)?;
    let bundle = json!({
        "moduleFormat": "endoZipBase64",
        "endoZipBase64": STANDARD.encode(zip),
        "endoZipBase64Sha512": sha512,
    });
    let options = json!({
        "enableDisavow": options.enable_disavow,
        "relaxDurabilityRules": options.relax_durability_rules,
    });
    let id = vat.map_or_else(String::new, |vat| vat.to_string());
    Ok(json!(["setBundle", id, bundle, options, vat.is_none()]).to_string().into_bytes())
}

/// The digest in the id of an Endo bundle; the error says what such an id looks like.
pub(crate) fn bundle_digest(bundle_id: &str) -> Result<&str, String> {
    bundle_id
        .strip_prefix("b1-")
        .filter(|hex| hex.len() == 128 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(|| {
            format!("{bundle_id:?} is not the id of an Endo bundle (b1- and 128 hex digits)")
        })
}

/// `["setVatID", vatID]`, for a worker that has its bundle.
pub(crate) fn write_set_vat_id(vat: VatId) -> Vec<u8> {
    json!(["setVatID", vat.to_string()]).to_string().into_bytes()
}

/// Reads what `setBundle` or `setVatID` was answered with: `["dispatchReady"]`, or why not.
pub(crate) fn read_set_bundle_reply(reply: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(reply).unwrap_or(Value::Null);
    if let Some(text) = supervisor_failure(&value) {
        return Err(text);
    }
    match value.get(0).and_then(Value::as_str) {
        Some("dispatchReady") => Ok(()),
        Some("error") => Err(value.get(1).map(plain).unwrap_or_default()),
        _ => Err("the JavaScript engine did not take the bundle".to_owned()),
    }
}

fn supervisor_failure(reply: &Value) -> Option<String> {
    let part = |i| reply.get(i).map(plain).unwrap_or_default();
    (reply.get(0)?.as_str()? == "err").then(|| format!("{}: {}", part(1), part(2)))
}

/// A value as JavaScript's `String` would show it in a log: strings without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
