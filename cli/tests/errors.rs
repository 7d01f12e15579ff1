//! What the binary says when something is wrong, and with which code it ends.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;
use std::net::TcpListener;

use common::Place;
use serde_json::Value;

/// An address at which nothing listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    let place = Place::new();
    let node = nowhere();
    for (args, part) in [
        (&["dance"][..], "unrecognized subcommand"),
        (&["tx", "send", "ro-51", "read"], "--from"),
        (&["tx", "send", "ro-51", "read", "@ko20", "--from", "alice"], "not a reference"),
        (
            &["tx", "send", "ro-51", "read", "12345678901234567890", "--from", "alice"],
            "12345678901234567890n",
        ),
        (&["tx", "create-vat", "nowhere.json", "--from", "alice"], "neither a bundle's id"),
        (
            &["tx", "create-vat", "b1-00", "--params", "{", "--from", "alice"],
            "--params is not a value: character 2: expected the name of a field",
        ),
        (&["tx", "transfer", "capstan1nonsense", "5", "--from", "alice"], "not a Capstan address"),
        (&["tx", "transfer", "bob", "5 coins", "--from", "alice"], "1000ucap"),
        (&["query", "promise", "rp+1"], "--account"),
        (&["query", "tx", "xyz"], "64 hex digits"),
        (&["query", "status", "--node", "ftp://x"], "http://HOST:PORT"),
        (&["keys", "add", "Not Good"], "lower-case"),
        (&["keys", "add", "alice"], "development key"),
        (&["dev", "--rpc", "localhost"], "IP:PORT"),
        (&["init", "--chain-id", "no spaces"], "chain_id"),
    ] {
        let done = common::done(place.command(args).env("CAPSTAN_NODE", &node).output().unwrap());
        done.assert_failed(2, part);
    }
}

#[test]
fn a_bad_value_is_reported_with_the_flag_that_has_it() {
    let place = Place::new();
    place.run(&["init", "--validator"]).assert_failed(0, "");
    for (args, code, flag) in [
        (&["dev", "--rpc", "x"][..], 2, "--rpc \"x\""),
        (&["dev", "--log", "capstan=loud"], 2, "--log \"capstan=loud\""),
        (&["dev", "--log-format", "xml"], 2, "--log-format"),
        (&["dev", "--max-vats-online", "0"], 2, "--max-vats-online"),
        (&["dev", "--slog", "no/such/dir/slog"], 1, "--slog"),
        (&["start", "--rpc", "x"], 2, "--rpc \"x\""),
        (&["start", "--p2p", "x"], 2, "--p2p \"x\""),
        (&["start", "--peers", "x"], 2, "--peers \"x\""),
        (&["start", "--log", "capstan=loud"], 2, "--log \"capstan=loud\""),
        (&["start", "--abci", "x"], 2, "--abci \"x\""),
        (&["start", "--cometbft", "/no/such"], 1, "--cometbft \"/no/such\""),
        (&["init", "--home", "n", "--chain-id", "a b"], 2, "--chain-id \"a b\""),
        (&["init", "--home", "n", "--genesis", "no.json"], 1, "--genesis \"no.json\""),
        (&["init", "--home", "n", "--governor", "capstan1x"], 2, "--governor \"capstan1x\""),
        (&["localnet", "up", "--home", "net", "--consensus", "raft"], 2, "--consensus \"raft\""),
        (&["localnet", "up", "--home", "net", "--validators", "0"], 2, "--validators 0"),
        (&["localnet", "up", "--home", "net", "--chain-id", "a b"], 2, "--chain-id \"a b\""),
        (&["localnet", "up", "--home", "net", "--genesis", "no.json"], 1, "--genesis \"no.json\""),
        (&["tx", "ack", "1", "--from", "nobody"], 1, "--from \"nobody\""),
        (&["tx", "fund-meter", "ro-52", "1", "--from", "alice"], 2, "a meter's id is written m1"),
        (&["tx", "ack", "1", "--from", "alice", "--node", "x"], 2, "--node \"x\""),
        (&["query", "object", "ro-5", "--account", "nobody"], 1, "--account \"nobody\""),
        (&["run", ".", "--tools", "no"], 1, "--tools"),
    ] {
        place.run(args).assert_failed(code, flag);
    }
}

