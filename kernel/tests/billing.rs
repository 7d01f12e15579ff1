//! Bills: a meter pays for all work of its vat, and a block counts it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_kernel::{
    Kernel, NodeOptions,
    billing::Billing,
    ids::MeterId,
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    vat::Threshold,
    view,
};
use capstan_kernel_ports::{
    Computrons, VatId,
    host::{SOURCE_BYTES, StartCost, VatHost},
    memory::MemoryState,
};
use serde_json::{Value, json};
use support::{
    ClosureHost,
    script::{Stage, orders, scripted},
};

const LOAD: u64 = 500;
const OWN: u64 = 30;
const DELIVERY: u64 = 1_000;
const CRANK_LIMIT: u64 = 1_000_000;

/// All work is billed, and the kernel's own costs nothing, so that sums are easy to check.
const BILLING: Billing =
    Billing { all_work: true, resident_vats: 100, restore: 7, page: 0, ..Billing::SWINGSET };

/// A stage where starts cost something.
fn stage(billing: Billing) -> Stage {
    let mut stage = Stage::new(&["user"], |config| {
        config.options.billing = billing;
        config.bundles.insert("b1-own".to_owned(), b"own".to_vec());
        // No snapshots, whose deliveries would be billed as well.
        config.options.snapshot_initial = 1_000;
        config.options.snapshot_interval = 1_000;
        config.options.reap.deliveries = Threshold::Never;
    });
    stage.kernel.host_mut().start_cost = StartCost { load: Computrons(LOAD), own: Computrons(OWN) };
    stage
}

/// Has vatAdmin make a vat of a bundle that no other vat has, with a meter of its own that holds so much. Returns the
/// vat, if it lives.
fn metered(stage: &mut Stage, computrons: u64) -> Option<VatId> {
    metered_of(stage, "b1-own", computrons)
}

fn metered_of(stage: &mut Stage, bundle: &str, computrons: u64) -> Option<VatId> {
    let before: Vec<VatId> = view::live_vats(&stage.state).unwrap();
    let meter = format!("#[\"+{computrons}\",\"+0\"]");
    stage.perform("vatAdmin", json!([["call", "d-70", "createMeter", meter]])).unwrap();
    let number = (1..).take_while(|number| remaining(stage, *number).is_some()).count();
    let create = format!("#[\"{bundle}\",{{\"meterID\":\"m{number}\"}}]");
    stage.perform("vatAdmin", json!([["call", "d-70", "createByBundleID", create]])).unwrap();
    let live = view::live_vats(&stage.state).unwrap();
    live.into_iter().find(|vat| !before.contains(vat))
}

fn remaining(stage: &Stage, number: u64) -> Option<u64> {
    let meter = view::meter(&stage.state, MeterId(number)).unwrap()?;
    Some(u64::try_from(meter.remaining.unwrap()).unwrap())
}

/// Has the vat whose root vatAdmin holds do something, and returns what meter 1 paid.
fn spend(stage: &mut Stage, root: &str, operations: &Value) -> u64 {
    let before = remaining(stage, 1).unwrap();
    let send = json!([["send", root, orders(operations), []]]);
    stage.perform("vatAdmin", send).unwrap();
    before - remaining(stage, 1).unwrap()
}

/// A policy that runs until nothing is left, and notes the work of each crank.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<KernelWork>>>);

impl RunPolicy for Notes {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, work: &KernelWork) -> bool {
        self.0.borrow_mut().push(*work);
        true
    }
}

impl Notes {
    fn computrons(&self) -> u64 {
        self.0.borrow().iter().map(|work| work.computrons).sum()
    }
}

#[test]
fn the_first_vat_of_a_bundle_pays_for_its_load_and_every_one_for_its_start() {
    let mut stage = stage(BILLING);
    metered(&mut stage, 100_000).unwrap();
    assert_eq!(remaining(&stage, 1), Some(100_000 - LOAD - OWN - DELIVERY));
    metered(&mut stage, 100_000).unwrap();
    assert_eq!(remaining(&stage, 2), Some(100_000 - OWN - DELIVERY));
}

