//! The binary's whole story: a chain, a bundle, a vat, messages, questions, a restart.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use capstan_client::{ClientError, Deadline};
use common::{Dev, PATIENCE, Place, checkout};
use serde_json::{Value, json};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// The queries about a vat of this id and bundle, which is named `counter`.
fn assert_queries_know(place: &Place, dev: &Dev, vat_id: &str, id: &str) {
    let stats = place.ask(dev, &["query", "vat-stats", vat_id, "--json"]).json();
    for count in [
        "object_count",
        "promise_count",
        "device_count",
        "transcript_count",
        "deliveries",
        "computrons_total",
    ] {
        assert!(stats[count].is_u64(), "{count}: {stats}");
    }
    let table = place.ask(dev, &["query", "vat-stats", vat_id]).stdout;
    assert!(table.contains("computrons total") && table.contains("running"), "{table}");
    let vats = place.ask(dev, &["query", "vats", "--json"]).json();
    assert!(
        vats["vats"]
            .as_array()
            .unwrap()
            .iter()
            .any(|v| v["vat_id"] == vat_id && v["name"] == "counter"),
        "{vats}"
    );
    for bundle in [id, "counter.json"] {
        assert_eq!(place.ask(dev, &["query", "bundle", bundle, "--json"]).json()["bundle_id"], id);
    }
}

/// Bundles, installs and creates the counter of the examples. Gives its bundle's id and what `create-vat` printed.
fn create_counter(place: &Place, dev: &Dev) -> (String, Value) {
    let source = checkout().join("examples/counter/vat-counter.js");
    let bundled =
        place.run(&["bundle", source.to_str().unwrap(), "-o", "counter.json", "--json"]).json();
    let id = text(&bundled["bundle_id"]).to_owned();
    let installed = place
        .ask(dev, &["tx", "install-bundle", "counter.json", "--from", "alice", "--json"])
        .json();
    assert_eq!(installed["bundle_id"], id);
    let create = [
        "tx",
        "create-vat",
        &id,
        "--name",
        "counter",
        "--params",
        r#"{"start":5}"#,
        "--from",
        "alice",
        "--json",
    ];
    let vat = place.ask(dev, &create).json();
    let (vat_id, root) = (text(&vat["vat_id"]), text(&vat["root"]));
    assert!(
        vat_id.starts_with('v')
            && root.starts_with("ro-")
            && text(&vat["admin"]).starts_with("ro-"),
        "{vat}"
    );
    (id, vat)
}

