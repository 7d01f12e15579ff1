//! Results that a device keeps for a vat, and answers that it waits for in the vat's place.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Delivery};
use capstan_kernel::{
    device::DeviceKind,
    ids::KRef,
    promise::{PromiseState, ResultPolicy},
    view,
};
use serde_json::{Value, json};
use support::{
    method,
    script::{Stage, answer, orders},
};

/// The devices as the vats know them, by the order of their names.
const TIMER: &str = "d-70";
const VAT_ADMIN: &str = "d-71";
/// The root of `user`, as `keeper` knows it: roots come in the order of their names.
const BOTH: [&str; 2] = ["keeper", "user"];

fn stage() -> Stage {
    Stage::new(&BOTH, |config| {
        config.devices.insert("timer".to_owned(), DeviceKind::Timer);
    })
}

/// Has `keeper` do something, without waiting for the result; returns the result's number.
fn ask(stage: &mut Stage, operations: Value) -> u64 {
    let methargs = CapData { body: orders(&operations), slots: vec![] };
    let policy = ResultPolicy::Ignore;
    let result = stage.kernel.queue_to_vat_root(&mut stage.state, "keeper", methargs, policy);
    let Some(KRef::Promise(number)) = result.unwrap() else { panic!("no keeper") };
    stage.run();
    number
}

/// What a promise was settled to; `None` while it is not.
fn settled(stage: &Stage, number: u64) -> Option<Result<String, String>> {
    let promise = view::promise(&stage.state, number).unwrap().unwrap();
    match promise.state {
        PromiseState::Unresolved(_) => None,
        _ => Some(answer(&promise)),
    }
}

fn settle(number: &str, rejected: bool, value: &str) -> Value {
    json!([["call", TIMER, "settleResult", format!("#[\"{number}\",{rejected},{value}]")]])
}

#[test]
fn a_result_that_a_device_keeps_is_settled_by_its_number_and_not_by_the_vats_answer() {
    for device in [TIMER, VAT_ADMIN] {
        let mut stage = stage();
        let defer = || json!([["call", device, "deferResult", "#[]"]]);
        let settle = |number: &str, rejected: bool, value: &str| {
            let args = format!("#[\"{number}\",{rejected},{value}]");
            json!([["call", device, "settleResult", args]])
        };
        let (first, second) = (ask(&mut stage, defer()), ask(&mut stage, defer()));
        assert_eq!(settled(&stage, first), None, "the vat has answered, and the answer is ignored");
        stage.perform("keeper", settle("+1", true, "\"no\"")).unwrap();
        assert_eq!(settled(&stage, second), Some(Err("#\"no\"".to_owned())));
        assert_eq!(settled(&stage, first), None);
        stage.perform("keeper", settle("+0", false, "[7,\"+8\"]")).unwrap();
        assert_eq!(settled(&stage, first), Some(Ok("#[7,\"+8\"]".to_owned())));
        // Once settled there is none of that number: the call fails, and nothing else does.
        stage.perform("keeper", settle("+0", false, "9")).unwrap();
        assert_eq!(settled(&stage, first), Some(Ok("#[7,\"+8\"]".to_owned())));
        for promise in [first, second] {
            stage.kernel.take_resolution(&mut stage.state, KRef::Promise(promise)).unwrap();
        }
        stage.check();
    }
}

#[test]
fn a_result_is_deferred_once_and_by_nobody_else() {
    let mut stage = stage();
    let defer = json!(["call", TIMER, "deferResult", "#[]"]);
    let first = ask(&mut stage, json!([defer, defer]));
    // Only one number was given away.
    stage.perform("keeper", settle("+1", false, "1")).unwrap();
    assert_eq!(settled(&stage, first), None);
    stage.perform("keeper", settle("+0", false, "1")).unwrap();
    assert_eq!(settled(&stage, first), Some(Ok("#1".to_owned())));
    // Nonsense fails in the device alone.
    for args in ["#[]", "#[\"+0\"]", "#[\"+0\",1,2]", "#[\"+99999999999999999999\",true,2]"] {
        stage.perform("keeper", json!([["call", TIMER, "settleResult", args]])).unwrap();
    }
    assert!(stage.lives(stage.vat("keeper")));
}

