//! Tests of `capstan logs`: each thing that a vat prints, and each failure, is one line, with the vat's name and the place in its source.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::io::{BufRead as _, BufReader};

use common::{Dev, Place};
use serde_json::Value;

const VAT: &str = "\
import { E, Far } from '@endo/far';
console.log('loaded');
const later = async () => null;
const fail = async text => {
  await null;
  throw Error(text);
};
export const buildRootObject = (_powers, { broken = false }) => {
  if (broken) throw Error('broken on purpose');
  return Far('root', {
    handled: async () => {
      const failing = fail('handled in time');
      await later();
      await later();
      return failing.catch(error => `${error}`);
    },
    answered: () => fail('the answer'),
    dropped: () => {
      void fail('dropped');
    },
    many: () => {
      for (let i = 0; i < 40; i += 1) void fail(`number ${i}`);
    },
    tricky: () => {
      const reason = { get trap() { throw Error('trapped'); } };
      void Promise.reject(reason);
      return 'alive';
    },
    forged: () => console.log('a\\n9/9 v1 provisioner error forged'),
    ignores: target => {
      E(target).answered();
    },
  });
};
";

/// A chain with the vat, whose root is `ro-53`.
fn with_vat(place: &Place) -> Dev {
    let dev = place.dev();
    std::fs::write(place.path().join("talker.js"), VAT).unwrap();
    assert_eq!(place.run(&["bundle", "talker.js", "-o", "talker.json"]).code, 0);
    tx(place, &dev, &["install-bundle", "talker.json"]);
    tx(place, &dev, &["create-vat", "talker.json", "--name", "talker"]);
    dev
}

fn tx(place: &Place, dev: &Dev, args: &[&str]) -> i32 {
    place.ask(dev, &[&["tx"], args, &["--from", "alice"]].concat()).code
}

fn send(place: &Place, dev: &Dev, method: &str) -> i32 {
    tx(place, dev, &["send", "ro-53", method, "@ro-53"])
}

/// The lines of the log, with their level.
fn lines(place: &Place, args: &[&str]) -> Vec<(String, String)> {
    let log = place.run(&[&["logs", "--json", "-n", "1000"], args].concat());
    assert_eq!(log.code, 0, "{}", log.stderr);
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    log.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: Value| (text(&line, "level"), text(&line, "text")))
        .collect()
}

/// The lines that came since `count` lines.
fn since(place: &Place, count: usize) -> Vec<(String, String)> {
    lines(place, &["talker"]).split_off(count)
}

#[test]
fn rejections_that_nobody_handles_are_warnings_and_all_others_are_none() {
    let place = Place::new();
    let dev = with_vat(&place);
    let all = lines(&place, &["talker"]);
    assert_eq!(all, [("info".to_owned(), "loaded".to_owned())], "printed while it was loaded");
    assert_eq!(send(&place, &dev, "handled"), 0);
    assert_eq!(since(&place, 1), []);
    // The answer is somebody's: liveslots tells of it, as ever.
    assert_eq!(send(&place, &dev, "answered"), 1);
    let answered = since(&place, 1);
    assert_eq!((answered.len(), answered[0].0.as_str()), (1, "warn"), "{answered:?}");
    assert!(answered[0].1.starts_with("Logging sent error stack: Error#1: the answer at fail"));
    assert_eq!(send(&place, &dev, "dropped"), 0);
    let dropped = &since(&place, 2)[0];
    assert_eq!(dropped.0, "warn");
    assert!(dropped.1.starts_with("unhandled rejection: Error#2: dropped"), "{dropped:?}");
    assert!(dropped.1.contains("fail (talker/talker.js:6:"), "{dropped:?}");
    assert_eq!(send(&place, &dev, "many"), 0);
    assert_eq!(since(&place, 3).len(), 32, "the others are not remembered");
    assert_eq!(send(&place, &dev, "tricky"), 0);
    // A message whose answer nobody waits for.
    let before = lines(&place, &["talker"]).len();
    assert_eq!(send(&place, &dev, "ignores"), 0);
    let ignored = since(&place, before);
    assert!(ignored.iter().any(|(_, text)| text.starts_with("unhandled rejection")), "{ignored:?}");
    assert!(dev.stop("TERM").success());
}

