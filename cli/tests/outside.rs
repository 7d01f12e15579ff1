//! What comes from outside of the chain, by whoever holds the right to bring it in: mailbox, bridge, sets of vats.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use common::{Dev, Done, Place, checkout};
use serde_json::{Value, json};

/// Sends a message; what `--json` printed.
fn send(place: &Place, dev: &Dev, from: &str, args: &[&str]) -> Done {
    place.ask(dev, &[&["tx", "send"], args, &["--from", from, "--json"]].concat())
}

/// The same where the answer must be a fulfilment: its value.
#[track_caller]
fn answer(place: &Place, dev: &Dev, from: &str, args: &[&str]) -> Value {
    let done = send(place, dev, from, args).json();
    assert_eq!(done["status"], "fulfilled", "{done}");
    done["value"].clone()
}

/// The reference that a lookup gives.
#[track_caller]
fn look_up(place: &Place, dev: &Dev, from: &str, name: &str) -> String {
    let value = answer(place, dev, from, &["factory", "lookup", name]);
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[track_caller]
fn refused(done: &Done, part: &str) {
    assert!(done.code == 1 && done.stdout.contains(part), "{part}: {done:?}");
}

/// The receiver has ended. The code depends on whether it is cleaned up.
#[track_caller]
fn refused_by_the_dead(done: &Done) {
    let codes = ["[KERNEL:ENDPOINT_UNREACHABLE]", "[KERNEL:OBJECT_DELETED]"];
    let is_told = codes.iter().any(|code| done.stdout.contains(code));
    assert!(done.code == 1 && is_told, "{done:?}");
}

fn install(place: &Place, dev: &Dev, name: &str) -> String {
    let source = checkout().join(format!("cli/tests/vats/{name}.js"));
    let file = format!("{name}.json");
    assert_eq!(place.run(&["bundle", source.to_str().unwrap(), "-o", &file]).code, 0);
    let installed =
        place.ask(dev, &["tx", "install-bundle", &file, "--from", "alice", "--json"]).json();
    installed["bundle_id"].as_str().unwrap().to_owned()
}

fn create(place: &Place, dev: &Dev, bundle: &str) -> String {
    let created = place.ask(dev, &["tx", "create-vat", bundle, "--from", "alice", "--json"]).json();
    created["root"].as_str().unwrap().to_owned()
}

/// Arguments that `deliverInbound` refuses, each with a part of the reason.
const NOT_INBOUND: &[(&[&str], &str)] = &[
    (&["far", "7", "0"], "pairs of number and text"),
    (&["far", r#"[["1","x"]]"#, "0"], "pairs of number and text"),
    (&["7", "[]", "0"], "peer must be a string"),
    (&["far", "[]", "-1"], "ack must be a natural"),
    (&["far", "[]", "9007199254740993n"], "message numbers are below 2^53"),
];

#[test]
fn messages_come_in_and_go_out_through_mailbox_and_bridge_by_those_who_hold_the_right() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--mailbox", "--governor", "alice"]).code, 0);
    let dev = place.dev();
    let bundle = install(&place, &dev, "comms");
    let comms = create(&place, &dev, &bundle);
    // Nobody but a governor looks them up.
    for name in ["chain/mailbox", "chain/mailbox-conveyor", "chain/bridge", "chain/bridge-conveyor"]
    {
        refused(
            &send(&place, &dev, "bob", &["factory", "lookup", name]),
            "for the chain's governors",
        );
    }
    let mailbox = look_up(&place, &dev, "alice", "chain/mailbox");
    let conveyor = look_up(&place, &dev, "alice", "chain/mailbox-conveyor");
    let deliver = |args: &[&str]| {
        send(&place, &dev, "alice", &[&[&*conveyor, "deliverInbound"], args].concat())
    };
    refused(&deliver(&["far", "[]", "0"]), "no vat has registered a handler yet");
    answer(&place, &dev, "alice", &[&comms, "useMailbox", &mailbox]);
    let delivered = deliver(&["far", r#"[[1,"hello"],[2,"world"]]"#, "0"]).json();
    assert_eq!(delivered["status"], "fulfilled", "{delivered}");
    let heard = answer(&place, &dev, "alice", &[&comms, "heard"]);
    assert_eq!(heard, json!(["far 1 hello", "far 2 world", "far has taken 0"]));

    // What waits for the peer can be read by anyone, page by page.
    let page = |args: &[&str]| {
        place.ask(&dev, &[&["query", "mailbox", "far", "--json"], args].concat()).json()
    };
    let all = page(&[]);
    assert_eq!(all["inbound_ack"], 2, "{all}");
    let echo =
        |number: u64, body: &str| json!({"number": number, "body": format!("echo of {body}")});
    assert_eq!(all["messages"], json!([echo(1, "hello"), echo(2, "world")]));
    let first = page(&["--limit", "1"]);
    assert_eq!((&first["messages"], &first["next"]), (&json!([echo(1, "hello")]), &json!(1)));
    assert_eq!(page(&["--after", "1"])["messages"], json!([echo(2, "world")]));
    // The peer has taken the first one.
    deliver(&["far", "[]", "1"]);
    assert_eq!(page(&[])["messages"], json!([echo(2, "world")]));
    assert_eq!(
        place.ask(&dev, &["query", "mailbox", "near", "--json"]).json()["messages"],
        json!([])
    );

    for (args, part) in NOT_INBOUND {
        refused(&deliver(args), part);
    }

    // The right is an object, and is passed on as any other: to bob, through a name.
    answer(&place, &dev, "alice", &["factory", "publish", "conveyor", &conveyor]);
    let account = place.ask(&dev, &["query", "account", "alice", "--json"]).json();
    let name = format!("{}/conveyor", account["address"].as_str().unwrap());
    let of_bob = look_up(&place, &dev, "bob", &name);
    answer(&place, &dev, "bob", &[&of_bob, "deliverInbound", "far", r#"[[3,"from bob"]]"#, "1"]);

    the_bridge_works(&place, &dev, &comms);
}

/// Events come in through the bridge to a vat that takes them.
fn the_bridge_works(place: &Place, dev: &Dev, comms: &str) {
    let bridge = look_up(place, dev, "alice", "chain/bridge");
    let bridge_conveyor = look_up(place, dev, "alice", "chain/bridge-conveyor");
    refused(
        &send(place, dev, "alice", &[&bridge_conveyor, "inbound", "1"]),
        "no vat has registered",
    );
    answer(place, dev, "alice", &[comms, "useBridge", &bridge]);
    answer(
        place,
        dev,
        "alice",
        &[&bridge_conveyor, "inbound", "swap", r#"{"amount":[1,null,"x"]}"#],
    );
    let heard = answer(place, dev, "alice", &[comms, "heard"]);
    let last: Vec<&Value> = heard.as_array().unwrap().iter().rev().take(3).collect();
    assert_eq!(last[0], r#"["swap",{"amount":[1,null,"x"]}]"#);
    assert_eq!(
        (last[2].as_str().unwrap(), last[1].as_str().unwrap()),
        ("far 3 from bob", "far has taken 1")
    );
    // Coins are spent through the bridge, too: that is in nobody's hands.
    refused(&send(place, dev, "alice", &[&bridge, "callOutbound", "bank"]), "has no method");
}

#[test]
fn a_chain_without_a_mailbox_says_so() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--governor", "alice"]).code, 0);
    let dev = place.dev();
    let lookup = ["factory", "lookup", "chain/mailbox-conveyor"];
    refused(&send(&place, &dev, "bob", &lookup), "for the chain's governors");
    refused(
        &send(&place, &dev, "alice", &lookup),
        "this chain has no mailboxConveyor service: app_state.kernel.services has to name it",
    );
    place
        .run(&["init", "--governor", "nobody", "--home", "other"])
        .assert_failed(1, "no key \"nobody\"");
}

#[test]
fn a_subcluster_is_launched_introduced_and_ended_by_whoever_holds_it() {
    let place = Place::new();
    let dev = place.dev();
    let member = install(&place, &dev, "member");
    let vat = |name: &str| json!({"bundleID": member, "vatParameters": {"name": name}});
    let config =
        json!({"name": "duo", "bootstrap": "a", "vats": {"a": vat("ann"), "b": vat("ben")}});
    let launched =
        answer(&place, &dev, "alice", &["factory", "launchSubcluster", &config.to_string()]);
    let reference =
        |value: &Value| value.as_str().unwrap_or_else(|| panic!("{launched}")).to_owned();
    let subcluster = reference(&launched["subcluster"]);
    let [a, b] = ["a", "b"].map(|name| reference(&launched["vats"][name]["root"]));
    assert_eq!(answer(&place, &dev, "alice", &[&a, "ask", "b"]), "ben");
    assert_eq!(answer(&place, &dev, "alice", &[&b, "title"]), "ben");
    // The vat table of the chain has them.
    let table = || {
        let vats = place.ask(&dev, &["query", "vats", "--json"]).json();
        let row = |vat: &Value| {
            (vat["name"].as_str()?.starts_with("duo.")).then(|| json!([vat["name"], vat["status"]]))
        };
        vats["vats"].as_array().unwrap().iter().filter_map(row).collect::<Vec<_>>()
    };
    assert_eq!(table(), [json!(["duo.a", "running"]), json!(["duo.b", "running"])]);

    let options = json!({"vatParameters": {"name": "cat"}}).to_string();
    let third = answer(&place, &dev, "alice", &[&subcluster, "startVat", "c", &member, &options]);
    assert_eq!(answer(&place, &dev, "alice", &[&reference(&third["root"]), "title"]), "cat");
    refused(
        &send(&place, &dev, "alice", &[&subcluster, "startVat", "c", &member]),
        "there is a vat",
    );
    answer(&place, &dev, "alice", &[&subcluster, "terminateVat", "b"]);
    refused_by_the_dead(&send(&place, &dev, "alice", &[&b, "title"]));
    refused(&send(&place, &dev, "alice", &[&subcluster, "terminateVat", "b"]), "there is no vat");
    // A node that is started again knows them.
    assert!(dev.stop("TERM").success());
    let dev = place.dev();
    assert_eq!(answer(&place, &dev, "alice", &[&a, "title"]), "ann");
    answer(&place, &dev, "alice", &[&subcluster, "terminateAllVats"]);
    refused_by_the_dead(&send(&place, &dev, "alice", &[&a, "title"]));
    let vats = place.ask(&dev, &["query", "vats", "--json"]).json();
    let mine = vats["vats"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|vat| vat["name"].as_str().is_some_and(|name| name.starts_with("duo.")));
    assert!(mine.clone().all(|vat| vat["status"] != "running") && mine.count() == 3, "{vats}");
}

#[test]
fn a_subcluster_that_cannot_be_started_whole_is_not_started() {
    let place = Place::new();
    let dev = place.dev();
    let member = install(&place, &dev, "member");
    let vat = json!({"bundleID": member});
    let failing = json!({"bundleID": member, "vatParameters": {"fails": true}});
    let unknown = json!({"bundleID": format!("b1-{}", "0".repeat(128))});
    for (config, part) in [
        (json!({"name": "x", "vats": {"a": vat, "z": failing}}), "as asked"),
        (json!({"name": "x", "vats": {"a": vat, "z": unknown}}), "is not installed"),
        (json!({"name": "x", "vats": {"a": vat}, "bootstrap": "b"}), "invalid bootstrap vat name"),
        (json!({"name": "x y", "vats": {"a": vat}}), "a name is"),
        (json!({"name": "x", "vats": {}}), "1 to 32 vats, not 0"),
        (json!({"name": "x", "vats": {"a": vat}, "shoe": 9}), "unknown options"),
    ] {
        let config = config.to_string();
        refused(&send(&place, &dev, "alice", &["factory", "launchSubcluster", &config]), part);
    }
    let vats = place.ask(&dev, &["query", "vats", "--json"]).json();
    let running = |vat: &&Value| vat["status"] == "running" && vat["dynamic"] == true;
    assert_eq!(vats["vats"].as_array().unwrap().iter().filter(running).count(), 0, "{vats}");
}
