//! Transactions that are written, signed, joined and sent in steps, also with CosmJS.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::process::Command;

use capstan_client::{Account, Client};
use common::{Dev, Done, Place, checkout};
use serde_json::{Value, json};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Runs a command that prints a file, and writes the file.
fn write(place: &Place, dev: &Dev, name: &str, args: &[&str]) -> Value {
    let done = place.ask(dev, args);
    std::fs::write(place.path().join(name), &done.stdout).unwrap();
    done.json()
}

/// Runs `tests/clients/staged.mjs`.
fn cosmjs(place: &Place, args: &[&str]) -> String {
    let mut command = Command::new("node");
    let script = checkout().join("tests/clients/staged.mjs");
    let done =
        common::done(command.arg(script).args(args).current_dir(place.path()).output().unwrap());
    assert_eq!(done.code, 0, "{done:?}");
    done.stdout.trim().to_owned()
}

fn account(place: &Place, dev: &Dev, name: &str) -> Account {
    let shown = place.run(&["keys", "show", name, "--address"]);
    Client::new(dev.url()).unwrap().account(&shown.stdout.trim().parse().unwrap()).unwrap()
}

fn balance(place: &Place, dev: &Dev, name: &str) -> u128 {
    account(place, dev, name).balance.0
}

/// Makes a multisig of two of the development keys, which owns something.
fn treasury(place: &Place, dev: &Dev) {
    let two = ["--multisig-threshold", "2"];
    let args = [&["keys", "add", "treasury", "--multisig", "alice,bob,carol"], &two[..]].concat();
    assert_eq!(place.run(&args).code, 0);
    let funded = ["tx", "transfer", "treasury", "1000000ucap", "--from", "alice"];
    place.ask(dev, &funded).assert_failed(0, "");
}

fn assert_refused(done: &Done, code: i32, part: &str) {
    assert!(done.code == code && done.stderr.contains(part), "{part}: {done:?}");
}