#[test]
fn wrong_usage_is_json_for_programs_and_help_is_text() {
    let place = Place::new();
    for args in [&["query", "vtas", "--json"][..], &["--json", "tx", "send"], &["--json"]] {
        let failed = place.run(args);
        let record: Value = serde_json::from_str(&failed.stderr).unwrap();
        assert_eq!((failed.code, &record["exit_code"]), (2, &2.into()), "{failed:?}");
        assert!(record["error"].as_str().unwrap().contains("Usage: capstan"), "{record}");
    }
    let mistyped = place.run(&["query", "vtas"]);
    mistyped.assert_failed(2, "similar subcommand");
    let help = place.run(&["tx", "--help", "--json"]);
    assert!(help.code == 0 && help.stdout.contains("Example:"), "{help:?}");
}

#[test]
fn a_bad_option_is_reported_by_its_name_in_config_toml() {
    let place = Place::new();
    place.run(&["init"]);
    for (text, part) in [
        ("[rpc]\nlisten = \"x\"\n", "rpc.listen \"x\""),
        ("[log]\nlevel = \"capstan=loud\"\n", "log.level \"capstan=loud\""),
        ("[log]\nslog = \"no/such/dir/slog\"\n", "log.slog"),
    ] {
        fs::write(place.home().join("config.toml"), text).unwrap();
        let failed = place.run(&["dev"]);
        assert!(failed.code != 0 && failed.stderr.contains(part), "{text}: {failed:?}");
    }
}

#[test]
fn a_node_that_does_not_answer_ends_with_4() {
    let place = Place::new();
    for args in [&["query", "status"][..], &["tx", "send", "ro-51", "read", "--from", "alice"]] {
        let done =
            common::done(place.command(args).env("CAPSTAN_NODE", nowhere()).output().unwrap());
        done.assert_failed(4, "capstan dev");
    }
    let failed = place.run(&["query", "status", "--json", "--node", &nowhere()]);
    let record: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert_eq!(
        (failed.code, &record["exit_code"], failed.stdout.as_str()),
        (4, &4.into(), ""),
        "{failed:?}"
    );
}

#[test]
fn what_the_chain_refuses_ends_with_3_and_its_code() {
    let place = Place::new();
    let dev = place.dev();
    let id = format!("b1-{}", "0".repeat(128));
    place.run(&["keys", "add", "dave"]).assert_failed(0, "");
    for (args, part) in [
        (&["query", "vat", "v99"][..], "no vat v99"),
        (&["query", "vat-stats", "v099"], "not a vat id"),
        (&["query", "bundle", &id], "no bundle"),
        (&["query", "promise", "kp9999"], "no promise"),
        (&["tx", "create-vat", &id, "--from", "alice"], "install it first"),
        (&["tx", "send", "ro-77", "read", "--from", "alice"], "not held by this account"),
        (&["tx", "terminate-vat", "ro-77", "--from", "alice"], "not held by this account"),
        (&["tx", "ack", "1", "--from", "dave"], "it begins with its first coins"),
    ] {
        place.ask(&dev, args).assert_failed(3, part);
    }
    let refused = place.ask(&dev, &["query", "vat", "v99", "--json"]);
    let record: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(
        (&record["code"], &record["codespace"]),
        (&103.into(), &"capstan".into()),
        "{record}"
    );

    fs::write(place.path().join("tampered.json"), format!(
        r#"{{"moduleFormat":"endoZipBase64","endoZipBase64":"UEsDBA==","endoZipBase64Sha512":"{}"}}"#,
        "0".repeat(128)
    ))
    .unwrap();
    place
        .ask(&dev, &["tx", "install-bundle", "tampered.json", "--from", "alice"])
        .assert_failed(3, "bundle is refused");
    place.ask(&dev, &["query", "status"]).assert_failed(0, "");
}

