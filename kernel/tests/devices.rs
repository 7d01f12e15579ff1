//! Devices: what the timer, the mailbox and the bridge do, and what every device refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Mutex},
};

use capstan_abi::{CapData, Delivery, JsString, Message, Syscall, SyscallData, SyscallResult};
use capstan_kernel::{
    Application, BridgeAnswer, Kernel, KernelConfig, KernelPanic,
    device::{DeviceError, DeviceKind},
    ids::{Endpoint, KRef},
    promise::ResultPolicy,
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{
    VatId,
    memory::MemoryState,
    store::{Overlay, Read},
};
use serde_json::{Value, json};
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, method, run};

/// What the vat `user` was told, and what its calls came to.
type Log = Rc<RefCell<Vec<String>>>;

fn with_devices() -> KernelConfig {
    let mut config = config("boot", &["boot", "user"]);
    config.devices.insert("bridge".to_owned(), DeviceKind::Bridge);
    config.devices.insert("mailbox".to_owned(), DeviceKind::Mailbox);
    config.devices.insert("timer".to_owned(), DeviceKind::Timer);
    config
}

/// Gets `use(devices…)` from bootstrap and `call(device index, method, args)` from the host.
fn user(log: Log) -> Behaviour {
    let mut devices: Vec<String> = Vec::new();
    Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        match method(message).as_str() {
            "use" => devices = message.methargs.slots.clone(),
            "call" => call(&devices, message, kernel, &log)?,
            _ => log.borrow_mut().push(message.methargs.body.clone()),
        }
        Ok(())
    })
}

fn call(
    devices: &[String],
    message: &Message,
    kernel: &mut Caller<'_>,
    log: &Log,
) -> Result<(), String> {
    let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
    let [device, method, args, slots] = [0, 1, 2, 3].map(|index| body[1][index].clone());
    let target = devices[device.as_u64().unwrap() as usize].clone();
    let slot = |slot: &Value| match slot.as_u64() {
        Some(index) => devices[index as usize].clone(),
        None => slot.as_str().unwrap().to_owned(),
    };
    let slots = slots.as_array().unwrap().iter().map(slot).collect();
    let args = CapData { body: format!("#{args}").replace(LONE, r"\ud800"), slots };
    let method = method.to_string().replace(LONE, r"\ud800");
    let method = JsString::from_json(&method).unwrap();
    let answer = match kernel.call(Syscall::CallNow { target, method, args })? {
        SyscallResult::Ok(SyscallData::CapData(data)) => data.body,
        other => format!("{other:?}"),
    };
    log.borrow_mut().push(answer);
    Ok(())
}

/// Hands all devices to the vat `user`: they come in the order of their names, after the roots.
fn boot() -> Behaviour {
    Box::new(|delivery, kernel| {
        if let Delivery::Message { message, .. } = delivery {
            let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
            let devices: Vec<&str> =
                slots.iter().copied().filter(|slot| slot.starts_with('d')).collect();
            kernel.send(slots[1], "use", &devices, None);
        }
        Ok(())
    })
}

const BRIDGE: usize = 0;
const MAILBOX: usize = 1;
const TIMER: usize = 2;
/// Stands for a lone surrogate, which these values cannot hold.
const LONE: &str = "LONE";
const FAILED: &str = r#"Error("device.invoke failed, see logs for details")"#;

struct World {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    log: Log,
}

impl World {
    fn new() -> Self {
        let log = Log::default();
        let ears = Rc::clone(&log);
        let factory = Box::new(move |_, bundle: &str| match bundle {
            "b1-boot" => boot(),
            "b1-user" => user(Rc::clone(&ears)),
            _ => idle(),
        });
        let (kernel, state) = kernel(&with_devices(), factory);
        let mut world = Self { kernel, state, log };
        run(&mut world.kernel, &mut world.state);
        world
    }

    /// Lets `user` call a device; what it was answered, and whatever it was told meanwhile.
    fn call(&mut self, device: usize, method: &str, args: Value, slots: Value) -> Vec<String> {
        let body = format!("#{}", json!(["call", [device, method, args, slots]]));
        let methargs = CapData { body, slots: vec![] };
        let (kernel, state) = (&mut self.kernel, &mut self.state);
        kernel.queue_to_vat_root(state, "user", methargs, ResultPolicy::Ignore).unwrap();
        self.heard()
    }

