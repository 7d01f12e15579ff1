//! Revocation on a chain: by governors, by the holder of a vat's adminNode, and by nobody else.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, CreateVat, Wallet, proto::CreatedVat};
use capstan_tests::{Node, example};

pub(crate) const REVOKED: &str = "[KERNEL:OBJECT_REVOKED] Target object has been revoked";

/// The status of a message and the body that it came to.
pub(crate) fn told(from: &Wallet, target: &str, method: &str, args: &Args) -> (String, String) {
    let answer = from.send(target, method, args).unwrap();
    (answer.status, answer.value.body)
}

pub(crate) fn fulfilled(from: &Wallet, target: &str, method: &str, args: &Args) -> String {
    let (status, body) = told(from, target, method, args);
    assert_eq!(status, "fulfilled", "{method}: {body}");
    body
}

pub(crate) fn rejected(from: &Wallet, target: &str, method: &str, args: &Args) -> String {
    let (status, body) = told(from, target, method, args);
    assert_eq!(status, "rejected", "{method}: {body}");
    body
}

pub(crate) fn naming(object: &str) -> Args {
    Args::smallcaps("[\"$0\"]", vec![object.to_owned()])
}

fn counters(owner: &Wallet) -> (CreatedVat, CreatedVat) {
    let counter = example("counter");
    owner.install_bundle(&counter).unwrap();
    let create = || owner.create_vat(&CreateVat::new(&counter.id)).unwrap();
    (create(), create())
}

#[test]
fn an_owner_revokes_what_the_vat_exports_and_nothing_else() {
    let mut node = Node::start(|_| {});
    let alice = node.wallet(0);
    let (mine, other) = counters(&alice);
    let admin = mine.admin.clone();
    assert_eq!(fulfilled(&alice, &admin, "isRevoked", &naming(&mine.root)), "#false");
    for stranger in [&other.root, &other.admin] {
        let error = rejected(&alice, &admin, "revoke", &naming(stranger));
        // The kernel's own text, without quotes around it.
        assert!(
            error.contains("\"revoke: ko") && error.contains("is not exported by vat"),
            "{error}"
        );
    }
    let error = rejected(&alice, &admin, "revoke", &Args::json(r#"["ko20"]"#));
    assert!(error.contains("expected an object of the vat"), "{error}");
    for _ in 0..2 {
        fulfilled(&alice, &admin, "revoke", &naming(&mine.root));
    }
    node.wait_idle();
    node.restart();
    let alice = node.wallet(0);
    assert_eq!(fulfilled(&alice, &admin, "isRevoked", &naming(&mine.root)), "#true");
    let error = rejected(&alice, &mine.root, "increment", &Args::default());
    assert!(error.contains(REVOKED), "{error}");
    fulfilled(&alice, &other.root, "increment", &Args::default());
}

#[test]
fn governors_revoke_what_users_export_and_the_systems_objects_only_by_saying_so() {
    let node = Node::start(|params| {
        params.governors = vec![capstan_client::Key::dev(0).address()];
    });
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let lookup = Args::json(r#"["chain/revoker"]"#);
    let error = rejected(&bob, "factory", "lookup", &lookup);
    assert!(error.contains("governors"), "{error}");
    let found = alice.send("factory", "lookup", &lookup).unwrap();
    let revoker = found.value.slots[0].clone();
    let (vat, other) = counters(&alice);
    let refused = |target: &str, part: &str| {
        let error = rejected(&alice, &revoker, "revoke", &Args::json(format!("[{target:?}]")));
        assert!(error.contains(&format!("\"revoke: {part}")), "{target}: {error}");
    };
    refused("kp40", "cannot revoke promise kp40");
    refused("ko999999", "there is no object ko999999");
    refused("vat", "\\\"vat\\\" is not a kernel object: expected ko and a number, as in ko20");
    refused("ko20", "ko20 cannot be revoked: the kernel itself sends messages to it");
    let error = rejected(&alice, &revoker, "revoke", &naming(&other.admin));
    assert!(error.contains("an object of the system"), "{error}");
    let system = Args::smallcaps(r#"["$0",{"system":true}]"#, vec![other.admin.clone()]);
    fulfilled(&alice, &revoker, "revoke", &system);
    let error = rejected(&alice, &other.admin, "adminData", &Args::default());
    assert!(error.contains(REVOKED), "{error}");
    fulfilled(&alice, &revoker, "revoke", &naming(&vat.root));
    assert_eq!(fulfilled(&alice, &revoker, "isRevoked", &naming(&vat.root)), "#true");
    let error = rejected(&alice, &vat.root, "increment", &Args::default());
    assert!(error.contains(REVOKED), "{error}");
}