#[test]
fn a_snapshot_is_paid_for_by_the_delivery_after_which_it_falls_due() {
    let mut stage = Stage::new(&["user"], |config| {
        config.options.billing = BILLING;
        config.bundles.insert("b1-own".to_owned(), b"own".to_vec());
    });
    metered(&mut stage, 100_000).unwrap();
    assert_eq!(spend(&mut stage, "o-52", &json!([])), 2 * DELIVERY + BILLING.restore);
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY);
}

#[test]
fn a_snapshot_costs_more_for_pages_that_the_one_before_did_not_have() {
    let mut stage = Stage::new(&["user"], |config| {
        config.options.billing = Billing { page: 10, ..BILLING };
        config.options.snapshot_interval = 3;
        config.bundles.insert("b1-own".to_owned(), b"own".to_vec());
    });
    stage.kernel.host_mut().heap_pages = 5;
    metered(&mut stage, 100_000).unwrap();
    let snapshot =
        |pages: u64, changed: u64| DELIVERY + BILLING.restore + 10 * (pages + 4 * changed);
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY + snapshot(5, 5));
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY);
    stage.kernel.host_mut().heap_pages = 6;
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY + snapshot(6, 1));
}

#[test]
fn a_creation_that_fails_is_paid_for() {
    let mut stage = stage(BILLING);
    stage.kernel.host_mut().refusal = Some("it is no worker");
    assert_eq!(metered(&mut stage, 100_000), None);
    assert_eq!(remaining(&stage, 1), Some(100_000 - LOAD - OWN));
    stage.kernel.host_mut().refusal = None;
    // What startVat may spend is what the start has left. The bundle is loaded already.
    assert_eq!(metered(&mut stage, OWN + DELIVERY - 1), None);
    assert_eq!(remaining(&stage, 2), Some(0));
    assert!(metered(&mut stage, OWN + DELIVERY).is_some());
    assert_eq!(remaining(&stage, 3), Some(0));
}

#[test]
fn a_vat_with_an_empty_meter_is_not_even_started() {
    let mut stage = stage(BILLING);
    let starts = stage.kernel.host().starts;
    assert_eq!(metered(&mut stage, 0), None);
    assert_eq!(stage.kernel.host().starts, starts);
    // One computron is spent in full.
    assert_eq!(metered(&mut stage, 1), None);
    assert_eq!(stage.kernel.host().starts, starts + 1);
    assert_eq!(remaining(&stage, 2), Some(0));
}

#[test]
fn a_vat_whose_meter_does_not_cover_its_return_ends_without_it() {
    let mut stage = stage(Billing { resident_vats: 2, ..BILLING });
    let poor = metered(&mut stage, LOAD + OWN + DELIVERY + 900).unwrap();
    // Others are used until the vat counts as gone from memory, and the bundle still as loaded.
    for _ in 0..3 {
        metered(&mut stage, 1_000_000).unwrap();
    }
    let heard = stage.count(poor, |_| true);
    // Here it is in memory, and not on a node that keeps fewer vats.
    stage.kernel.host_mut().stop(poor);
    // Its return takes its start and one delivery, more than it has.
    assert_eq!(spend(&mut stage, "o-52", &json!([])), 900);
    assert!(!stage.lives(poor));
    assert_eq!(stage.count(poor, |_| true), heard, "nothing was replayed");
    let ending = view::vat_state(&stage.state, poor).unwrap().unwrap().status;
    assert_eq!(ending.ending().unwrap().reason(), "meter underflow, vat terminated");
}

#[test]
fn a_name_that_each_delivery_would_read_is_bounded() {
    let mut stage = stage(BILLING);
    for (option, bytes, lives) in
        [("name", 1_024, true), ("name", 1_025, false), ("managerType", 1_025, false)]
    {
        let before = view::live_vats(&stage.state).unwrap().len();
        let create = format!("#[\"b1-user\",{{\"{option}\":\"{}\"}}]", "n".repeat(bytes));
        let made = json!([["call", "d-70", "createByBundleID", create]]);
        stage.perform("vatAdmin", made).unwrap();
        let made = view::live_vats(&stage.state).unwrap().len() - before;
        assert_eq!(made == 1, lives, "{option} of {bytes} bytes");
    }
}

