//! Several deliveries to one vat that run ahead together: the first of two does not come to what was foreseen, or something
//! comes between them.

use super::*;

/// Plays a story in which the second delivery of two ran ahead, and others ran in vain.
fn breaks_chains(kernel: &KernelOptions, story: &[Act], shows: &str) {
    let (log, counts) = same(NodeOptions::default(), kernel, story);
    let Counts { chained, lost, .. } = counts;
    assert!(chained > 0 && lost > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains(shows)), "the log does not show {shows:?}");
}

/// Chains of all vats, of which all go well.
fn chains() -> Vec<Act> {
    let mut story = vec![long("a"), long("a")];
    for vat in VATS.iter().skip(1) {
        story.extend([remember(vat), long(vat), remember(vat)]);
    }
    story
}

/// A vat makes `first` and is sent more before that is known, beside chains of others.
fn broken(vats: &[&'static str], first: impl Fn(&'static str) -> Act) -> Vec<Act> {
    let mut story = vec![];
    for vat in vats {
        story.extend(chains());
        story.extend([long("a"), long("a"), first(vat), remember(vat), remember(vat)]);
        story.extend([long("e"), remember("e"), Finish, remember(vat), Finish]);
    }
    story
}

#[test]
fn a_vat_runs_several_deliveries_ahead() {
    let mut story = vec![];
    for turn in 0..6 {
        story.extend(chains());
        if turn % 2 == 1 {
            story.push(Finish);
        }
    }
    story.push(Evict);
    story.extend(chains());
    story.push(Finish);
    let (log, counts) = same(NodeOptions::default(), &limited(), &story);
    assert!(counts.chained >= 20, "{counts:?}");
    assert!(log.iter().any(|line| line.contains("VatstoreGetNextKey")));
}

#[test]
fn the_second_delivery_reads_what_the_first_has_written() {
    let first = |vat| {
        let calls = json!([
            ["vatstoreSet", "key", "first"],
            ["vatstoreSet", "second", "1"],
            ["vatstoreDelete", "second"],
        ]);
        Tell(vat, "do", json!([calls]))
    };
    let (log, counts) = same(NodeOptions::default(), &limited(), &broken(&["b", "c"], first));
    assert!(counts.chained > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains("first")));
}

#[test]
fn the_first_delivery_makes_a_syscall_that_is_refused() {
    let refused = json!([["vatstoreSet", "key", "undone"], ["dropImports", ["o-99"]]]);
    breaks_chains(
        &limited(),
        &broken(&["b", "d"], |vat| calls(vat, refused.clone())),
        "prepare to die",
    );
}

#[test]
fn both_deliveries_ask_a_device() {
    let ask = || {
        let ask = json!(["callNow", "d-70", "getBundleIDByName", data("[\"itself\"]")]);
        calls("a", json!([["vatstoreSet", "key", "asked"], ask, ["vatstoreGet", "key"]]))
    };
    let mut story = vec![];
    for _ in 0..4 {
        story.extend([long("b"), long("b"), ask(), ask(), remember("a"), long("c"), remember("c")]);
        story.extend([long("d"), remember("d"), Finish]);
    }
    let (log, counts) = same(NodeOptions::default(), &limited(), &story);
    assert!(counts.chained > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains("CallNow")));
}

#[test]
fn the_first_delivery_fails() {
    for (method, args, shows) in [
        ("boom", json!([]), "RangeError"),
        ("spin", json!([]), "Compute meter exceeded"),
        ("do", json!([[["exit", true, data("\"bad\"")]]]), "Terminate"),
        ("do", json!([[["exit", false, data("\"good\"")]]]), "Terminate"),
    ] {
        let story = broken(&["b", "d"], |vat| Tell(vat, method, args.clone()));
        breaks_chains(&limited(), &story, shows);
    }
}

#[test]
fn the_meter_ends_with_the_first_delivery() {
    // Both runs fit the limit of the first. The meter covers one of them, and a part of the other.
    for left in [400_000, 1_500_000] {
        let mut story = vec![Meter("b", left), Meter("d", left)];
        for _ in 0..4 {
            story.extend(chains());
            story.extend([long("b"), long("b"), long("d"), remember("d"), remember("d")]);
        }
        story.push(Finish);
        breaks_chains(&limited(), &story, "meter underflow");
    }
}

