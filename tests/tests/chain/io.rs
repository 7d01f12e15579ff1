//! Io channels of subclusters on a chain: lines by transactions and queries, over restarts, upgrades and the end.
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeMap;

use capstan_client::proto::MsgWriteChannel;
use capstan_client::{Args, Bundle, ClientError, ErrorCode, Key, TxBuilder, UpgradeVat, Wallet};
use capstan_genesis::{
    GenesisBundle, GenesisCluster, GenesisIo, GenesisSubcluster, GenesisVat, GenesisVats,
};
use capstan_tests::{Node, bundle, genesis, soon};
use serde_json::{Value, json};

const ECHO: &str = "tests/vats/echo.js";

/// A chain that account 0 governs, with a system subcluster `s1` of one vat and these channels.
fn start(io: &[(&str, &str)]) -> (Node, Bundle) {
    let echo = bundle(ECHO);
    let mut genesis = genesis(|params| params.governors = vec![Key::dev(0).address()]);
    let state = &mut genesis.app_state;
    state.bundles.push(GenesisBundle::new(echo.id.clone(), None, &echo.bytes));
    if !io.is_empty() {
        let channel = |(name, direction): &(&str, &str)| {
            ((*name).to_owned(), GenesisIo { direction: (*direction).to_owned() })
        };
        let config = GenesisCluster {
            bootstrap: "main".to_owned(),
            services: vec![],
            io: io.iter().map(channel).collect::<BTreeMap<_, _>>(),
            vats: GenesisVats(vec![("main".to_owned(), GenesisVat::new(echo.id.clone()))]),
        };
        state.kernel.system_subclusters.push(GenesisSubcluster { name: "echo".into(), config });
    }
    let node = Node::start_from(genesis);
    node.wait_idle();
    (node, echo)
}

/// A subcluster that an account has launched.
struct Launched {
    id: String,
    root: String,
    admin: String,
    subcluster: String,
}

