//! Devices with code of their own: they do what the recording says they did.
//!
//! A row of `deviceCalls` has the call as the device saw it, what it asked of the kernel and was told, and its
//! answer. References are the device's own.

use std::collections::VecDeque;

use capstan_abi::CapData;
use capstan_abi::json::{capdata_from_json, capdata_to_json};
use capstan_kernel::{
    DeviceAnswer, DeviceCall, DeviceSyscalls, KernelPanic, capdata::KernelData,
    device::DeviceError, ids::KRef,
};
use serde_json::{Value, json};

use crate::compare;

type Result<T> = std::result::Result<T, KernelPanic>;

/// The calls of devices that are still to come, in the order of the recording.
#[derive(Debug, Default)]
pub struct RecordedDevices(VecDeque<Value>);

impl RecordedDevices {
    /// The devices of a recording.
    pub fn new(expected: &Value) -> Self {
        Self(expected["deviceCalls"].as_array().cloned().unwrap_or_default().into())
    }

    /// Answers a call as the recording says.
    pub fn call(
        &mut self,
        syscalls: &mut dyn DeviceSyscalls,
        call: &DeviceCall<'_>,
    ) -> Result<DeviceAnswer> {
        let DeviceCall { device, node, method, args } = call;
        let got = json!({"device": device, "node": node, "method": method, "args": capdata_to_json(args)});
        let Some(row) = self.0.pop_front() else {
            return Err(differs(format!("no device call expected, got {got}")));
        };
        let wanted = json!({"device": row["device"], "node": row["node"], "method": row["method"], "args": row["args"]});
        if !compare::same(&wanted, &got) {
            return Err(differs(format!("device call: expected {wanted}, got {got}")));
        }
        act(syscalls, &row["syscalls"])?;
        Ok(match row["result"][0].as_str() {
            Some("ok") => DeviceAnswer::Returned(data(&row["result"][1])?),
            Some("error") => DeviceAnswer::Failed(text(&row["result"][1])),
            _ => DeviceAnswer::Thrown(text(&row["result"][1])),
        })
    }
}

/// Makes the recorded syscalls of a device, and compares what it is told.
pub fn act(syscalls: &mut dyn DeviceSyscalls, rows: &Value) -> Result<()> {
    for row in rows.as_array().into_iter().flatten() {
        let told = syscall(syscalls, row)?;
        let wanted = match row["dsr"]["threw"].is_string() {
            true => json!({"threw": ""}),
            false => row["dsr"].clone(),
        };
        if !compare::same(&wanted, &told) {
            return Err(differs(format!("device's {}: expected {wanted}, got {told}", row["dsc"])));
        }
    }
    Ok(())
}

/// The kernel's answer to one syscall. The texts of errors are each kernel's own.
fn syscall(syscalls: &mut dyn DeviceSyscalls, row: &Value) -> Result<Value> {
    let dsc = &row["dsc"];
    let key = dsc[1].as_str().unwrap_or_default();
    let null = |()| Value::Null;
    let told = match dsc[0].as_str() {
        Some("sendOnly") => syscalls.send_only(key, &data(&dsc[2])?).map(null),
        Some("vatstoreGet") => syscalls.vatstore_get(key).map(|value| json!(value)),
        Some("vatstoreSet") => syscalls.vatstore_set(key, dsc[2].as_str()).map(null),
        Some("vatstoreDelete") => syscalls.vatstore_set(key, None).map(null),
        Some("callKernelHook") => hook(syscalls, row),
        _ => return Err(differs(format!("a device has no syscall {dsc}"))),
    };
    match told {
        Ok(told) => Ok(told),
        Err(DeviceError::Panic(panic)) => Err(panic),
        Err(_) => Ok(json!({"threw": ""})),
    }
}

/// A call of a hook: a function of the host, which gets and gives the kernel's own references.
fn hook(syscalls: &mut dyn DeviceSyscalls, row: &Value) -> std::result::Result<Value, DeviceError> {
    let args = syscalls.to_kernel(&data(&row["dsc"][2])?)?;
    if row["dsr"]["threw"].is_string() {
        return Ok(json!({"threw": ""}));
    }
    let args = capdata_to_json(&args);
    if !compare::same(&row["kargs"], &args) {
        let why = format!("arguments of a hook: expected {}, got {args}", row["kargs"]);
        return Err(differs(why).into());
    }
    let given = data(&row["kres"])?;
    let slots: Option<Vec<KRef>> = given.slots.iter().map(|slot| KRef::parse(slot)).collect();
    let slots = slots.ok_or_else(|| differs(format!("a hook gave {}", row["kres"])))?;
    let given = KernelData { body: given.body, slots };
    Ok(capdata_to_json(&syscalls.to_device(&given)?))
}

fn data(value: &Value) -> Result<CapData> {
    let read = capdata_from_json(value.to_string().as_bytes());
    read.map_err(|error| differs(format!("{value}: {error}")))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn differs(why: String) -> KernelPanic {
    KernelPanic::Inconsistent(why)
}