#[test]
fn collection_comes_between_two_deliveries() {
    let send = json!(["send", "o-50", {"body": "#[\"hear\",[\"$0\"]]", "slots": ["o+7"]}]);
    let mut story = vec![calls("a", json!([send])), Finish];
    story.extend(chains());
    // The owner is told after the first of its deliveries that the other vat has dropped what it holds.
    story.extend([
        long("c"),
        long("d"),
        remember("a"),
        calls("b", json!([["dropImports", ["o-50"]]])),
        remember("b"),
        remember("a"),
        remember("a"),
        remember("c"),
        Finish,
    ]);
    breaks_chains(&limited(), &story, "DropExports");
}

#[test]
fn reaping_comes_between_two_deliveries() {
    let reap = |deliveries| KernelOptions {
        reap: ReapThreshold { deliveries: Threshold::At(deliveries), ..ReapThreshold::default() },
        ..limited()
    };
    let mut story = vec![];
    for _ in 0..6 {
        story.extend(chains());
    }
    story.push(Finish);
    for deliveries in [2, 5] {
        breaks_chains(&reap(deliveries), &story, "BringOutYourDead");
    }
}

#[test]
fn a_snapshot_comes_between_two_deliveries() {
    let mut story = vec![];
    for _ in 0..6 {
        story.extend(chains());
    }
    story.extend([Finish, Evict]);
    story.extend(chains());
    story.push(Finish);
    // It is due by the length of the span, which is foreseen, and by what a replay costs, which is not.
    for (interval, debt) in [(4, u64::MAX), (5, u64::MAX), (1_000, 3_000_000)] {
        let kernel = KernelOptions {
            snapshot_initial: interval,
            snapshot_interval: interval,
            snapshot_debt: debt,
            ..limited()
        };
        breaks_chains(&kernel, &story, "SnapshotSaved");
    }
}

#[test]
fn the_block_ends_between_two_deliveries() {
    let mut story = vec![];
    for cranks in 1..12 {
        story.extend(chains());
        story.push(Run(cranks));
        if cranks % 4 == 0 {
            story.push(Finish);
        }
    }
    story.push(Finish);
    let (_, counts) = same(NodeOptions::default(), &limited(), &story);
    assert!(counts.chained > 0, "{counts:?}");
}

#[test]
fn a_vat_ends_between_two_deliveries() {
    let mut story = vec![];
    for (vat, cranks) in [("b", 6), ("c", 9), ("d", 12)] {
        story.extend(chains());
        story.extend([Run(cranks), End(vat), remember(vat), Finish]);
    }
    breaks_chains(&limited(), &story, "Terminate");
}

#[test]
fn the_event_of_one_of_two_deliveries_is_skipped() {
    let mut story = vec![];
    for _ in 0..4 {
        story.extend([long("a"), remember("c"), remember("b"), Run(6), Skip, remember("b")]);
        story.extend([long("c"), long("d"), remember("b"), remember("e"), remember("b"), Skip]);
        story.extend([remember("b"), remember("a"), Finish]);
    }
    breaks_chains(&limited(), &story, "VatstoreSet");
}

#[test]
fn vats_leave_memory_between_two_deliveries() {
    let mut story = vec![];
    for round in 0..4 {
        story.extend(chains());
        story.push(Run(8));
        if round % 2 == 1 {
            story.push(Evict);
        }
    }
    story.push(Finish);
    for max_vats_online in [1, 3] {
        let node = NodeOptions { max_vats_online, ..NodeOptions::default() };
        same(node, &KernelOptions { crank_limit: 20_000_000, ..often() }, &story);
    }
}

#[test]
fn what_the_first_delivery_exports_reaches_the_second() {
    // A message that carries an object which the vat itself exports in a delivery before.
    let send =
        |slot: &str| json!(["send", "o-50", {"body": "#[\"hear\",[\"$0\"]]", "slots": [slot]}]);
    let mut story = vec![];
    for number in 0..6 {
        story.extend([long("b"), long("c"), long("d"), long("e")]);
        story.extend([calls("a", json!([send(&format!("o+{}", 20 + number))]))]);
        story.extend([calls("a", json!([send(&format!("o+{}", 40 + number))]))]);
        story.extend([remember("a"), remember("b"), remember("b"), remember("e"), Finish]);
    }
    let (_, counts) = same(NodeOptions::default(), &limited(), &story);
    assert!(counts.chained > 0, "{counts:?}");
}
