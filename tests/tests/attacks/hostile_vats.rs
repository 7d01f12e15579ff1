//! A hostile vat can only end itself. Its caller is told why, and nobody else notices.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, CreateVat, Wallet};
use capstan_tests::{Node, bundle, example, soon};

/// Small limits, so that they are soon reached. Starting a vat takes some 11 million computrons.
fn chain() -> Node {
    Node::start(|params| params.crank_computrons = 60_000_000)
}

fn create(owner: &Wallet, bundle_id: &str) -> capstan_client::proto::CreatedVat {
    owner.create_vat(&CreateVat::new(bundle_id)).unwrap()
}

#[test]
fn each_excess_ends_the_vat_with_its_cause_and_nothing_else() {
    let node = chain();
    let alice = node.wallet(0);
    let (hostile, counter) = (bundle("tests/vats/hostile.js"), example("counter"));
    alice.install_bundle(&hostile).unwrap();
    alice.install_bundle(&counter).unwrap();
    let witness = create(&alice, &counter.id);
    let mut count = 0;
    for (method, causes) in [
        ("loop", &["Compute meter exceeded"][..]),
        ("recurse", &["Stack meter exceeded"]),
        ("recurseInJson", &["Stack meter exceeded", "Compute meter exceeded"]),
        ("allocate", &["Allocate meter exceeded"]),
        ("growString", &["Allocate meter exceeded"]),
        ("backtrack", &["Compute meter exceeded"]),
        ("spinPromises", &["Compute meter exceeded"]),
    ] {
        let vat = create(&alice, &hostile.id);
        assert_eq!(
            alice.send(&vat.root, "ping", &Args::default()).unwrap().value.body,
            "#\"pong\""
        );
        // Whoever holds the vat's admin object can ask, in time, what it ends with.
        let done = alice.send_only(&vat.admin, "done", &Args::default()).unwrap().hash;
        let answer = alice.send(&vat.root, method, &Args::default()).unwrap();
        let body = &answer.value.body;
        assert_eq!(answer.status, "rejected", "{method}: {body}");
        let codes = ["[KERNEL:ENDPOINT_UNREACHABLE]", "[KERNEL:OBJECT_DELETED]"];
        assert!(codes.iter().any(|code| body.contains(code)), "{method}: {body}");
        let why = node.client().wait_result(done, 0, soon()).unwrap().value.body;
        assert!(causes.iter().any(|cause| why.contains(cause)), "{method}: {why}");
        assert_ne!(node.client().vat(&vat.vat_id).unwrap().status, "running", "{method}");
        let again = alice.send(&vat.root, "ping", &Args::default()).unwrap();
        assert_eq!(again.status, "rejected", "{method}: the dead answer nothing");
        count += 1;
        let alive = alice.send(&witness.root, "increment", &Args::default()).unwrap();
        assert_eq!(alive.value.body, format!("#{count}"), "{method}");
    }
    assert_eq!(node.client().vat(&witness.vat_id).unwrap().status, "running");
}

#[test]
fn what_the_engine_bounds_itself_is_an_error_that_the_vat_survives() {
    let node = chain();
    let alice = node.wallet(0);
    let hostile = bundle("tests/vats/hostile.js");
    alice.install_bundle(&hostile).unwrap();
    let vat = create(&alice, &hostile.id);
    let answer = alice.send(&vat.root, "growBigInt", &Args::default()).unwrap();
    let body = &answer.value.body;
    assert!(answer.status == "rejected" && body.contains("BigInt is too large"), "{body}");
    let alive = alice.send(&vat.root, "ping", &Args::default()).unwrap();
    assert_eq!(alive.value.body, "#\"pong\"");
}
