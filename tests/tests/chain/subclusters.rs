//! Subclusters and kernel services on a chain: those of the chain itself, and those of accounts.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::proto::QuerySubclusterResponse;
use capstan_client::{Args, Bundle, Key, Wallet};
use capstan_genesis::{
    Genesis, GenesisBundle, GenesisCluster, GenesisSubcluster, GenesisVat, GenesisVats,
};
use capstan_tests::{CHAIN_ID, Node, bundle, genesis};
use serde_json::{Value, json};

/// The source of a vat that keeps the services that it is given.
pub(crate) const KEEPER: &str = "tests/vats/keeper.js";

/// The genesis document of a chain with a system subcluster for each of the given names, services and parameters of its
/// one vat. Account 0 governs it.
pub(crate) fn chain(subclusters: &[(&str, &[&str], Value)]) -> Genesis {
    let keeper = bundle(KEEPER);
    let mut genesis = genesis(|params| params.governors = vec![Key::dev(0).address()]);
    let state = &mut genesis.app_state;
    state.bundles.push(GenesisBundle::new(keeper.id.clone(), None, &keeper.bytes));
    for (name, services, parameters) in subclusters {
        let parameters = parameters.clone();
        let vat = GenesisVat { parameters, ..GenesisVat::new(keeper.id.clone()) };
        let config = GenesisCluster {
            bootstrap: "main".to_owned(),
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            io: Default::default(),
            vats: GenesisVats(vec![("main".to_owned(), vat)]),
        };
        state.kernel.system_subclusters.push(GenesisSubcluster { name: (*name).into(), config });
    }
    genesis
}

fn start(subclusters: &[(&str, &[&str], Value)]) -> (Node, Bundle) {
    let node = Node::start_from(chain(subclusters));
    node.wait_idle();
    (node, bundle(KEEPER))
}

/// The answer to a message as plain JSON, and its references.
pub(crate) fn ask(from: &Wallet, target: &str, method: &str, args: Value) -> (Value, Vec<String>) {
    let answer = from.send(target, method, &Args::json(args.to_string())).unwrap();
    assert_eq!(answer.status, "fulfilled", "{method}: {}", answer.value.body);
    let body = answer.value.body.strip_prefix('#').unwrap();
    (serde_json::from_str(body).unwrap(), answer.value.slots)
}

pub(crate) fn refused(from: &Wallet, target: &str, method: &str, args: Value) -> String {
    let answer = from.send(target, method, &Args::json(args.to_string())).unwrap();
    assert_eq!(answer.status, "rejected", "{method}: {}", answer.value.body);
    answer.value.body
}

/// The governors' object for system subclusters.
fn governed(governor: &Wallet) -> String {
    ask(governor, "factory", "lookup", json!(["chain/system-subclusters"])).1.remove(0)
}

pub(crate) fn root(governor: &Wallet, name: &str) -> String {
    ask(governor, &governed(governor), "getRoot", json!([name])).1.remove(0)
}

fn summary(record: &QuerySubclusterResponse) -> Value {
    let vats: Vec<&str> = record.vats.iter().map(|vat| vat.name.as_str()).collect();
    json!([record.subcluster_id, record.name, record.owner, record.status, vats, record.services])
}

/// The events of all blocks whose kind begins with `subcluster.`, with their reasons.
fn news(node: &Node) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for height in 1..=u32::try_from(node.client().status().unwrap().height).unwrap() {
        for event in node.client().block_results(height).unwrap().finalize_block_events {
            let Some(kind) = event.kind.strip_prefix("subcluster.") else { continue };
            let of = |key: &str| {
                let has = event.attributes.iter().find(|a| a.key_str().unwrap() == key);
                has.map(|a| a.value_str().unwrap().to_owned()).unwrap_or_default()
            };
            found.push((kind.to_owned(), of("name"), of("reason")));
        }
    }
    found
}

