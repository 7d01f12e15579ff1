//! The story of `make demo`, over the JSON-RPC: bundles, vats, messages, references, statistics, and a restart.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, ClientError, CreateVat, Params, Wallet};
use capstan_tests::{Node, bundle, bundle_text, example};

fn create(
    owner: &Wallet,
    bundle_id: &str,
    name: &str,
    parameters: &str,
) -> capstan_client::proto::CreatedVat {
    let parameters = Some(Args::json(parameters));
    owner
        .create_vat(&CreateVat { name: name.into(), parameters, ..CreateVat::new(bundle_id) })
        .unwrap()
}

/// The answer to a message, which must be fulfilled.
fn ask(owner: &Wallet, target: &str, method: &str, args: &Args) -> (String, Vec<String>) {
    let answer = owner.send(target, method, args).unwrap();
    assert_eq!(answer.status, "fulfilled", "{method}: {}", answer.value.body);
    (answer.value.body, answer.value.slots)
}

#[test]
fn a_counter_is_installed_created_and_counts_on_after_a_restart() {
    let mut node = Node::start(|_| {});
    let alice = node.wallet(0);
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let installed = node.client().bundle(&counter.id).unwrap();
    assert_eq!(
        (installed.bundle_id.as_str(), installed.kind.as_str()),
        (counter.id.as_str(), "endo-zip")
    );

    let vat = create(&alice, &counter.id, "counter", r#"{"start":5}"#);
    assert_eq!(ask(&alice, &vat.root, "increment", &Args::json("[37]")).0, "#42");
    assert_eq!(ask(&alice, &vat.root, "increment", &Args::default()).0, "#43");
    let refused = alice.send(&vat.root, "decrement", &Args::default()).unwrap();
    assert_eq!(refused.status, "rejected");
    assert!(refused.value.body.contains("target has no method"), "{}", refused.value.body);

    let listed = node.client().vat(&vat.vat_id).unwrap();
    assert_eq!(
        (listed.name.as_str(), listed.status.as_str(), listed.dynamic),
        ("counter", "running", true)
    );
    let before = node.client().vat_stats(&vat.vat_id).unwrap();
    assert!(
        before.deliveries >= 4 && before.computrons_total > 0 && before.exports == 1,
        "{before:?}"
    );
    let kept = before.kept_vatstore_bytes + before.kept_heap_bytes + before.kept_export_bytes;
    assert!(before.kept_vatstore_bytes > 0 && before.kept_heap_bytes > 0, "{before:?}");
    assert!(before.kept_export_bytes > 0 && before.kept_bytes >= kept, "{before:?}");
    let price = Params::default().deposit_byte_computrons;
    assert_eq!(before.deposit, (before.kept_bytes * price).to_string());
    assert!(before.heap_bytes > 1 << 20 && !before.snapshot_hash.is_empty(), "{before:?}");

    node.wait_idle();
    let status = node.client().status().unwrap();
    node.restart();
    assert_eq!(node.client().status().unwrap(), status);
    let alice = node.wallet(0);
    assert_eq!(ask(&alice, &vat.root, "increment", &Args::default()).0, "#44");
    let after = node.client().vat_stats(&vat.vat_id).unwrap();
    assert!(
        after.deliveries > before.deliveries && after.computrons_total > before.computrons_total
    );
}

#[test]
fn references_are_passed_between_vats_and_accounts() {
    let node = Node::start(|_| {});
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let greeter = example("greeter");
    alice.install_bundle(&greeter).unwrap();
    // Two vats: the guest of one is greeted by the other.
    let here = create(&alice, &greeter.id, "here", "{}");
    let there = create(&alice, &greeter.id, "there", "{}");
    let (body, slots) = ask(&alice, &there.root, "makeGuest", &Args::json(r#"["Agnes"]"#));
    assert!(body.contains("$0") && slots.len() == 1, "{body} {slots:?}");
    let guest = slots[0].clone();
    let (_, slots) = ask(&alice, &here.root, "getGreeter", &Args::default());
    let args = Args::smallcaps("[\"$0\"]", vec![guest.clone()]);
    assert_eq!(ask(&alice, &slots[0], "greet", &args).0, "#\"hello, Agnes\"");

    // Alice's references mean nothing to Bob.
    let error = bob.send(&guest, "getName", &Args::default()).unwrap_err();
    assert!(matches!(&error, ClientError::Failed { code: 49, .. }), "{error}");
    let error = bob.send("ro-9999", "getName", &Args::default()).unwrap_err();
    assert!(matches!(&error, ClientError::Failed { code: 49, .. }), "{error}");
}

#[test]
fn a_bundle_too_large_for_one_transaction_goes_in_pieces_and_runs() {
    let node = Node::start(|params| {
        params.max_tx_bytes = 24 << 10;
        params.max_chunk_bytes = 16 << 10;
    });
    let alice = node.wallet(0);
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let begun = node.client().tx_search("upload.begun.bundle_id EXISTS", 1, 10).unwrap();
    assert_eq!(begun.len(), 1, "the bundle must have been uploaded in pieces");
    let vat = create(&alice, &counter.id, "", "{}");
    assert_eq!(ask(&alice, &vat.root, "read", &Args::default()).0, "#0");
}

#[test]
fn what_agorics_libraries_offer_works_in_a_vat() {
    let node = Node::start(|_| {});
    let alice = node.wallet(0);
    let bank = example("bank");
    alice.install_bundle(&bank).unwrap();
    let vat = create(&alice, &bank.id, "bank", "{}");
    let mint =
        |amount: &str| ask(&alice, &vat.root, "mint", &Args::smallcaps(amount, vec![])).1.remove(0);
    let (one, two) = (mint("[\"+10\"]"), mint("[\"+5\"]"));
    let deposit = |amount: &str| {
        alice
            .send(
                &one,
                "deposit",
                &Args::smallcaps(&format!("[\"+{amount}\",\"$0\"]"), vec![two.clone()]),
            )
            .unwrap()
    };
    assert_eq!(deposit("3").value.body, "#\"+13\"");
    let refused = deposit("3");
    assert_eq!(refused.status, "rejected", "more than there is");
    // A pattern guard refuses what is no natural number, before the vat's code sees it.
    let refused = alice.send(&vat.root, "mint", &Args::json("[-1]")).unwrap();
    assert!(
        refused.status == "rejected" && refused.value.body.contains("bigint"),
        "{}",
        refused.value.body
    );
}

#[test]
fn a_vat_that_cannot_be_built_is_refused_with_its_reason() {
    let node = Node::start(|_| {});
    let alice = node.wallet(0);
    let cases = [
        (
            bundle_text(
                "throw Error('no import today');\nexport const buildRootObject = () => {};",
            ),
            "no import today",
        ),
        (bundle_text("export const somethingElse = 1;"), "buildRootObject"),
        (bundle("tests/vats/throws-at-start.js"), "not in the mood"),
    ];
    for (bundle, reason) in cases {
        alice.install_bundle(&bundle).unwrap();
        let error = alice.create_vat(&CreateVat::new(&bundle.id)).unwrap_err().to_string();
        assert!(error.contains(reason), "expected {reason:?} in {error}");
    }
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let vat = create(&alice, &counter.id, "", "{}");
    assert_eq!(ask(&alice, &vat.root, "increment", &Args::default()).0, "#1");
}
