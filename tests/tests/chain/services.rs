//! Kernel services on a chain: reached by vats that hold them, and by governors who look them up.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::proto::QueryMeterRequest;
use capstan_client::{Args, CreateVat, Wallet};
use capstan_tests::{Node, bundle, example};
use serde_json::{Value, json};

use crate::subclusters::{KEEPER, ask, chain, refused, root};

const KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

/// A chain with a mailbox, whose keeper holds every service that the genesis document can name.
fn start() -> Node {
    let all = [
        "kernelFacet",
        "chain",
        "validators",
        "mailbox",
        "mailboxConveyor",
        "bridge",
        "bridgeConveyor",
    ];
    let mut genesis = chain(&[("keeper", &all, json!({}))]);
    genesis.add_mailbox();
    // Meters hold here what is meant for work.
    genesis.app_state.params.deposit_byte_computrons = 0;
    let node = Node::start_from(genesis);
    node.wait_idle();
    node
}

/// Asks a service through the keeper.
fn through(from: &Wallet, keeper: &str, call: &[Value]) -> Value {
    ask(from, keeper, "ask", Value::from(call)).0
}

fn look_up(from: &Wallet, name: &str) -> String {
    ask(from, "factory", "lookup", json!([name])).1.remove(0)
}

#[test]
fn all_services_are_listed_with_their_owners() {
    let node = start();
    let listed = node.client().services().unwrap();
    let shown: Vec<_> =
        listed.iter().map(|one| (one.name.as_str(), one.owner.as_str(), one.system_only)).collect();
    let expected = [
        ("bridge", "kernel", true),
        ("bridgeConveyor", "kernel", true),
        ("chain", "application", false),
        ("kernelFacet", "kernel", true),
        ("mailbox", "kernel", true),
        ("mailboxConveyor", "kernel", true),
        ("validators", "application", true),
    ];
    assert_eq!(shown, expected);
    for one in &listed {
        let answer = node.client().abci_query(&format!("objects/{}", one.kref), &[], 0, false);
        let object: Value = serde_json::from_slice(&answer.unwrap().value).unwrap();
        assert_eq!(object["owner"], "kernel", "{one:?}");
    }
    let page = |options: &str| -> Value {
        let answer = node.client().abci_query(&format!("services?{options}"), &[], 0, false);
        serde_json::from_slice(&answer.unwrap().value).unwrap()
    };
    let first = page("limit=2");
    assert_eq!(
        (&first["services"][1]["name"], &first["next"]),
        (&json!("bridgeConveyor"), &json!("bridgeConveyor"))
    );
    let rest = page("after=bridgeConveyor&limit=5");
    assert_eq!((rest["services"].as_array().unwrap().len(), &rest["next"]), (5, &json!("")));
    assert_eq!(page("after=~")["services"], json!([]));
}

#[test]
fn a_vat_that_holds_the_validators_changes_a_power_and_reads_why_it_cannot() {
    let mut node = start();
    let alice = node.wallet(0);
    let keeper = root(&alice, "keeper");
    let own = through(&alice, &keeper, &[json!("validators"), json!("list")]);
    let own = own[0]["pubKey"].as_str().unwrap().to_owned();
    let set = |key: &str, power: Value| json!(["validators", "setPower", key, power]);
    for (args, part) in [
        (set("AAAA", json!(1)), "setPower: a public key is an Ed25519 key, 32 bytes in base64"),
        (set(KEY, json!(-1)), "setPower: a power is a natural below 2^64"),
        (set(KEY, json!("7")), "setPower: a power is a natural below 2^64"),
        (set(KEY, json!(1_000_000_001)), "a power is at most 1000000000"),
        (set(KEY, json!(0)), "there is no validator with this key"),
        (set(&own, json!(0)), "a chain cannot be without validators"),
        (json!(["validators", "remove", KEY]), "kernel service \\\"validators\\\" has no method"),
    ] {
        let error = refused(&alice, &keeper, "ask", args);
        assert!(error.contains(&format!("[KERNEL:DELIVERY_FAILED] {part}")), "{part}: {error}");
    }
    ask(&alice, &keeper, "ask", set(KEY, json!(7)));
    ask(&alice, &keeper, "ask", set(KEY, json!(8)));
    let heights = 1..=u32::try_from(node.client().status().unwrap().height).unwrap();
    let powers: Vec<u64> = heights
        .flat_map(|height| node.client().block_results(height).unwrap().validator_updates)
        .map(|update| update.power.value())
        .collect();
    assert_eq!(powers, [7, 8]);
    node.wait_idle();
    node.restart();
    let alice = node.wallet(0);
    let mut expected =
        [json!({"power": "+10", "pubKey": own}), json!({"power": "+8", "pubKey": KEY})];
    expected.sort_by_key(|one| one["power"].to_string());
    // A governor needs no vat of its own.
    let validators = look_up(&alice, "chain/validators");
    for mut listed in [
        through(&alice, &keeper, &[json!("validators"), json!("list")]),
        ask(&alice, &validators, "list", json!([])).0,
    ] {
        let listed = listed.as_array_mut().unwrap();
        listed.sort_by_key(|one| one["power"].to_string());
        assert_eq!(listed.as_slice(), expected);
    }
}