#[test]
fn a_delivery_that_spends_its_limit_is_paid_for_in_full() {
    let mut stage = stage(BILLING);
    let vat = metered(&mut stage, 5 * CRANK_LIMIT).unwrap();
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY);
    assert_eq!(spend(&mut stage, "o-52", &json!([["spin"]])), CRANK_LIMIT);
    assert!(!stage.lives(vat));
}

#[test]
fn a_delivery_spends_no_more_than_its_meter_holds() {
    let mut stage = stage(BILLING);
    let vat = metered(&mut stage, LOAD + OWN + DELIVERY + 100_000).unwrap();
    assert_eq!(spend(&mut stage, "o-52", &json!([["spin"]])), 100_000);
    assert!(!stage.lives(vat));
    let ending = view::vat_state(&stage.state, vat).unwrap().unwrap().status;
    assert_eq!(ending.ending().unwrap().reason(), "meter underflow, vat terminated");
}

#[test]
fn garbage_collection_is_paid_for() {
    for (billing, price) in [(BILLING, 2 * DELIVERY), (Billing::SWINGSET, DELIVERY)] {
        let mut stage = stage(billing);
        let meter = "#[\"+100000\",\"+0\"]";
        let create = r##"#["b1-user",{"meterID":"m1","reapInterval":1}]"##;
        let make = json!([
            ["call", "d-70", "createMeter", meter],
            ["call", "d-70", "createByBundleID", create]
        ]);
        stage.perform("vatAdmin", make).unwrap();
        assert_eq!(spend(&mut stage, "o-52", &json!([])), price);
    }
}

#[test]
fn the_kernels_own_work_is_paid_for() {
    let crank = Billing { crank: 10_000, ..BILLING };
    let mut stage = stage(crank);
    metered(&mut stage, 1_000_000).unwrap();
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY + 10_000);
    let bytes = Billing { write_byte: 1, ..BILLING };
    let mut stage = self::stage(bytes);
    metered(&mut stage, 1_000_000).unwrap();
    let little = spend(&mut stage, "o-52", &json!([["set", "k", 1]]));
    let much = spend(&mut stage, "o-52", &json!([["set", "k", 100_001]]));
    // The transcript has the value once more, and the message with five more digits.
    assert_eq!(much - little, 2 * 100_000 + 5);
    // And so it has the answer to each read.
    let once = spend(&mut stage, "o-52", &json!([["get", "k"]]));
    let thrice = spend(&mut stage, "o-52", &json!([["get", "k"], ["get", "k"], ["get", "k"]]));
    assert!(once > 100_000 && thrice > once + 2 * 100_000, "{once}, {thrice}");
}

#[test]
fn a_return_to_memory_counts_the_same_whether_a_node_has_the_vat_or_not() {
    let names = ["o-52", "o-53", "o-54", "o-55", "o-56", "o-57"];
    let begun = || {
        let mut stage = stage(Billing { resident_vats: 4, ..BILLING });
        for number in 1..=names.len() as u64 {
            metered(&mut stage, number * 1_000_000).unwrap();
        }
        stage
    };
    let round = |state: &mut MemoryState, kernel: &mut Kernel<ClosureHost>| {
        let notes = Notes::default();
        for root in names {
            let send = json!([["send", root, orders(&json!([])), []]]);
            let methargs = capstan_abi::CapData { body: orders(&send), slots: vec![] };
            assert!(kernel.post_to_vat_root(state, "vatAdmin", methargs).unwrap());
            kernel.run(state, &mut notes.clone()).unwrap();
        }
        let chain = view::kernel_status(state).unwrap().crank_chain;
        let total = notes.computrons();
        (chain, total)
    };
    // One node keeps all vats, and one only those that it must.
    let Stage { mut kernel, mut state, .. } = begun();
    let roomy = round(&mut state, &mut kernel);
    let options = NodeOptions { max_vats_online: 1, ..NodeOptions::default() };
    let factory: support::Factory = Box::new(|_, _| scripted());
    let mut tight = Kernel::new(ClosureHost::new(factory), options);
    tight.host_mut().start_cost = StartCost { load: Computrons(LOAD), own: Computrons(OWN) };
    let narrow = round(&mut begun().state, &mut tight);
    assert_eq!(roomy, narrow);
    // Each of the vats has left memory before it is used again: its start and its deliveries are repeated.
    let deliveries = 2 * names.len() as u64 * DELIVERY;
    assert!(roomy.1 > deliveries, "{} computrons", roomy.1);
}

