//! Vats that come back into memory ahead of their turn, on other threads, and bundles that are loaded there.

use super::*;

/// Plays a story in which sleeping vats come back ahead of their turn.
fn wakes(node: NodeOptions, kernel: &KernelOptions, story: &[Act], shows: &str) -> Counts {
    let (log, counts) = same(node, kernel, story);
    assert!(counts.prepared > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains(shows)), "the log does not show {shows:?}");
    counts
}

/// Snapshots often, no other collections.
fn with_snapshots() -> KernelOptions {
    KernelOptions { crank_limit: 20_000_000, ..KernelOptions { reap: limited().reap, ..often() } }
}

/// All vats sleep and are sent something.
fn asleep() -> Vec<Act> {
    let mut story = vec![Evict, long("a")];
    for vat in VATS.iter().rev() {
        story.extend([remember(vat), long(vat)]);
    }
    story
}

#[test]
fn vats_come_back_ahead_of_their_turn() {
    let mut story = vec![];
    for _ in 0..3 {
        VATS.iter().for_each(|vat| story.push(remember(vat)));
        story.push(Finish);
        story.extend(asleep());
        story.push(Finish);
    }
    let node = NodeOptions::default();
    let counts = wakes(node, &limited(), &story, "ReplayStart");
    assert!(counts.loads > 0, "no bundle was loaded ahead: {counts:?}");
    wakes(node, &with_snapshots(), &story, "SnapshotLoaded");
}

#[test]
fn vats_come_back_where_few_may_be_in_memory() {
    let mut story = vec![];
    for round in 0..4 {
        VATS.iter().for_each(|vat| story.extend([remember(vat), remember("b"), long(vat)]));
        story.push(Run(5 + round));
        VATS.iter().rev().for_each(|vat| story.push(remember(vat)));
    }
    story.push(Finish);
    for max_vats_online in [1, 2, 3, 5] {
        let node = NodeOptions { max_vats_online, ..NodeOptions::default() };
        let (log, counts) = same(node, &with_snapshots(), &story);
        assert!(log.iter().any(|line| line.contains("SnapshotLoaded")));
        assert!(max_vats_online != 3 || counts.prepared > 0, "{counts:?}");
    }
}

#[test]
fn vats_come_back_where_memory_is_short() {
    let mut story = vec![];
    for _ in 0..3 {
        VATS.iter().for_each(|vat| story.extend([remember(vat), remember(vat), long("a")]));
        story.push(Finish);
    }
    for mebibytes in [8, 40, 60] {
        let node = NodeOptions { max_online_bytes: mebibytes << 20, ..NodeOptions::default() };
        same(node, &with_snapshots(), &story);
    }
}

#[test]
fn a_vat_ends_while_it_comes_back() {
    let mut story = vec![];
    for vat in ["b", "c", "d"] {
        story.extend(asleep());
        story.extend([Run(3), End(vat), remember(vat), Finish]);
    }
    wakes(NodeOptions::default(), &limited(), &story, "Terminate");
}

#[test]
fn the_event_of_a_vat_that_comes_back_is_skipped() {
    let mut story = vec![];
    for _ in 0..3 {
        story.extend([Evict, long("a"), long("a"), remember("c"), remember("b"), Run(6), Skip]);
        story.extend([remember("d"), remember("a"), Finish, remember("b"), Finish]);
    }
    wakes(NodeOptions::default(), &limited(), &story, "VatstoreSet");
}

#[test]
fn the_block_ends_while_vats_come_back() {
    let mut story = vec![];
    for cranks in 1..9 {
        story.extend(asleep());
        story.push(Run(cranks));
        if cranks % 3 == 0 {
            story.push(Evict);
        }
    }
    story.push(Finish);
    wakes(NodeOptions::default(), &with_snapshots(), &story, "SnapshotLoaded");
}

#[test]
fn a_vat_that_comes_back_fails() {
    for (method, args, shows) in [
        ("boom", json!([]), "RangeError"),
        ("spin", json!([]), "Compute meter exceeded"),
        ("do", json!([[["exit", false, data("\"good\"")]]]), "Terminate"),
    ] {
        let mut story = vec![];
        for vat in ["b", "d"] {
            story.extend(asleep());
            story.extend([Tell(vat, method, args.clone()), remember(vat), Finish]);
        }
        wakes(NodeOptions::default(), &limited(), &story, shows);
    }
}

#[test]
fn a_meter_does_not_pay_for_the_return() {
    for left in [0, 1, 400_000] {
        let mut story = vec![Meter("b", left), Meter("d", left)];
        story.extend(asleep());
        story.push(Finish);
        wakes(NodeOptions::default(), &limited(), &story, "meter underflow");
    }
}

/// A vat that comes back in vain again and again does so in its turn.
#[test]
fn a_vat_that_is_not_needed_comes_back_no_more() {
    let options = Options { threads: 2, ..Options::usual() };
    let mut stage = Stage::start(&options, NodeOptions::default(), limited());
    let begun = stage.kernel.host().usage().prepared_begun();
    for _ in 0..12 {
        // Nobody but the vat whose message is skipped is asleep behind the first event.
        // Three cranks bring the messages to the run queue.
        let mut story = vec![Evict, long("a"), long("a"), remember("b"), Run(3), Skip, Finish];
        // The next block shows that the vat was not needed.
        story.extend([remember("a"), Finish]);
        story.iter().for_each(|act| stage.act(act));
    }
    assert_eq!(stage.kernel.host().usage().prepared_begun() - begun, 1);
}

/// Messages to more vats than may be in memory, none of which is ever needed again soon, take no more memory than the vats that
/// may be in memory.
#[test]
fn those_that_come_back_count_as_being_in_memory() {
    let options = Options { threads: 7, ..Options::usual() };
    let node = NodeOptions { max_vats_online: 1, ..NodeOptions::default() };
    let mut stage = Stage::start(&options, node, limited());
    asleep().iter().for_each(|act| stage.act(act));
    stage.act(&Finish);
    assert_eq!(Counts::of(&stage).prepared, 0, "there is no room for a second one");
}
