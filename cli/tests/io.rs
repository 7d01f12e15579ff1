//! `capstan io`: lines to and from the vats of a subcluster, over a restart and an export.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use capstan_client::{Client, Deadline};
use common::{Dev, Done, PATIENCE, Place, checkout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A home of a chain with the subcluster `s1`, whose vat answers the lines of `console` and leaves those of `in`
/// alone. Alice governs it.
fn home(place: &Place) -> std::path::PathBuf {
    let echo = checkout().join("tests/vats/echo.js");
    assert_eq!(place.run(&["bundle", text(&echo), "-o", "echo.json"]).code, 0);
    let config = r#"{"name": "echo", "config": {
        "bootstrap": "main",
        "services": ["console"],
        "io": {"console": {}, "in": {"direction": "in"}, "out": {"direction": "out"}},
        "vats": {"main": {"bundle": "echo.json"}}
    }}"#;
    std::fs::write(place.path().join("echo-subcluster.json"), config).unwrap();
    let odd = config.replace(r#""console": {}"#, r#""console": {"type": "console"}"#);
    std::fs::write(place.path().join("odd.json"), odd).unwrap();
    let home = place.home();
    let init = ["init", "--home", text(&home), "--governor", "alice", "--system-subcluster"];
    let refused = place.run(&[&init[..], &["odd.json"]].concat());
    assert!(
        refused.code != 0 && refused.stderr.contains("there is no type on a chain"),
        "{refused:?}"
    );
    assert!(!home.exists(), "{refused:?}");
    let made = place.run(&[&init[..], &["echo-subcluster.json"]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    home
}

/// Waits until the subcluster `s1` runs.
fn wait_running(dev: &Dev) {
    let client = Client::new(dev.url()).unwrap();
    let running = || {
        let listed = client.subclusters()?;
        let is = listed.first().is_some_and(|one| one.status == "running");
        Ok::<_, capstan_client::ClientError>(is.then_some(()))
    };
    Deadline::after(PATIENCE).poll("the subcluster", running).unwrap();
}

/// Has alice launch the same subcluster.
fn launch(place: &Place, dev: &Dev) {
    let echo = checkout().join("tests/vats/echo.js");
    assert_eq!(place.run(&["bundle", text(&echo), "-o", "echo.json"]).code, 0);
    let install = ["tx", "install-bundle", "echo.json", "--from", "alice", "--json"];
    let id = place.ask(dev, &install).json()["bundle_id"].as_str().unwrap().to_owned();
    let config = serde_json::json!({
        "name": "echo", "bootstrap": "main", "services": ["console"],
        "io": {"console": {}, "in": {"direction": "in"}, "out": {"direction": "out"}},
        "vats": {"main": {"bundleID": id}},
    });
    let send =
        ["tx", "send", "factory", "launchSubcluster", &config.to_string(), "--from", "alice"];
    let launched = place.ask(dev, &send);
    assert_eq!(launched.code, 0, "{launched:?}");
    wait_running(dev);
}

/// Writes the lines of standard input.
fn write_input(place: &Place, dev: &Dev, channel: &str, input: &str, more: &[&str]) -> Done {
    let args = ["io", "write", "s1", channel, "-", "--from", "alice", "--json"];
    let mut command = place.command(&[&args[..], more].concat());
    command.env("CAPSTAN_NODE", dev.url()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    common::done(child.wait_with_output().unwrap())
}

fn read(place: &Place, dev: &Dev, more: &[&str]) -> Vec<String> {
    let done = place.ask(dev, &[&["io", "read", "s1", "console"], more].concat());
    assert_eq!(done.code, 0, "{done:?}");
    done.stdout.lines().map(str::to_owned).collect()
}

fn wait_written(dev: &Dev, count: u64) {
    let client = Client::new(dev.url()).unwrap();
    let written = || {
        Ok::<_, capstan_client::ClientError>(
            (client.channel("s1", "console", 0, 1)?.written == count).then_some(()),
        )
    };
    Deadline::after(PATIENCE).poll("the vat's lines", written).unwrap();
}

#[test]
fn lines_go_in_and_out_over_a_restart_and_an_export() {
    let place = Place::new();
    let home = place.home();
    let dev = place.dev_at(&home, &[]);
    launch(&place, &dev);
    let one = ["io", "write", "s1", "console", "one", "--from", "alice", "--json"];
    assert_eq!(place.ask(&dev, &one).json()["lines"], 1);
    let done = write_input(&place, &dev, "console", "two\n\nthree", &["--close"]).json();
    assert_eq!((&done["lines"], &done["closed"]), (&3.into(), &true.into()));
    wait_written(&dev, 5);
    let all = ["v1 got one", "v1 got two", "v1 got ", "v1 got three", "v1 end"];
    assert_eq!(read(&place, &dev, &[]), all);
    assert_eq!(read(&place, &dev, &["--after", "3"]), all[3..]);
    let unread = write_input(&place, &dev, "in", "left\n", &[]).json();
    assert_eq!(unread["waiting"], 1);
    assert!(dev.stop("TERM").success());

    let dev = place.dev_at(&home, &[]);
    assert_eq!(read(&place, &dev, &["--from", "alice"]), all, "a restart keeps them");
    assert_eq!(read(&place, &dev, &[]), Vec::<String>::new(), "they are acknowledged");
    assert_eq!(place.ask(&dev, &one).code, 0);
    wait_written(&dev, 6);
    assert!(dev.stop("TERM").success());

    let (export, new) = (place.path().join("export"), place.path().join("new"));
    let args = ["export", "--home", text(&home), "--to", text(&export), "--json"];
    assert_eq!(place.run(&args).code, 0);
    let document = export.join("genesis.json");
    let init = ["init", "--genesis", text(&document), "--home", text(&new)];
    assert_eq!(place.run(&init).code, 0);
    let dev = place.dev_at(&new, &[]);
    assert_eq!(place.ask(&dev, &one).code, 0);
    wait_written(&dev, 7);
    let line = r#"{"number":6,"text":"v1 got one"}"#;
    assert_eq!(read(&place, &dev, &["--json"]), [line, &line.replace('6', "7")]);
    let client = Client::new(dev.url()).unwrap();
    assert_eq!(client.channel("s1", "in", 0, 0).unwrap().input_lines, 1);
    assert!(dev.stop("TERM").success());
}

#[test]
fn a_follower_prints_what_comes_and_mistakes_are_named() {
    let place = Place::new();
    let home = home(&place);
    let dev = place.dev_at(&home, &[]);
    wait_running(&dev);
    let follow = ["io", "read", "s1", "console", "--follow", "--from", "alice", "--json"];
    let mut command = place.command(&follow);
    let mut child = command.env("CAPSTAN_NODE", dev.url()).spawn().unwrap();
    let client = Client::new(dev.url()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (number, word) in [(1, "one"), (2, "two")] {
        let write = ["io", "write", "s1", "console", word, "--from", "alice"];
        assert_eq!(place.ask(&dev, &write).code, 0);
        let expected = format!(r#"{{"number":{number},"text":"v1 got {word}"}}"#);
        assert_eq!(lines.next().unwrap().unwrap(), expected);
        // Both sign with one key, one after the other.
        let freed = || {
            let state = client.channel("s1", "console", 0, 0)?;
            Ok::<_, capstan_client::ClientError>((state.acknowledged == number).then_some(()))
        };
        Deadline::after(PATIENCE).poll("the acknowledgement", freed).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let refused = |args: &[&str], code, part: &str| {
        place.ask(&dev, &[&["io"], args].concat()).assert_failed(code, part);
    };
    refused(&["write", "s1", "console", "x"], 2, "who signs?");
    refused(&["write", "s1", "console", "--from", "alice"], 2, "what is to be written?");
    refused(&["write", "s1", "console", "x", "--from", "bob"], 3, "may not use io:s1:console");
    refused(&["write", "s1", "out", "x", "--from", "alice"], 1, "vats only write to channel out");
    refused(&["read", "s1", "in"], 1, "vats only read channel in");
    refused(&["read", "s1", "err"], 3, "io:s1:err");
    refused(&["read", "seven", "err"], 3, "expected s and a number");
    // Nobody reads these: they fill the channel, and one more waits in vain.
    let many = "line\n".repeat(128);
    let done = write_input(&place, &dev, "in", &many, &[]).json();
    assert_eq!((&done["lines"], &done["waiting"]), (&128.into(), &128.into()));
    let full = ["write", "s1", "in", "x", "--from", "alice", "--timeout", "1"];
    refused(&full, 4, "room in channel in of s1");
    assert!(dev.stop("TERM").success());
}
