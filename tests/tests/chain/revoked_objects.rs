//! What revocation changes of an object, and what it leaves: for messages on their way, other holders, upgrades, garbage
//! collection and accounts.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::proto::{CreatedVat, QueryObjectRequest, QueryObjectResponse};
use capstan_client::{
    Args, ClientError, CreateVat, KernelError, KernelErrorCode, Key, MessageResult, TxBuilder,
    UpgradeVat, Wallet,
};
use capstan_tests::{Node, bundle, soon};

use crate::revocation::{REVOKED, fulfilled, naming, rejected};

const GATE: &str = "tests/vats/gate.js";

/// A vat that gives out tickets.
fn gate(owner: &Wallet) -> CreatedVat {
    let gate = bundle(GATE);
    owner.install_bundle(&gate).unwrap();
    owner.create_vat(&CreateVat::new(&gate.id)).unwrap()
}

fn governed() -> Node {
    Node::start(|params| params.governors = vec![Key::dev(0).address()])
}

/// The reference in the answer to a message.
fn given(from: &Wallet, target: &str, method: &str, args: &Args) -> String {
    let answer = from.send(target, method, args).unwrap();
    assert_eq!(answer.status, "fulfilled", "{method}: {}", answer.value.body);
    answer.value.slots[0].clone()
}

fn new_ticket(from: &Wallet, gate: &CreatedVat) -> String {
    given(from, &gate.root, "durable", &Args::default())
}

/// Sends a message and does not wait for its answer.
fn begin(from: &Wallet, target: &str, method: &str) -> MessageResult {
    let message = from.send_message(target, method, &Args::default());
    let outcome = from.submit(TxBuilder::new().message(&message), 0).unwrap();
    from.client().message_result(outcome.hash, 0).unwrap()
}

/// The answer of a message that was sent before.
fn end(from: &Wallet, begun: &MessageResult) -> (String, String) {
    let answer = from.client().wait_result(begun.hash, 0, soon()).unwrap();
    (answer.status, answer.value.body)
}

fn kref(of: &Wallet, reference: &str) -> String {
    let client = of.client();
    let path = format!("clists/{}?limit=1000", of.address());
    let answer = client.abci_query(&path, &[], 0, false).unwrap();
    let clist: serde_json::Value = serde_json::from_slice(&answer.value).unwrap();
    let entry = clist["entries"].as_array().unwrap().iter().find(|one| one["eref"] == reference);
    entry.unwrap()["kref"].as_str().unwrap().to_owned()
}

fn object(node: &Node, kref: &str) -> Result<QueryObjectResponse, ClientError> {
    node.client().query(&QueryObjectRequest { kref: kref.to_owned() })
}

#[test]
fn messages_that_wait_are_rejected_and_results_that_are_owed_still_come() {
    let mut node = Node::start(|_| {});
    let alice = node.wallet(0);
    let gate = gate(&alice);
    let ticket = new_ticket(&alice, &gate);
    let owed = begin(&alice, &ticket, "wait");
    // Pipelined: the promise comes to the ticket only after the ticket is revoked.
    let promised = begin(&alice, &gate.root, "promised");
    assert_eq!(promised.status, "pending");
    let pipelined = begin(&alice, &promised.promise, "show");
    fulfilled(&alice, &gate.admin, "revoke", &naming(&ticket));
    node.wait_idle();
    node.restart();
    let alice = node.wallet(0);
    fulfilled(&alice, &gate.root, "open", &naming(&ticket));
    let (status, body) = end(&alice, &owed);
    assert_eq!((status.as_str(), body.contains("$0")), ("fulfilled", true), "{body}");
    assert_eq!(end(&alice, &promised).0, "fulfilled");
    let (status, body) = end(&alice, &pipelined);
    assert!(status == "rejected" && body.contains(REVOKED), "{body}");
}