    fn heard(&mut self) -> Vec<String> {
        run(&mut self.kernel, &mut self.state);
        self.log.take()
    }

    fn poll(&mut self, now: u64) -> Vec<String> {
        self.kernel.poll_timer(&mut self.state, now).unwrap();
        self.heard()
    }
}

#[test]
fn devices_are_numbered_by_name_and_handed_to_bootstrap() {
    let world = World::new();
    for (name, number) in [("bridge", 7), ("mailbox", 8), ("timer", 9), ("vatAdmin", 10)] {
        let device = Endpoint::parse(&format!("d{number}")).unwrap();
        let root = view::kref_of(&world.state, device, "d+0").unwrap();
        assert_eq!(root, Some(KRef::Device(number + 23)), "{name}");
        assert!(view::has_device(&world.state, name).unwrap());
    }
}

#[test]
fn the_timer_wakes_in_the_order_of_time_and_then_of_asking() {
    let mut world = World::new();
    let wakeup = |world: &mut World, time: &str, handler: &str| {
        world.call(TIMER, "setWakeup", json!([time, "$0"]), json!([handler]))
    };
    assert_eq!(world.call(TIMER, "getLastPolled", json!([]), json!([])), [r##"#"+0""##]);
    assert_eq!(wakeup(&mut world, "+20", "o+1"), [r##"#"+20""##]);
    assert_eq!(wakeup(&mut world, "+10", "o+2"), [r##"#"+10""##]);
    assert_eq!(wakeup(&mut world, "+20", "o+3"), [r##"#"+20""##]);
    assert_eq!(view::next_wakeup(&world.state).unwrap(), Some(10));
    assert_eq!(world.poll(9), [""; 0]);
    assert_eq!(world.poll(10), [r##"#["wake",["+10"]]"##]);
    assert_eq!(world.poll(30), [r##"#["wake",["+20"]]"##; 2]);
    assert_eq!(world.call(TIMER, "getLastPolled", json!([]), json!([])), [r##"#"+30""##]);
    assert_eq!(view::next_wakeup(&world.state).unwrap(), None);
    // What is asked for too late comes at the next poll, even of the same second.
    wakeup(&mut world, "+5", "o+1");
    assert_eq!(world.poll(30), [r##"#["wake",["+5"]]"##]);
    let back = world.kernel.poll_timer(&mut world.state, 29).unwrap_err();
    assert_eq!(back, DeviceError::TimeRanBackwards { now: 29, last: 30 });
}

#[test]
fn a_removed_wakeup_does_not_come() {
    let mut world = World::new();
    for (time, handler) in [("+30", "o+1"), ("+10", "o+1"), ("+20", "o+2"), ("+10", "o+1")] {
        world.call(TIMER, "setWakeup", json!([time, "$0"]), json!([handler]));
    }
    let removed = world.call(TIMER, "removeWakeup", json!(["$0"]), json!(["o+1"]));
    assert_eq!(removed, [r##"#["+10","+10","+30"]"##]);
    assert_eq!(world.call(TIMER, "removeWakeup", json!(["$0"]), json!(["o+1"])), ["#[]"]);
    assert_eq!(world.poll(100), [r##"#["wake",["+20"]]"##]);
}

#[test]
fn a_repeater_goes_on_until_it_is_deleted() {
    let mut world = World::new();
    world.poll(3);
    assert_eq!(world.call(TIMER, "makeRepeater", json!(["+10", "+7"]), json!([])), ["#0"]);
    assert_eq!(world.call(TIMER, "schedule", json!([0, "$0"]), json!(["o+1"])), [r##"#"+10""##]);
    assert_eq!(world.poll(12), [r##"#["wake",["+10"]]"##]);
    assert_eq!(world.poll(30), [r##"#["wake",["+17"]]"##]);
    assert_eq!(view::next_wakeup(&world.state).unwrap(), Some(31));
    assert_eq!(world.call(TIMER, "deleteRepeater", json!([0]), json!([])), ["#0"]);
    assert_eq!(world.poll(31), [r##"#["wake",["+31"]]"##]);
    assert_eq!(world.poll(100), [""; 0]);
    assert_eq!(world.call(TIMER, "schedule", json!([0, "$0"]), json!(["o+1"])), [FAILED]);
}

#[test]
fn a_poll_of_an_idle_timer_at_the_same_time_leaves_no_trace() {
    let mut world = World::new();
    world.poll(5);
    let chain = view::kernel_status(&world.state).unwrap().stats;
    world.poll(5);
    assert_eq!(view::kernel_status(&world.state).unwrap().stats, chain);
}

#[test]
fn what_goes_wrong_in_a_device_is_the_callers_to_catch() {
    let mut world = World::new();
    let refused: [(usize, &str, Value, Value); 14] = [
        (TIMER, "noSuchMethod", json!([]), json!([])),
        (TIMER, "setWakeup", json!(["-1", "$0"]), json!(["o+1"])),
        (TIMER, "setWakeup", json!(["+1", "no object"]), json!([])),
        (TIMER, "makeRepeater", json!([1.5, "+1"]), json!([])),
        (MAILBOX, "add", json!(["peer", "+9007199254740992", "body"]), json!([])),
        (MAILBOX, "add", json!([7, "+1", "body"]), json!([])),
        (BRIDGE, "callOutbound", json!(["$0"]), json!(["o+1"])),
        // What goes outside is Unicode, and no method has another name.
        (TIMER, LONE, json!([]), json!([])),
        (MAILBOX, "add", json!(["peer", "+1", format!("a{LONE}")]), json!([])),
        (MAILBOX, "add", json!([LONE, "+1", "body"]), json!([])),
        (BRIDGE, "callOutbound", json!([LONE]), json!([])),
        (BRIDGE, "callOutbound", json!([{ LONE: 1 }]), json!([])),
        // Nobody connected the other end.
        (BRIDGE, "callOutbound", json!(["data"]), json!([])),
        // An ordinary device cannot be given another device's node.
        (TIMER, "setWakeup", json!(["+1", "$0", "$1"]), json!(["o+1", MAILBOX])),
    ];
    for (device, method, args, slots) in refused {
        let answer = world.call(device, method, args.clone(), slots);
        assert_eq!(answer, [FAILED], "{method}({args})");
    }
    let vat = view::vat_by_name(&world.state, "user").unwrap().unwrap();
    assert_eq!(view::vat_state(&world.state, vat).unwrap().unwrap().status, VatStatus::Running);
}

#[test]
fn a_promise_given_to_a_device_kills_the_vat() {
    let mut world = World::new();
    world.call(TIMER, "setWakeup", json!(["+1", "&0"]), json!(["p+9"]));
    assert_eq!(view::vat_by_name(&world.state, "user").unwrap(), None);
}

#[test]
fn a_device_holds_what_it_was_given_for_good() {
    let mut world = World::new();
    world.call(TIMER, "setWakeup", json!(["+1", "$0"]), json!(["o+1"]));
    world.poll(2);
    let user = Endpoint::Vat(view::vat_by_name(&world.state, "user").unwrap().unwrap());
    let Some(KRef::Object(handler)) = view::kref_of(&world.state, user, "o+1").unwrap() else {
        panic!()
    };
    let object = view::object(&world.state, handler).unwrap().unwrap();
    assert_eq!((object.reachable, object.recognizable), (1, 1));
}

#[test]
fn a_call_that_fails_leaves_the_device_with_nothing() {
    let mut world = World::new();
    let held = |world: &World| {
        let mut held = world.state.scan(b"k.c.d").unwrap();
        held.retain(|(_, entry)| !String::from_utf8_lossy(entry).contains("d+"));
        held.len()
    };
    let before = held(&world);
    let calls = [
        // An unusable time, too few arguments, an unknown method, a foreign node behind an object.
        (TIMER, "setWakeup", json!(["soon", "$0"]), json!(["o+5"])),
        (TIMER, "removeWakeup", json!([1, "$0"]), json!(["o+6"])),
        (TIMER, "unknown", json!(["$0"]), json!(["o+7"])),
        (TIMER, "setWakeup", json!(["+1", "$0", "$1"]), json!(["o+8", MAILBOX])),
        (MAILBOX, "add", json!(["$0", 1, 2]), json!(["o+9"])),
        (BRIDGE, "registerInboundHandler", json!([1, "$0"]), json!(["o+10"])),
    ];
    for (device, method, args, slots) in calls {
        let answered = world.call(device, method, args, slots).join(" ");
        assert!(answered.contains(FAILED), "{method}: {answered}");
        assert_eq!(held(&world), before, "{method}");
    }
    world.call(TIMER, "setWakeup", json!(["+1", "$0"]), json!(["o+11"]));
    assert_eq!(held(&world), before + 1);
}

#[test]
fn a_wakeup_at_once_passes_its_arguments_on_and_keeps_nothing() {
    let mut world = World::new();
    let user = Endpoint::Vat(view::vat_by_name(&world.state, "user").unwrap().unwrap());
    let woken =
        world.call(TIMER, "wakeSoon", json!(["$0", "+7", {"x": "$1"}]), json!(["o+1", "o+2"]));
    assert_eq!(woken, ["#\"#undefined\"", r##"#["wake",["+7",{"x":"$0.Alleged: undefined"}]]"##]);
    // With the message's end nobody holds what it was sent to and with.
    let released = |state: &MemoryState, vref| match view::kref_of(state, user, vref).unwrap() {
        Some(KRef::Object(object)) => {
            let object = view::object(state, object).unwrap().unwrap();
            (object.reachable, object.recognizable) == (0, 0)
        }
        None => true,
        other => panic!("{other:?}"),
    };
    assert!(released(&world.state, "o+1") && released(&world.state, "o+2"));
    assert_eq!(world.poll(100), [""; 0]);
    for (args, slots) in [
        (json!([]), json!([])),
        (json!(["no object"]), json!([])),
        (json!(["$0"]), json!([MAILBOX])),
        (json!(["$0", "$1"]), json!(["o+1", MAILBOX])),
    ] {
        assert_eq!(world.call(TIMER, "wakeSoon", args.clone(), slots), [FAILED], "{args}");
    }
    world.call(TIMER, "wakeSoon", json!(["$0", "&1"]), json!(["o+1", "p+9"]));
    assert_eq!(view::vat_by_name(&world.state, "user").unwrap(), None, "a promise");
}

#[test]
fn the_mailbox_keeps_what_is_to_be_conveyed() {
    let mut world = World::new();
    let early = world.kernel.mailbox_inbound(&mut world.state, "peer", &[], 0).unwrap_err();
    assert_eq!(early, DeviceError::NoHandler("mailbox"));
    world.call(MAILBOX, "registerInboundHandler", json!(["$0"]), json!(["o+1"]));
    assert_eq!(
        world.call(MAILBOX, "registerInboundHandler", json!(["$0"]), json!(["o+1"])),
        [FAILED],
        "a second handler"
    );
    world.call(MAILBOX, "add", json!(["peer", 1, "one"]), json!([]));
    world.call(MAILBOX, "add", json!(["peer", "+2", "two"]), json!([]));
    world.call(MAILBOX, "remove", json!(["peer", 1]), json!([]));
    world.call(MAILBOX, "ackInbound", json!(["other", 5]), json!([]));
    let boxes = view::mailboxes(&world.state).unwrap();
    assert_eq!(boxes["peer"].outbox, [(2, "two".to_owned())].into());
    assert_eq!((boxes["peer"].inbound_ack, boxes["other"].inbound_ack), (0, 5));
    let messages = [(3, "hi".to_owned()), (4, "!there".to_owned())];
    world.kernel.mailbox_inbound(&mut world.state, "peer", &messages, 2).unwrap();
    let inbound = r##"#["deliverInboundMessages",["peer",[[3,"hi"],[4,"!!there"]]]]"##;
    assert_eq!(world.heard(), [inbound, r##"#["deliverInboundAck",["peer",2]]"##]);
    let unsafe_number = world.kernel.mailbox_inbound(&mut world.state, "peer", &[], 1 << 53);
    assert!(matches!(unsafe_number, Err(DeviceError::Refused(_))));
}

#[test]
fn who_holds_the_mailbox_or_the_bridge_brings_in_what_the_host_would() {
    let mut world = World::new();
    let undefined = "#\"#undefined\"";
    for (device, args, name) in
        [(MAILBOX, json!(["peer", [], 0]), "mailbox"), (BRIDGE, json!(["a"]), "bridge")]
    {
        let early = world.call(device, "deliverInbound", args, json!([]));
        assert_eq!(early, [format!("#\"{name}: no vat has registered a handler yet\"")]);
        world.call(device, "registerInboundHandler", json!(["$0"]), json!(["o+1"]));
    }
    let messages = json!(["peer", [[3, "hi"], [4, "!!there"]], "+2"]);
    let inbound = r##"#["deliverInboundMessages",["peer",[[3,"hi"],[4,"!!there"]]]]"##;
    let ack = r##"#["deliverInboundAck",["peer",2]]"##;
    let told = world.call(MAILBOX, "deliverInbound", messages, json!([]));
    assert_eq!(told, [undefined, inbound, ack]);
    let args = json!(["swap", {"amount": "+12"}]);
    let told = world.call(BRIDGE, "deliverInbound", args, json!([]));
    assert_eq!(told, [undefined, r##"#["inbound",["swap",{"amount":"12"}]]"##]);
    for args in [
        json!([7, [], 0]),
        json!(["peer", {}, 0]),
        json!(["peer", [["1", "x"]], 0]),
        json!(["peer", [[1, 2]], 0]),
        json!(["peer", [[1]], 0]),
        json!(["peer", [], "x"]),
        json!(["p".repeat(101), [], 0]),
    ] {
        let told = world.call(MAILBOX, "deliverInbound", args.clone(), json!([]));
        assert_eq!(told, [FAILED], "{args}");
    }
    let unsafe_number = json!(["peer", [[1_u64 << 53, "x"]], 0]);
    let told = world.call(MAILBOX, "deliverInbound", unsafe_number, json!([]));
    assert_eq!(told, ["#\"message numbers are below 2^53\""]);
}

/// Keeps what it was called with, and counts its calls in the state.
struct Recorder(Arc<Mutex<Vec<Value>>>);

impl Application for Recorder {
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<BridgeAnswer, KernelPanic> {
        self.0.lock().unwrap().push(json!(args));
        let calls = over.get(b"app.calls")?.map_or(0, |bytes| bytes[0]) + 1;
        over.set(b"app.calls", vec![calls]);
        Ok(match args.first().and_then(Value::as_str) {
            Some("echo") => BridgeAnswer::Returned(Some(json!({"got": args, "calls": calls}))),
            Some("fail") => BridgeAnswer::Thrown("it went wrong".to_owned()),
            _ => BridgeAnswer::Returned(None),
        })
    }
}

#[test]
fn the_bridge_calls_the_application_and_is_called_by_it() {
    let mut world = World::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    world.kernel.set_application(Box::new(Recorder(Arc::clone(&calls))));
    let echoed = world.call(BRIDGE, "callOutbound", json!(["echo", "+5", {"b": "!$x"}]), json!([]));
    assert_eq!(echoed, [r##"#{"calls":1,"got":["echo","5",{"b":"!$x"}]}"##]);
    assert_eq!(world.call(BRIDGE, "callOutbound", json!([]), json!([])), [r##"#"#undefined""##]);
    assert_eq!(world.call(BRIDGE, "callOutbound", json!(["fail"]), json!([])), [FAILED]);
    assert_eq!(calls.lock().unwrap()[0], json!(["echo", "5", {"b": "$x"}]));
    let early = world.kernel.bridge_inbound(&mut world.state, &[json!(1)]).unwrap_err();
    assert_eq!(early, DeviceError::NoHandler("bridge"));
    world.call(BRIDGE, "registerInboundHandler", json!(["$0"]), json!(["o+1"]));
    world.kernel.bridge_inbound(&mut world.state, &[json!({"type": "#x"}), json!(2)]).unwrap();
    assert_eq!(world.heard(), [r##"#["inbound",[{"type":"!#x"},2]]"##]);
}

#[test]
fn a_kernel_without_a_device_says_that_genesis_has_to_ask_for_it() {
    let (mut kernel, mut state) = kernel(&config("boot", &["boot"]), Box::new(|_, _| idle()));
    let missing = kernel.poll_timer(&mut state, 1).unwrap_err();
    assert_eq!(missing, DeviceError::Missing("timer"));
    assert!(missing.to_string().contains("genesis"));
    assert_eq!(view::next_wakeup(&state).unwrap(), None);
    assert_eq!(VatId(1), view::vat_by_name(&state, "boot").unwrap().unwrap());
}