#[test]
fn a_vat_that_is_used_again_soon_costs_no_return() {
    let mut stage = stage(Billing { resident_vats: 4, ..BILLING });
    metered(&mut stage, 1_000_000).unwrap();
    for _ in 0..20 {
        assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY);
    }
}

#[test]
fn an_upgrade_that_fails_is_paid_for_each_time() {
    let mut stage = stage(BILLING);
    let vat = metered(&mut stage, 1_000_000).unwrap();
    let upgrade = format!("#[\"{vat}\",\"b1-user\",{{}},\"again\"]");
    let mut paid = Vec::new();
    for _ in 0..2 {
        let before = remaining(&stage, 1).unwrap();
        stage.kernel.host_mut().refusal = Some("it is no worker");
        let order = json!([["call", "d-70", "upgradeVat", upgrade]]);
        stage.perform("vatAdmin", order).unwrap();
        stage.kernel.host_mut().refusal = None;
        paid.push(before - remaining(&stage, 1).unwrap());
        assert!(stage.lives(vat));
        // The worker is gone, so the vat comes back: its start and the replay of `startVat`, or of what it did since.
        assert!(spend(&mut stage, "o-52", &json!([])) > DELIVERY + OWN);
    }
    // The vat brought out its dead, and a worker was started in vain. An upgraded vat begins otherwise than a new one, so its
    // source is another one, and is loaded once.
    assert_eq!(paid, [DELIVERY + LOAD + OWN, DELIVERY + OWN]);
}

#[test]
fn a_vat_whose_meter_does_not_cover_its_return_is_not_brought_back() {
    let mut stage = stage(Billing { resident_vats: 4, ..BILLING });
    let vat = metered(&mut stage, LOAD + OWN + 3 * DELIVERY).unwrap();
    assert_eq!(spend(&mut stage, "o-52", &json!([])), DELIVERY);
    for _ in 0..6 {
        metered(&mut stage, 1_000_000).unwrap();
    }
    let (left, told) = (remaining(&stage, 1).unwrap(), stage.heard.borrow().len());
    assert_eq!(left, DELIVERY);
    let upgrade = format!("#[\"{vat}\",\"b1-own\",{{}},\"again\"]");
    let order = json!([["call", "d-70", "upgradeVat", upgrade]]);
    stage.perform("vatAdmin", order).unwrap();
    assert!(stage.lives(vat), "a failed upgrade ends no vat");
    assert_eq!(remaining(&stage, 1), Some(0));
    assert_eq!(spend(&mut stage, "o-52", &json!([])), 0);
    assert!(!stage.lives(vat));
    let told_to_it = stage.heard.borrow()[told..].iter().filter(|(to, _)| *to == vat).count();
    assert_eq!(told_to_it, 0, "its worker was started");
}

#[test]
fn a_return_counts_the_load_of_the_source_unless_every_host_still_has_it() {
    // Modules that are so large that only the last few stay loaded.
    let module = |number: usize| format!("w1-{number:064x}");
    for is_large in [false, true] {
        let mut stage = Stage::new(&["user"], |config| {
            config.options.billing = Billing { resident_vats: 4, ..BILLING };
            config.options.snapshot_initial = 1_000;
            config.options.snapshot_interval = 1_000;
            config.options.reap.deliveries = Threshold::Never;
            for number in 0..6 {
                let bytes = if is_large { 20 * SOURCE_BYTES } else { 1 };
                config.bundles.insert(module(number), vec![number as u8; bytes as usize]);
            }
        });
        let cost = StartCost { load: Computrons(LOAD), own: Computrons(OWN) };
        stage.kernel.host_mut().start_cost = cost;
        for number in 0..6 {
            metered_of(&mut stage, &module(number), 1_000_000).unwrap();
        }
        // Its start, its source if that has gone, the replay of `startVat`, and the delivery.
        let load = if is_large { LOAD } else { 0 };
        assert_eq!(spend(&mut stage, "o-52", &json!([])), OWN + load + 2 * DELIVERY);
    }
}

