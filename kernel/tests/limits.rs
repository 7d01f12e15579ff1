//! The bounds of what a crank takes and writes, each at its last good and first bad value.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::Delivery;
use capstan_kernel::{
    limits::{
        MAX_DELIVERY_BYTES, MAX_GC_KREFS, MAX_NOTIFY_BYTES, MAX_NOTIFY_PROMISES, MAX_TEXT_BYTES,
        MAX_VATSTORE_KEY_BYTES, REFERENCE_BYTES, SYSCALL_OVERHEAD_BYTES,
    },
    view,
};
use serde_json::{Value, json};
use support::script::Stage;

fn stage() -> Stage {
    Stage::new(&["other", "user"], |_| {})
}

#[test]
fn the_longest_key_is_kept_and_a_longer_one_ends_its_vat() {
    let mut stage = stage();
    let user = stage.vat("user");
    stage.perform("user", json!([["key", MAX_VATSTORE_KEY_BYTES]])).unwrap();
    assert_eq!(stage.keys(user), ["k".repeat(MAX_VATSTORE_KEY_BYTES)]);
    stage.perform("user", json!([["key", MAX_VATSTORE_KEY_BYTES + 1]])).unwrap_err();
    assert!(!stage.lives(user));
}

#[test]
fn a_delivery_whose_syscalls_fill_a_transcript_entry_is_the_last_that_fits() {
    // Values of nine megabytes, then one that leaves no byte.
    let value = 9_000_000;
    let each = value + 1 + SYSCALL_OVERHEAD_BYTES;
    let whole = MAX_DELIVERY_BYTES / each;
    let answer = "p-60".len() + "#\"do\"".len() + 2 * SYSCALL_OVERHEAD_BYTES;
    let rest = MAX_DELIVERY_BYTES - whole * each - answer - 1 - SYSCALL_OVERHEAD_BYTES;
    for (rest, lives) in [(rest, true), (rest + 1, false)] {
        let mut stage = stage();
        let user = stage.vat("user");
        let mut operations = vec![json!(["set", "k", value]); whole];
        operations.push(json!(["set", "k", rest]));
        assert_eq!(stage.perform("user", Value::Array(operations)).is_ok(), lives);
        assert_eq!(stage.lives(user), lives);
    }
}

#[test]
fn a_delivery_names_no_more_references_than_its_records_can_be_paid_for() {
    let slots: Vec<String> = (0..8_000).map(|number| format!("o+{}", 100 + number)).collect();
    let most = MAX_DELIVERY_BYTES / (slots.len() * REFERENCE_BYTES);
    for (messages, lives) in [(most - 1, true), (most + 1, false)] {
        let mut stage = stage();
        let user = stage.vat("user");
        stage.vat("other");
        let send = json!(["send", "o-50", "#[\"hold\",[]]", slots]);
        assert_eq!(stage.perform("user", Value::Array(vec![send; messages])).is_ok(), lives);
        assert_eq!(stage.lives(user), lives);
    }
}

