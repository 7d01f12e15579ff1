//! The JSON form of the ABI: SwingSet's arrays (`["message", target, {methargs, result}]`, …), used
//! by the JavaScript worker, in logs and in tests.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde_json::{Value, json};

use crate::{
    CapData, Delivery, DeliveryResult, Message, Resolution, Syscall, SyscallData, SyscallResult,
};

/// A JSON text that is not a syscall or delivery result; the text says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "malformed: expected {}", self.0)
    }
}

impl core::error::Error for Malformed {}

/// `{body, slots}`.
pub fn capdata_to_json<R: ToString>(data: &CapData<R>) -> Value {
    json!({"body": data.body, "slots": refs_to_json(&data.slots)})
}

/// SwingSet's `VatDeliveryObject` (with krefs: the same tags over krefs).
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

/// SwingSet's `VatSyscallObject`.
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
            json!(["callNow", target.to_string(), method, capdata_to_json(args)])
        }
        Syscall::Subscribe { promise } => json!(["subscribe", promise.to_string()]),
        Syscall::Resolve { resolutions } => json!(["resolve", resolutions_to_json(resolutions)]),
        Syscall::Exit { is_failure, info } => json!(["exit", is_failure, capdata_to_json(info)]),
        Syscall::VatstoreGet { key } => json!(["vatstoreGet", key]),
        Syscall::VatstoreGetNextKey { prior } => json!(["vatstoreGetNextKey", prior]),
        Syscall::VatstoreSet { key, value } => json!(["vatstoreSet", key, value]),
        Syscall::VatstoreDelete { key } => json!(["vatstoreDelete", key]),
        Syscall::DropImports { refs } => json!(["dropImports", refs_to_json(refs)]),
        Syscall::RetireImports { refs } => json!(["retireImports", refs_to_json(refs)]),
        Syscall::RetireExports { refs } => json!(["retireExports", refs_to_json(refs)]),
        Syscall::AbandonExports { refs } => json!(["abandonExports", refs_to_json(refs)]),
    }
}

/// `["ok", data]` or `["error", text]`.
pub fn syscall_result_to_json<R: ToString>(result: &SyscallResult<R>) -> Value {
    match result {
        SyscallResult::Ok(SyscallData::Null) => json!(["ok", null]),
        SyscallResult::Ok(SyscallData::Text(text)) => json!(["ok", text]),
        SyscallResult::Ok(SyscallData::CapData(data)) => json!(["ok", capdata_to_json(data)]),
        SyscallResult::Error(text) => json!(["error", text]),
    }
}

/// Reads a `VatSyscallObject`, as a JavaScript worker sends it.
pub fn syscall_from_json(value: &Value) -> Result<Syscall, Malformed> {
    let fields = array(value, "a syscall array")?;
    let tag = text(fields.first(), "a syscall name")?;
    let arity = |n: usize| match fields.len() == n {
        true => Ok(()),
        false => Err(Malformed(format!("{n} elements in syscall {tag}"))),
    };
    let field = |i: usize| fields.get(i);
    Ok(match tag.as_str() {
        "send" => {
            arity(3)?;
            let message = message_from_json(field(2))?;
            Syscall::Send { target: text(field(1), "a target")?, message }
        }
        "callNow" => {
            arity(4)?;
            Syscall::CallNow {
                target: text(field(1), "a device node")?,
                method: text(field(2), "a method name")?,
                args: capdata_from_json(field(3))?,
            }
        }
        "subscribe" => {
            arity(2)?;
            Syscall::Subscribe { promise: text(field(1), "a promise")? }
        }
        "resolve" => {
            arity(2)?;
            let list = array(field(1).unwrap_or(&Value::Null), "resolutions")?;
            let resolutions = list.iter().map(resolution_from_json).collect::<Result<_, _>>()?;
            Syscall::Resolve { resolutions }
        }
        "exit" => {
            arity(3)?;
            let is_failure = field(1).and_then(Value::as_bool);
            Syscall::Exit {
                is_failure: is_failure.ok_or_else(|| Malformed("a boolean".to_string()))?,
                info: capdata_from_json(field(2))?,
            }
        }
        "vatstoreGet" => {
            arity(2)?;
            Syscall::VatstoreGet { key: text(field(1), "a key")? }
        }
        "vatstoreGetNextKey" => {
            arity(2)?;
            Syscall::VatstoreGetNextKey { prior: text(field(1), "a key")? }
        }
        "vatstoreSet" => {
            arity(3)?;
            Syscall::VatstoreSet {
                key: text(field(1), "a key")?,
                value: text(field(2), "a value")?,
            }
        }
        "vatstoreDelete" => {
            arity(2)?;
            Syscall::VatstoreDelete { key: text(field(1), "a key")? }
        }
        "dropImports" => {
            arity(2)?;
            Syscall::DropImports { refs: refs_from_json(field(1))? }
        }
        "retireImports" => {
            arity(2)?;
            Syscall::RetireImports { refs: refs_from_json(field(1))? }
        }
        "retireExports" => {
            arity(2)?;
            Syscall::RetireExports { refs: refs_from_json(field(1))? }
        }
        "abandonExports" => {
            arity(2)?;
            Syscall::AbandonExports { refs: refs_from_json(field(1))? }
        }
        _ => return Err(Malformed("a known syscall name".to_string())),
    })
}

