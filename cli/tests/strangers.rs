//! Connections that strangers leave open, and texts that strangers write to control a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use capstan_files::printable;
use capstan_tests::raw_genesis;
use common::Place;

/// A home of a chain of wasm vats.
fn raw_home(place: &Place) -> PathBuf {
    let file = place.path().join("genesis.json");
    std::fs::write(&file, raw_genesis(|_| {}).to_json().unwrap()).unwrap();
    let home = place.path().join("raw");
    let args = ["init", "--genesis", text(&file), "--home", text(&home), "--json"];
    assert_eq!(place.run(&args).code, 0);
    home
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn configure(home: &Path, changes: &[(&str, &str)]) {
    let path = home.join("config.toml");
    let mut config = std::fs::read_to_string(&path).unwrap();
    for (old, new) in changes {
        assert!(config.contains(old), "{old}");
        config = config.replace(old, new);
    }
    std::fs::write(path, config).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_with_few_descriptors_and_many_connections_goes_on() {
    const DESCRIPTORS: u32 = 300;
    let place = Place::new();
    let home = raw_home(&place);
    configure(
        &home,
        &[
            ("idle_timeout_ms = 60000", "idle_timeout_ms = 2000"),
            ("commit_timeout_ms = 10000", "commit_timeout_ms = 1000"),
            ("file = \"\"", "file = \"node.log\""),
        ],
    );
    let dev = place.dev_with_descriptors(DESCRIPTORS, &home);
    let addr = dev.url().strip_prefix("http://").unwrap().to_owned();
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&addr).unwrap();
        // Half of a request.
        let _ = stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n");
        held.push(stream);
        assert!(dev.descriptors() < DESCRIPTORS as usize, "{}", dev.descriptors());
    }
    // The operating system's queue is no longer than the test is patient.
    for stream in held.iter_mut().take(60) {
        let _ = stream.read(&mut [0; 64]);
    }
    drop(held);
    let args = ["tx", "send", "factory", "increment", "--from", "alice", "--json"];
    let answer = place.ask(&dev, &args);
    assert_eq!(answer.code, 0, "{answer:?}");
    let log = std::fs::read_to_string(home.join("node.log")).unwrap();
    assert!(log.contains("only 16 connections are allowed"), "{log}");
    assert_eq!(log.lines().count(), log.matches(" WARN ").count(), "{log}");
    assert!(dev.stop("TERM").success());
    assert!(!home.join("fatal.txt").exists());
}

#[test]
fn no_command_lets_a_strangers_text_drive_the_terminal() {
    let place = Place::new();
    let dev = place.dev();
    let hostile = "\u{1b}[2J\u{9b}31m\u{202e}exe.\rover";
    let sent = place.ask(&dev, &["tx", "send", "factory", hostile, hostile, "--from", "alice"]);
    let printed = format!("{}{}", sent.stdout, sent.stderr);
    assert!(printed.contains("exe."), "{printed:?}");
    assert_eq!(printable(&printed), printed);
    // Programs get the text as it is.
    let sent = place.ask(&dev, &["tx", "send", "factory", hostile, "--from", "alice", "--json"]);
    let line = sent.stdout.lines().next().unwrap_or_default();
    let exact: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(exact.to_string().contains("\u{202e}exe."), "{exact}");
    assert_eq!(printable(line), line);
    for question in [
        "query outbox alice",
        "query vats",
        "query vat-stats v2",
        "query clist alice",
        "query queue",
        "query bundles",
        "query subclusters",
        "query kernel",
        "query params",
        "debug cranks",
    ] {
        let asked = place.ask(&dev, &question.split(' ').collect::<Vec<_>>());
        assert_eq!(asked.code, 0, "{question}: {asked:?}");
        for text in [&asked.stdout, &asked.stderr] {
            assert_eq!(&printable(text), text, "{question}");
        }
    }
    for wrong in [&["query", "vat", hostile][..], &["query", "object", hostile]] {
        let asked = place.ask(&dev, wrong);
        assert!(asked.code != 0 && !asked.stderr.is_empty(), "{asked:?}");
        assert_eq!(printable(&asked.stderr), asked.stderr, "{wrong:?}");
    }
}
