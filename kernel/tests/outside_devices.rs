//! Devices whose code the application has: what they are called with, and what they may ask of the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Resolution, Syscall, SyscallData, SyscallResult};
use capstan_kernel::{
    Application, BridgeAnswer, DeviceAnswer, DeviceCall, DeviceSyscalls, Kernel, KernelPanic,
    device::DeviceKind, promise::ResultPolicy,
};
use capstan_kernel_ports::{memory::MemoryState, store::Overlay};
use serde_json::{Value, json};
use support::{Behaviour, ClosureHost, config, idle, kernel, method, run};

/// What the vat was told and answered.
type Log = Rc<RefCell<Vec<String>>>;

/// A device that counts in its store, makes nodes, sends to what it was given, and fails in every way.
struct Counter;

impl Application for Counter {
    fn outbound(
        &mut self,
        _over: &mut dyn Overlay,
        _args: &[Value],
    ) -> Result<BridgeAnswer, KernelPanic> {
        Ok(BridgeAnswer::Returned(None))
    }

    fn call_device(
        &mut self,
        syscalls: &mut dyn DeviceSyscalls,
        call: &DeviceCall<'_>,
    ) -> Result<DeviceAnswer, KernelPanic> {
        let data = |body: String, slots: &[&str]| {
            let slots = slots.iter().map(|slot| (*slot).to_owned()).collect();
            DeviceAnswer::Returned(CapData { body, slots })
        };
        Ok(match call.method {
            "count" => {
                let count = syscalls.vatstore_get("count").unwrap();
                let count = count.map_or(0, |text| text.parse::<u64>().unwrap()) + 1;
                syscalls.vatstore_set("count", Some(&count.to_string())).unwrap();
                data(format!("#{count}"), &[])
            }
            "forget" => {
                syscalls.vatstore_set("count", None).unwrap();
                data("#null".to_owned(), &[])
            }
            "node" => data("#\"$0\"".to_owned(), &["d+7"]),
            "where" => data(format!("#{}", json!([call.device, call.node, call.args.slots])), &[]),
            "send" => {
                let hello = CapData { body: "#[\"hello\",[]]".to_owned(), slots: vec![] };
                syscalls.send_only(&call.args.slots[0], &hello).unwrap();
                data("#null".to_owned(), &[])
            }
            "lose" => {
                let nothing = CapData { body: "#[]".to_owned(), slots: vec!["o-99".to_owned()] };
                let whys = [
                    syscalls.send_only("o-99", &nothing).unwrap_err().to_string(),
                    syscalls.send_only("d+0", &nothing).unwrap_err().to_string(),
                    syscalls.to_kernel(&nothing).unwrap_err().to_string(),
                    syscalls.vatstore_set(&"k".repeat(65_537), None).unwrap_err().to_string(),
                ];
                data(format!("#{}", json!(whys)), &[])
            }
            "stray" => data("#\"$0\"".to_owned(), &["o-99"]),
            "tell" => DeviceAnswer::Failed("told so".to_owned()),
            _ => DeviceAnswer::Thrown("for the log".to_owned()),
        })
    }
}

/// Gets the device from bootstrap, and calls what the host names: `call(method, nodes)`.
fn boot(log: Log) -> Behaviour {
    let mut nodes: Vec<String> = Vec::new();
    Box::new(move |delivery: &Delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
        match method(message).as_str() {
            "bootstrap" => {
                let slots = message.methargs.slots.iter();
                nodes = slots.filter(|slot| slot.starts_with("d-")).cloned().collect();
                let promise = message.result.clone().unwrap();
                let data = CapData { body: "#null".to_owned(), slots: vec![] };
                let up = Resolution { promise, rejected: false, data };
                kernel.call(Syscall::Resolve { resolutions: vec![up] })?;
            }
            "call" => {
                let name = body[1][0].as_str().unwrap();
                let target = nodes[body[1][1].as_u64().unwrap() as usize].clone();
                let args = CapData { body: "#[\"$0\"]".to_owned(), slots: vec!["o+5".to_owned()] };
                let call = Syscall::CallNow { target, method: name.into(), args };
                let answer = match kernel.call(call)? {
                    SyscallResult::Ok(SyscallData::CapData(data)) => {
                        nodes.extend(data.slots);
                        data.body
                    }
                    SyscallResult::Error(text) => format!("error: {text}"),
                    other => format!("{other:?}"),
                };
                log.borrow_mut().push(answer);
                if name == "count" && body[1][2] == true {
                    return Err("the delivery fails after the call".to_owned());
                }
            }
            _ => log.borrow_mut().push(message.methargs.body.clone()),
        }
        Ok(())
    })
}

struct World {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    log: Log,
}