#[test]
fn each_thing_is_one_line_once_also_after_restarts() {
    let place = Place::new();
    let dev = with_vat(&place);
    let broken = ["create-vat", "talker.json", "--name", "broken", "--params", "{\"broken\":true}"];
    assert_eq!(tx(&place, &dev, &broken), 1);
    assert_eq!(send(&place, &dev, "dropped"), 0);
    let all = lines(&place, &[]);
    let of_broken = lines(&place, &["broken"]);
    assert_eq!(of_broken.len(), 2, "loaded, and the end: {of_broken:?}");
    assert_eq!(of_broken[1].0, "error");
    let end = "the vat ended by a failure: startVat failed: Error#1: broken on purpose at ";
    assert!(of_broken[1].1.starts_with(end), "{of_broken:?}");
    assert!(of_broken[1].1.contains("buildRootObject (talker/talker.js:9:"), "{of_broken:?}");
    assert!(dev.stop("KILL").code().is_none());
    for _ in 0..2 {
        let dev = place.dev();
        assert_eq!(lines(&place, &[]), all, "a restart prints nothing");
        assert_eq!(send(&place, &dev, "handled"), 0);
        assert_eq!(lines(&place, &[]), all, "nor does a replay");
        assert!(dev.stop("TERM").success());
    }
    assert_eq!(place.run(&["logs", "--level", "error", "talker"]).stdout, "");
}

#[test]
fn a_vat_that_its_meter_ends_at_the_start_has_its_name() {
    let place = Place::new();
    let dev = with_vat(&place);
    let poor = ["create-vat", "talker.json", "--name", "poor", "--computrons", "1"];
    assert_eq!(tx(&place, &dev, &poor), 1);
    let told = lines(&place, &["poor"]);
    assert!(told.iter().any(|(level, _)| level == "error"), "{told:?}");
    assert!(told[0].1.contains("meter"), "{told:?}");
    // The end of a vat is found by the vat's name, also if several have it.
    assert_eq!(tx(&place, &dev, &["create-vat", "talker.json", "--name", "talker"]), 0);
    let two = place.ask(&dev, &["query", "vat", "talker"]);
    two.assert_failed(2, "several vats have the name \"talker\": v3 (running)");
    place.ask(&dev, &["query", "vat", "nobody"]).assert_failed(2, "capstan query vats");
    let one = place.ask(&dev, &["query", "vat", "provisioner", "--json"]).json();
    assert_eq!(one["name"], "provisioner");
    assert!(dev.stop("TERM").success());
}

#[test]
fn an_end_on_purpose_is_no_error() {
    let place = Place::new();
    let dev = with_vat(&place);
    assert_eq!(tx(&place, &dev, &["terminate-vat", "ro-51", "--reason", "enough"]), 0);
    let end = ("info".to_owned(), "the vat was terminated: enough".to_owned());
    assert_eq!(since(&place, 1), [end]);
    assert!(dev.stop("TERM").success());
}

#[test]
fn what_is_followed_comes_as_it_is_printed_and_cannot_look_like_another_line() {
    let place = Place::new();
    let dev = with_vat(&place);
    let mut follower = place.command(&["logs", "-f"]).spawn().unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(followed.next().unwrap().unwrap().ends_with("v3 talker info  loaded"));
    assert_eq!(send(&place, &dev, "forged"), 0);
    let line = followed.next().unwrap().unwrap();
    assert!(line.ends_with(r"v3 talker info  a\n9/9 v1 provisioner error forged"), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(dev.stop("TERM").success());
    let unknown = place.run(&["logs", "nosuchvat"]);
    unknown.assert_failed(2, "no line of a vat \"nosuchvat\"; it has v");
    assert!(unknown.stderr.contains("v3 talker"), "{unknown:?}");
    let elsewhere = place.path().join("nowhere");
    let missing = place.run(&["logs", "--home", elsewhere.to_str().unwrap()]);
    missing.assert_failed(1, "there is no log of vats");
}
