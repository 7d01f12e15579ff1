//! What the help texts say about defaults is so, and what a command prints names what it counts.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::collections::BTreeMap;

use capstan_node::config::TEMPLATE;
use common::Place;

/// The options of config.toml as `section.option`, with their values as they are written there.
fn options() -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut options = BTreeMap::new();
    for line in TEMPLATE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((name, value)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            options.insert(format!("{section}.{name}"), value.trim_matches('"').to_owned());
        }
    }
    options
}

/// The help of each command, by its words.
fn helps(place: &Place) -> Vec<(Vec<String>, String)> {
    let mut waiting: Vec<Vec<String>> = vec![vec![]];
    let mut helps = Vec::new();
    while let Some(command) = waiting.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = place.run(&args).stdout;
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                waiting.push([&command[..], &[name.to_owned()]].concat());
            }
        }
        helps.push((command, help));
    }
    helps
}

#[test]
fn defaults_in_the_help_are_those_in_use() {
    let place = Place::new();
    let options = options();
    assert!(options.len() > 30, "{options:?}");
    let mut checked = 0;
    for (command, help) in helps(&place) {
        // Texts may be wrapped anywhere.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for rest in help.split("[default: ").skip(1) {
            let default = rest.split(']').next().unwrap();
            if let Some((option, value)) = default.split_once(" in config.toml, ") {
                let used = options.get(option).unwrap_or_else(|| panic!("{command:?}: {option}"));
                let used = match used.as_str() {
                    "" => "none",
                    "false" => "no",
                    other => other,
                };
                // What a word means may stand behind it.
                let value = value.split(": ").next();
                assert_eq!(value, Some(used), "{command:?}: {option}");
                checked += 1;
            }
            if let Some(url) = default.strip_prefix("$CAPSTAN_NODE, or http://") {
                assert_eq!(url, options["rpc.listen"], "{command:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} defaults were found");
}

#[test]
fn no_text_for_people_names_a_type_of_the_protocol() {
    let place = Place::new();
    for (command, help) in helps(&place) {
        assert!(!help.contains("Msg"), "{command:?}: {help}");
    }
    let dev = place.dev();
    let id = format!("b1-{}", "0".repeat(128));
    place.run(&["keys", "add", "dave"]).assert_failed(0, "");
    for (args, part) in [
        (&["tx", "create-vat", &id, "--from", "alice"][..], "`capstan tx install-bundle FILE`"),
        (&["tx", "fund-meter", "m99", "1", "--from", "alice"], "fund-meter (message 0): meter: "),
        (&["tx", "drop", "x", "--from", "alice"], "drop (message 0): refs: "),
        (&["tx", "send", "x", "m", "--from", "alice"], "send (message 0): target: "),
        (&["tx", "terminate-vat", "x", "--from", "alice"], "terminate-vat (message 0): "),
        (&["tx", "upgrade-vat", "x", &id, "--from", "alice"], "upgrade-vat (message 0): "),
        (&["tx", "ack", "1", "--from", "dave"], "capstan tx transfer "),
        (&["query", "account", "dave"], "capstan tx transfer "),
    ] {
        let failed = place.ask(&dev, args);
        assert!(failed.code == 3 && failed.stderr.contains(part), "{args:?}: {failed:?}");
        assert!(!failed.stderr.contains("Msg"), "{args:?}: {failed:?}");
    }
    assert!(dev.stop("TERM").success());
}

#[test]
fn every_count_of_bytes_says_of_what() {
    let place = Place::new();
    std::fs::write(place.path().join("v.js"), "export const buildRootObject = () => {};").unwrap();
    let bundled = place.run(&["bundle", "v.js", "-o", "v.json"]);
    assert!(bundled.stdout.contains("v.json: a bundle of "), "{bundled:?}");
    let record = place.run(&["bundle", "v.js", "-o", "v.json", "--json"]).json();
    assert!(record["bundle_bytes"].as_u64().unwrap() > 100, "{record}");
    place.run(&["disk"]).assert_failed(1, "there is no home in");
    place.run(&["init"]).assert_failed(0, "");
    let shown = place.run(&["disk", "--json"]).json();
    let genesis = std::fs::metadata(place.home().join("genesis.json")).unwrap().len();
    let parts = shown["parts"].as_array().unwrap();
    let part = parts.iter().find(|part| part["part"] == "genesis").unwrap();
    assert_eq!(part["bytes"], genesis, "{shown}");
    let sum: u64 = parts.iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(shown["total_bytes"], sum, "{shown}");
    assert!(sum < genesis + 20_000, "{shown}");
}