#[test]
fn a_message_in_the_same_block_after_the_revocation_is_rejected() {
    let node = Node::start(|_| {});
    let alice = node.wallet(0);
    let gate = gate(&alice);
    let ticket = new_ticket(&alice, &gate);
    let tx = TxBuilder::new()
        .message(&alice.send_message(&ticket, "show", &Args::default()))
        .message(&alice.send_message(&gate.admin, "revoke", &naming(&ticket)))
        .message(&alice.send_message(&ticket, "show", &Args::default()));
    let hash = alice.submit(tx, 0).unwrap().hash;
    let answers: Vec<_> = (0..3)
        .map(|index| node.client().wait_result(hash, index, soon()).unwrap())
        .map(|answer| (answer.status, answer.value.body))
        .collect();
    assert_eq!(answers[0], ("fulfilled".to_owned(), "#\"a ticket\"".to_owned()));
    assert_eq!(answers[1].0, "fulfilled");
    // The device revokes within vatAdmin's delivery. The last message was routed before and is checked again.
    assert!(answers[2].0 == "rejected" && answers[2].1.contains(REVOKED), "{answers:?}");
}

#[test]
fn all_who_hold_the_object_are_refused_and_may_pass_it_on() {
    let node = Node::start(|_| {});
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let (gate, other) = (gate(&alice), gate_of(&bob));
    let ticket = new_ticket(&alice, &gate);
    let publish = Args::smallcaps(r#"["ticket","$0"]"#, vec![ticket.clone()]);
    fulfilled(&alice, "factory", "publish", &publish);
    let name = Args::json(format!("[\"{}/ticket\"]", alice.address()));
    let of_bob = given(&bob, "factory", "lookup", &name);
    fulfilled(&bob, &other.root, "hold", &naming(&of_bob));
    assert_eq!(fulfilled(&bob, &other.root, "call", &Args::default()), "#\"a ticket\"");
    fulfilled(&alice, &gate.admin, "revoke", &naming(&ticket));
    let error = rejected(&bob, &other.root, "call", &Args::default());
    assert!(error.contains(REVOKED), "a vat reads the code too: {error}");
    assert_eq!(given(&bob, &other.root, "pass", &Args::default()), of_bob);
    let answer = bob.send(&of_bob, "show", &Args::default()).unwrap();
    assert_eq!(answer.status, "rejected");
    let error = KernelError::of(&answer.passable().unwrap().unwrap()).unwrap();
    assert_eq!(error.code, KernelErrorCode::ObjectRevoked);
    // The one who looked it up cannot revoke what is alice's.
    let fresh = new_ticket(&alice, &gate);
    let error = rejected(&bob, &other.admin, "revoke", &naming(&of_bob));
    assert!(error.contains("is not exported by vat"), "{error}");
    assert_eq!(fulfilled(&alice, &fresh, "show", &Args::default()), "#\"a ticket\"");
}

fn gate_of(owner: &Wallet) -> CreatedVat {
    owner.create_vat(&CreateVat::new(&bundle(GATE).id)).unwrap()
}

#[test]
fn a_durable_object_stays_revoked_over_an_upgrade_of_its_vat() {
    let node = Node::start(|_| {});
    let alice = node.wallet(0);
    let gate = gate(&alice);
    let (revoked, kept) = (new_ticket(&alice, &gate), new_ticket(&alice, &gate));
    let lost = given(&alice, &gate.root, "fleeting", &Args::default());
    for ticket in [&revoked, &lost] {
        fulfilled(&alice, &gate.admin, "revoke", &naming(ticket));
    }
    let upgrade = UpgradeVat {
        admin: gate.admin.clone(),
        bundle_id: bundle(GATE).id.to_string(),
        ..UpgradeVat::default()
    };
    assert_eq!(alice.upgrade_vat(&upgrade).unwrap().status, "fulfilled");
    assert_eq!(fulfilled(&alice, &gate.admin, "isRevoked", &naming(&revoked)), "#true");
    assert_eq!(fulfilled(&alice, &gate.admin, "isRevoked", &naming(&kept)), "#false");
    // What the upgrade took from the vat is its export no longer.
    let error = rejected(&alice, &gate.admin, "isRevoked", &naming(&lost));
    assert!(error.contains("is not exported by vat"), "{error}");
    for ticket in [&revoked, &lost] {
        let error = rejected(&alice, ticket, "show", &Args::default());
        assert!(error.contains(REVOKED), "{error}");
    }
    assert_eq!(fulfilled(&alice, &kept, "show", &Args::default()), "#\"a ticket\"");
    let shown = object(&node, &kref(&alice, &lost)).unwrap();
    assert_eq!((shown.revoked, shown.owner.as_str()), (true, ""));
}

#[test]
fn a_revoked_object_is_collected_when_nobody_holds_it() {
    let node = governed();
    let alice = node.wallet(0);
    let (gate, holder) = (gate(&alice), gate_of(&alice));
    let stays = new_ticket(&alice, &gate);
    let revoker = given(&alice, "factory", "lookup", &Args::json(r#"["chain/revoker"]"#));
    for method in ["durable", "fleeting"] {
        let ticket = given(&alice, &gate.root, method, &Args::default());
        let kref = kref(&alice, &ticket);
        fulfilled(&alice, &holder.root, "hold", &naming(&ticket));
        // By its name, so that no vat of the system is given the object.
        fulfilled(&alice, &revoker, "revoke", &Args::json(format!("[{kref:?}]")));
        // The outbox holds what the account was told.
        let outbox = node.client().outbox(&alice.address(), 0, 1_000).unwrap();
        alice.acknowledge(outbox.entries.last().unwrap().number).unwrap();
        alice.drop_refs(std::slice::from_ref(&ticket)).unwrap();
        node.wait_idle();
        let shown = object(&node, &kref).unwrap();
        assert!(shown.revoked && shown.reachable == 1, "the other vat holds it: {shown:?}");
        fulfilled(&alice, &holder.root, "release", &Args::default());
        collect(&alice, &[&holder, &gate]);
        node.wait_idle();
        let gone = object(&node, &kref).unwrap_err();
        assert!(gone.to_string().contains("no object"), "{method}: {gone}");
    }
    assert_eq!(fulfilled(&alice, &stays, "show", &Args::default()), "#\"a ticket\"");
}

/// Has vats tell what they hold no longer.
fn collect(owner: &Wallet, vats: &[&CreatedVat]) {
    for vat in vats {
        let often = Args::json(r#"[{"reapInterval":1}]"#);
        fulfilled(owner, &vat.admin, "changeOptions", &often);
        for _ in 0..2 {
            fulfilled(owner, &vat.root, "open", &Args::default());
        }
    }
}

#[test]
fn an_object_of_an_account_is_revoked_by_governors_and_gets_no_entry_in_its_outbox() {
    let node = governed();
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let gate = gate(&bob);
    // bob exports an object of his own.
    fulfilled(&bob, &gate.root, "hold", &naming("ro+1"));
    let calls = |bob: &Wallet| {
        let entries = node.client().outbox(&bob.address(), 0, 1_000).unwrap().entries;
        entries.iter().filter(|entry| entry.delivery_json.contains("show")).count()
    };
    let waiting = begin(&bob, &gate.root, "call");
    node.wait_idle();
    assert_eq!(calls(&bob), 1);
    let exported = kref(&bob, "ro+1");
    let revoker = given(&alice, "factory", "lookup", &Args::json(r#"["chain/revoker"]"#));
    fulfilled(&alice, &revoker, "revoke", &Args::json(format!("[{exported:?}]")));
    let error = rejected(&bob, &gate.root, "call", &Args::default());
    assert!(error.contains(REVOKED), "{error}");
    node.wait_idle();
    assert_eq!(calls(&bob), 1);
    let shown = object(&node, &exported).unwrap();
    assert!(shown.revoked && shown.owner.starts_with('r'), "{shown:?}");
    // The call that came before is answered by its account.
    let entries = node.client().outbox(&bob.address(), 0, 1_000).unwrap().entries;
    let call = entries.iter().find(|entry| entry.delivery_json.contains("show")).unwrap();
    let delivery: serde_json::Value = serde_json::from_str(&call.delivery_json).unwrap();
    let result = find_result(&delivery).unwrap();
    bob.resolve(&result, &Args::json(r#""by hand""#)).unwrap();
    assert_eq!(end(&bob, &waiting), ("fulfilled".to_owned(), "#\"by hand\"".to_owned()));
}

/// The first text in a delivery that names a promise of the account's.
fn find_result(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => text.starts_with("rp-").then(|| text.clone()),
        serde_json::Value::Array(items) => items.iter().find_map(find_result),
        serde_json::Value::Object(fields) => fields.values().find_map(find_result),
        _ => None,
    }
}
