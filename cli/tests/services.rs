//! Kernel services and revoked objects over what an operator does: a replay of the vats, and a state that is exported and
//! becomes the beginning of a new chain.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::path::Path;

use common::{Dev, Place, checkout};
use serde_json::{Value, json};

const KEEPER: &str = "tests/vats/keeper.js";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Alice's messages to a chain.
struct Alice<'a> {
    place: &'a Place,
    dev: &'a Dev,
}

impl Alice<'_> {
    fn query(&self, args: &[&str]) -> Value {
        self.place.ask(self.dev, &[&["query"], args, &["--json"]].concat()).json()
    }

    /// The value of a fulfilled message.
    #[track_caller]
    fn ask(&self, args: &[&str]) -> Value {
        let done = self.send(args);
        assert_eq!(done["status"], "fulfilled", "{done}");
        done["value"].clone()
    }

    fn send(&self, args: &[&str]) -> Value {
        let args = [&["tx", "send"], args, &["--from", "alice", "--json"]].concat();
        serde_json::from_str(&self.place.ask(self.dev, &args).stdout).unwrap()
    }

    /// Calls a service that a vat holds.
    #[track_caller]
    fn through(&self, keeper: &str, service: &str, method: &str, args: &[&str]) -> Value {
        self.ask(&[&[keeper, "ask", service, method], args].concat())
    }
}

/// Returns the parts of a chain that an export carries over unchanged.
fn kept(alice: &Alice<'_>, revoked: &str, keeper: &str) -> Value {
    json!({
        "services": alice.query(&["services"]),
        "subcluster": alice.query(&["subcluster", "s1"]),
        "mailbox": alice.query(&["mailbox", "peer"]),
        "object": alice.query(&["object", revoked, "--account", "alice"]),
        "told": alice.ask(&[keeper, "told"]),
    })
}

/// A new home whose chain has a subcluster that holds services.
fn init(place: &Place) {
    let source = checkout().join(KEEPER);
    assert_eq!(place.run(&["bundle", text(&source), "-o", "keeper.json"]).code, 0);
    let services =
        ["chain", "kernelFacet", "validators", "mailbox", "mailboxConveyor", "bridge", "timer"];
    let vats = json!({"main": {"bundle": "keeper.json"}});
    let config = json!({"bootstrap": "main", "services": services, "vats": vats});
    let file = place.path().join("keeper-subcluster.json");
    std::fs::write(file, json!({"name": "keeper", "config": config}).to_string()).unwrap();
    let args = ["--timer", "--mailbox", "--governor", "alice"];
    let args = [&["init"], &args[..], &["--system-subcluster", "keeper-subcluster.json"]].concat();
    let made = place.run(&args);
    assert_eq!(made.code, 0, "{made:?}");
}

fn look_up(alice: &Alice<'_>, name: &str) -> String {
    alice.ask(&["factory", "lookup", name]).as_str().unwrap().to_owned()
}

/// Uses services and revokes an object: the keeper's root, and alice's name of what was revoked.
fn story(alice: &Alice<'_>) -> (String, String) {
    let governed = look_up(alice, "chain/system-subclusters");
    let keeper = alice.ask(&[&governed, "getRoot", "keeper"]).as_str().unwrap().to_owned();
    alice.ask(&[&keeper, "listen", "mailbox"]);
    alice.through(&keeper, "mailbox", "add", &["peer", "1", "out"]);
    let letter = r#"[[1,"in"]]"#;
    alice.through(&keeper, "mailboxConveyor", "deliverInbound", &["peer", letter, "0"]);
    let failed = alice.send(&[&keeper, "ask", "kernelFacet", "getSubcluster", "s9"]);
    assert_eq!(failed["status"], "rejected", "{failed}");
    let now = alice.through(&keeper, "timer", "getCurrentTimestamp", &[]);
    assert!(now.is_object(), "{now}");
    // What a vat launches through the facet.
    let id = &alice.query(&["subcluster", "s1"])["vats"][0]["vat_id"];
    let bundle = alice.query(&["vat", id.as_str().unwrap()])["bundle_id"].clone();
    let config = json!({"bootstrap": "a", "vats": {"a": {"bundleID": bundle}}}).to_string();
    let launched = alice.send(&[&keeper, "ask", "kernelFacet", "launchSubcluster", &config]);
    let root = launched["value"]["root"].as_str().unwrap().to_owned();
    introduced(alice, launched["tx_hash"].as_str().unwrap());
    alice.ask(&[&root, "told"]);
    let revoker = look_up(alice, "chain/revoker");
    alice.ask(&[&revoker, "revoke", &root]);
    (keeper, root)
}

