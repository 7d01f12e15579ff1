//! JSON of the commands: its names follow one convention, and standard error has JSON too.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;
use std::path::Path;

use common::names::{is_snake, misnamed};
use common::{Place, checkout};
use serde_json::{Value, json};

/// Names in the sources that other programs fixed, by the end of the file's path.
const FIXED: &[(&str, &[&str])] = &[
    ("client/src/bundle.rs", &["moduleFormat"]),
    (
        "cli/src/query/chain_info.rs",
        &[
            "bech32Config",
            "chainId",
            "chainName",
            "coinDecimals",
            "coinDenom",
            "coinMinimalDenom",
            "coinType",
            "feeCurrencies",
            "gasPriceStep",
        ],
    ),
];

#[test]
fn misnamed_fields_are_found() {
    for (name, is_right) in [
        ("vat_id", true),
        ("sha256", true),
        ("@type", true),
        ("vatId", false),
        ("_x", false),
        ("a__b", false),
        ("A", false),
    ] {
        assert_eq!(is_snake(name), is_right, "{name}");
    }
    let value = json!({"vatId": 1, "list": [{"isBad": {}}], "value": {"ofAVat": 1}});
    assert_eq!(misnamed(&value), ["vatId", "isBad"]);
}

/// Returns the sources below a directory.
fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push((path.display().to_string(), fs::read_to_string(&path).unwrap())),
        }
    }
}

/// Returns the names of fields in `json!({\"name\": …})` and of assignments `record[\"name\"] =`.
fn written(code: &str) -> Vec<&str> {
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut names = Vec::new();
    let parts: Vec<&str> = code.split('"').collect();
    for pair in parts.windows(3) {
        let (before, name, after) = (pair[0].trim_end(), pair[1], pair[2]);
        let is_field = (before.ends_with('{') || before.ends_with(',')) && after.starts_with(": ");
        let is_set =
            before.ends_with('[') && after.starts_with("] =") && !after.starts_with("] ==");
        if (is_field || is_set) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            names.push(name);
        }
    }
    names
}

#[test]
fn every_name_that_a_command_writes_is_in_snake_case() {
    let mut found = Vec::new();
    for room in ["cli/src", "client/src", "node/src", "localnet/src", "app/src/observe/vat_log"] {
        sources(&checkout().join(room), &mut found);
    }
    let mut count = 0;
    for (path, code) in &found {
        let fixed =
            FIXED.iter().find(|(end, _)| path.ends_with(end)).map_or(&[][..], |(_, it)| *it);
        for name in written(code).into_iter().filter(|name| !fixed.contains(name)) {
            count += 1;
            assert!(is_snake(name), "{path}: {name}");
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_fields_of_responses_are_in_snake_case() {
    let proto = fs::read_to_string(checkout().join("proto/capstan/v1/query.proto")).unwrap();
    let lines = proto.lines().map(str::trim).filter(|line| !line.starts_with("option"));
    let fields = lines.filter_map(|line| line.split_once(" = "));
    let names = fields.filter_map(|(field, _)| field.rsplit(' ').next());
    assert!(names.clone().count() > 100);
    assert_eq!(names.filter(|name| !is_snake(name)).collect::<Vec<_>>(), [] as [&str; 0]);
}

#[test]
fn every_list_is_an_object_and_standard_error_is_json() {
    let place = Place::new();
    let dev = place.dev();
    assert_eq!(place.run(&["keys", "list", "--json"]).json()["keys"][0]["name"], "alice");
    let lists = ["vats", "bundles", "subclusters", "services"];
    for list in lists {
        assert!(place.ask(&dev, &["query", list, "--json"]).json()[list].is_array(), "{list}");
    }
    for question in ["status", "params", "kernel", "queue", "block"] {
        assert!(place.ask(&dev, &["query", question, "--json"]).json().is_object(), "{question}");
    }
    for question in [["vat", "v1"], ["vat-stats", "v1"], ["account", "alice"], ["clist", "v1"]] {
        let args = ["query", question[0], question[1], "--json"];
        assert!(place.ask(&dev, &args).json().is_object(), "{question:?}");
    }
    let send = ["tx", "send", "factory", "lookup", "nothing", "--from", "alice", "--json"];
    let done = place.ask(&dev, &send);
    assert_eq!(done.code, 1, "{done:?}");
    let lines: Vec<Value> =
        done.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, others) = lines.split_last().unwrap();
    assert_eq!(last["exit_code"], 1, "{done:?}");
    assert!(others.iter().all(|line| line["event"].is_string()), "{done:?}");
    // For people the answer says it all.
    let done = place.ask(&dev, &send[..send.len() - 1]);
    assert!(!done.stderr.contains("error:") && done.stdout.starts_with("rejected: "), "{done:?}");

    let hash: Value = serde_json::from_str(&place.ask(&dev, &send).stdout).unwrap();
    let hash = hash["tx_hash"].as_str().unwrap().to_owned();
    let tx = place.ask(&dev, &["query", "tx", &hash, "--json"]).json();
    let message = &tx["messages"][0];
    assert_eq!((&message["kind"], &message["method"]), (&json!("MsgSend"), &json!("lookup")));
    assert_eq!((&message["status"], &tx["code"]), (&json!("rejected"), &json!(0)), "{tx}");
    assert_eq!(tx["later_events"][0]["type"], "message.resolved", "{tx}");
    let shown = place.ask(&dev, &["query", "tx", &hash]).stdout;
    assert!(shown.lines().count() <= 15 && shown.contains(".lookup: rejected in block"), "{shown}");
    let events = place.ask(&dev, &["query", "tx", &hash, "--events"]).stdout;
    assert!(events.contains("message.resolved account="), "{events}");
    assert!(dev.stop("TERM").success());
}