#[test]
fn a_system_subcluster_is_launched_once_and_asks_its_services() {
    let (mut node, _) = start(&[("keeper", &["kernelFacet", "chain", "validators"], json!({}))]);
    let services = json!(["kernelFacet", "chain", "validators"]);
    let listed = node.client().subclusters().unwrap();
    let expected = json!(["s1", "keeper", "system", "running", ["main"], services]);
    assert_eq!(listed.iter().map(summary).collect::<Vec<_>>(), [expected]);
    let vat = node.client().vat(&listed[0].vats[0].vat_id).unwrap();
    assert_eq!((vat.name.as_str(), vat.status.as_str()), ("keeper.main", "running"));
    let kinds: Vec<String> = news(&node).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["launched", "bootstrapped"]);

    let told = json!({
        "bootstraps": 1, "chain": CHAIN_ID, "services": ["chain", "kernelFacet", "validators"],
        "vats": ["main"], "version": 1,
    });
    for _ in 0..2 {
        let alice = node.wallet(0);
        let keeper = root(&alice, "keeper");
        assert_eq!(ask(&alice, &keeper, "told", json!([])).0, told);
        let through = |service: &str, method: &str, args: &[&str]| {
            let args = [&[service, method], args].concat();
            ask(&alice, &keeper, "ask", json!(args))
        };
        let height = through("chain", "getHeight", &[]).0;
        let height: u64 = height.as_str().unwrap().strip_prefix('+').unwrap().parse().unwrap();
        assert!((2..=u64::from(u32::MAX)).contains(&height), "{height}");
        let params = through("chain", "getParams", &[]).0;
        assert!(params.as_str().unwrap().contains("max_vat_computrons"), "{params}");
        let validators = through("validators", "list", &[]).0;
        assert_eq!(validators[0]["power"], "+10", "{validators}");
        assert_eq!(through("kernelFacet", "ping", &[]).0, json!("pong"));
        let records = through("kernelFacet", "getSubclusters", &[]).0;
        let record = &records["subclusters"][0];
        assert_eq!((&record["id"], &record["services"]), (&json!("s1"), &services), "{records}");
        assert_eq!(record["vats"], json!([["main", vat.vat_id]]));
        let found = through("kernelFacet", "getSystemSubclusterRoot", &["keeper"]).1;
        assert_eq!(found, std::slice::from_ref(&keeper));
        let error = refused(&alice, &keeper, "ask", json!(["kernelFacet", "getSubcluster", "s9"]));
        assert!(error.contains("Subcluster does not exist."), "{error}");
        node.wait_idle();
        node.restart();
    }
}

#[test]
fn governors_upgrade_a_vat_of_a_system_subcluster_and_strangers_do_not() {
    let (node, keeper) = start(&[("keeper", &["chain"], json!({}))]);
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let error = refused(&bob, "factory", "lookup", json!(["chain/system-subclusters"]));
    assert!(error.contains("is for the chain's governors"), "{error}");
    let (governed, root) = (governed(&alice), root(&alice, "keeper"));
    let upgrade = |subcluster: &str, vat: &str, id: &str| json!([subcluster, vat, id, {"vatParameters": {"version": 2}}]);
    let id = keeper.id.to_string();
    for (args, part) in [
        (upgrade("other", "main", &id), "\"System subcluster \\\"other\\\" not found\""),
        (upgrade("keeper", "other", &id), "other"),
        (upgrade("keeper", "main", "b1-0"), "\\\"b1-0\\\" is not a bundle id"),
        (upgrade("keeper", "main", &format!("b1-{}", "0".repeat(128))), "is not installed"),
    ] {
        let error = refused(&alice, &governed, "upgradeVat", args);
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(ask(&alice, &root, "told", json!([])).0["version"], 1);
    ask(&alice, &governed, "upgradeVat", upgrade("keeper", "main", &id));
    let told = ask(&alice, &root, "told", json!([])).0;
    assert_eq!((&told["version"], &told["bootstraps"]), (&json!(2), &json!(1)));
    assert_eq!(ask(&alice, &root, "ask", json!(["chain", "getChainId"])).0, json!(CHAIN_ID));

    // A second one is launched, and ended.
    let config = json!({
        "bootstrap": "main", "services": ["kernelFacet"],
        "vats": {"main": {"bundleID": id, "parameters": {"version": 7}}},
    });
    let launched = ask(&alice, &governed, "launch", json!(["second", config])).0;
    assert_eq!(
        (&launched["subclusterId"], &launched["bootstrapResult"]),
        (&json!("s2"), &json!("kept"))
    );
    let error = refused(&alice, &governed, "launch", json!(["second", config]));
    assert!(error.contains("the name is taken"), "{error}");
    let second = self::root(&alice, "second");
    assert_eq!(ask(&alice, &second, "told", json!([])).0["version"], 7);
    ask(&alice, &governed, "terminate", json!(["second", "no longer needed"]));
    let error = refused(&alice, &second, "told", json!([]));
    // Which of the two depends on how far the kernel has cleaned up.
    let codes = ["[KERNEL:OBJECT_DELETED]", "[KERNEL:ENDPOINT_UNREACHABLE]"];
    assert!(codes.iter().any(|code| error.contains(code)), "{error}");
    let listed = node.client().subclusters().unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["keeper"]);
}

