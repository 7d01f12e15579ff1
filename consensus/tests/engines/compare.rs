//! Answers without what differs by nature, such as times, and where they differ otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::chain::{Engine, Engines};
use crate::differences::{DIFFERENCES, Difference};

/// What was found so far.
pub(crate) struct Comparison {
    /// What each engine's own texts are called: hashes of blocks with their times and signatures.
    names: [BTreeMap<String, String>; 2],
    seen: usize,
    used: Vec<bool>,
    unlisted: String,
}

impl Comparison {
    pub(crate) fn new(engines: &Engines) -> Self {
        let names = engines.each(names);
        let used = vec![false; DIFFERENCES.len()];
        Self { names, seen: 0, used, unlisted: String::new() }
    }

    /// Takes blocks into account that were made since.
    pub(crate) fn learn(&mut self, engines: &Engines) {
        self.names = engines.each(names);
    }

    /// Compares two answers to the same request.
    pub(crate) fn note(&mut self, request: &str, solo: Value, comet: Value) {
        self.seen += 1;
        let [solo, comet] =
            [(solo, &self.names[0]), (comet, &self.names[1])].map(|(value, names)| {
                let mut value = value;
                rename(&mut value, names);
                value
            });
        for (path, solo, comet) in differing(&solo, &comet) {
            let is_listed = |difference: &Difference| difference.is_about(request, &path);
            let mut listed = false;
            for (index, _) in DIFFERENCES.iter().enumerate().filter(|(_, it)| is_listed(it)) {
                self.used[index] = true;
                listed = true;
            }
            if !listed {
                let [solo, comet] = [solo, comet].map(|value| shortened(&value));
                let _ = writeln!(
                    self.unlisted,
                    "{request}\n  at {path}\n    solo  {solo}\n    comet {comet}"
                );
            }
        }
    }

    /// Fails unless the differences were those of the list.
    pub(crate) fn finish(self) {
        let gone: Vec<String> = (self.used.iter().zip(DIFFERENCES))
            .filter(|(used, _)| !**used)
            .map(|(_, it)| format!("{} at {}", it.request, it.path))
            .collect();
        assert!(self.seen > 1000, "only {} requests", self.seen);
        assert!(self.unlisted.is_empty(), "the engines differ:\n{}", self.unlisted);
        assert!(gone.is_empty(), "listed, but the engines do not differ:\n{}", gone.join("\n"));
    }
}

/// The texts of an engine's blocks that are its own.
fn names(engine: &Engine) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for height in 1..=engine.rpc.height() {
        let at = json!({"height": height.to_string()});
        let block = engine.rpc.call("block", at.clone());
        let commit = engine.rpc.call("commit", at);
        let header = &block["block"]["header"];
        let vote = &commit["signed_header"]["commit"]["signatures"][0];
        let seen = &block["block"]["last_commit"]["signatures"][0];
        for (value, name) in [
            (&block["block_id"]["hash"], "hash"),
            (&block["block_id"]["parts"]["hash"], "parts"),
            (&header["last_commit_hash"], "last commit"),
            (&header["time"], "time"),
            (&vote["signature"], "signature"),
            (&vote["timestamp"], "vote time"),
            (&seen["timestamp"], "canonical vote time"),
            (&seen["signature"], "canonical signature"),
        ] {
            if let Some(text) = value.as_str() {
                names.entry(text.to_owned()).or_insert_with(|| format!("[{name} {height}]"));
            }
        }
    }
    names
}

/// Replaces an engine's own texts, also within others.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                *text = name.clone();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(map) => map.values_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

/// The paths at which two values differ, with both.
fn differing(one: &Value, other: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    collect(String::new(), one, other, &mut found);
    found
}

fn collect(path: String, one: &Value, other: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => collect(format!("{path}/{key}"), one, other, found),
                    (one, other) => {
                        let [one, other] = [one, other].map(|value| match value {
                            Some(value) => value.clone(),
                            None => "(absent)".into(),
                        });
                        found.push((format!("{path}/{key}"), one, other));
                    }
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                collect(format!("{path}/{index}"), one, other, found);
            }
        }
        _ if one == other => {}
        _ => found.push((path, one.clone(), other.clone())),
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(600).collect()
}
