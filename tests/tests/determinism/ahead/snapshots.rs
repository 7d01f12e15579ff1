//! Collections before heap snapshots, which run ahead together with the delivery before them.

use super::*;

/// A kernel that takes snapshots often, and reaps seldom.
fn with_snapshots() -> KernelOptions {
    KernelOptions { crank_limit: 20_000_000, ..KernelOptions { reap: limited().reap, ..often() } }
}

/// Plays a story in which heap snapshots follow deliveries that run ahead.
fn takes_snapshots(story: &[Act], shows: &str) {
    let (log, counts) = same(NodeOptions::default(), &with_snapshots(), story);
    assert!(counts.snapshots > 0, "no collection before a snapshot ran ahead");
    assert!(log.iter().any(|line| line.contains("SnapshotSaved")));
    assert!(log.iter().any(|line| line.contains(shows)), "the log does not show {shows:?}");
}

/// Messages that keep the thread of the kernel busy while the other vats run `calls`, and a collection after them.
fn with_others(vats: &[&'static str], calls: &Value) -> Vec<Act> {
    let mut story = vec![];
    for vat in vats {
        story.push(Tell(vat, "whenCollected", json!([calls])));
    }
    // The first event of the queue never runs ahead, so it is not one of the vat with the device. Snapshots fall on different
    // ones of several events.
    for turn in 0..12 {
        for vat in VATS.iter().rev() {
            story.extend([remember(vat), long(vat)]);
            if turn % 3 == 2 {
                story.push(remember(vat));
            }
        }
        if turn % 4 == 3 {
            story.push(Finish);
        }
    }
    story.push(Finish);
    story
}

#[test]
fn collections_before_snapshots_run_ahead() {
    let calls = json!([
        ["vatstoreGet", "key"],
        ["vatstoreSet", "collected", "1"],
        ["vatstoreGetNextKey", ""],
        ["vatstoreDelete", "collected"],
    ]);
    let mut story = with_others(&VATS, &calls);
    story.push(Evict);
    VATS.iter().for_each(|vat| story.extend([remember(vat), remember(vat)]));
    story.push(Finish);
    takes_snapshots(&story, "collected");
}

#[test]
fn a_collection_that_runs_ahead_asks_a_device() {
    let calls = json!([["callNow", "d-70", "getBundleIDByName", data("[\"itself\"]")]]);
    takes_snapshots(&with_others(&["a"], &calls), "CallNow");
}

#[test]
fn a_collection_that_runs_ahead_makes_a_syscall_that_is_refused() {
    let calls = json!([["vatstoreSet", "undone", "1"], ["dropImports", ["o-99"]]]);
    takes_snapshots(&with_others(&["b", "d"], &calls), "prepare to die");
}

#[test]
fn a_delivery_fails_before_the_collection_that_was_foreseen() {
    for (method, args, shows) in [
        ("boom", json!([]), "RangeError"),
        ("spin", json!([]), "Compute meter exceeded"),
        ("do", json!([[["exit", true, data("\"bad\"")]]]), "Terminate"),
        ("do", json!([[["exit", false, data("\"good\"")]]]), "Terminate"),
        ("do", json!([[["subscribe", "p-99"]]]), "prepare to die"),
    ] {
        let mut story = vec![];
        // Each vat fails at another place of its span.
        for turn in 0..4 {
            VATS.iter().for_each(|vat| story.extend([remember(vat), long(vat)]));
            story.extend((0..turn).map(|_| remember(VATS[turn])));
            story.extend([Tell(VATS[1 + turn], method, args.clone()), remember(VATS[1 + turn])]);
        }
        story.push(Finish);
        takes_snapshots(&story, shows);
    }
}

#[test]
fn a_vat_ends_between_its_delivery_and_the_collection_that_was_foreseen() {
    let mut story = vec![];
    for vat in ["b", "c", "d"] {
        for _ in 0..3 {
            VATS.iter().for_each(|vat| story.extend([remember(vat), long(vat)]));
            story.push(Run(5));
        }
        story.extend([End(vat), Finish]);
    }
    takes_snapshots(&story, "Terminate");
}