#[test]
fn what_comes_by_mailbox_and_bridge_reaches_a_vat_over_a_restart_and_an_upgrade() {
    let mut node = start();
    let id = bundle(KEEPER).id.to_string();
    let mut expected = Vec::new();
    for round in 1_u64..=3 {
        let alice = node.wallet(0);
        let keeper = root(&alice, "keeper");
        if round == 1 {
            let early = json!(["bridgeConveyor", "inbound", "early"]);
            let error = refused(&alice, &keeper, "ask", early);
            let text = "[KERNEL:DELIVERY_FAILED] bridge: no vat has registered a handler yet";
            assert!(error.contains(text), "{error}");
            ask(&alice, &keeper, "listen", json!(["mailbox"]));
            ask(&alice, &keeper, "listen", json!(["bridge"]));
        }
        let error = refused(&alice, &keeper, "listen", json!(["mailbox"]));
        assert!(error.contains("[KERNEL:DELIVERY_FAILED] already registered"), "{error}");
        let call = |call: Value| ask(&alice, &keeper, "ask", call);
        call(json!(["mailbox", "add", "peer", round, format!("out {round}")]));
        let letter = json!([[round, format!("in {round}")]]);
        call(json!(["mailboxConveyor", "deliverInbound", "peer", letter, round - 1]));
        call(json!(["mailbox", "ackInbound", "peer", round]));
        call(json!(["mailbox", "remove", "peer", round - 1]));
        call(json!(["bridgeConveyor", "inbound", "swap", {"amount": [round, null]}]));
        expected.extend([
            json!(["messages", "peer", letter]),
            json!(["ack", "peer", round - 1]),
            json!(["inbound", "swap", {"amount": [round, null]}]),
        ]);
        let heard = ask(&alice, &keeper, "heard", json!([])).0;
        assert_eq!(heard, Value::from(expected.clone()), "round {round}");
        let mailbox = node.client().mailbox("peer", 0, 0).unwrap();
        let waiting: Vec<_> = mailbox.messages.iter().map(|one| (one.number, &*one.body)).collect();
        assert_eq!(
            (mailbox.inbound_ack, waiting),
            (round, vec![(round, &*format!("out {round}"))])
        );
        if round == 1 {
            node.wait_idle();
            node.restart();
        } else {
            let governed = look_up(&alice, "chain/system-subclusters");
            ask(&alice, &governed, "upgradeVat", json!(["keeper", "main", id]));
        }
    }
}

