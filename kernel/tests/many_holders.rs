//! Many subscribers of one promise, and many importers of one object: no crank works on all of them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery};
use capstan_kernel::{
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    vat::Threshold,
};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};
use support::script::{Stage, orders};

const MANY: usize = 230;

/// Keeps the most entries that a crank wrote, and the number of cranks.
#[derive(Clone, Default)]
struct Most(Rc<RefCell<(u64, u64)>>);

impl RunPolicy for Most {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, work: &KernelWork) -> bool {
        let mut kept = self.0.borrow_mut();
        kept.0 = kept.0.max(work.entries);
        kept.1 += 1;
        true
    }
}

fn names() -> Vec<String> {
    (100..100 + MANY).map(|number| format!("v{number}")).collect()
}

/// A stage of so many vats, to all of which `boot` has passed `it`.
fn stage(it: &str) -> Stage {
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut stage = Stage::new(&names, |config| {
        config.options.reap.deliveries = Threshold::Never;
        config.options.snapshot_initial = 1_000;
    });
    let mut roots = stage.references("boot", "o-");
    // The last one is that of vatAdmin.
    roots.truncate(MANY);
    let body = if it.starts_with('p') { "#[\"take\",[\"&0\"]]" } else { "#[\"take\",[\"$0\"]]" };
    let sends: Value = roots.iter().map(|root| json!(["send", root, body, [it]])).collect();
    stage.perform("boot", sends).unwrap();
    stage
}

/// Has a vat do something, and returns the most entries that a crank wrote.
fn most(stage: &mut Stage, vat: &str, operations: &Value) -> u64 {
    let methargs = CapData { body: orders(operations), slots: vec![] };
    assert!(stage.kernel.post_to_vat_root(&mut stage.state, vat, methargs).unwrap());
    let mut policy = Most::default();
    assert!(stage.kernel.run(&mut stage.state, &mut policy).unwrap().idle);
    policy.0.borrow().0
}

/// Who was told something of which `is` is true, in order.
fn told(stage: &Stage, is: impl Fn(&Delivery) -> bool) -> Vec<VatId> {
    let heard = stage.heard.borrow();
    heard.iter().filter(|(_, delivery)| is(delivery)).map(|(vat, _)| *vat).collect()
}

#[test]
fn many_subscribers_are_told_one_by_one_in_string_order_of_their_ids() {
    let mut stage = stage("p+5");
    for name in names() {
        stage.perform(&name, json!([["subscribe", "p-60"]])).unwrap();
    }
    let wrote = most(&mut stage, "boot", &json!([["resolve", "p+5", "#7", []]]));
    assert!(wrote < 150, "{wrote} entries in one crank");
    let told = told(&stage, |delivery| matches!(delivery, Delivery::Notify { .. }));
    let mut expected: Vec<VatId> = names().iter().map(|name| stage.vat(name)).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(told, expected);
    stage.check();
}

#[test]
fn many_importers_of_an_object_that_is_retired_are_told_over_several_cranks() {
    let mut stage = stage("o+5");
    let wrote = most(&mut stage, "boot", &json!([["abandon", "o+5"]]));
    assert!(wrote < 150, "{wrote} entries in one crank");
    for name in names() {
        let it = stage.references(&name, "o-").pop().unwrap();
        let wrote = most(&mut stage, &name, &json!([["drop", it]]));
        assert!(wrote < 350, "{wrote} entries in one crank");
    }
    let told = told(&stage, |delivery| matches!(delivery, Delivery::RetireImports { .. }));
    assert_eq!(told.len(), MANY);
    assert_eq!(told.iter().collect::<std::collections::BTreeSet<_>>().len(), MANY);
    stage.check();
}

#[test]
fn a_vat_that_retires_what_many_import_writes_no_entry_for_each() {
    let mut stage = stage("o+5");
    for name in names() {
        let it = stage.references(&name, "o-").pop().unwrap();
        // The others drop it and go on recognizing it.
        most(&mut stage, &name, &json!([["drop", it]]));
    }
    let wrote = most(&mut stage, "boot", &json!([["retire", "o+5"]]));
    assert!(wrote < 350, "{wrote} entries in one crank");
    let told = told(&stage, |delivery| matches!(delivery, Delivery::RetireImports { .. }));
    assert_eq!(told.len(), MANY);
    stage.check();
}