#[test]
fn homes_and_ports_that_cannot_be_used() {
    let place = Place::new();
    let dev = place.dev();
    let home = place.home();
    place
        .run(&["dev", "--rpc", "127.0.0.1:0"])
        .assert_failed(1, "another capstan runs on the home");
    let port = dev.url().trim_start_matches("http://");
    place
        .run(&["dev", "--rpc", port, "--home", "other"])
        .assert_failed(1, "Choose another with --rpc");
    place.run(&["init"]).assert_failed(1, "is a home already");
    assert!(dev.stop("TERM").success());

    fs::write(home.join("home.json"), r#"{"format":99,"chain_id":"x"}"#).unwrap();
    place.run(&["dev", "--rpc", "127.0.0.1:0"]).assert_failed(1, "another version");
    fs::write(place.path().join("file"), "").unwrap();
    place.run(&["dev", "--home", "file/home"]).assert_failed(1, "cannot use file/home as a home");
    fs::create_dir(place.path().join("photos")).unwrap();
    fs::write(place.path().join("photos/cat.jpg"), "").unwrap();
    place.run(&["dev", "--home", "photos"]).assert_failed(1, "cat.jpg");
    let made = place.run(&["init", "--home", "made", "--chain-id", "made-1", "--json"]).json();
    assert_eq!(made["chain_id"], "made-1");
    let genesis = place.path().join("made/genesis.json");
    fs::write(
        &genesis,
        fs::read_to_string(&genesis).unwrap().replace("\"max_slots\"", "\"max_slits\""),
    )
    .unwrap();
    place.run(&["dev", "--home", "made", "--rpc", "127.0.0.1:0"]).assert_failed(1, "max_slits");
}

#[test]
fn sources_that_cannot_be_bundled() {
    let place = Place::new();
    place
        .run(&["bundle", "nowhere.js", "-o", "x.json"])
        .assert_failed(1, "there is no file nowhere.js");
    fs::write(place.path().join("broken.js"), "export const = 1;").unwrap();
    place
        .run(&["bundle", "broken.js", "-o", "x.json"])
        .assert_failed(1, "broken.js cannot be bundled");
    fs::write(place.path().join("lost.js"), "import 'no-such-library';").unwrap();
    place.run(&["bundle", "lost.js", "-o", "x.json"]).assert_failed(1, "no-such-library");
    fs::write(place.path().join("m.wasm"), "").unwrap();
    place.run(&["bundle", "m.wasm", "-o", "x.json"]).assert_failed(2, "needs no bundling");
    place
        .run(&["bundle", "broken.js", "-o", "x.json", "--tools", "."])
        .assert_failed(1, "CAPSTAN_JS_TOOLS");
    let done = common::done(
        place.command(&["bundle", "broken.js", "-o", "x.json"]).env("PATH", "").output().unwrap(),
    );
    done.assert_failed(1, "node is not installed");
}

#[test]
fn sources_that_will_fail_in_a_vat_are_bundled_with_a_warning() {
    let place = Place::new();
    let source = "export const buildRootObject = () => process.env;";
    fs::write(place.path().join("env.js"), source).unwrap();
    let done = place.run(&["bundle", "env.js", "-o", "x.json"]);
    done.assert_failed(0, "warning: env.js:1:38: process is no global of a vat.");
    assert!(done.stdout.starts_with("b1-"), "{done:?}");
    fs::write(place.path().join("start.js"), "export const start = 1;").unwrap();
    place
        .run(&["bundle", "start.js", "-o", "x.json"])
        .assert_failed(0, "warning: start.js: no vat can be created from a module that");
    fs::write(place.path().join("sound.js"), source.replace("process.env", "({})")).unwrap();
    let sound = place.run(&["bundle", "sound.js", "-o", "x.json"]);
    assert!(!sound.stderr.contains("warning") && !sound.stderr.contains("\n\n"), "{sound:?}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    let mut waiting: Vec<Vec<String>> = vec![vec![]];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = place.run(&args);
        assert_eq!(help.code, 0, "{args:?}");
        assert!(
            help.stdout.contains("Example") || command == ["help"],
            "{args:?}: {}",
            help.stdout
        );
        seen += 1;
        let listed = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                waiting.push([&command[..], &[name.to_owned()]].concat());
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}
