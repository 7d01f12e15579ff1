//! Pages of queries are bounded in bytes, whatever strangers have stored.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use capstan_app::{AppOptions, query::QueryLimits};
use capstan_store::Store;
use common::{Chain, alice, genesis, wasm_id};
use serde_json::Value;

const PAGE_BYTES: usize = 20_000;
/// The names of the fields of a page, and its cursor.
const ENVELOPE_BYTES: usize = 200;

/// A chain whose node has small pages.
fn chain() -> Chain {
    let queries = QueryLimits { max_page_bytes: PAGE_BYTES, ..QueryLimits::default() };
    let options = AppOptions { queries, ..AppOptions::default() };
    let mut chain = Chain::open_options(Store::in_memory().unwrap(), options);
    chain.init(&genesis(|_| {}));
    chain.block(&[]);
    chain
}

/// Walks all pages of a list. Returns its entries and the number of pages.
fn walk(chain: &Chain, path: &str, list: &str) -> (Vec<Value>, usize) {
    let (mut entries, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let path = format!("{path}?limit=1000&after={after}");
        let response = chain.query(&path, &[]);
        assert_eq!(response.code, 0, "{path}: {}", response.log);
        assert!(response.value.len() <= PAGE_BYTES + ENVELOPE_BYTES, "{}", response.value.len());
        let mut page: Value = serde_json::from_slice(&response.value).unwrap();
        let found = page[list].as_array_mut().unwrap();
        assert!(!found.is_empty(), "{path}");
        entries.append(found);
        pages += 1;
        match &page["next"] {
            Value::Number(next) if next.as_u64() != Some(0) => after = next.to_string(),
            Value::String(next) if !next.is_empty() => after.clone_from(next),
            _ => return (entries, pages),
        }
    }
}

fn metric(chain: &Chain, name: &str) -> usize {
    let text = chain.app.metrics_text().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn an_outbox_of_large_entries_comes_in_many_pages() {
    let (mut chain, mut alice) = (chain(), alice());
    let text = format!("[\"{}\"]", "x".repeat(6000));
    let messages = (0..10).map(|_| alice.send("factory", "echo", &text, &[])).collect();
    let tx = alice.tx(messages);
    chain.ok(tx);
    (0..5).for_each(|_| drop(chain.block(&[])));
    let path = format!("accounts/{}/outbox", alice.address());
    let (entries, pages) = walk(&chain, &path, "entries");
    let numbers: Vec<_> = entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert!(numbers.len() >= 10 && numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let bytes: usize =
        entries.iter().map(|entry| entry["delivery_json"].as_str().unwrap().len()).sum();
    assert!(bytes >= 60_000 && pages >= bytes / PAGE_BYTES, "{pages} pages of {bytes} bytes");
    let largest = metric(&chain, "capstan_query_answer_bytes_max");
    assert!((PAGE_BYTES / 2..=PAGE_BYTES + ENVELOPE_BYTES).contains(&largest), "{largest}");
    assert!(metric(&chain, "capstan_query_answer_bytes_total") >= bytes);
    assert_eq!(metric(&chain, "capstan_queries_total"), pages);
}

#[test]
fn an_entry_that_is_larger_than_a_page_is_a_page_of_its_own() {
    let (mut chain, mut alice) = (chain(), alice());
    let text = format!("[\"{}\"]", "x".repeat(2 * PAGE_BYTES));
    let messages = (0..2).map(|_| alice.send("factory", "echo", &text, &[])).collect();
    let tx = alice.tx(messages);
    chain.ok(tx);
    (0..5).for_each(|_| drop(chain.block(&[])));
    let path = format!("accounts/{}/outbox", alice.address());
    let (mut after, mut sizes) = (0, Vec::new());
    loop {
        let page = chain.json(&format!("{path}?after={after}"));
        sizes.push(page["entries"].as_array().unwrap().len());
        after = page["next"].as_u64().unwrap();
        if after == 0 {
            break;
        }
    }
    assert!(sizes.len() >= 2, "{sizes:?}");
}

#[test]
fn the_heads_of_the_queues_share_a_page_and_the_rest_is_asked_for_by_position() {
    let (mut chain, mut alice) = (chain(), alice());
    // Each takes more than half of a block, so that most of them wait.
    let text = format!("[\"{}\"]", "x".repeat(3000));
    let messages = (0..12).map(|_| alice.send("factory", "work", &text, &[])).collect();
    let tx = alice.tx(messages);
    chain.ok(tx);
    let mut seen = 0;
    loop {
        let response = chain.query(&format!("kernel/run-queue?limit=1000&skip={seen}"), &[]);
        assert!(response.value.len() <= PAGE_BYTES + ENVELOPE_BYTES, "{}", response.value.len());
        let queues: Value = serde_json::from_slice(&response.value).unwrap();
        let (run, waiting) =
            (queues["run_queue"].as_array().unwrap().len(), &queues["run_queue_length"]);
        let accepted = queues["acceptance_queue"].as_array().unwrap().len();
        let total =
            waiting.as_u64().unwrap().max(queues["acceptance_queue_length"].as_u64().unwrap());
        assert!(total >= 8, "{queues}");
        seen += run.max(accepted) as u64;
        if seen >= total {
            break;
        }
        assert!(run + accepted > 0 && run + accepted <= 6, "{run} and {accepted}");
    }
}

#[test]
fn the_size_of_a_bundle_is_that_of_its_bytes() {
    let (mut chain, mut alice) = (chain(), alice());
    let modules: Vec<Vec<u8>> = (1..=150u8).map(|n| vec![n; usize::from(n) * 100]).collect();
    for some in modules.chunks(20) {
        let messages = some.iter().map(|module| alice.install(module)).collect();
        let tx = alice.tx(messages);
        chain.ok(tx);
    }
    let (bundles, pages) = walk(&chain, "bundles", "bundles");
    assert!(pages > 1);
    for module in &modules {
        let id = wasm_id(module);
        let listed = bundles.iter().find(|bundle| bundle["bundle_id"] == id.as_str()).unwrap();
        assert_eq!(listed["size"].as_u64().unwrap(), module.len() as u64);
        assert_eq!(&chain.json(&format!("bundles/{id}")), listed);
    }
}

#[test]
fn c_lists_and_vats_are_walked_page_by_page() {
    let (mut chain, mut alice) = (chain(), alice());
    let messages = (0..1_200).map(|_| alice.send("factory", "never", "[]", &[]));
    let messages: Vec<_> = messages.collect();
    for some in messages.chunks(50) {
        let tx = alice.tx(some.to_vec());
        chain.ok(tx);
    }
    (0..5).for_each(|_| drop(chain.block(&[])));
    let (entries, pages) = walk(&chain, &format!("clists/{}", alice.address()), "entries");
    assert!(entries.len() > 1_200 && pages > 1, "{} in {pages}", entries.len());
    let krefs: Vec<_> = entries.iter().map(|entry| entry["kref"].as_str().unwrap()).collect();
    assert!(krefs.is_sorted_by(|a, b| a < b), "{krefs:?}");
    let (vats, _) = walk(&chain, "vats", "vats");
    assert_eq!(chain.json("kernel/stats")["vats"], vats.len());
}
