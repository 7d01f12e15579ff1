//! JSON form of the ABI, used by the JavaScript worker, in logs and in tests.
//!
//! It consists of SwingSet's arrays, such as `["message", target, {methargs, result}]`.
//!
//! Input from a worker keeps its lone surrogates: serde reads [`JsString`] and [`Syscall`] from
//! JSON bytes. Output to a worker keeps them too ([`write_syscall_result`]). The functions that
//! return a [`Value`] are for logs, tools and tests. In these, lone surrogates are
//! [legible](JsString::legible).

mod read;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use serde_json::{Value, json};

use crate::{
    CapData, Delivery, JsString, Resolution, Syscall, SyscallData, SyscallResult,
    text::{Piece, escape},
};

pub use read::{
    Elements, capdata_from_json, delivery_from_json, delivery_result_from_json, elements,
    syscall_from_json,
};

/// Error for JSON text that is not a [`Syscall`] or a [`DeliveryResult`](crate::DeliveryResult). It
/// says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "malformed: {}", self.0)
    }
}

impl core::error::Error for Malformed {}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl JsString {
    /// Returns the string as `JSON.stringify` writes it, including the quotes. Lone surrogates
    /// become escapes.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.len() + 2);
        out.push('"');
        self.pieces(|piece| match piece {
            Piece::Text(text) => {
                let quoted = Value::String(text.to_string()).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Piece::Lone(unit) => out.push_str(&escape(unit)),
        });
        out.push('"');
        out
    }

    /// Parses a JSON string, including its quotes.
    ///
    /// # Errors
    /// [`Malformed`] if `json` is not a JSON string.
    pub fn from_json(json: &str) -> Result<Self, Malformed> {
        Ok(serde_json::from_str(json)?)
    }
}

/// Converts [`CapData`] to `{body, slots}`.
pub fn capdata_to_json<R: ToString>(data: &CapData<R>) -> Value {
    json!({"body": data.body, "slots": refs_to_json(&data.slots)})
}

/// Converts a [`Delivery`] to SwingSet's `VatDeliveryObject`. Deliveries with krefs use the same
/// tags.
pub fn delivery_to_json<R: ToString>(delivery: &Delivery<R>) -> Value {
    match delivery {
        Delivery::StartVat { parameters } => json!(["startVat", capdata_to_json(parameters)]),
        Delivery::Message { target, message } => json!([
            "message",
            target.to_string(),
            {
                "methargs": capdata_to_json(&message.methargs),
                "result": message.result.as_ref().map(ToString::to_string),
            }
        ]),
        Delivery::Notify { resolutions } => json!(["notify", resolutions_to_json(resolutions)]),
        Delivery::DropExports { refs } => json!(["dropExports", refs_to_json(refs)]),
        Delivery::RetireExports { refs } => json!(["retireExports", refs_to_json(refs)]),
        Delivery::RetireImports { refs } => json!(["retireImports", refs_to_json(refs)]),
        Delivery::BringOutYourDead => json!(["bringOutYourDead"]),
        Delivery::ChangeVatOptions { options_json } => json!([
            "changeVatOptions",
            serde_json::from_str::<Value>(options_json).unwrap_or(Value::Null)
        ]),
    }
}

/// Converts a [`Syscall`] to SwingSet's `VatSyscallObject`, for logs and tools.
pub fn syscall_to_json<R: ToString>(syscall: &Syscall<R>) -> Value {
    match syscall {
        Syscall::Send { target, message } => {
            let mut msg = json!({"methargs": capdata_to_json(&message.methargs)});
            if let Some(result) = &message.result {
                msg["result"] = Value::String(result.to_string());
            }
            json!(["send", target.to_string(), msg])
        }
        Syscall::CallNow { target, method, args } => {
            json!(["callNow", target.to_string(), method.legible(), capdata_to_json(args)])
        }
        Syscall::Subscribe { promise } => json!(["subscribe", promise.to_string()]),
        Syscall::Resolve { resolutions } => json!(["resolve", resolutions_to_json(resolutions)]),
        Syscall::Exit { is_failure, info } => json!(["exit", is_failure, capdata_to_json(info)]),
        Syscall::VatstoreGet { key } => json!(["vatstoreGet", key.legible()]),
        Syscall::VatstoreGetNextKey { prior } => json!(["vatstoreGetNextKey", prior.legible()]),
        Syscall::VatstoreSet { key, value } => {
            json!(["vatstoreSet", key.legible(), value.legible()])
        }
        Syscall::VatstoreDelete { key } => json!(["vatstoreDelete", key.legible()]),
        Syscall::DropImports { refs } => json!(["dropImports", refs_to_json(refs)]),
        Syscall::RetireImports { refs } => json!(["retireImports", refs_to_json(refs)]),
        Syscall::RetireExports { refs } => json!(["retireExports", refs_to_json(refs)]),
        Syscall::AbandonExports { refs } => json!(["abandonExports", refs_to_json(refs)]),
    }
}

/// Encodes a [`SyscallResult`] for the worker that made the syscall: `["ok", data]` or `["error",
/// text]`.
pub fn write_syscall_result(result: &SyscallResult) -> String {
    match result {
        SyscallResult::Ok(SyscallData::Text(text)) => ["[\"ok\",", &text.to_json(), "]"].concat(),
        other => syscall_result_to_json(other).to_string(),
    }
}

/// Converts a [`SyscallResult`] to `["ok", data]` or `["error", text]`, for logs and tools.
pub fn syscall_result_to_json<R: ToString>(result: &SyscallResult<R>) -> Value {
    match result {
        SyscallResult::Ok(SyscallData::Null) => json!(["ok", null]),
        SyscallResult::Ok(SyscallData::Text(text)) => json!(["ok", text.legible()]),
        SyscallResult::Ok(SyscallData::CapData(data)) => json!(["ok", capdata_to_json(data)]),
        SyscallResult::Error(text) => json!(["error", text]),
    }
}

fn refs_to_json<R: ToString>(refs: &[R]) -> Vec<String> {
    refs.iter().map(ToString::to_string).collect()
}

fn resolutions_to_json<R: ToString>(resolutions: &[Resolution<R>]) -> Vec<Value> {
    let one =
        |r: &Resolution<R>| json!([r.promise.to_string(), r.rejected, capdata_to_json(&r.data)]);
    resolutions.iter().map(one).collect()
}