fn launch(from: &Wallet, echo: &Bundle, io: Value) -> Launched {
    let vats = json!({"main": {"bundleID": echo.id.to_string()}});
    let config = json!([{"name": "echo", "bootstrap": "main", "io": io, "vats": vats}]);
    let answer = from.send("factory", "launchSubcluster", &Args::json(config.to_string())).unwrap();
    assert_eq!(answer.status, "fulfilled", "{}", answer.value.body);
    let value: Value = serde_json::from_str(answer.value.body.strip_prefix('#').unwrap()).unwrap();
    let slot = |value: &Value| {
        let text = value.as_str().unwrap().trim_start_matches('$');
        let index: usize = text.split('.').next().unwrap().parse().unwrap();
        answer.value.slots[index].clone()
    };
    let main = &value["vats"]["main"];
    Launched {
        id: value["subclusterId"].as_str().unwrap().to_owned(),
        root: slot(&main["root"]),
        admin: slot(&main["adminNode"]),
        subcluster: slot(&value["subcluster"]),
    }
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What vats have written and nobody has acknowledged, once so many lines are there.
fn written(node: &Node, id: &str, channel: &str, count: usize) -> Vec<String> {
    let all = || {
        let page = node.client().channel(id, channel, 0, 0)?;
        let texts: Vec<String> = page.lines.into_iter().map(|line| line.text).collect();
        Ok::<_, ClientError>((texts.len() >= count).then_some(texts))
    };
    let found = soon().poll("the vats' lines", all).unwrap();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// The code and text of a transaction that fails.
fn failure<T: std::fmt::Debug>(done: Result<T, ClientError>) -> (Option<ErrorCode>, String) {
    match done.unwrap_err() {
        ClientError::Failed { code, log, .. } | ClientError::Refused { code, log, .. } => {
            (ErrorCode::from_number(code), log)
        }
        other => panic!("{other}"),
    }
}

fn ask(from: &Wallet, target: &str, method: &str, args: Value) -> String {
    let answer = from.send(target, method, &Args::json(args.to_string())).unwrap();
    answer.value.body
}

#[test]
fn an_account_talks_to_its_vats_over_restarts_and_an_upgrade() {
    let (mut node, echo) = start(&[]);
    let launched = launch(&node.wallet(1), &echo, json!({"console": {}, "watched": {}}));
    let id = launched.id.as_str();
    for channel in ["console", "watched"] {
        node.wallet(1).write_channel(id, channel, &lines(&["one", "!two"]), false).unwrap();
        assert_eq!(written(&node, id, channel, 2), ["v1 got one", "v1 got !two"]);
    }
    node.wait_idle();
    node.restart();
    let bob = node.wallet(1);
    for channel in ["console", "watched"] {
        bob.write_channel(id, channel, &lines(&["three"]), true).unwrap();
        assert_eq!(written(&node, id, channel, 4)[2..], ["v1 got three", "v1 end"]);
        let left = bob.acknowledge_channel(id, channel, 3).unwrap();
        assert_eq!(left.waiting, 1);
        assert_eq!(written(&node, id, channel, 1), ["v1 end"]);
    }
    // The read of the old incarnation waits still. The line is for the new one.
    let parameters = Some(Args::json(r#"{"version":2}"#));
    let upgrade = UpgradeVat {
        admin: launched.admin.clone(),
        bundle_id: echo.id.to_string(),
        parameters,
        message: String::new(),
    };
    assert_eq!(bob.upgrade_vat(&upgrade).unwrap().status, "fulfilled");
    node.wait_idle();
    node.restart();
    let bob = node.wallet(1);
    for channel in ["console", "watched"] {
        bob.write_channel(id, channel, &lines(&["four", "five"]), false).unwrap();
        assert_eq!(written(&node, id, channel, 3), ["v1 end", "v2 got four", "v2 got five"]);
    }
    assert_eq!(ask(&bob, &launched.root, "error", json!([])), "#\"none\"");
    let page = node.client().channel(id, "console", 5, 1).unwrap();
    assert_eq!((page.lines.len(), page.next, page.acknowledged, page.written), (1, 0, 3, 6));
    assert_eq!((page.lines[0].number, page.waiting_reads, page.input_lines), (6, 1, 0));
    assert_eq!(node.client().channel(id, "console", 0, 1).unwrap().next, 4);

    let channel = ask(&bob, &launched.root, "give", json!(["console"]));
    assert!(channel.contains("Alleged"), "{channel}");
    ask(&bob, &launched.subcluster, "terminate", json!(["over"]));
    let gone = node.client().channel(id, "console", 0, 0).unwrap_err().to_string();
    assert!(gone.contains(&format!("io:{id}:console")), "{gone}");
    let (code, text) = failure(bob.write_channel(id, "console", &lines(&["x"]), false));
    assert_eq!(code, Some(ErrorCode::Channel), "{text}");
}

#[test]
fn only_the_launcher_writes_and_acknowledges_and_only_what_fits() {
    let (node, echo) = start(&[]);
    let (bob, carol) = (node.wallet(1), node.wallet(2));
    let io = json!({"in": {"direction": "in"}, "out": {"direction": "out"}});
    let launched = launch(&bob, &echo, io);
    let id = launched.id.as_str();
    for (done, words) in [
        (carol.write_channel(id, "in", &lines(&["x"]), false).map(drop), "may not use io:"),
        (carol.acknowledge_channel(id, "out", 0).map(drop), "may not use io:"),
        (node.wallet(0).acknowledge_channel(id, "out", 0).map(drop), "may not use io:"),
        (bob.write_channel(id, "out", &lines(&["x"]), false).map(drop), "takes no lines"),
        (bob.acknowledge_channel(id, "in", 0).map(drop), "no lines for outside"),
        (bob.acknowledge_channel(id, "out", 1).map(drop), "the last one is 0"),
        (bob.write_channel(id, "err", &lines(&["x"]), false).map(drop), "no io channel"),
        (bob.write_channel("s99", "in", &lines(&["x"]), false).map(drop), "no io channel"),
    ] {
        let (code, text) = failure(done);
        assert_eq!(code, Some(ErrorCode::Channel), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let many = vec![String::new(); 129];
    let long = [vec![], vec!["x".repeat(65_537)]].concat();
    for (subcluster, channel, lines, words) in [
        (id, "in", &many[..], "at most 128 in one message"),
        (id, "in", &long[..], "at most 65536"),
        (id, "in", &lines(&["a\nb"]), "line feed"),
        (id, "in", &[], "close is false"),
        ("1", "in", &lines(&["x"]), "not a subcluster"),
        (id, "a b", &lines(&["x"]), "letters, digits"),
    ] {
        let (code, text) = failure(bob.write_channel(subcluster, channel, lines, false));
        assert_eq!(code, Some(ErrorCode::Field), "{text}");
        assert!(text.contains(words), "{text}");
    }
    // Each line costs what an entry of the state takes, however short it is.
    let message = MsgWriteChannel {
        sender: bob.address().to_string(),
        subcluster_id: id.to_owned(),
        channel: "in".to_owned(),
        lines: many[..128].to_vec(),
        close: false,
    };
    let (code, text) = failure(bob.submit(TxBuilder::new().message(&message), 0));
    assert_eq!(code, Some(ErrorCode::FeeTooLow), "{text}");
    bob.write_channel(id, "in", &many[..128], false).unwrap();
    let (code, text) = failure(bob.write_channel(id, "in", &lines(&["x"]), false));
    assert_eq!(code, Some(ErrorCode::ChannelFull), "{text}");
    assert!(text.contains("is full") && text.contains("try again"), "{text}");
    // The other end keeps to its direction, too.
    let error = ask(&bob, &launched.root, "ask", json!(["in", "write", "x"]));
    assert!(error.contains(&format!(r#"IO channel \"io:{id}:in\" is read-only"#)), "{error}");
    let error = ask(&bob, &launched.root, "ask", json!(["out", "read"]));
    assert!(error.contains(&format!(r#"IO channel \"io:{id}:out\" is write-only"#)), "{error}");
    assert_eq!(ask(&bob, &launched.root, "ask", json!(["in", "read"])), "#\"\"");
    bob.write_channel(id, "in", &lines(&["x"]), false).unwrap();
}

#[test]
fn what_is_wrong_with_a_channel_is_said_at_the_launch() {
    let (node, echo) = start(&[]);
    let bob = node.wallet(1);
    let vats = json!({"main": {"bundleID": echo.id.to_string()}});
    let many: serde_json::Map<String, Value> =
        (0..33).map(|n| (format!("n{n}"), json!({}))).collect();
    for (io, words) in [
        (json!(7), "options must be a record"),
        (json!({"x": 7}), "io channel x is not a record"),
        (json!({"x": {"type": "socket"}}), "there is no type on a chain"),
        (json!({"x": {"direction": "up"}}), "direction must be in, out or inout"),
        (json!({"a b": {}}), "the names of io"),
        (Value::Object(many), "33 io channels are more than 32"),
    ] {
        let config = json!([{"name": "e", "bootstrap": "main", "io": io, "vats": vats.clone()}]);
        let error = ask(&bob, "factory", "launchSubcluster", config);
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(node.client().subclusters().unwrap().len(), 0);
}

#[test]
fn the_channels_of_the_chain_are_its_governors() {
    let (mut node, _) = start(&[("console", ""), ("log", "out")]);
    let record = node.client().subcluster("s1").unwrap();
    let io = record.io.iter().map(|io| (io.name.as_str(), io.direction.as_str()));
    assert_eq!(io.collect::<Vec<_>>(), [("console", "inout"), ("log", "out")]);
    for round in 1..3 {
        let (alice, bob) = (node.wallet(0), node.wallet(1));
        let (code, text) = failure(bob.write_channel("s1", "console", &lines(&["x"]), false));
        assert_eq!(code, Some(ErrorCode::Channel), "{text}");
        assert!(text.contains("whose governors may"), "{text}");
        alice.write_channel("s1", "console", &lines(&["hello"]), false).unwrap();
        assert_eq!(written(&node, "s1", "console", round), vec!["v1 got hello"; round]);
        node.wait_idle();
        node.restart();
    }
}