/// Upgrades a vat that decides so many promises and has a meter of so much. Returns what the meter held before the upgrade,
/// the vat's incarnation after it, and what vatAdmin was told.
fn upgrade(promises: usize, computrons: u64) -> (u64, u64, String) {
    // At this price a crank may cut off ten promises and objects.
    let mut stage = stage(Billing { write: CRANK_LIMIT / 40, ..BILLING });
    let vat = metered(&mut stage, computrons).unwrap();
    for number in 0..promises {
        let own = json!([["send", "o+0", "#[\"hold\",[\"&0\"]]", [format!("p+{number}")]]]);
        spend(&mut stage, "o-52", &own);
    }
    let before = remaining(&stage, 1).unwrap();
    let order = format!("#[\"{vat}\",\"b1-user\",{{}},\"again\"]");
    stage.perform("vatAdmin", json!([["call", "d-70", "upgradeVat", order]])).unwrap();
    assert!(stage.lives(vat));
    let record = view::vat_state(&stage.state, vat).unwrap().unwrap();
    let kept = record.holdings.promises;
    assert_eq!(kept, if record.incarnation == 1 { 0 } else { promises as u64 });
    let admin = stage.vat("vatAdmin");
    let heard = stage.heard.borrow();
    let told = heard.iter().rfind(|(to, _)| *to == admin).map(|(_, delivery)| delivery);
    (before, record.incarnation, format!("{told:?}"))
}

#[test]
fn an_upgrade_cuts_off_no_more_than_a_crank_may_spend_and_the_meter_covers() {
    let ample = 1 << 40;
    let (before, incarnation, told) = upgrade(5, ample);
    assert!(incarnation == 1 && told.contains("true"), "{told}");
    let (_, incarnation, told) = upgrade(10, ample);
    assert_eq!(incarnation, 1, "{told}");
    let (_, incarnation, told) = upgrade(11, ample);
    assert!(incarnation == 0 && told.contains("more than 10 promises and objects"), "{told}");
    // The old incarnation brings out its dead, and then there is not enough.
    let spent = ample - before;
    let (_, incarnation, told) = upgrade(5, spent + DELIVERY + CRANK_LIMIT / 4);
    assert!(incarnation == 0 && told.contains("meter does not cover"), "{told}");
}

#[test]
fn the_cause_of_a_failed_upgrade_is_kept_until_an_upgrade_succeeds_or_the_vat_is_gone() {
    let mut stage = stage(BILLING);
    let vat = metered(&mut stage, 1_000_000).unwrap();
    let upgrade = |stage: &mut Stage, refusal| {
        // The worker goes with an upgrade that fails, and the vat comes back.
        spend(stage, "o-52", &json!([]));
        stage.kernel.host_mut().refusal = refusal;
        let order = format!("#[\"{vat}\",\"b1-user\",{{}},\"again\"]");
        stage.perform("vatAdmin", json!([["call", "d-70", "upgradeVat", order]])).unwrap();
        stage.kernel.host_mut().refusal = None;
        view::failed_upgrade(&stage.state, vat).unwrap()
    };
    let failed = upgrade(&mut stage, Some("it is no worker")).unwrap();
    assert_eq!((failed.cause.as_str(), failed.bundle_id.as_str()), ("it is no worker", "b1-user"));
    // The old incarnation comes back into memory before its next upgrade is refused.
    assert!(spend(&mut stage, "o-52", &json!([])) > DELIVERY);
    assert_eq!(upgrade(&mut stage, Some("nor is it now")).unwrap().cause, "nor is it now");
    assert_eq!(upgrade(&mut stage, None), None);
    assert_eq!(view::vat_state(&stage.state, vat).unwrap().unwrap().incarnation, 1);
    let long: &'static str = "x".repeat(100_000).leak();
    let failed = upgrade(&mut stage, Some(long)).unwrap();
    assert!(failed.cause.len() < 1_100 && failed.cause.ends_with("(cut: 100000 bytes)"));
    let end = format!("#[\"{vat}\",\"done\"]");
    stage.perform("vatAdmin", json!([["call", "d-70", "terminateWithFailure", end]])).unwrap();
    assert_eq!(view::failed_upgrade(&stage.state, vat).unwrap(), None);
}
