//! A revoked object gets no more messages, however they come to it. Nothing else changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use capstan_kernel::{
    ids::{Endpoint, KRef},
    revocation::{Revocable, RevocationError},
    view,
};
use capstan_kernel_ports::memory::MemoryState;
use serde_json::json;
use support::script::Stage;

const REVOKED: &str = "[KERNEL:OBJECT_REVOKED] Target object has been revoked";

/// The root of a static vat.
fn root(stage: &Stage, vat: &str) -> KRef {
    view::kref_of(&stage.state, Endpoint::Vat(stage.vat(vat)), "o+0").unwrap().unwrap()
}

fn revoke(stage: &mut Stage, kref: KRef) {
    stage.kernel.revoke(&mut stage.state, &kref.to_string(), Revocable::Users).unwrap();
}

fn counts(state: &MemoryState, kref: KRef) -> (u64, u64) {
    let KRef::Object(number) = kref else { panic!("{kref} is not an object") };
    let object = view::object(state, number).unwrap().unwrap();
    (object.reachable, object.recognizable)
}

#[test]
fn messages_to_a_revoked_object_are_rejected_and_its_counts_stay() {
    let mut stage = Stage::new(&["alice", "bob"], |_| {});
    let alice = root(&stage, "alice");
    assert!(stage.perform("alice", json!([])).is_ok());
    let before = counts(&stage.state, alice);
    assert!(!stage.kernel.is_revoked(&mut stage.state, &alice.to_string()).unwrap());
    for _ in 0..2 {
        revoke(&mut stage, alice);
        assert!(stage.kernel.is_revoked(&mut stage.state, &alice.to_string()).unwrap());
        assert_eq!(counts(&stage.state, alice), before);
    }
    let error = stage.perform("alice", json!([])).unwrap_err();
    assert!(error.contains(REVOKED), "{error}");
    assert!(stage.perform("bob", json!([])).is_ok(), "others are reached as before");
    stage.check();
}

#[test]
fn a_message_that_was_queued_or_routed_before_is_rejected() {
    for cranks in [0, 1] {
        let mut stage = Stage::new(&["alice"], |_| {});
        let alice = root(&stage, "alice");
        let methargs = support::message("ping", &[], None).methargs;
        let methargs = capstan_abi::CapData { body: methargs.body, slots: vec![] };
        let policy = capstan_kernel::promise::ResultPolicy::Ignore;
        let result =
            stage.kernel.queue_to_object(&mut stage.state, alice, methargs, policy).unwrap();
        for _ in 0..cranks {
            // Routed, and not delivered yet.
            let mut once = capstan_kernel::policy::CrankCount { left: 1 };
            stage.kernel.run(&mut stage.state, &mut once).unwrap();
        }
        revoke(&mut stage, alice);
        stage.run();
        let KRef::Promise(number) = result else { panic!("{result} is not a promise") };
        let promise = view::promise(&stage.state, number).unwrap().unwrap();
        let error = support::script::answer(&promise).unwrap_err();
        assert!(error.contains(REVOKED), "{cranks}: {error}");
    }
}

#[test]
fn what_is_no_object_of_users_is_not_revoked() {
    let mut stage = Stage::new(&["alice"], |config| {
        config.vats.get_mut("alice").unwrap().system = true;
    });
    let alice = root(&stage, "alice").to_string();
    let admin = root(&stage, "vatAdmin").to_string();
    let mut told = |kref: &str, revocable: Revocable| {
        let error: RevocationError =
            stage.kernel.revoke(&mut stage.state, kref, revocable).unwrap_err();
        error.to_string()
    };
    assert_eq!(told("kp40", Revocable::System), "cannot revoke promise kp40");
    assert!(told("kd30", Revocable::System).contains("cannot revoke device node kd30"));
    assert!(told("ko99", Revocable::System).contains("there is no object ko99"));
    assert!(told("ko020", Revocable::System).contains("not a kernel object"));
    assert!(told(&alice, Revocable::Users).contains("an object of the system"));
    assert!(told(&admin, Revocable::System).contains("the kernel itself sends messages to it"));
    let vat = stage.vat("vatAdmin");
    let foreign = stage.kernel.revoke(&mut stage.state, &alice, Revocable::Vat(vat)).unwrap_err();
    assert!(foreign.to_string().contains("is not exported by vat"), "{foreign}");
    stage.kernel.revoke(&mut stage.state, &alice, Revocable::System).unwrap();
    assert!(stage.kernel.is_revoked(&mut stage.state, &alice).unwrap());
}
