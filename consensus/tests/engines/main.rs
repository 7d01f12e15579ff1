//! Both engines answer alike: the same requests to solo consensus and to CometBFT, over the same chain.
//!
//! Every difference must be in the list of [`differences`], and everything in that list must differ.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod chain;
mod compare;
mod differences;
mod events;
mod requests;
mod send;

use std::time::Duration;

use chain::Engines;
use compare::Comparison;
use serde_json::Value;

/// Returns the answers of both engines.
///
/// After `broadcast_tx_async` a transaction stays in a cache until it has been checked. The same one may come earlier, so it
/// is sent again until both have checked the first.
fn answers(engines: &Engines, request: &send::Request) -> [Value; 2] {
    const IN_CACHE: &str = "tx already exists in cache";
    let is_async = request.name.contains("broadcast_tx_async");
    for _ in 0..100 {
        let answers = engines.each(|engine| request.answer(engine));
        let [solo, comet] = answers.each_ref().map(|answer| answer.to_string().contains(IN_CACHE));
        if !is_async || solo == comet {
            return answers;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    engines.each(|engine| request.answer(engine))
}

#[test]
fn both_engines_answer_alike() {
    let engines = Engines::start();
    engines.make_blocks();
    let mut comparison = Comparison::new(&engines);
    for request in calls::all().into_iter().chain(requests::all()) {
        let [solo, comet] = answers(&engines, &request);
        comparison.note(&request.name, solo, comet);
    }
    engines.settle();
    let sockets = engines.each(|engine| events::Listener::open_all(engine.rpc));
    for request in requests::that_change_the_chain() {
        let [solo, comet] = engines.each(|engine| request.answer(engine));
        engines.settle();
        comparison.learn(&engines);
        comparison.note(&request.name, solo, comet);
    }
    let [solo, comet] = sockets.map(|listeners| listeners.into_iter().map(events::Listener::heard));
    for ((name, solo), (_, comet)) in solo.zip(comet) {
        comparison.note(&name, solo, comet);
    }
    comparison.finish();
}