#[test]
fn a_system_subcluster_that_fails_is_told_and_the_chain_goes_on() {
    let subclusters: &[(&str, &[&str], Value)] = &[
        ("unknown", &["oracle"], json!({})),
        ("failing", &["chain"], json!({"fails": true})),
        ("sound", &["chain"], json!({})),
    ];
    let (node, _) = start(subclusters);
    let alice = node.wallet(0);
    let failed: Vec<_> = news(&node).into_iter().filter(|(kind, ..)| kind == "failed").collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(failed[0].1, "unknown");
    assert_eq!(failed[0].2, "no registered kernel service 'oracle'");
    assert_eq!(failed[1].1, "failing");
    assert!(failed[1].2.contains("the keeper fails as asked"), "{failed:?}");
    let error = refused(&alice, &governed(&alice), "getRoot", json!(["failing"]));
    assert!(error.contains("not found"), "{error}");
    assert_eq!(ask(&alice, &root(&alice, "sound"), "told", json!([])).0["chain"], CHAIN_ID);
    let listed = node.client().subclusters().unwrap();
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["sound"]);
}

#[test]
fn an_accounts_subcluster_is_given_only_what_is_for_everybody() {
    let (node, keeper) = start(&[("keeper", &["kernelFacet"], json!({}))]);
    let (alice, bob) = (node.wallet(0), node.wallet(1));
    let config = |services: &[&str]| {
        let vats = json!({"main": {"bundleID": keeper.id.to_string()}});
        json!([{"name": "mine", "bootstrap": "main", "services": services, "vats": vats}])
    };
    for (services, name) in [
        (&["chain", "oracle"][..], "oracle"),
        (&["kernelFacet"], "kernelFacet"),
        (&["validators", "chain"], "validators"),
    ] {
        let error = refused(&bob, "factory", "launchSubcluster", config(services));
        let text = format!("\"no registered kernel service '{name}'\"");
        assert!(error.contains(&text), "{error}");
    }
    let (launched, _) = ask(&bob, "factory", "launchSubcluster", config(&["chain"]));
    let id = launched["subclusterId"].as_str().unwrap().to_owned();
    node.wait_idle();
    let record = node.client().subcluster(&id).unwrap();
    let owner = bob.address().to_string();
    assert_eq!(summary(&record), json!([id, "mine", owner, "running", ["main"], ["chain"]]));
    let all = node.client().subclusters().unwrap();
    let owners: Vec<&str> = all.iter().map(|one| one.owner.as_str()).collect();
    assert_eq!(owners, ["system", &owner]);

    // What the kernel launches for a vat has no more than an account.
    let keeper_root = root(&alice, "keeper");
    let vats = json!({"main": {"bundleID": keeper.id.to_string(), "parameters": {"version": 3}}});
    let config =
        |services: Value| json!({"bootstrap": "main", "services": services, "vats": vats.clone()});
    let call = |services: Value| json!(["kernelFacet", "launchSubcluster", config(services)]);
    let error = refused(&alice, &keeper_root, "ask", call(json!(["validators"])));
    assert!(error.contains("no registered kernel service 'validators'"), "{error}");
    let (launched, slots) = ask(&alice, &keeper_root, "ask", call(json!(["chain"])));
    assert_eq!(launched["bootstrapResult"], "kept");
    assert_eq!(ask(&alice, &slots[0], "told", json!([])).0["version"], 3);
    let end = json!(["kernelFacet", "terminateSubcluster", launched["subclusterId"], "done"]);
    ask(&alice, &keeper_root, "ask", end);
    refused(&alice, &slots[0], "told", json!([]));
    assert_eq!(node.client().subclusters().unwrap().len(), 2);
}
