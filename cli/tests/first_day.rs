//! What a newcomer meets on the first day: launches without parameters, balances after a restart, paths of one's own.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;

use common::{Dev, Place};
use serde_json::Value;

/// Bundles and installs a source, and returns the bundle's id.
fn install(place: &Place, dev: &Dev, name: &str, source: &str) -> String {
    let (file, bundle) = (format!("{name}.js"), format!("{name}.json"));
    fs::write(place.path().join(&file), source).unwrap();
    let id = place.run(&["bundle", &file, "-o", &bundle, "--json"]).json()["bundle_id"].clone();
    place.ask(dev, &["tx", "install-bundle", &bundle, "--from", "alice"]).assert_failed(0, "");
    id.as_str().unwrap().to_owned()
}

#[test]
fn a_launch_needs_no_parameters_and_names_the_vat_that_failed() {
    let place = Place::new();
    let dev = place.dev();
    let sound = "import { Far } from '@endo/far';
        export const buildRootObject = (_powers, { start = 5 }) => Far('r', { read: () => start });";
    let sound = install(&place, &dev, "sound", sound);
    let broken = "export const buildRootObject = () => { throw Error('no way'); };";
    let broken = install(&place, &dev, "broken", broken);
    let ask = |args: &[&str]| {
        place.ask(&dev, &[&["tx", "send"], args, &["--from", "alice", "--json"]].concat())
    };
    let launch = |config: String| ask(&["factory", "launchSubcluster", &config]);

    let one = format!(r#"{{"name":"one","vats":{{"only":{{"bundleID":"{sound}"}}}}}}"#);
    let launched = launch(one).json();
    let root = launched["value"]["vats"]["only"]["root"].as_str().unwrap();
    assert_eq!(ask(&[root, "read"]).json()["value"], 5, "{launched}");

    let vats = format!(r#"{{"good":{{"bundleID":"{sound}"}},"worse":{{"bundleID":"{broken}"}}}}"#);
    let failed = launch(format!(r#"{{"name":"two","vats":{vats}}}"#));
    let refused: Value = serde_json::from_str(&failed.stdout).unwrap();
    let message = refused["value"]["@error"].as_str().unwrap();
    assert!(message.starts_with("launchSubcluster: vat worse: "), "{failed:?}");

    let unknown = format!("b1-{}", "0".repeat(128));
    let missing = launch(format!(r#"{{"name":"x","vats":{{"lost":{{"bundleID":"{unknown}"}}}}}}"#));
    assert!(missing.stdout.contains("launchSubcluster: vat lost: bundle"), "{missing:?}");
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_home_forgets_old_blocks_and_shows_what_it_takes() {
    let place = Place::new();
    place.run(&["init"]).assert_failed(0, "");
    let options = "[blocks]\nhistory_mib = 0\nempty_interval_ms = 5\n";
    fs::write(place.home().join("config.toml"), options).unwrap();
    let dev = place.dev();
    let height = || -> u64 {
        let status = place.ask(&dev, &["query", "status", "--json"]).json();
        let height = &status["height"];
        height.as_u64().or_else(|| height.as_str()?.parse().ok()).unwrap()
    };
    let reached = || Ok::<_, capstan_client::ClientError>((height() > 150).then_some(()));
    capstan_client::Deadline::after(common::PATIENCE).poll("150 blocks", reached).unwrap();
    let gone = place.ask(&dev, &["query", "block", "1"]);
    assert!(gone.code != 0 && gone.stderr.contains("lowest height is"), "{gone:?}");
    place.ask(&dev, &["query", "block"]).assert_failed(0, "");
    let shown = place.ask(&dev, &["disk", "--json"]).json();
    let part = |name: &str| {
        let parts = shown["parts"].as_array().unwrap();
        parts.iter().find(|part| part["part"] == name).unwrap().clone()
    };
    assert_eq!(part("blocks")["bound_bytes"], 0, "{shown}");
    assert!(part("blocks")["bytes"].as_u64().unwrap() > 0, "{shown}");
    assert_eq!(part("journal of the state")["bound_bytes"], 64 << 20, "{shown}");
    assert_eq!(part("other")["bytes"].as_u64().unwrap() >> 20, 0, "{shown}");
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_restart_shows_the_balances_of_now_and_a_path_starts_where_one_stands() {
    let place = Place::new();
    let balance = |dev: &Dev, name: &str| {
        let accounts = dev.ready["accounts"].as_array().unwrap();
        let account = accounts.iter().find(|account| account["name"] == name).unwrap();
        account["balance"].as_str().unwrap().parse::<u128>().unwrap()
    };
    let dev = place.dev();
    let before = balance(&dev, "bob");
    let transfer = ["tx", "transfer", "bob", "1234ucap", "--from", "alice"];
    place.ask(&dev, &transfer).assert_failed(0, "");
    assert!(dev.stop("TERM").success());

    let dev = place.dev_at(&place.home(), &["--slog", "steps.slog"]);
    assert_eq!(balance(&dev, "bob"), before + 1234);
    assert!(dev.ready["home_bytes"].as_u64().unwrap() > 1_000_000, "{}", dev.ready);
    assert!(dev.stop("TERM").success());
    assert!(fs::metadata(place.path().join("steps.slog")).unwrap().len() > 0);
    assert!(!place.home().join("steps.slog").exists());
}