impl World {
    fn new() -> Self {
        let mut config = config("boot", &["boot"]);
        config.devices.insert("counter".to_owned(), DeviceKind::Application);
        let log = Log::default();
        let ears = Rc::clone(&log);
        let factory = Box::new(move |_, bundle: &str| match bundle {
            "b1-boot" => boot(Rc::clone(&ears)),
            _ => idle(),
        });
        let (mut kernel, mut state) = kernel(&config, factory);
        kernel.set_application(Box::new(Counter));
        run(&mut kernel, &mut state);
        Self { kernel, state, log }
    }

    /// What the vat was answered and told, for a call of its node of that index.
    fn call(&mut self, method: &str, node: usize, fails: bool) -> Vec<String> {
        let body = format!("#{}", json!(["call", [method, node, fails]]));
        let methargs = CapData { body, slots: vec![] };
        let (kernel, state) = (&mut self.kernel, &mut self.state);
        kernel.queue_to_vat_root(state, "boot", methargs, ResultPolicy::Ignore).unwrap();
        run(kernel, state);
        self.log.take()
    }
}

#[test]
fn a_device_of_the_application_has_a_store_nodes_and_the_references_it_was_given() {
    let mut world = World::new();
    assert_eq!(world.call("count", 0, false), ["#1"]);
    assert_eq!(world.call("count", 0, false), ["#2"]);
    assert_eq!(world.call("where", 0, false), [r##"#["counter","d+0",["o-10"]]"##]);
    assert_eq!(world.call("node", 0, false), [r##"#"$0""##]);
    // The vat's second node is vatAdmin's, the third the one that the device made.
    assert_eq!(world.call("where", 2, false), [r##"#["counter","d+7",["o-10"]]"##]);
    assert_eq!(world.call("send", 0, false), ["#null", r##"#["hello",[]]"##]);
    assert_eq!(world.call("forget", 0, false), ["#null"]);
    assert_eq!(world.call("count", 0, false), ["#1"]);
}

#[test]
fn what_a_device_may_not_do_is_an_error_for_it_and_what_it_throws_one_for_the_vat() {
    let mut world = World::new();
    let lost = world.call("lose", 0, false);
    let unknown = "unknown reference o-99";
    let expected =
        json!([unknown, "d+0 is no object", unknown, "vatstore key of 65537 bytes is too long"]);
    assert_eq!(lost, [format!("#{expected}")]);
    let failed = "error: device.invoke failed, see logs for details";
    assert_eq!(world.call("throw", 0, false), [failed]);
    assert_eq!(world.call("stray", 0, false), [failed]);
    assert_eq!(world.call("tell", 0, false), ["error: told so"]);
}

#[test]
fn a_failed_delivery_takes_back_what_a_device_did() {
    let mut world = World::new();
    assert_eq!(world.call("count", 0, false), ["#1"]);
    world.kernel.set_application(Box::new(Counter));
    let body = format!("#{}", json!(["call", ["count", 0, true]]));
    let methargs = CapData { body, slots: vec![] };
    let (kernel, state) = (&mut world.kernel, &mut world.state);
    let result = kernel.queue_to_vat_root(state, "boot", methargs, ResultPolicy::Ignore).unwrap();
    assert!(result.is_some());
    run(kernel, state);
    assert_eq!(world.log.take(), ["#2"]);
    let mut count = None;
    let read = |syscalls: &mut dyn DeviceSyscalls| {
        count = syscalls.vatstore_get("count")?;
        Ok(())
    };
    kernel.act_as_device(state, "counter", read).unwrap();
    assert_eq!(count.as_deref(), Some("1"));
}

#[test]
fn a_device_acts_of_itself_and_an_error_takes_that_back() {
    let mut world = World::new();
    assert_eq!(world.call("where", 0, false).len(), 1);
    let hello = CapData { body: "#[\"hello\",[]]".to_owned(), slots: vec![] };
    let (kernel, state) = (&mut world.kernel, &mut world.state);
    let send = |syscalls: &mut dyn DeviceSyscalls| {
        syscalls.send_only("o-10", &hello)?;
        Ok(())
    };
    kernel.act_as_device(state, "counter", send).unwrap();
    let fails = |syscalls: &mut dyn DeviceSyscalls| {
        syscalls.send_only("o-10", &hello)?;
        Err(KernelPanic::Inconsistent("on purpose".to_owned()).into())
    };
    kernel.act_as_device(state, "counter", fails).unwrap_err();
    let missing = kernel.act_as_device(state, "nobody", |_| Ok(())).unwrap_err();
    assert_eq!(missing.to_string(), "this kernel has no device nobody");
    run(kernel, state);
    assert_eq!(world.log.take(), [r##"#["hello",[]]"##]);
}
