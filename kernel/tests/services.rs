//! Kernel services: registered by name, called as objects, answered by the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::collections::BTreeMap;

use capstan_abi::CapData;
use capstan_kernel::{
    Application, BridgeAnswer, KernelPanic, ServiceAnswer, ServiceCall,
    device::{DeviceKind, MAILBOX},
    ids::KRef,
    object::Object,
    promise::ResultPolicy,
    service::{NewService, ServiceKind},
    view,
};
use capstan_kernel_ports::store::Overlay;
use capstan_passable::Passable;
use serde_json::{Value, json};
use support::script::{Stage, answer};

/// An application with one service, which writes before it fails.
struct Greeter;

impl Application for Greeter {
    fn outbound(
        &mut self,
        _over: &mut dyn Overlay,
        _args: &[Value],
    ) -> Result<BridgeAnswer, KernelPanic> {
        Ok(BridgeAnswer::Returned(None))
    }

    fn service_methods(&self, _service: &str) -> &'static [&'static str] {
        &["hello", "goBadly", "nothing"]
    }

    fn serve(
        &mut self,
        over: &mut dyn Overlay,
        call: &ServiceCall<'_>,
    ) -> Result<ServiceAnswer, KernelPanic> {
        over.set(format!("app.{}", call.method).as_bytes(), vec![1]);
        Ok(match (call.method, call.args) {
            ("hello", [Passable::String(name)]) => {
                ServiceAnswer::Returned(format!("hello {}", name.legible()).into())
            }
            ("nothing", _) => ServiceAnswer::Returned(Passable::Undefined),
            _ => ServiceAnswer::Thrown("bad day".to_owned()),
        })
    }
}

fn stage() -> Stage {
    stage_with(|_| {})
}

fn stage_with(change: impl FnOnce(&mut capstan_kernel::KernelConfig)) -> Stage {
    let mut stage = Stage::new(&["alice", "bob"], |config| {
        let public = |kind| NewService { kind, system_only: false };
        config.services = BTreeMap::from([
            ("facet".to_owned(), NewService { kind: ServiceKind::Facet, system_only: true }),
            ("greeter".to_owned(), public(ServiceKind::Application)),
        ]);
        change(config);
    });
    stage.kernel.set_application(Box::new(Greeter));
    stage
}

/// The object of a service.
fn service(stage: &Stage, name: &str) -> KRef {
    view::service(&stage.state, name).unwrap().unwrap().kref
}

/// Queues a message as the host does. Returns the promise for its answer.
fn queue(stage: &mut Stage, target: KRef, body: &str, slots: &[KRef]) -> KRef {
    let methargs = CapData { body: body.to_owned(), slots: slots.to_vec() };
    let Stage { kernel, state, .. } = stage;
    kernel.queue_to_object(state, target, methargs, ResultPolicy::Ignore).unwrap()
}

/// The body of the answer, which the host then lets go of.
fn outcome(stage: &mut Stage, result: KRef) -> Result<String, String> {
    let KRef::Promise(number) = result else { panic!("{result} is not a promise") };
    let promise = view::promise(&stage.state, number).unwrap().unwrap();
    stage.kernel.take_resolution(&mut stage.state, result).unwrap();
    answer(&promise)
}

/// Sends a message as the host does, and gives the body of its answer.
fn ask(stage: &mut Stage, target: KRef, body: &str, slots: &[KRef]) -> Result<String, String> {
    let result = queue(stage, target, body, slots);
    stage.run();
    outcome(stage, result)
}

/// Calls a service as the host does, and gives the body of its answer.
fn call(stage: &mut Stage, name: &str, body: &str, slots: &[KRef]) -> Result<String, String> {
    let target = service(stage, name);
    ask(stage, target, body, slots)
}

fn object(stage: &Stage, kref: KRef) -> Option<Object> {
    let KRef::Object(number) = kref else { panic!("{kref} is not an object") };
    view::object(&stage.state, number).unwrap()
}