#[test]
fn a_message_without_a_result_defers_nothing() {
    let mut stage = stage();
    let body = orders(&json!([["call", TIMER, "deferResult", "#[]"]]));
    let methargs = CapData { body, slots: vec![] };
    assert!(stage.kernel.post_to_vat_root(&mut stage.state, "keeper", methargs).unwrap());
    stage.run();
    // The next that is deferred has the first number.
    let first = ask(&mut stage, json!([["call", TIMER, "deferResult", "#[]"]]));
    stage.perform("keeper", settle("+0", false, "1")).unwrap();
    assert_eq!(settled(&stage, first), Some(Ok("#1".to_owned())));
}

#[test]
fn a_kept_result_outlives_the_vat_and_what_waits_on_it_is_delivered_when_it_is_settled() {
    let mut stage = stage();
    let first = ask(&mut stage, json!([["call", TIMER, "deferResult", "#[]"]]));
    stage.perform("keeper", json!([["exit", true, "#\"gone\""]])).unwrap_err();
    assert_eq!(settled(&stage, first), None, "the vat does not decide it any more");
    stage.perform("user", settle("+0", false, "3")).unwrap();
    assert_eq!(settled(&stage, first), Some(Ok("#3".to_owned())));
}

/// How often `keeper` was told that a handler has answered: with which arguments.
fn told(stage: &Stage) -> Vec<String> {
    let keeper = stage.vat("keeper");
    let heard = stage.heard.borrow();
    let told = heard.iter().filter_map(|(vat, delivery)| match delivery {
        Delivery::Message { message, .. } if *vat == keeper && method(message) == "answered" => {
            assert_eq!(message.result, None);
            Some(message.methargs.body.clone())
        }
        _ => None,
    });
    told.collect()
}

/// `keeper` wakes the root of `user`.
fn wake_and_tell(stage: &Stage, number: u64) -> Value {
    let user = stage.references("keeper", "o-").into_iter().find(|vref| {
        let keeper = capstan_kernel::ids::Endpoint::Vat(stage.vat("keeper"));
        let user = capstan_kernel::ids::Endpoint::Vat(stage.vat("user"));
        let root = view::kref_of(&stage.state, user, "o+0").unwrap();
        view::kref_of(&stage.state, keeper, vref).unwrap() == root
    });
    let args = format!("#[\"$0\",\"$1\",\"+{number}\",\"+5\"]");
    json!([["call", TIMER, "wakeAndTell", args, [user.unwrap(), "o+0"]]])
}

#[test]
fn a_handler_that_answers_is_reported_to_the_listener() {
    let mut stage = stage();
    let orders = wake_and_tell(&stage, 12);
    stage.perform("keeper", orders).unwrap();
    assert_eq!(told(&stage), ["#[\"answered\",[\"+12\",false]]"]);
    let user = stage.vat("user");
    let woken = |delivery: &Delivery| match delivery {
        Delivery::Message { message, .. } => message.methargs.body == "#[\"wake\",[\"+5\"]]",
        _ => false,
    };
    assert_eq!(stage.count(user, woken), 1);
    stage.check();
}

#[test]
fn a_handler_that_is_dead_or_dies_is_reported_as_failed() {
    // Its vat fails in the delivery.
    let fails = |bundle: &str, delivery: &Delivery| {
        let Delivery::Message { message, .. } = delivery else { return false };
        bundle == "b1-user" && method(message) == "wake"
    };
    let timer = |config: &mut capstan_kernel::KernelConfig| {
        config.devices.insert("timer".to_owned(), DeviceKind::Timer);
    };
    let mut stage = Stage::failing(&BOTH, timer, fails);
    let (orders, user) = (wake_and_tell(&stage, 3), stage.vat("user"));
    stage.perform("keeper", orders.clone()).unwrap();
    assert!(!stage.lives(user));
    assert_eq!(told(&stage), ["#[\"answered\",[\"+3\",true]]"]);
    // And it is dead.
    stage.perform("keeper", orders).unwrap();
    assert_eq!(told(&stage).len(), 2);
}