/// Tells `other` of a promise that leads to so many settled ones, with so many bytes of data each, and
/// returns how many promises each notification settled.
fn notifications(promises: usize, bytes: usize) -> Vec<usize> {
    let mut stage = stage();
    let other = stage.vat("other");
    // boot holds them without being told: it never subscribes.
    let body = format!("#\"{}\"", "x".repeat(bytes - 3));
    let names: Vec<String> = (0..promises).map(|n| format!("p+{}", 200 + n)).collect();
    for names in names.chunks(500) {
        stage.perform("user", json!([["send", "o-50", "#[\"hold\",[]]", names]])).unwrap();
        for names in names.chunks(5) {
            let resolve = names.iter().map(|name| json!(["resolve", name, body, []])).collect();
            stage.perform("user", Value::Array(resolve)).unwrap();
        }
    }
    let held = stage.references("boot", "p-");
    assert_eq!(held.len(), promises);
    // other's root is o-50 there.
    stage.perform("boot", json!([["send", "o-50", "#[\"take\",[\"&0\"]]", ["p+7"]]])).unwrap();
    let promise = stage.references("other", "p-")[0].clone();
    stage.perform("other", json!([["subscribe", promise]])).unwrap();
    let mention: Vec<String> = (0..promises).map(|n| format!("\"&{n}\"")).collect();
    let array = format!("#[{}]", mention.join(","));
    stage.perform("boot", json!([["resolve", "p+7", array, held]])).unwrap();
    stage.check();
    let heard = stage.heard.borrow();
    let told = heard.iter().filter_map(|(vat, delivery)| match delivery {
        Delivery::Notify { resolutions } if *vat == other => Some(resolutions.len()),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_notification_settles_so_many_promises_and_the_rest_follows() {
    assert_eq!(notifications(MAX_NOTIFY_PROMISES - 1, 10), [MAX_NOTIFY_PROMISES]);
    assert_eq!(notifications(MAX_NOTIFY_PROMISES, 10), [MAX_NOTIFY_PROMISES, 1]);
    assert_eq!(notifications(MAX_NOTIFY_PROMISES + 2, 10), [MAX_NOTIFY_PROMISES, 1, 1, 1]);
}

#[test]
fn a_notification_carries_so_many_bytes_and_the_rest_follows() {
    assert_eq!(notifications(10, MAX_NOTIFY_BYTES / 10), [11]);
    assert_eq!(notifications(10, MAX_NOTIFY_BYTES / 10 + 1), [10, 1]);
}

#[test]
fn promises_that_lead_round_in_a_circle_are_told_once_each() {
    // By their number, by their references, and both.
    for (count, span) in [(MAX_NOTIFY_PROMISES + 1, 1), (150, 150), (2_500, 11)] {
        let mut stage = stage();
        let other = stage.vat("other");
        let names: Vec<String> = (0..count).map(|n| format!("p+{}", 200 + n)).collect();
        stage.perform("user", json!([["send", "o-50", "#[\"hold\",[]]", names]])).unwrap();
        stage
            .perform("user", json!([["send", "o-51", "#[\"take\",[\"&0\"]]", ["p+200"]]]))
            .unwrap();
        let promise = stage.references("other", "p-")[0].clone();
        stage.perform("other", json!([["subscribe", promise]])).unwrap();
        stage.perform("user", json!([["web", 200, count, span]])).unwrap();
        let told: Vec<(usize, usize)> = stage
            .heard
            .borrow()
            .iter()
            .filter_map(|(vat, delivery)| match delivery {
                Delivery::Notify { resolutions } if *vat == other => {
                    let rejected = resolutions.iter().filter(|r| {
                        r.rejected && r.data.body.contains("than one notification tells")
                    });
                    Some((resolutions.len() - rejected.clone().count(), rejected.count()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(told.len(), 1, "{count} {span}: {told:?}");
        let (settled, rejected) = told[0];
        assert!(settled <= MAX_NOTIFY_PROMISES && rejected > 0, "{count} {span}: {told:?}");
        assert!(settled + rejected <= count, "{count} {span}: {told:?}");
        assert_eq!(stage.references("other", "p-"), [""; 0], "{count} {span}");
        stage.check();
    }
}

#[test]
fn many_promises_are_settled_by_one_syscall() {
    let mut stage = stage();
    let user = stage.vat("user");
    // Each names itself; nobody else knows of them.
    stage.perform("user", json!([["web", 200, 100_000, 1]])).unwrap();
    assert!(stage.lives(user));
    stage.check();
}

#[test]
fn a_large_group_of_collections_comes_in_parts() {
    let mut stage = stage();
    let user = stage.vat("user");
    let count = MAX_GC_KREFS + 1;
    let exports: Vec<String> = (0..count).map(|n| format!("o+{}", 100 + n)).collect();
    stage.perform("user", json!([["send", "o-51", "#[\"take\",[]]", exports]])).unwrap();
    // After the roots of boot, user and vatAdmin.
    let imports = stage.references("other", "o-").split_off(3);
    assert_eq!(imports.len(), count);
    let mut drop = vec![json!("drop")];
    drop.extend(imports.into_iter().map(Value::String));
    stage.perform("other", json!([drop])).unwrap();
    let sizes: Vec<usize> = stage
        .heard
        .borrow()
        .iter()
        .filter_map(|(vat, delivery)| match delivery {
            Delivery::DropExports { refs } if *vat == user => Some(refs.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [MAX_GC_KREFS, 1]);
    stage.check();
}

#[test]
fn what_vats_end_with_is_cut_before_it_is_kept_or_told() {
    let long = 9_000_000;
    let error = format!(r##"#{{"#error":"{}","name":"Error"}}"##, "e".repeat(long));
    let endings = [
        (json!(["fail", 40_000_000]), "eee"),
        (json!(["exit", true, error]), "eee"),
        (json!(["exit", false, format!("#\"{}\"", "e".repeat(long))]), "eee"),
        (json!(["exit", true, format!("#[{}1]", "1,".repeat(long / 2))]), "was left out"),
        (
            json!(["exit", true, format!("#{}{}", "[".repeat(9_000), "]".repeat(9_000))]),
            "was left out",
        ),
    ];
    for (ending, words) in endings {
        let mut stage = stage();
        let user = stage.vat("user");
        drop(stage.perform("user", json!([ending])));
        let record = view::vat_state(&stage.state, user).unwrap().unwrap();
        let told = record.status.ending().unwrap();
        assert!(told.info.contains(words), "{}", told.info);
        assert!(told.info.len() <= MAX_TEXT_BYTES + 100, "{}", told.info.len());
        let heard = stage.heard.borrow();
        let reports = heard.iter().filter_map(|(_, delivery)| match delivery {
            Delivery::Message { message, .. } if support::method(message) == "vatTerminated" => {
                Some(message.methargs.body.len())
            }
            _ => None,
        });
        assert!(reports.max().unwrap() <= MAX_TEXT_BYTES + 200);
    }
}