#[test]
fn a_service_answers_with_its_value_and_undefined_is_one() {
    let mut stage = stage();
    let answer = call(&mut stage, "greeter", r##"#["hello",["Bo"]]"##, &[]);
    assert_eq!(answer, Ok(r##"#"hello Bo""##.to_owned()));
    let nothing = call(&mut stage, "greeter", r##"#["nothing",[]]"##, &[]);
    assert_eq!(nothing, Ok(r##"#"#undefined""##.to_owned()));
    let owner = object(&stage, service(&stage, "greeter")).unwrap().owner;
    assert_eq!(owner.map(|owner| owner.to_string()).as_deref(), Some("kernel"));
    stage.check();
}

#[test]
fn what_a_service_throws_rejects_the_result_and_leaves_no_trace() {
    let mut stage = stage();
    let answer = call(&mut stage, "greeter", r##"#["goBadly",[]]"##, &[]);
    let expected = r##"#{"#error":"[KERNEL:DELIVERY_FAILED] bad day","name":"Error"}"##;
    assert_eq!(answer, Err(expected.to_owned()));
    let written = capstan_kernel_ports::store::Read::get(&stage.state, b"app.goBadly").unwrap();
    assert_eq!(written, None);
    stage.check();
}

#[test]
fn unknown_methods_and_bad_messages_are_rejected_by_name() {
    let mut stage = stage();
    for (body, words) in [
        (r##"#["fly",[]]"##, r#"has no method \"fly\", has [\"hello\""#),
        (r##"#["hello"]"##, "an array of arguments"),
        (r##"#[3,[]]"##, "called by a method's name"),
        (r##"#["hello",[1]]"##, "bad day"),
        (r##"#["hello",["$0"]]"##, "takes smallcaps alone"),
        (r##"nothing"##, "takes smallcaps alone"),
    ] {
        let error = call(&mut stage, "greeter", body, &[]).unwrap_err();
        assert!(error.contains(words), "{body}: {error}");
        assert!(error.contains("[KERNEL:DELIVERY_FAILED] "), "{body}: {error}");
    }
    let names = call(&mut stage, "greeter", r##"#["__getMethodNames__",[]]"##, &[]);
    assert_eq!(names, Ok(r##"#["hello","goBadly","nothing"]"##.to_owned()));
    stage.check();
}

#[test]
fn a_service_is_a_plain_object_that_vats_pass_on_and_call_with_or_without_an_answer() {
    let mut stage = stage();
    let greeter = service(&stage, "greeter");
    // The root of alice gets it, sends it on to bob in the same breath, and calls it herself.
    stage.send("alice", r##"#["take",["$0"]]"##, &[greeter]);
    let held = stage.references("alice", "o-").last().cloned().unwrap();
    let to_bob = stage.references("alice", "o-");
    for target in &to_bob {
        let order = json!([["send", target, r##"#["hello",["x"]]"##, [], null]]);
        stage.perform("alice", order).unwrap();
    }
    let with_answer = json!([["send", held, r##"#["hello",["y"]]"##, [], "p+9"]]);
    stage.perform("alice", with_answer).unwrap();
    let heard = stage.heard.borrow();
    let told = heard.iter().any(|(_, delivery)| format!("{delivery:?}").contains("hello y"));
    assert!(told, "alice hears the answer");
    drop(heard);
    stage.check();
}

#[test]
fn a_message_reaches_a_service_through_a_promise_for_it() {
    let mut stage = stage();
    let facet = service(&stage, "facet");
    let queued = queue(&mut stage, facet, r##"#["getService",["greeter"]]"##, &[]);
    stage.run();
    assert_eq!(outcome(&mut stage, queued), Ok(r##"#{"service":"$0"}"##.to_owned()));
    // queueMessage to the service: its answer is the call's.
    let greeter = service(&stage, "greeter");
    let body = r##"#["queueMessage",["$0","hello",["Bo"]]]"##;
    assert_eq!(ask(&mut stage, facet, body, &[greeter]), Ok(r##"#"hello Bo""##.to_owned()));
    // And on to an answer that is not there yet.
    let root = stage.kernel.pin_vat_root(&mut stage.state, "bob").unwrap().unwrap();
    let answer = ask(&mut stage, facet, r##"#["queueMessage",["$0","ask",[3]]]"##, &[root]);
    assert_eq!(answer, Ok(r##"#"xxx""##.to_owned()));
    let refused = ask(&mut stage, facet, r##"#["queueMessage",[1,"ask",[]]]"##, &[]).unwrap_err();
    assert!(refused.contains("must be an object or a promise"), "{refused}");
}

#[test]
fn the_facet_tells_of_vats() {
    let mut stage = stage();
    let facet = service(&stage, "facet");
    assert_eq!(ask(&mut stage, facet, r##"#["ping",[]]"##, &[]), Ok(r##"#"pong""##.to_owned()));
    assert_eq!(
        ask(&mut stage, facet, r##"#["pingVat",["v1"]]"##, &[]),
        Ok(r##"#"pong""##.to_owned())
    );
    let gone = ask(&mut stage, facet, r##"#["pingVat",["v99"]]"##, &[]).unwrap_err();
    assert!(gone.contains("[KERNEL:DELIVERY_FAILED] Vat does not exist."), "{gone}");
    let status = ask(&mut stage, facet, r##"#["getStatus",[]]"##, &[]).unwrap();
    assert!(status.contains(r#""vats":"+4""#), "{status}");
    let vats = ask(&mut stage, facet, r##"#["getVats",["#undefined",2]]"##, &[]).unwrap();
    assert!(vats.contains(r#""next":"v2""#) && vats.contains(r#""id":"v2""#), "{vats}");
    let rest = ask(&mut stage, facet, r##"#["getVats",["v2"]]"##, &[]).unwrap();
    assert!(rest.contains(r##""next":"#undefined""##) && rest.contains(r#""id":"v4""#), "{rest}");
}

#[test]
fn a_vats_own_object_becomes_a_service_and_stays_one_after_its_vat_let_go() {
    let mut stage = stage();
    let facet = service(&stage, "facet");
    let bob = stage.kernel.pin_vat_root(&mut stage.state, "bob").unwrap().unwrap();
    let register = r##"#["registerKernelServiceObject",["bob","$0",{"systemOnly":false}]]"##;
    ask(&mut stage, facet, register, &[bob]).unwrap();
    let again = ask(&mut stage, facet, register, &[bob]).unwrap_err();
    assert!(again.contains(r#"Kernel service \"bob\" is already registered"#), "{again}");
    let found = ask(&mut stage, facet, r##"#["getService",["bob"]]"##, &[]);
    assert_eq!(found, Ok(r##"#{"service":"$0"}"##.to_owned()));
    assert_eq!(service(&stage, "bob"), bob);
    for name in ["facet", "nobody", "no name"] {
        let body = format!(r##"#["getService",["{name}"]]"##);
        let error = ask(&mut stage, facet, &body, &[]).unwrap_err();
        assert!(error.contains(&format!("no registered kernel service '{name}'")), "{error}");
    }
    let bad = r##"#["registerKernelServiceObject",["a b","$0"]]"##;
    let bad = ask(&mut stage, facet, bad, &[bob]).unwrap_err();
    assert!(bad.contains("has a name of 1 to 200"), "{bad}");
    ask(&mut stage, facet, r##"#["unregisterKernelServiceObject",["bob"]]"##, &[]).unwrap();
    let gone = ask(&mut stage, facet, r##"#["unregisterKernelServiceObject",["bob"]]"##, &[]);
    assert_eq!(gone, Ok("#false".to_owned()));
}

#[test]
fn a_service_that_is_registered_again_is_a_new_object_and_the_old_one_is_dead() {
    let mut stage = stage();
    let kind = NewService { kind: ServiceKind::Application, system_only: false };
    let old = stage.kernel.register_service(&mut stage.state, "late", kind).unwrap();
    stage.send("alice", r##"#["take",["$0"]]"##, &[old]);
    assert!(stage.kernel.unregister_service(&mut stage.state, "late").unwrap());
    let dead = ask(&mut stage, old, r##"#["hello",["Bo"]]"##, &[]).unwrap_err();
    let words = "[KERNEL:OBJECT_DELETED] Target object has no owner; it may have been deleted";
    assert!(dead.contains(words), "{dead}");
    let new = stage.kernel.register_service(&mut stage.state, "late", kind).unwrap();
    assert_ne!(new, old);
    let taken = stage.kernel.register_service(&mut stage.state, "late", kind).unwrap_err();
    assert_eq!(taken.to_string(), "Kernel service \"late\" is already registered");
    assert_eq!(
        call(&mut stage, "late", r##"#["hello",["Bo"]]"##, &[]),
        Ok(r##"#"hello Bo""##.to_owned())
    );
    // Once nobody holds the old object, it is gone.
    let held = stage.references("alice", "o-").last().cloned().unwrap();
    stage.perform("alice", json!([["drop", held]])).unwrap();
    assert_eq!(object(&stage, old), None);
    stage.check();
}

#[test]
fn a_meter_pays_for_every_message_to_a_service_and_an_empty_one_for_none() {
    let mut stage = stage_with(|config| {
        config.options.guard.message_price = 100;
        config.options.guard.max_bytes = 200;
    });
    let long = format!(r##"#["hello",["{}"]]"##, "x".repeat(300));
    let refused = call(&mut stage, "greeter", &long, &[]).unwrap_err();
    assert!(refused.contains("a kernel service takes at most 200 bytes"), "{refused}");
    let report = stage.kernel.run(&mut stage.state, &mut capstan_kernel::policy::Forever).unwrap();
    assert_eq!(report.computrons, 0);
    let greeter = service(&stage, "greeter");
    for body in [r##"#["hello",["Bo"]]"##, r##"#["goBadly",[]]"##] {
        queue(&mut stage, greeter, body, &[]);
        let policy = &mut capstan_kernel::policy::Forever;
        let report = stage.kernel.run(&mut stage.state, policy).unwrap();
        assert_eq!(report.computrons, 100, "a failure costs the same");
    }
}

#[test]
fn the_facet_revokes_an_object_and_says_so() {
    let mut stage = stage();
    let facet = service(&stage, "facet");
    let bob = stage.kernel.pin_vat_root(&mut stage.state, "bob").unwrap().unwrap();
    let is = r##"#["isRevoked",["$0"]]"##;
    assert_eq!(ask(&mut stage, facet, is, &[bob]), Ok("#false".to_owned()));
    ask(&mut stage, facet, r##"#["revoke",["$0"]]"##, &[bob]).unwrap();
    assert_eq!(ask(&mut stage, facet, is, &[bob]), Ok("#true".to_owned()));
    let refused = ask(&mut stage, bob, r##"#["ask",[1]]"##, &[]).unwrap_err();
    assert!(refused.contains("[KERNEL:OBJECT_REVOKED]"), "{refused}");
}

#[test]
fn a_conveyor_does_not_hand_promises_to_its_device() {
    let mut stage = stage_with(|config| {
        let mailbox = NewService { kind: ServiceKind::Mailbox, system_only: true };
        config.services.insert("mailbox".to_owned(), mailbox);
        config.devices.insert(MAILBOX.to_owned(), DeviceKind::Mailbox);
    });
    let (handler, never) = (service(&stage, "greeter"), service(&stage, "facet"));
    let promise = queue(&mut stage, never, "#[\"ping\",[]]", &[]);
    let body = "#[\"registerInboundHandler\",[\"$0\",\"&1\"]]";
    let refused = call(&mut stage, "mailbox", body, &[handler, promise]).unwrap_err();
    assert!(refused.contains("a device takes no promises"), "{refused}");
    let body = "#[\"registerInboundHandler\",[\"$0\"]]";
    call(&mut stage, "mailbox", body, &[handler]).unwrap();
    assert_eq!(outcome(&mut stage, promise).unwrap(), "#\"pong\"");
    stage.check();
}

#[test]
fn the_facet_unregisters_objects_of_vats_alone() {
    let mut stage = stage();
    for name in ["facet", "greeter"] {
        let body = format!("#[\"unregisterKernelServiceObject\",[\"{name}\"]]");
        let refused = call(&mut stage, "facet", &body, &[]).unwrap_err();
        assert!(refused.contains("the kernel itself answers"), "{refused}");
        assert!(view::service(&stage.state, name).unwrap().is_some());
    }
    let greeter = service(&stage, "greeter");
    let body = "#[\"registerKernelServiceObject\",[\"again\",\"$0\"]]";
    call(&mut stage, "facet", body, &[greeter]).unwrap();
    let body = "#[\"unregisterKernelServiceObject\",[\"again\"]]";
    assert_eq!(call(&mut stage, "facet", body, &[]).unwrap(), "#true");
    assert_eq!(view::service(&stage.state, "again").unwrap(), None);
}
