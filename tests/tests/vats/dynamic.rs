//! A machine whose bootstrap vat makes dynamic vats, for tests of their options.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::Bundle;
use capstan_kernel::device::{BUNDLE, DeviceKind};
use capstan_tests::{Machine, MachineConfig, bundle};
use serde_json::{Value, json};

/// Starts a machine on which `bundles` are installed, and whose first vat is `vat-dynamic.js`.
pub(crate) fn machine_with(bundles: &[&Bundle]) -> Machine {
    let config = MachineConfig {
        vats: vec![("bootstrap", bundle("tests/vats/documents/vat-dynamic.js"))],
        installed: bundles.iter().map(|&bundle| bundle.clone()).collect(),
        devices: vec![(BUNDLE, DeviceKind::Bundle)],
        ..MachineConfig::default()
    };
    Machine::start_with(&config, |options| options.crank_limit = 60_000_000)
}

/// Calls a method of the root of the vat `name`, and returns its answer.
#[track_caller]
pub(crate) fn tell(machine: &mut Machine, name: &str, method: &str, args: &[Value]) -> Value {
    let mut all = vec![json!(name), json!(method)];
    all.extend_from_slice(args);
    machine.ask("tell", Value::Array(all))
}

/// Calls a method of the root of the vat `name`, and returns how the call and the vat ended.
pub(crate) fn kill(machine: &mut Machine, name: &str, method: &str, args: &[Value]) -> [Value; 2] {
    let mut all = vec![json!(name), json!(method)];
    all.extend_from_slice(args);
    let answer = machine.ask("kill", Value::Array(all));
    [answer, machine.ask("ending", json!([name]))]
}

/// Returns the text of the error with which a dynamic vat with these options is refused.
#[track_caller]
pub(crate) fn refusal(machine: &mut Machine, bundle: &Bundle, options: &Value) -> String {
    let why = machine.call("create", json!(["refused", bundle.id, options])).unwrap_err();
    why["#error"].as_str().unwrap_or_else(|| panic!("{why}")).to_owned()
}