#[test]
fn from_a_source_file_to_the_vats_statistics_and_on_after_a_restart() {
    let place = Place::new();
    let dev = place.dev();
    assert_eq!(
        (&dev.ready["ready"], &dev.ready["chain_id"]),
        (&json!(true), &json!("capstan-dev"))
    );
    let names: Vec<&str> =
        dev.ready["accounts"].as_array().unwrap().iter().map(|a| text(&a["name"])).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);

    let (id, vat) = create_counter(&place, &dev);
    let (vat_id, root) = (text(&vat["vat_id"]), text(&vat["root"]));

    let answer = place
        .ask(&dev, &["tx", "send", root, "increment", "37", "--from", "alice", "--json"])
        .json();
    assert_eq!(
        (&answer["status"], &answer["value"], &answer["slots"]),
        (&json!("fulfilled"), &json!(42), &json!([]))
    );
    let plain = place.ask(&dev, &["tx", "send", root, "read", "--from", "alice"]);
    assert_eq!((plain.code, plain.stdout.as_str()), (0, "fulfilled: 42\n"));
    let refused = place.ask(&dev, &["tx", "send", root, "nonsense", "--from", "alice", "--json"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let refused: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(refused["status"], "rejected");
    assert!(text(&refused["value"]["@error"]).contains("target has no method"), "{refused}");

    assert_queries_know(&place, &dev, vat_id, &id);
    let result = place.ask(&dev, &["query", "result", text(&answer["tx_hash"]), "--json"]).json();
    assert_eq!(result["status"], "fulfilled");
    let object = place.ask(&dev, &["query", "object", root, "--account", "alice", "--json"]).json();
    assert_eq!(object["owner"], vat_id);

    assert!(dev.stop("TERM").success());
    let dev = place.dev();
    assert!(dev.start_time < Duration::from_secs(10), "a second start takes {:?}", dev.start_time);
    let answer =
        place.ask(&dev, &["tx", "send", root, "increment", "--from", "alice", "--json"]).json();
    assert_eq!(answer["value"], 43);
    assert!(dev.stop("INT").success());
}

#[test]
fn a_chain_that_is_killed_goes_on_where_it_was() {
    let place = Place::new();
    let mut dev = place.dev();
    let source = checkout().join("examples/counter/vat-counter.js");
    place.run(&["bundle", source.to_str().unwrap(), "-o", "counter.json"]).assert_failed(0, "");
    place
        .ask(&dev, &["tx", "install-bundle", "counter.json", "--from", "alice"])
        .assert_failed(0, "");
    let vat =
        place.ask(&dev, &["tx", "create-vat", "counter.json", "--from", "alice", "--json"]).json();
    let root = text(&vat["root"]);
    for count in 1..=3 {
        // The answer is in a committed block: a crash at any instant after it cannot undo it.
        let answer =
            place.ask(&dev, &["tx", "send", root, "increment", "--from", "alice", "--json"]).json();
        assert_eq!(answer["value"], count);
        assert!(!dev.stop("KILL").success());
        dev = place.dev();
        let height =
            place.ask(&dev, &["query", "status", "--json"]).json()["height"].as_u64().unwrap();
        assert!(height >= answer["settled_height"].as_u64().unwrap());
    }
}

#[test]
fn references_and_other_values_go_in_and_out_of_vats() {
    let place = Place::new();
    let dev = place.dev();
    std::fs::write(
        place.path().join("echo.js"),
        "import { Far } from '@endo/far';\n\
         export const buildRootObject = (_, { friend }) => {\n\
           const own = Far('own', {});\n\
           return Far('echo', { echo: (...args) => args, own: () => own, friend: () => friend });\n\
         };\n",
    )
    .unwrap();
    place.run(&["bundle", "echo.js", "-o", "echo.json"]).assert_failed(0, "");
    place.ask(&dev, &["tx", "install-bundle", "echo.json", "--from", "alice"]).assert_failed(0, "");
    let create = |params: &str| {
        place
            .ask(
                &dev,
                &["tx", "create-vat", "echo.json", "--params", params, "--from", "alice", "--json"],
            )
            .json()
    };
    let send = |arguments: &[&str]| {
        let command = [&["tx", "send"], arguments, &["--from", "alice", "--json"]].concat();
        place.ask(&dev, &command).json()
    };
    let echo = create("{}");
    let root = text(&echo["root"]);
    let own = send(&[root, "own"]);
    let reference = text(&own["value"]);
    assert_eq!(own["slots"], json!([reference.trim_start_matches('@')]));
    let arguments = [
        "1",
        "two",
        "3n",
        "-4",
        "[null,true]",
        reference,
        r#"{"deep":{"!odd":"@@x"}}"#,
        "{\"@tag\":\"copySet\",\"payload\":[]}",
    ];
    let answer = send(&[&[root, "echo"][..], &arguments].concat());
    let expected = json!([
        1, "two", {"@bigint": "3"}, -4, [null, true], reference, {"deep": {"!odd": "@@x"}}, {"@tag": "copySet", "payload": []},
    ]);
    assert_eq!(answer["value"], expected, "{answer}");
    // Negative bigints are no options, and what only looks like a value is refused with the place of the mistake.
    assert_eq!(send(&[root, "echo", "-5n"])["value"], json!([{"@bigint": "-5"}]));
    let bad = ["tx", "send", root, "echo", "ok", "[1,2", "--from", "alice"];
    place.ask(&dev, &bad).assert_failed(2, "argument 2: character 5: expected `,` or `]`");
    let shown =
        place.ask(&dev, &["tx", "send", root, "echo", "[undefined,-7n]", "--from", "alice"]);
    assert_eq!(shown.stdout.trim(), "fulfilled: [[undefined,-7n]]");
    // What came out goes in again, also as a parameter of another vat.
    let other = create(&format!("{{\"friend\":{reference}}}"));
    assert_eq!(send(&[text(&other["root"]), "friend"])["value"], reference);
    // Dropped references are gone.
    let dropped = reference.trim_start_matches('@');
    place.ask(&dev, &["tx", "drop", dropped, "--from", "alice"]).assert_failed(0, "");
    place.ask(&dev, &["tx", "send", dropped, "x", "--from", "alice"]).assert_failed(3, "not held");
}

#[test]
fn commands_of_one_account_run_at_the_same_time() {
    let place = Place::new();
    let dev = place.dev();
    let transfer = ["tx", "transfer", "bob", "1", "--from", "alice", "--json", "--node", dev.url()];
    let running: Vec<_> =
        (0..5).map(|_| place.command(&transfer).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let account = place.ask(&dev, &["query", "account", "alice", "--json"]).json();
    assert_eq!(account["sequence"].to_string().trim_matches('"'), "5", "{account}");
}

#[test]
fn a_command_that_is_interrupted_names_its_transaction() {
    let place = Place::new();
    let dev = place.dev();
    let silent = "import { Far } from '@endo/far';\nexport const buildRootObject = () => Far('root', { wait: () => new Promise(() => {}) });\n";
    std::fs::write(place.path().join("silent.js"), silent).unwrap();
    place.run(&["bundle", "silent.js", "-o", "silent.json"]).assert_failed(0, "");
    place
        .ask(&dev, &["tx", "install-bundle", "silent.json", "--from", "alice"])
        .assert_failed(0, "");
    let vat = place.ask(&dev, &["tx", "create-vat", "silent.json", "--from", "alice", "--json"]);
    let vat = vat.json();
    let call = ["tx", "send", text(&vat["root"]), "wait", "--from", "alice", "--node", dev.url()];
    let mut child = place.command(&call).stderr(Stdio::piped()).spawn().unwrap();
    // What it prints while it waits says that it has sent.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("waiting for the answer")));
    let sent = || {
        let account = place.ask(&dev, &["query", "account", "alice", "--json"]).json();
        Ok::<_, ClientError>(
            (account["sequence"].to_string().trim_matches('"') == "3").then_some(()),
        )
    };
    Deadline::after(PATIENCE).poll("the transaction", sent).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let last = lines.last().unwrap();
    assert!(last.contains("may still come through: `capstan query tx "), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The promise of an answer that nobody waits for is a target.
    let no_wait = [&call[..], &["--no-wait", "--json"]].concat();
    let promise = place.run(&no_wait).json();
    assert!(text(&promise["promise"]).starts_with("rp-"), "{promise}");
}

#[test]
fn keys_are_made_and_their_accounts_used() {
    let place = Place::new();
    let dev = place.dev();
    let made = place.run(&["keys", "add", "dave", "--json"]).json();
    place.ask(&dev, &["query", "account", "dave"]).assert_failed(3, "account");
    place
        .ask(&dev, &["tx", "transfer", "dave", "5000000ucap", "--from", "alice"])
        .assert_failed(0, "");
    let account = place.ask(&dev, &["query", "account", text(&made["address"]), "--json"]).json();
    assert_eq!(account["balance"], "5000000");
    place.ask(&dev, &["tx", "transfer", "alice", "1", "--from", "dave"]).assert_failed(0, "");
    place
        .ask(&dev, &["tx", "transfer", "alice", "9000000", "--from", "dave"])
        .assert_failed(3, "owns");

    let secret = place.run(&["keys", "export", "dave", "--unarmored-hex", "--unsafe"]).stdout;
    let import = |args: &[&str], secret: &str| {
        let mut child = place
            .command(&[&["keys"], args, &["--json"]].concat())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), secret.as_bytes()).unwrap();
        common::done(child.wait_with_output().unwrap())
    };
    assert_eq!(import(&["import-hex", "twin"], &secret).json()["address"], made["address"]);
    assert_eq!(
        import(&["add", "triplet", "--recover"], text(&made["mnemonic"])).json()["address"],
        made["address"]
    );
    import(&["import-hex", "none"], "").assert_failed(2, "empty");
    import(&["add", "wrong", "--recover"], "abandon abandon ability").assert_failed(1, "mnemonic");
    let listed = place.run(&["keys", "list", "--json"]).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 6, "{listed}");
}