/// Reads a `VatDeliveryResult`: `["ok", results, usage]` or `["error", text, usage]`.
pub fn delivery_result_from_json(value: &Value) -> Result<DeliveryResult, Malformed> {
    let fields = array(value, "a delivery result")?;
    match fields.first().and_then(Value::as_str) {
        Some("ok") => Ok(DeliveryResult::Ok),
        Some("error") => Ok(DeliveryResult::Error(text(fields.get(1), "an error text")?)),
        _ => Err(Malformed("\"ok\" or \"error\"".to_string())),
    }
}

/// Reads `{body, slots}`.
pub fn capdata_from_json(value: Option<&Value>) -> Result<CapData, Malformed> {
    let value = value.unwrap_or(&Value::Null);
    Ok(CapData {
        body: text(value.get("body"), "a body")?,
        slots: refs_from_json(value.get("slots"))?,
    })
}

fn refs_to_json<R: ToString>(refs: &[R]) -> Vec<String> {
    refs.iter().map(ToString::to_string).collect()
}

fn resolutions_to_json<R: ToString>(resolutions: &[Resolution<R>]) -> Vec<Value> {
    let one =
        |r: &Resolution<R>| json!([r.promise.to_string(), r.rejected, capdata_to_json(&r.data)]);
    resolutions.iter().map(one).collect()
}

fn resolution_from_json(value: &Value) -> Result<Resolution, Malformed> {
    let fields = array(value, "[promise, rejected, data]")?;
    if fields.len() != 3 {
        return Err(Malformed("[promise, rejected, data]".to_string()));
    }
    let rejected = fields[1].as_bool().ok_or_else(|| Malformed("a boolean".to_string()))?;
    Ok(Resolution {
        promise: text(fields.first(), "a promise")?,
        rejected,
        data: capdata_from_json(fields.get(2))?,
    })
}

fn message_from_json(value: Option<&Value>) -> Result<Message, Malformed> {
    let value = value.unwrap_or(&Value::Null);
    let result = match value.get("result") {
        None | Some(Value::Null) => None,
        some => Some(text(some, "a result promise")?),
    };
    Ok(Message { methargs: capdata_from_json(value.get("methargs"))?, result })
}

fn refs_from_json(value: Option<&Value>) -> Result<Vec<String>, Malformed> {
    let list = array(value.unwrap_or(&Value::Null), "an array of references")?;
    list.iter().map(|slot| text(Some(slot), "a reference")).collect()
}

fn array<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>, Malformed> {
    value.as_array().ok_or_else(|| Malformed(what.to_string()))
}

fn text(value: Option<&Value>, what: &str) -> Result<String, Malformed> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(Malformed(what.to_string())),
    }
}
