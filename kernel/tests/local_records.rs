//! Node-local records: each is checked against the state that the root hash binds.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::view;
use capstan_kernel_ports::store::{Overlay, Read};
use serde_json::json;
use support::script::Stage;

/// A kernel with c-lists, importers, transcripts and an account's outbox.
fn stage() -> Stage {
    let mut stage = Stage::new(&["one", "two"], |config| {
        // This host has no images of heaps, and the state binds a transcript only from the last snapshot on.
        config.options.snapshot_initial = 1_000;
        config.options.snapshot_interval = 1_000;
    });
    stage.perform("one", json!([["send", "o-50", "#[\"m\",[\"$0\"]]", ["o+5"], "p+6"]])).unwrap();
    stage.kernel.provision(&mut stage.state, "account").unwrap();
    stage.run();
    stage
}

#[test]
fn records_that_the_kernel_wrote_are_right() {
    let stage = stage();
    view::check_local(&stage.state).unwrap();
    let needed = view::NeededLocal::of(&stage.state).unwrap();
    let local = stage.state.scan(b"local.k.").unwrap();
    let transcripts = local.iter().filter(|(key, _)| key.starts_with(b"local.k.t.")).count();
    assert!(transcripts > 3 && local.len() > transcripts + 10, "{} records", local.len());
    // Only the counters are left out.
    assert_eq!(local.iter().filter(|(key, _)| !needed.includes(key)).count(), 1);
}

#[test]
fn a_record_that_is_changed_missing_or_added_is_found() {
    let mut stage = stage();
    let records = stage.state.scan(b"local.k.").unwrap();
    for (key, value) in records.iter().filter(|(key, _)| key != b"local.k.stats") {
        let name = String::from_utf8_lossy(key).into_owned();
        if !value.is_empty() {
            let mut other = value.clone();
            *other.last_mut().unwrap() ^= 1;
            stage.state.set(key, other);
            assert!(view::check_local(&stage.state).is_err(), "{name} was changed");
        }
        stage.state.delete(key);
        assert!(view::check_local(&stage.state).is_err(), "{name} is missing");
        stage.state.set(key, value.clone());
    }
    view::check_local(&stage.state).unwrap();
    for added in ["local.k.c.v1.o-999", "local.k.i.ko999.v1", "local.k.t.v99.0000000000000000"] {
        stage.state.set(added.as_bytes(), vec![1]);
        let problem = view::check_local(&stage.state).unwrap_err().to_string();
        assert!(problem.contains("node-local records"), "{problem}");
        stage.state.delete(added.as_bytes());
    }
}
