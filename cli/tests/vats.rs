//! What an account does with its vats beside sending messages: upgrading them, paying for them, telling the time.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::time::Instant;

use capstan_client::{ClientError, Deadline};
use common::{Dev, Done, PATIENCE, Place, checkout};
use serde_json::{Value, json};

fn tx(place: &Place, dev: &Dev, args: &[&str]) -> Done {
    place.ask(dev, &[&["tx"], args, &["--from", "alice", "--json"]].concat())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field}: {value}"))
}

/// Bundles a source of the checkout as `NAME.json`.
fn bundle(place: &Place, source: &str, name: &str) {
    let source = checkout().join(source);
    let done = place.run(&["bundle", source.to_str().unwrap(), "-o", &format!("{name}.json")]);
    assert_eq!(done.code, 0, "{done:?}");
}

/// The counter of SwingSet's "Dynamic Vats", word for word.
const DOCUMENTED: &str = "tests/vats/documents/vat-counter.js";

#[test]
fn the_documented_counter_is_created_counts_and_is_upgraded() {
    let place = Place::new();
    let dev = place.dev();
    bundle(&place, DOCUMENTED, "documented");
    bundle(&place, "examples/counter/vat-counter.js", "counter");
    for file in ["documented.json", "counter.json"] {
        tx(&place, &dev, &["install-bundle", file]).json();
    }
    let vat = tx(&place, &dev, &["create-vat", "documented.json", "--name", "it"]).json();
    let (root, admin) = (text(&vat, "root"), text(&vat, "admin"));
    let call =
        |args: &[&str]| tx(&place, &dev, &[&["send", root], args].concat()).json()["value"].clone();
    assert_eq!((call(&["increment"]), call(&["read"])), (json!(1), json!(1)));
    assert_eq!((call(&["increment"]), call(&["read"])), (json!(2), json!(2)));

    let upgraded =
        tx(&place, &dev, &["upgrade-vat", admin, "counter.json", "--params", r#"{"start":7}"#])
            .json();
    assert_eq!(upgraded["value"], json!({"incarnationNumber": 1}));
    assert_eq!(call(&["increment", "3"]), json!(10), "the same reference, new code and parameters");
    let seven: &[&str] = &["--params", r#"{"start":7}"#];
    for (more, start) in
        [(&[][..], 7), (&["--no-params"][..], 0), (&["--params", "undefined"][..], 0), (seven, 7)]
    {
        tx(&place, &dev, &[&["upgrade-vat", admin, "counter.json"], more].concat()).json();
        assert_eq!(call(&["increment", "3"]), json!(start + 3), "{more:?}");
    }
    let both = ["upgrade-vat", admin, "counter.json", "--params", "{}", "--no-params"];
    tx(&place, &dev, &both).assert_failed(2, "cannot be used with");
    let record = place.ask(&dev, &["query", "vat", text(&vat, "vat_id"), "--json"]).json();
    assert_eq!((&record["incarnation"], &record["name"]), (&json!(5), &json!("it")));

    // Code that does not start leaves the old one running.
    bundle(&place, "tests/vats/throws-at-start.js", "throws");
    tx(&place, &dev, &["install-bundle", "throws.json"]).json();
    let failed = tx(&place, &dev, &["upgrade-vat", admin, "throws.json"]);
    assert!(failed.code == 1 && failed.stdout.contains("vat-upgrade failure"), "{failed:?}");
    assert_eq!(call(&["increment", "3"]), json!(13));
    tx(&place, &dev, &["upgrade-vat", admin, "counter.json"]).json();
    assert_eq!(call(&["increment", "3"]), json!(10), "the parameters are those before the failure");
    // Who does not hold the admin object does not upgrade.
    let foreign =
        place.ask(&dev, &["tx", "upgrade-vat", admin, "counter.json", "--from", "bob", "--json"]);
    foreign.assert_failed(3, admin);
    let unknown = tx(&place, &dev, &["upgrade-vat", root, "counter.json"]);
    assert!(unknown.code == 1 && unknown.stdout.contains("not the adminNode"), "{unknown:?}");
    for action in [&["upgrade-vat", root, "counter.json"][..], &["terminate-vat", root]] {
        tx(&place, &dev, action).assert_failed(1, "is not the admin object of a vat; create-vat");
    }
    for action in [
        &["terminate-vat", admin, "--reason", "@ro-99"][..],
        &["upgrade-vat", admin, "counter.json", "--params", r#"{"friend":@ro-99}"#],
        &["upgrade-vat", "ro-99", "counter.json"],
    ] {
        tx(&place, &dev, action).assert_failed(3, "is not held by this account");
    }
}

#[test]
fn computrons_are_bought_into_a_meter_and_an_empty_one_ends_its_vat() {
    let place = Place::new();
    let dev = place.dev();
    bundle(&place, DOCUMENTED, "documented");
    tx(&place, &dev, &["install-bundle", "documented.json"]).json();
    let create = |computrons: &str| {
        tx(&place, &dev, &["create-vat", "documented.json", "--computrons", computrons]).json()
    };
    let meter_of = |vat: &Value| {
        let record = place.ask(&dev, &["query", "vat", text(vat, "vat_id"), "--json"]).json();
        text(&record, "meter_id").to_owned()
    };
    let remaining = |meter: &str| -> u64 {
        text(&place.ask(&dev, &["query", "meter", meter, "--json"]).json(), "remaining")
            .parse()
            .unwrap()
    };
    let balance = || -> u128 {
        text(&place.ask(&dev, &["query", "account", "alice", "--json"]).json(), "balance")
            .parse()
            .unwrap()
    };
    let vat = create("100000000");
    let meter = meter_of(&vat);
    assert_eq!(place.ask(&dev, &["query", "meter", &meter, "--json"]).json()["vats"], json!(1));
    let (left, coins) = (remaining(&meter), balance());
    assert!((1..100_000_000).contains(&left), "{left}");
    let funded = tx(&place, &dev, &["fund-meter", &meter, "5000000"]).json();
    assert_eq!(remaining(&meter), left + 5_000_000, "{funded}");
    assert!(balance() < coins, "it is paid for");
    tx(&place, &dev, &["fund-meter", "m99", "5000000"]).assert_failed(3, "m99");
    tx(&place, &dev, &["fund-meter", "99", "5000000"]).assert_failed(3, "99");

    // What it costs to start, and enough for some messages more.
    let poor = create(&(100_000_000 - left + 30_000).to_string());
    let mut calls = 0;
    let dead = loop {
        let done = tx(&place, &dev, &["send", text(&poor, "root"), "increment"]);
        // The last answers are told without their data, whose deposit the meter does not cover.
        if done.code != 0 && !done.stdout.contains("does not cover the deposit") {
            break done;
        }
        calls += 1;
        assert!(calls < 200, "the meter is never empty");
    };
    // The message is tried again with the dead vat. The code depends on whether the vat is cleaned up by then.
    let codes = ["[KERNEL:ENDPOINT_UNREACHABLE]", "[KERNEL:OBJECT_DELETED]"];
    assert!(codes.iter().any(|code| dead.stdout.contains(code)), "{dead:?}");
    let record = place.ask(&dev, &["query", "vat", text(&poor, "vat_id"), "--json"]).json();
    assert!(record.to_string().contains("meter underflow, vat terminated"), "{record}");
    assert_eq!(record["ending"]["kind"], "failed", "{record}");
    // Nothing is left in its meter, which takes nothing any more.
    let meter = text(&record, "meter_id").to_owned();
    let cleaned = || {
        let used = place.ask(&dev, &["query", "meter", &meter, "--json"]).json();
        Ok::<_, ClientError>((used["remaining"] == "0").then_some(used))
    };
    let used = Deadline::after(PATIENCE).poll("the cleanup", cleaned).unwrap();
    assert_eq!(used["vats"], json!(0));
    let before = balance();
    let refused = tx(&place, &dev, &["fund-meter", &meter, "5000000000"]);
    refused.assert_failed(3, "pays for no vat");
    assert!(before - balance() < 10_000, "the coins stay, but for the fee");
}

#[test]
fn a_vat_that_exits_has_its_last_answer_told() {
    let place = Place::new();
    let source = "import { Far } from '@endo/far';\nexport const buildRootObject = ({ exitVat }) =>\n  \
        Far('r', { quit: () => (exitVat('bye'), 'farewell') });\n";
    std::fs::write(place.path().join("quit.js"), source).unwrap();
    place.run(&["bundle", "quit.js", "-o", "quit.json"]).assert_failed(0, "");
    let dev = place.dev();
    tx(&place, &dev, &["install-bundle", "quit.json"]).json();
    let vat = tx(&place, &dev, &["create-vat", "quit.json"]).json();
    let answer = tx(&place, &dev, &["send", text(&vat, "root"), "quit"]).json();
    assert_eq!((&answer["status"], &answer["value"]), (&json!("fulfilled"), &json!("farewell")));
    let record = place.ask(&dev, &["query", "vat", text(&vat, "vat_id"), "--json"]).json();
    assert_eq!(record["ending"]["kind"], "exited", "{record}");
}

#[test]
fn the_end_of_a_vat_is_answered_with_what_its_meter_had_left() {
    let place = Place::new();
    let dev = place.dev();
    bundle(&place, DOCUMENTED, "documented");
    tx(&place, &dev, &["install-bundle", "documented.json"]).json();
    let poor = tx(&place, &dev, &["create-vat", "documented.json", "--computrons", "1000000000"]);
    let told = poor.stderr.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let told: Value = told.unwrap_or_else(|| panic!("{poor:?}"));
    assert_eq!(told["event"], "warning");
    assert!(text(&told, "text").contains("a deposit for its heap"), "{told}");
    let rich = tx(&place, &dev, &["create-vat", "documented.json", "--name", "rich"]);
    assert!(!rich.stderr.contains("warning"), "{rich:?}");
    let (poor, rich) = (poor.json(), rich.json());
    // The first snapshot of both: the rich one deposits less than the warning says that it needs.
    for count in 0..20 {
        tx(&place, &dev, &["send", text(&rich, "root"), "increment"]);
        let done = tx(&place, &dev, &["send", text(&poor, "root"), "increment"]);
        assert!(count > 0 || !done.stdout.is_empty(), "{done:?}");
    }
    let record = place.ask(&dev, &["query", "vat", text(&poor, "vat_id"), "--json"]).json();
    assert!(record["ending"]["reason"].to_string().contains("meter underflow"), "{record}");
    let stats = place.ask(&dev, &["query", "vat-stats", text(&rich, "vat_id"), "--json"]).json();
    let deposit: u64 = text(&stats, "deposit").parse().unwrap();
    assert!((1_500_000_000..3_000_000_000).contains(&deposit), "{deposit}");

    let left: u64 = text(&stats, "meter_remaining").parse().unwrap();
    let ended = tx(&place, &dev, &["terminate-vat", text(&rich, "admin")]).json();
    let returned = &ended["returned"];
    let computrons: u64 = text(returned, "computrons").parse().unwrap();
    assert!(computrons > left, "with the deposit: {ended}");
    let amount: u64 = text(returned, "amount").trim_end_matches("ucap").parse().unwrap();
    assert_eq!(amount, computrons / 100_000);
    let alice = place.ask(&dev, &["query", "account", "alice", "--json"]).json();
    assert_eq!(returned["owner"], alice["address"]);
    let shown = place.ask(&dev, &["query", "vats"]).stdout;
    let ends = |kind: &str| shown.lines().filter(|line| line.contains(kind)).count();
    assert_eq!((ends(" terminated "), ends(" failed ")), (1, 1), "{shown}");
}

#[test]
fn a_chain_with_a_timer_tells_the_time_of_its_blocks() {
    let place = Place::new();
    assert_eq!(place.run(&["init", "--timer"]).code, 0);
    let dev = place.dev();
    let found = tx(&place, &dev, &["send", "factory", "lookup", "chain/timer"]).json();
    let timer = found["value"].as_str().unwrap_or_else(|| panic!("{found}"));
    let now = || {
        let answer = tx(&place, &dev, &["send", timer, "getCurrentTimestamp"]).json();
        let absolute = answer["value"].to_string();
        let digits: String = absolute.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap_or_else(|_| panic!("{answer}"))
    };
    let first = now();
    let time = place.ask(&dev, &["query", "status", "--json"]).json();
    assert!(first > 1_700_000_000, "{first}; {time}");
    // Blocks come by themselves, and time goes on.
    let deadline = Instant::now() + PATIENCE;
    while now() <= first {
        assert!(Instant::now() < deadline, "the time stands still at {first}");
    }
    let plain = Place::new();
    let other = plain.dev();
    let none = plain.ask(
        &other,
        &["tx", "send", "factory", "lookup", "chain/timer", "--from", "alice", "--json"],
    );
    assert!(none.code == 1 && none.stdout.contains("this chain has no timer"), "{none:?}");
}
