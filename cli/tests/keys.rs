//! Keys: mnemonics, encrypted files, multisigs, export and import.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use common::{Done, Place};
use serde_json::Value;

const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";
const PASSPHRASE: &str = "correct horse battery";
const FILE: [&str; 2] = ["--keyring-backend", "file"];

/// Runs `capstan keys` with standard input and a passphrase.
fn keys(place: &Place, args: &[&str], input: &str, passphrase: &str) -> Done {
    let mut command = place.command(&[&["keys"], args].concat());
    command.env("CAPSTAN_KEYRING_PASSPHRASE", passphrase).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    common::done(child.wait_with_output().unwrap())
}

fn address(place: &Place, name: &str) -> String {
    let done = place.run(&["keys", "show", name, "--address"]);
    assert_eq!(done.code, 0, "{done:?}");
    done.stdout.trim().to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn mnemonics_give_the_keys_of_their_paths() {
    let place = Place::new();
    let recover = |name: &str, options: &[&str]| {
        let args = [&["add", name, "--recover", "--json"], options].concat();
        text(&keys(&place, &args, DEV_MNEMONIC, "").json()["address"]).to_owned()
    };
    assert_eq!(recover("one", &["--index", "1"]), address(&place, "bob"));
    assert_eq!(recover("two", &["--hd-path", "m/44'/118'/0'/0/2"]), address(&place, "carol"));
    let others = [
        recover("three", &["--account", "1"]),
        recover("four", &["--coin-type", "60"]),
        recover("five", &["--hd-path", "m/44'/118'/1'/0/0", "--dry-run"]),
    ];
    assert!(others[0] == others[2] && others[0] != others[1], "{others:?}");
    place.run(&["keys", "show", "five"]).assert_failed(1, "there is no key");
    for (options, code, part) in [
        (&["--hd-path", "m/x"][..], 2, "not a derivation path"),
        (&["--hd-path", "m/0", "--index", "1"], 2, "cannot be used with"),
        (&["--multisig", "alice,bob"], 2, "cannot be used with"),
        (&["--index", "4294967295"], 2, "below 2^31"),
    ] {
        let args = [&["add", "six", "--recover"], options].concat();
        keys(&place, &args, DEV_MNEMONIC, "").assert_failed(code, part);
    }
    // With a BIP-39 passphrase it is the address that the Cosmos SDK derives.
    let recover = |name: &str, input: &str, options: &[&str]| {
        let args = [&["add", name, "--recover", "--json"], options].concat();
        text(&keys(&place, &args, input, "").json()["address"]).to_owned()
    };
    let with = format!("{DEV_MNEMONIC}\nTREZOR\n");
    let other = recover("eight", &with, &["--interactive"]);
    assert_eq!(other, "capstan1gsql75fp0fqjdrq6yxd3ytwljygsal8hht0ug3");
    assert_eq!(recover("nine", DEV_MNEMONIC, &["-i"]), address(&place, "alice"));
    let odd = format!("{DEV_MNEMONIC}\nTR\u{c9}ZOR\n");
    keys(&place, &["add", "six", "--recover", "-i"], &odd, "").assert_failed(1, "ASCII");
    keys(&place, &["add", "six", "--recover"], "abandon abandon ability", "")
        .assert_failed(1, "mnemonic");
    keys(&place, &["add", "six", "--recover"], &"abandon ".repeat(200), "")
        .assert_failed(2, "too long");

    let words = place.run(&["keys", "mnemonic"]).stdout;
    assert_eq!(words.split_whitespace().count(), 24, "{words}");
    let made = place.run(&["keys", "add", "seven", "--no-backup", "--json"]).json();
    assert!(made["mnemonic"].is_null() && made["type"] == "local", "{made}");
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone() {
    let place = Place::new();
    let made = keys(&place, &[&["add", "dave", "--json"], &FILE[..]].concat(), "", PASSPHRASE);
    let made = made.json();
    assert_eq!(made["backend"], "file");
    let file = place.home().join("keyring-file/dave.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(address(&place, "dave"), text(&made["address"]), "no passphrase is asked for");
    let hex = ["export", "dave", "--unarmored-hex", "--unsafe"];
    let secret = keys(&place, &hex, "", PASSPHRASE);
    assert_eq!((secret.code, secret.stdout.trim().len()), (0, 64), "{secret:?}");
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(!stored.contains(secret.stdout.trim()) && !stored.contains("secret"), "{stored}");

    keys(&place, &hex, "", "correct horse batterz").assert_failed(1, "passphrase is wrong");
    keys(&place, &hex, "", "").assert_failed(2, "CAPSTAN_KEYRING_PASSPHRASE");
    keys(&place, &hex, "", &"x".repeat(2_000)).assert_failed(2, "too long");
    let short = [&["add", "erin"], &FILE[..]].concat();
    keys(&place, &short, "", "short").assert_failed(2, "at least 8 bytes");
    place.run(&["keys", "show", "erin"]).assert_failed(1, "there is no key");

    // A script may hand the passphrase over in a pipe.
    let script = format!(
        "exec 3< <(echo '{PASSPHRASE}'); \"$0\" keys export dave --unarmored-hex --unsafe --passphrase-fd 3"
    );
    let program = place.command(&[]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &script]).arg(program.get_program()).env("CAPSTAN_HOME", place.home());
    let piped = common::done(shell.output().unwrap());
    assert_eq!(piped.stdout, secret.stdout, "{piped:?}");

    // A byte of the encrypted secret, one of the public key, and half of the file.
    let body = stored.find("secp256k1\\n\\n").unwrap() + 13;
    let changed = |at: usize| {
        let other = if stored.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &stored[..at], &stored[at + 1..])
    };
    let key = stored.find("\"key\":\"").unwrap() + 12;
    for (broken, part) in [
        (changed(body), "checksum"),
        (changed(key), "is damaged"),
        (stored[..stored.len() / 2].to_owned(), "is damaged"),
    ] {
        std::fs::write(&file, broken).unwrap();
        keys(&place, &hex, "", PASSPHRASE).assert_failed(1, part);
    }
}

#[test]
fn keys_are_exported_imported_renamed_and_deleted() {
    let place = Place::new();
    let made =
        keys(&place, &[&["add", "dave", "--json"], &FILE[..]].concat(), "", PASSPHRASE).json();
    // An encrypted key needs no passphrase to be exported as it is.
    let armor = place.run(&["keys", "export", "dave"]).stdout;
    assert!(armor.starts_with("-----BEGIN TENDERMINT PRIVATE KEY-----\nkdf: argon2\n"), "{armor}");
    let imported = |done: Done| text(&done.json()["address"]).to_owned();
    let import = |name: &str, input: &str, passphrase: &str| {
        keys(&place, &["import", name, "--json"], input, passphrase)
    };
    assert_eq!(imported(import("twin", &armor, PASSPHRASE)), made["address"]);
    import("none", &armor, "wrong passphrase").assert_failed(1, "passphrase is wrong");
    import("none", "", PASSPHRASE).assert_failed(2, "empty");
    import("none", "no armor", PASSPHRASE).assert_failed(1, "keys export");
    std::fs::write(place.path().join("dave.armor"), &armor).unwrap();
    let from_file = [&["import", "third", "dave.armor", "--json"], &FILE[..]].concat();
    assert_eq!(imported(keys(&place, &from_file, "", PASSPHRASE)), made["address"]);
    // A key that is not encrypted is exported with a new passphrase.
    let again = keys(&place, &["export", "twin"], "", "another passphrase");
    assert_eq!(imported(import("fourth", &again.stdout, "another passphrase")), made["address"]);
    let hex = keys(&place, &["export", "twin", "--unarmored-hex", "--unsafe"], "", "").stdout;
    let args = ["import-hex", "fifth", "--json"];
    assert_eq!(imported(keys(&place, &args, &hex, "")), made["address"]);
    keys(&place, &["import-hex", "sixth"], "zz", "").assert_failed(1, "64 hexadecimal");
    keys(&place, &["export", "twin", "--unarmored-hex"], "", "").assert_failed(2, "--unsafe");

    keys(&place, &["rename", "fifth", "renamed"], "", "").assert_failed(0, "");
    keys(&place, &["rename", "fourth", "renamed"], "", "").assert_failed(1, "already");
    keys(&place, &["delete", "renamed"], "", "").assert_failed(2, "--yes");
    keys(&place, &["delete", "renamed", "alice", "--yes"], "", "").assert_failed(2, "built in");
    keys(&place, &["delete", "renamed", "fourth", "--yes"], "", "").assert_failed(0, "");
    let names = place.run(&["keys", "list", "--list-names"]).stdout;
    assert_eq!(names, "alice\nbob\ncarol\ndave\nthird\ntwin\n");
    let listed = place.run(&[&["keys", "list", "--json"], &FILE[..]].concat()).json();
    let names: Vec<&str> =
        listed["keys"].as_array().unwrap().iter().map(|row| text(&row["name"])).collect();
    assert_eq!(names, ["alice", "bob", "carol", "dave", "third"]);
}

#[test]
fn multisigs_and_public_keys_have_addresses_but_no_secrets() {
    let place = Place::new();
    let add = |name: &str, keys: &str, options: &[&str]| {
        let first = ["keys", "add", name, "--multisig", keys, "--json"];
        place.run(&[&first[..], options].concat())
    };
    let two = ["--multisig-threshold", "2"];
    let made = add("treasury", "alice,bob,carol", &two).json();
    assert_eq!(made["type"], "multi");
    let sorted = add("other", "carol,alice,bob", &two).json();
    assert_eq!(made["address"], sorted["address"]);
    let kept = add("third", "carol,bob,alice", &[&two[..], &["--nosort"]].concat()).json();
    let kept_again = add("fourth", "bob,carol,alice", &[&two[..], &["--nosort"]].concat()).json();
    assert_ne!(kept["address"], kept_again["address"]);
    for (keys, options, part) in [
        ("alice,alice", &two[..], "same key twice"),
        ("alice", &two, "threshold of 2"),
        ("alice,treasury", &two, "cannot be in another"),
        ("alice,nobody", &two, "there is no key"),
    ] {
        assert!(add("fifth", keys, options).stderr.contains(part), "{keys}");
    }
    let key = place.run(&["keys", "show", "bob", "--pubkey"]).stdout;
    let cold = place.run(&["keys", "add", "cold", "--pubkey", key.trim(), "--json"]).json();
    assert_eq!(
        (text(&cold["type"]), text(&cold["address"])),
        ("offline", &*address(&place, "bob"))
    );
    place.run(&["keys", "add", "x", "--pubkey", "{}"]).assert_failed(2, "--pubkey");
    place.run(&["keys", "export", "cold"]).assert_failed(2, "only the public key");
    place.run(&["keys", "export", "treasury"]).assert_failed(2, "multisig");
    let parsed = place.run(&["keys", "parse", &address(&place, "bob"), "--json"]).json();
    let formats = place.run(&["keys", "parse", text(&parsed["bytes"]), "--json"]).json();
    assert_eq!(formats["formats"][0], address(&place, "bob"));
}