/// The vats that a message led to are found from the hash of its transaction.
fn introduced(alice: &Alice<'_>, hash: &str) {
    let events = alice.query(&["tx", hash])["later_events"].clone();
    let found = events.as_array().unwrap().iter().find(|event| event["type"] == "vat.introduced");
    let found = found.unwrap_or_else(|| panic!("{events}"));
    let attribute = |name: &str| {
        let all = found["attributes"].as_array().unwrap().iter();
        let one = all.clone().find(|one| one["key"] == name).unwrap();
        one["value"].as_str().unwrap().to_owned()
    };
    assert_eq!((attribute("tx_hash"), attribute("message_index")), (hash.to_owned(), "0".into()));
    let subcluster = alice.query(&["subcluster", &attribute("subcluster_id")]);
    assert_eq!(subcluster["vats"][0]["vat_id"], attribute("vat_id"), "{subcluster}");
}

fn assert_goes_on(alice: &Alice<'_>, keeper: &str, revoked: &str) {
    let error = alice.send(&[revoked, "told"]);
    assert_eq!(error["status"], "rejected", "{error}");
    assert!(error.to_string().contains("[KERNEL:OBJECT_REVOKED]"), "{error}");
    let letter = r#"[[2,"in again"]]"#;
    alice.through(keeper, "mailboxConveyor", "deliverInbound", &["peer", letter, "1"]);
    let heard = alice.ask(&[keeper, "heard"]);
    assert_eq!(heard[2], json!(["messages", "peer", [[2, "in again"]]]), "{heard}");
    let id = alice.through(keeper, "chain", "getChainId", &[]);
    assert_eq!(id, "capstan-dev-2", "the service tells of the chain that it is on");
    let listed = alice.through(keeper, "validators", "list", &[]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn vats_that_use_services_replay_and_go_on_in_a_new_chain() {
    let place = Place::new();
    init(&place);
    let dev = place.dev_at(&place.home(), &["--archive"]);
    let alice = Alice { place: &place, dev: &dev };
    let (keeper, revoked) = story(&alice);
    let before = kept(&alice, &revoked, &keeper);
    let owners = |services: &Value| -> Vec<String> {
        let text = |one: &Value| format!("{}: {}", one["name"], one["owner"]).replace('"', "");
        services["services"].as_array().unwrap().iter().map(text).collect()
    };
    let timer = alice.query(&["vats"])["vats"]
        .as_array()
        .unwrap()
        .iter()
        .find(|vat| vat["name"] == "timer")
        .unwrap()["vat_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let owned = owners(&before["services"]);
    assert_eq!(owned.len(), 8, "{owned:?}");
    assert!(owned.contains(&format!("timer: {timer}")), "{owned:?}");
    assert_eq!(before["object"]["revoked"], true, "{before}");
    let vats = alice.query(&["vats"]);
    assert!(dev.stop("TERM").success());

    for vat in vats["vats"].as_array().unwrap() {
        let id = vat["vat_id"].as_str().unwrap();
        for from in [&[][..], &["--from-genesis"]] {
            let replayed = place.run(&[&["vat", "replay", id, "--json"], from].concat()).json();
            assert_eq!(replayed["equal"], true, "{id}: {replayed}");
        }
    }
    let export = place.path().join("export");
    let exported = place.run(&["export", "--to", text(&export), "--json"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let (document, new) = (export.join("genesis.json"), place.path().join("new"));
    // Another node has another key.
    let mut genesis: Value = serde_json::from_slice(&std::fs::read(&document).unwrap()).unwrap();
    assert_eq!(genesis["validators"].as_array().unwrap().len(), 1, "those of the table");
    genesis["validators"] = json!([]);
    std::fs::write(&document, genesis.to_string()).unwrap();
    let init = ["init", "--genesis", text(&document), "--home", text(&new)];
    assert_eq!(place.run(&init).code, 0);
    let dev = place.dev_at(&new, &[]);
    let alice = Alice { place: &place, dev: &dev };
    assert_eq!(kept(&alice, &revoked, &keeper), before);
    assert_goes_on(&alice, &keeper, &revoked);
    assert!(dev.stop("TERM").success());
}