#[test]
fn governors_ask_the_kernel_itself_and_make_an_object_a_service() {
    let mut node = start();
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let error = refused(&bob, "factory", "lookup", json!(["chain/kernel"]));
    assert!(error.contains("is for the chain's governors"), "{error}");
    let kernel = look_up(&alice, "chain/kernel");
    assert_eq!(ask(&alice, &kernel, "ping", json!([])).0, json!("pong"));
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
    let with = |text: &str| Args::smallcaps(text, vec![vat.root.clone()]);
    let register = with(r#"["oracle","$0"]"#);
    let answer = alice.send(&kernel, "registerKernelServiceObject", &register).unwrap();
    assert_eq!(answer.status, "fulfilled", "{}", answer.value.body);
    let again = alice.send(&kernel, "registerKernelServiceObject", &register).unwrap();
    assert!(again.value.body.contains("is already registered"), "{}", again.value.body);

    // Others get it by its name.
    let keeper = bundle(KEEPER);
    alice.install_bundle(&keeper).unwrap();
    let vats = json!({"main": {"bundleID": keeper.id.to_string()}});
    let config =
        json!([{"name": "mine", "bootstrap": "main", "services": ["oracle"], "vats": vats}]);
    let (launched, slots) = ask(&bob, "factory", "launchSubcluster", config.clone());
    let place = launched["vats"]["main"]["root"].as_str().unwrap();
    let place: usize = place[1..].split('.').next().unwrap().parse().unwrap();
    ask(&bob, &slots[place], "ask", json!(["oracle", "increment"]));
    node.wait_idle();
    node.restart();
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let owner = || {
        let listed = node.client().services().unwrap();
        listed.into_iter().find(|one| one.name == "oracle").map(|one| one.owner)
    };
    assert_eq!(owner(), Some(vat.vat_id.clone()));
    alice.terminate_vat(&vat.admin, None).unwrap();
    node.wait_idle();
    assert_eq!(owner(), Some(String::new()), "the name outlives the object's vat");
    let error = refused(&bob, &slots[place], "ask", json!(["oracle", "increment"]));
    assert!(error.contains("vat terminated"), "{error}");
    assert_eq!(
        ask(&alice, &kernel, "unregisterKernelServiceObject", json!(["oracle"])).0,
        json!(true)
    );
    assert_eq!(owner(), None);
    let error = refused(&bob, "factory", "launchSubcluster", config);
    assert!(error.contains("no registered kernel service 'oracle'"), "{error}");
}

#[test]
fn an_upgraded_vat_still_holds_a_service() {
    let node = start();
    let (bob, keeper) = (node.wallet(1), bundle(KEEPER));
    bob.install_bundle(&keeper).unwrap();
    let (root, admin, _) = keeper_of(&bob);
    let upgrade = capstan_client::UpgradeVat {
        admin,
        bundle_id: keeper.id.to_string(),
        parameters: Some(Args::json(r#"{"version":2}"#)),
        message: String::new(),
    };
    bob.upgrade_vat(&upgrade).unwrap();
    assert_eq!(ask(&bob, &root, "told", json!([])).0["version"], 2);
    let id = ask(&bob, &root, "ask", json!(["chain", "getChainId"])).0;
    assert_eq!(id, json!(capstan_tests::CHAIN_ID));
}

/// Launches a keeper that holds `chain` for an account: its root, its adminNode and its id.
fn keeper_of(owner: &Wallet) -> (String, String, String) {
    let keeper = bundle(KEEPER);
    let vats = json!({"main": {"bundleID": keeper.id.to_string(), "computrons": 2_000_000_000}});
    let config =
        json!([{"name": "mine", "bootstrap": "main", "services": ["chain"], "vats": vats}]);
    let (launched, slots) = ask(owner, "factory", "launchSubcluster", config);
    let slot = |field: &str| {
        let text = launched["vats"]["main"][field].as_str().unwrap();
        let place: usize = text[1..].split('.').next().unwrap().parse().unwrap();
        slots[place].clone()
    };
    let record = owner.client().subcluster(launched["subclusterId"].as_str().unwrap()).unwrap();
    (slot("root"), slot("adminNode"), record.vats[0].vat_id.clone())
}

#[test]
fn a_flood_of_calls_is_paid_by_the_vat_that_makes_it_and_others_are_served() {
    const CALLS: u64 = 1_000;
    let node = start();
    let (alice, mallory) = (node.wallet(0), node.wallet(1));
    let counter = example("counter");
    alice.install_bundle(&counter).unwrap();
    let vat = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
    mallory.install_bundle(&bundle(KEEPER)).unwrap();
    let (flooder, _, id) = keeper_of(&mallory);
    let meter_id = node.client().vat(&id).unwrap().meter_id;
    let remaining = || -> u64 {
        let request = QueryMeterRequest { meter_id: meter_id.clone() };
        node.client().query(&request).unwrap().remaining.parse().unwrap()
    };
    let (full, before) = (remaining(), node.client().status().unwrap().height);
    let flood = json!(["chain", "getParams", CALLS]);
    assert_eq!(ask(&mallory, &flooder, "flood", flood).0, json!(CALLS));
    let answer = alice.send(&vat.root, "increment", &Args::default()).unwrap();
    assert_eq!(answer.status, "fulfilled", "{}", answer.value.body);
    let blocks = answer.settled_height - before;
    let params = node.client().params().unwrap();
    let price = params.system.message_computrons;
    // Each block takes what its budget covers, so the flood ends after so many blocks at the latest.
    let most = CALLS * price / params.block_computrons * 2 + 20;
    assert!(blocks <= most, "{blocks} blocks");
    node.wait_idle();
    let spent = full - remaining();
    assert!(spent > 400 * price, "the meter of {full} paid {spent} only");
    assert!(remaining() < price, "what cannot be paid is not served, {} are left", remaining());
    // The answers cost the vat the rest of its meter, which ends it and nobody else.
    for vat in node.client().vats().unwrap() {
        assert_eq!(vat.status == "running", vat.vat_id != id, "{vat:?}");
    }
}