#[test]
fn a_transaction_is_written_signed_and_sent() {
    let place = Place::new();
    let dev = place.dev();
    let generate = ["tx", "transfer", "bob", "7ucap", "--from", "alice", "--generate-only"];
    let tx = write(&place, &dev, "tx.json", &[&generate[..], &["--note", "hello"]].concat());
    assert_eq!(tx["body"]["memo"], "hello");
    assert_eq!(tx["body"]["messages"][0]["@type"], "/cosmos.bank.v1beta1.MsgSend");
    assert_eq!((&tx["auth_info"]["signer_infos"], &tx["signatures"]), (&json!([]), &json!([])));
    let before = balance(&place, &dev, "bob");
    assert_refused(&place.ask(&dev, &["tx", "broadcast", "tx.json"]), 1, "tx sign");
    // A signature alone is no transaction.
    let only = ["tx", "sign", "tx.json", "--from", "alice", "--signature-only"];
    write(&place, &dev, "signature.json", &only);
    assert_refused(&place.ask(&dev, &["tx", "broadcast", "signature.json"]), 2, "tx multisign");
    // What another machine says of the chain is not signed.
    let remote = ["tx", "sign", "tx.json", "--from", "alice", "--node", "http://192.0.2.1:26657"];
    assert_refused(&place.run(&remote), 2, "--chain-id or CAPSTAN_CHAIN_ID");
    for mode in ["direct", "amino-json"] {
        let sign = ["tx", "sign", "tx.json", "--from", "alice", "--sign-mode", mode];
        write(&place, &dev, "signed.json", &sign);
        let valid = place.ask(&dev, &["tx", "validate-signatures", "signed.json", "--json"]).json();
        assert_eq!((&valid["valid"], &valid["signatures"]), (&json!(true), &json!(1)));
        // Bytes and JSON are two forms of one transaction.
        let bytes = place.run(&["tx", "encode", "signed.json"]).stdout;
        let decoded = place.run(&["tx", "decode", bytes.trim()]).stdout;
        assert_eq!(decoded, std::fs::read_to_string(place.path().join("signed.json")).unwrap());
        let sent = place.ask(&dev, &["tx", "broadcast", "signed.json", "--json"]).json();
        assert!(sent["height"].as_u64().unwrap() > 0, "{sent}");
        let again = place.ask(&dev, &["tx", "broadcast", "signed.json"]);
        assert!(again.code == 0 && again.stderr.contains("already"), "{again:?}");
    }
    assert_eq!(balance(&place, &dev, "bob"), before + 14);

    // Somebody changes what was signed.
    let signed = std::fs::read_to_string(place.path().join("signed.json")).unwrap();
    std::fs::write(place.path().join("forged.json"), signed.replace("hello", "hallo")).unwrap();
    let validate = ["tx", "validate-signatures", "forged.json"];
    assert_refused(&place.ask(&dev, &validate), 1, "does not verify");
    for (args, part) in [
        (&["tx", "sign", "nothing.json", "--from", "alice"][..], "cannot read nothing.json"),
        (&["tx", "encode", "tx.json", "--fees", "7"], "--fees has no effect"),
        (&["tx", "encode", "tx.json", "--offline"], "--offline has no effect"),
        (&["tx", "broadcast", "tx.json", "--from", "alice"], "--from has no effect"),
        (&["tx", "decode", "!"], "base64"),
        (&["tx", "sign", "tx.json"], "--from"),
        (&["tx", "transfer", "bob", "1", "--from", "alice", "--offline"], "--generate-only"),
    ] {
        let failed = place.ask(&dev, args);
        assert!(failed.code != 0 && failed.stderr.contains(part), "{args:?}: {failed:?}");
    }
    // What no chain could take is not signed.
    let text = std::fs::read_to_string(place.path().join("tx.json")).unwrap();
    let tx: Value = serde_json::from_str(&text).unwrap();
    let coin = |denom: &str, amount: &str| json!([{"denom": denom, "amount": amount}]);
    let two = json!([{"denom": "ucap", "amount": "1"}, {"denom": "uatom", "amount": "1"}]);
    let huge = "340282366920938463463374607431768211456";
    for (field, value, part) in [
        ("amount", coin("ucap", "-1"), "its amount is \"-1\""),
        ("amount", coin("ucap", "1.5"), "its amount is \"1.5\""),
        ("amount", coin("ucap", ""), "its amount is \"\""),
        ("amount", coin("ucap", huge), "its amount is \"340282"),
        ("amount", coin("u cap!", "1"), "its denom is \"u cap!\""),
        ("amount", two, "it has 2 amounts"),
        ("gas_limit", json!("0"), "the gas limit is 0"),
        ("gas_limit", json!("18446744073709551616"), "gas_limit is \"18446744073709551616\""),
        ("gas_limit", json!("-1"), "gas_limit is \"-1\""),
    ] {
        let mut other = tx.clone();
        other["auth_info"]["fee"][field] = value;
        std::fs::write(place.path().join("other.json"), other.to_string()).unwrap();
        let sign = ["tx", "sign", "other.json", "--from", "alice"];
        assert_refused(&place.ask(&dev, &sign), 2, part);
    }
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_transaction_is_written_and_signed_without_a_node() {
    let place = Place::new();
    let dev = place.dev();
    let alice = account(&place, &dev, "alice");
    let (number, sequence) = (alice.number.to_string(), alice.sequence.to_string());
    let alone = |args: &[&str]| {
        let mut command = place.command(args);
        common::done(command.env("CAPSTAN_NODE", "http://127.0.0.1:1").output().unwrap())
    };
    let generate =
        ["tx", "transfer", "bob", "7ucap", "--from", "alice", "--generate-only", "--offline"];
    assert_refused(&alone(&generate), 2, "--gas N");
    let terms = ["--gas", "5000", "--gas-prices", "2ucap", "--timeout-height", "100"];
    let made = alone(&[&generate[..], &terms].concat());
    assert_eq!(made.json()["auth_info"]["fee"]["amount"][0]["amount"], "10000");
    assert_eq!(made.json()["body"]["timeout_height"], "100");
    std::fs::write(place.path().join("tx.json"), &made.stdout).unwrap();
    let sign = ["tx", "sign", "tx.json", "--from", "alice", "--offline"];
    assert_refused(&alone(&sign), 2, "--chain-id");
    let chain = [&sign[..], &["--chain-id", "capstan-dev"]].concat();
    assert_refused(&alone(&chain), 2, "--account-number");
    let signer = ["--account-number", &number, "--sequence", &sequence];
    let signed = alone(&[&chain[..], &signer, &["--output-document", "signed.json"]].concat());
    assert_eq!((signed.code, signed.stdout.as_str()), (0, ""), "{signed:?}");
    place.ask(&dev, &["tx", "broadcast", "signed.json"]).assert_failed(0, "");
    assert!(dev.stop("TERM").success());
}

#[test]
fn options_set_the_terms_of_a_transaction_and_show_them() {
    let place = Place::new();
    let dev = place.dev();
    let send = ["tx", "transfer", "bob", "7ucap", "--from", "alice"];
    let dry = |options: &[&str]| {
        place.ask(&dev, &[&send[..], &["--dry-run", "--json"], options].concat()).json()
    };
    let lowest = dry(&[]);
    let gas = lowest["gas_limit"].as_u64().unwrap();
    assert_eq!(lowest["fee"], format!("{gas}ucap"));
    let double = dry(&["--gas-adjustment", "2", "--gas-prices", "1.5ucap"]);
    assert_eq!(double, json!({"gas_limit": 2 * gas, "fee": format!("{}ucap", 3 * gas)}));
    let before = balance(&place, &dev, "alice");
    place
        .ask(&dev, &[&send[..], &["--gas", "9000", "--fees", "20000ucap"]].concat())
        .assert_failed(0, "");
    assert_eq!(before - balance(&place, &dev, "alice"), 20_007);
    let low = place.ask(&dev, &[&send[..], &["--gas", "10", "--fees", "20000ucap"]].concat());
    assert_refused(&low, 3, "out of gas");
    let late = place.ask(&dev, &[&send[..], &["--timeout-height", "1"]].concat());
    assert_eq!(late.code, 3, "{late:?}");
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_multisig_signs_with_capstan_and_with_cosmjs() {
    let place = Place::new();
    let dev = place.dev();
    treasury(&place, &dev);
    let before = balance(&place, &dev, "bob");
    let generate = ["tx", "transfer", "bob", "7ucap", "--from", "treasury", "--generate-only"];
    let tx = write(&place, &dev, "tx.json", &generate);
    let by = |name: &str| {
        ["tx", "sign", "tx.json", "--from", name, "--multisig", "treasury"].map(str::to_owned)
    };
    let sign = |name: &str, file: &str| {
        let args = by(name);
        write(&place, &dev, file, &args.each_ref().map(String::as_str))
    };
    let number = account(&place, &dev, "treasury").number.to_string();
    // CosmJS and Capstan sign the same bytes alike: both signatures are deterministic.
    let ours = sign("carol", "carol.json");
    let theirs = cosmjs(&place, &["sign", "tx.json", "2", "capstan-dev", &number, "0"]);
    let theirs_value: Value = serde_json::from_str(&theirs).unwrap();
    assert_eq!(theirs_value["signatures"][0]["data"], ours["signatures"][0]["data"]);
    std::fs::write(place.path().join("carol.json"), &theirs).unwrap();
    sign("alice", "alice.json");
    let join = ["tx", "multisign", "tx.json", "treasury", "alice.json"];
    assert_refused(&place.ask(&dev, &join), 1, "1 of the 2 keys");
    write(&place, &dev, "signed.json", &[&join[..], &["carol.json"]].concat());
    let valid = place.ask(&dev, &["tx", "validate-signatures", "signed.json", "--json"]).json();
    assert_eq!((&valid["kind"], &valid["signatures"]), (&json!("multisig"), &json!(2)));
    place.ask(&dev, &["tx", "broadcast", "signed.json"]).assert_failed(0, "");

    // The same transaction with the next sequence, which CosmJS puts together.
    sign("alice", "alice.json");
    let theirs = cosmjs(&place, &["sign", "tx.json", "1", "capstan-dev", &number, "1"]);
    std::fs::write(place.path().join("bob.json"), theirs).unwrap();
    assert_refused(&place.ask(&dev, &[&join[..], &["carol.json"]].concat()), 1, "for sequence 0");
    let bytes = cosmjs(&place, &["join", "tx.json", "alice.json", "bob.json"]);
    write(&place, &dev, "signed.json", &["tx", "decode", &bytes]);
    place.ask(&dev, &["tx", "broadcast", "signed.json"]).assert_failed(0, "");
    assert_eq!(balance(&place, &dev, "bob"), before + 14);

    for (args, part) in [
        (&["tx", "transfer", "bob", "1", "--from", "treasury"][..], "--generate-only"),
        (&["tx", "sign", "tx.json", "--from", "alice", "--multisig", "bob"], "is no multisig"),
        (
            &[
                "tx",
                "sign",
                "tx.json",
                "--from",
                "alice",
                "--multisig",
                "treasury",
                "--sign-mode",
                "direct",
            ],
            "amino-json",
        ),
    ] {
        let failed = place.ask(&dev, args);
        assert!(failed.code != 0 && failed.stderr.contains(part), "{args:?}: {failed:?}");
    }
    assert_eq!(tx["auth_info"]["fee"]["payer"], "");
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_transaction_that_cosmjs_made_is_signed_here() {
    let place = Place::new();
    let dev = place.dev();
    let bob = place.run(&["keys", "show", "bob", "--address"]).stdout;
    let before = balance(&place, &dev, "bob");
    std::fs::write(place.path().join("tx.json"), cosmjs(&place, &["make", bob.trim(), "7"]))
        .unwrap();
    write(&place, &dev, "signed.json", &["tx", "sign", "tx.json", "--from", "alice"]);
    place.ask(&dev, &["tx", "broadcast", "signed.json"]).assert_failed(0, "");
    assert_eq!(balance(&place, &dev, "bob"), before + 7);
    assert!(dev.stop("TERM").success());
}

#[test]
fn wallets_get_the_chains_info() {
    let place = Place::new();
    let dev = place.dev();
    let info = place.ask(&dev, &["query", "chain-info", "--chain-name", "Capstan"]).json();
    assert_eq!((text(&info["chainId"]), text(&info["chainName"])), ("capstan-dev", "Capstan"));
    assert_eq!(text(&info["rpc"]), dev.url());
    assert!(text(&info["rest"]).starts_with("http://127.0.0.1:"), "{info}");
    assert_eq!(info["bip44"], json!({"coinType": 118}));
    assert_eq!(
        info["bech32Config"],
        json!({
            "bech32PrefixAccAddr": "capstan",
            "bech32PrefixAccPub": "capstanpub",
            "bech32PrefixValAddr": "capstanvaloper",
            "bech32PrefixValPub": "capstanvaloperpub",
            "bech32PrefixConsAddr": "capstanvalcons",
            "bech32PrefixConsPub": "capstanvalconspub",
        })
    );
    assert_eq!(info["currencies"].as_array().unwrap().len(), 1);
    let fee = &info["feeCurrencies"][0];
    assert_eq!(fee["coinMinimalDenom"], "ucap");
    assert_eq!(fee["coinDecimals"], info["currencies"][0]["coinDecimals"]);
    let steps = &fee["gasPriceStep"];
    let price = |name: &str| steps[name].as_f64().unwrap();
    assert!(price("low") <= price("average") && price("average") <= price("high"), "{steps}");
    assert_eq!(info["features"], json!([]));
    assert!(dev.stop("TERM").success());
}
