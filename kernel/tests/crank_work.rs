//! The kernel's own work in one crank: it counts against the limit of the delivery while it is done.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::Fault;
use capstan_kernel::{
    billing::Billing,
    ids::MeterId,
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    vat::Threshold,
    view,
};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};
use support::script::{Stage, orders};

const LIMIT: u64 = 500_000;
const WRITE: u64 = 100;
const BILLING: Billing =
    Billing { all_work: true, write: WRITE, write_byte: 1, ..Billing::SWINGSET };
const UNDERFLOW: &str = "meter underflow, vat terminated";

fn stage(limit: u64, billing: Billing) -> Stage {
    Stage::new(&["user", "other"], |config| {
        config.options.billing = billing;
        config.options.crank_limit = limit;
        config.options.snapshot_initial = 1_000;
        config.options.snapshot_interval = 1_000;
        config.options.reap.deliveries = Threshold::Never;
    })
}

/// A policy that runs until nothing is left, and keeps the most that a crank took.
#[derive(Clone, Default)]
struct Most(Rc<RefCell<u64>>);

impl RunPolicy for Most {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool {
        let KernelWork { entries, bytes, reads, computrons, .. } = *work;
        let took = computrons + WRITE * entries + bytes + WRITE * reads / 32;
        // What a cleanup may do is bounded by its own budget, which is unlimited here.
        if !matches!(outcome, CrankOutcome::Cleanup { .. }) {
            let mut most = self.0.borrow_mut();
            *most = took.max(*most);
        }
        true
    }
}

/// Posts operations to a static vat, and returns the most that a crank took.
fn most(stage: &mut Stage, vat: &str, operations: &Value) -> u64 {
    let body = orders(operations);
    let methargs = capstan_abi::CapData { body, slots: vec![] };
    assert!(stage.kernel.post_to_vat_root(&mut stage.state, vat, methargs).unwrap());
    let mut policy = Most::default();
    assert!(stage.kernel.run(&mut stage.state, &mut policy).unwrap().idle);
    *policy.0.borrow()
}

/// The most that the message itself, its transcript entry and the end of the vat take.
fn beside(operations: &Value) -> u64 {
    3 * operations.to_string().len() as u64 + LIMIT / 5
}

fn ending(stage: &Stage, vat: VatId) -> Option<String> {
    let record = view::vat_state(&stage.state, vat).unwrap().unwrap();
    record.status.ending().map(|ending| ending.reason())
}

fn names(start: &str, first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(|number| format!("{start}{number}")).collect()
}

fn repeated(count: usize, operation: impl Fn(usize) -> Value) -> Value {
    (0..count).map(operation).collect()
}

/// Deliveries that make the kernel work, by name.
fn hogs() -> Vec<(&'static str, Value)> {
    vec![
        (
            "sends with new promises",
            repeated(500, |n| json!(["send", "o-50", "#[]", names("p+", 100 + 45 * n, 45)])),
        ),
        ("a send with many new objects", json!([["send", "o-50", "#[]", names("o+", 9, 10_000)]])),
        (
            "a send with one object",
            json!([
                ["send", "o-50", "#[]", vec!["o+9"; 10_000]],
                ["send", "o-50", "#[]", vec!["o+9"; 10_000]],
                ["send", "o-50", "#[]", vec!["o+9"; 10_000]]
            ]),
        ),
        ("one syscall of many resolutions", json!([["web", 100, 4_000, 1]])),
        (
            "resolutions with many slots",
            repeated(20, |n| {
                json!(["resolve", format!("p+{}", 100 + n), "#[]", names("o+", 9 + 500 * n, 500)])
            }),
        ),
        ("subscriptions", repeated(2_000, |n| json!(["subscribe", format!("p+{}", 100 + n)]))),
        ("writes to its store", repeated(3_000, |n| json!(["set", format!("key {n}"), 100]))),
        ("writes of one key", repeated(60_000, |_| json!(["set", "key", 1]))),
        ("reads", repeated(60_000, |_| json!(["get", "key"]))),
        ("reads of many keys", repeated(9_000, |n| json!(["get", format!("{n}")]))),
        ("a call with many slots", json!([["call", "d-70", "no", "#[]", names("o+", 9, 9_000)]])),
        ("exits", repeated(20, |n| json!(["exit", true, "#[]", names("o+", 9 + 500 * n, 500)]))),
    ]
}

#[test]
fn a_delivery_that_has_the_kernel_work_beyond_its_limit_ends_there() {
    for (name, operations) in hogs() {
        let mut stage = stage(LIMIT, BILLING);
        let user = stage.vat("user");
        let took = most(&mut stage, "user", &operations);
        assert_eq!(ending(&stage, user).as_deref(), Some(Fault::Compute.text()), "{name}");
        // The vat is counted as if it had spent its limit, besides the work.
        assert!(took > LIMIT, "{name}: {took}");
        assert!(took < 2 * LIMIT + beside(&operations), "{name}: {took}");
        stage.check();
    }
}

#[test]
fn the_same_deliveries_pass_where_the_limit_allows_them() {
    for (name, operations) in hogs() {
        if name == "exits" {
            continue;
        }
        let mut stage = stage(100_000_000, BILLING);
        let user = stage.vat("user");
        let took = most(&mut stage, "user", &operations);
        assert_eq!(ending(&stage, user), None, "{name}");
        assert!(took > LIMIT, "{name}: {took}");
    }
}

#[test]
fn without_prices_nothing_is_limited() {
    for (name, operations) in hogs() {
        if name == "exits" {
            continue;
        }
        let mut stage = stage(LIMIT, Billing::SWINGSET);
        let user = stage.vat("user");
        most(&mut stage, "user", &operations);
        assert_eq!(ending(&stage, user), None, "{name}");
    }
}

#[test]
fn the_first_look_at_an_entry_costs_half_of_a_write_and_further_ones_hardly_anything() {
    const COUNT: usize = 200;
    let get = |n: usize| json!(["get", format!("key {:03}", n)]);
    let after = |n: usize| json!(["next", format!("key {:03}", n)]);
    let mut stage = stage(100_000_000, BILLING);
    most(&mut stage, "user", &repeated(COUNT, |n| json!(["set", format!("key {n:03}"), 1])));
    // Keys that are equally long, so that nothing but the looks differs.
    let mut paid =
        |operation: &dyn Fn(usize) -> Value| most(&mut stage, "user", &repeated(COUNT, operation));
    let once = paid(&|_| get(7));
    let first_looks = (COUNT as u64 - 1) * WRITE / 2;
    assert_eq!(paid(&get), once + first_looks);
    assert_eq!(paid(&|n| get(n % 20)), once + 19 * WRITE / 2);
    // Every delivery is a block of its own here, so all are cold again.
    assert_eq!(paid(&get), once + first_looks);
    let once = paid(&|_| after(7));
    assert_eq!(paid(&|n| after(n.min(COUNT - 2))), once + first_looks - WRITE / 2);
    // What the delivery wrote is warm.
    let write_and_read = |read: &dyn Fn(usize) -> usize| {
        repeated(COUNT, |n| json!(["set", format!("key {:03}", n / 2 * 2), 1]))
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .flat_map(|(n, set)| [set.clone(), get(read(n / 2 * 2))])
            .collect::<Value>()
    };
    let written = most(&mut stage, "user", &write_and_read(&|n| n));
    let others = most(&mut stage, "user", &write_and_read(&|n| n + 1));
    assert_eq!(others, written + COUNT as u64 / 2 * WRITE / 2);
    stage.check();
}

#[test]
fn a_release_of_thousands_of_imports_counts_as_it_is_done() {
    let mut stage = stage(LIMIT, BILLING);
    let user = stage.vat("user");
    for n in 0..12 {
        let objects = names("o+", 9 + 300 * n, 300);
        most(&mut stage, "other", &json!([["send", "o-51", "#[]", objects]]));
    }
    let imports = stage.references("user", "o-");
    assert!(imports.len() > 3_000, "{}", imports.len());
    let mut drop = vec!["drop".to_owned()];
    drop.extend(imports);
    let operations = json!([drop]);
    let took = most(&mut stage, "user", &operations);
    assert_eq!(ending(&stage, user).as_deref(), Some(Fault::Compute.text()));
    assert!(took < 2 * LIMIT + beside(&operations), "{took}");
    stage.check();
}

/// Has vatAdmin make a vat with a meter that holds so much, and returns it.
fn metered(stage: &mut Stage, computrons: u64) -> VatId {
    let meter = format!("#[\"+{computrons}\",\"+0\"]");
    stage.perform("vatAdmin", json!([["call", "d-70", "createMeter", meter]])).unwrap();
    let create = r##"#["b1-user",{"meterID":"m1"}]"##;
    stage.perform("vatAdmin", json!([["call", "d-70", "createByBundleID", create]])).unwrap();
    *view::live_vats(&stage.state).unwrap().last().unwrap()
}

fn remaining(stage: &Stage) -> u64 {
    let meter = view::meter(&stage.state, MeterId(1)).unwrap().unwrap();
    u64::try_from(meter.remaining.unwrap()).unwrap()
}

/// Has the metered vat do something, and returns what its meter paid.
fn spend(stage: &mut Stage, operations: &Value) -> u64 {
    let before = remaining(stage);
    let root = stage.references("vatAdmin", "o-").pop().unwrap();
    let send = json!([["send", root, orders(operations), []]]);
    stage.perform("vatAdmin", send).unwrap();
    before - remaining(stage)
}

#[test]
fn a_meter_limits_the_work_of_the_kernel_as_it_limits_that_of_the_vat() {
    let mut stage = stage(100_000_000, BILLING);
    let vat = metered(&mut stage, 200_000);
    let paid = spend(&mut stage, &repeated(30, |n| json!(["set", format!("key {n}"), 100])));
    assert!(paid > 30 * (WRITE + 100) && paid < 30_000, "{paid}");
    assert_eq!(ending(&stage, vat), None);
    spend(&mut stage, &repeated(1_000, |n| json!(["set", format!("key {n}"), 100])));
    assert_eq!(ending(&stage, vat).as_deref(), Some(UNDERFLOW));
    assert_eq!(remaining(&stage), 0);
    assert_eq!(stage.keys(vat).len(), 0);
}

#[test]
fn the_work_of_a_delivery_that_is_undone_is_paid_for() {
    let writes = repeated(500, |n| json!(["set", format!("key {n}"), 100]));
    let failing = |ending: Value| {
        let mut stage = stage(100_000_000, BILLING);
        let vat = metered(&mut stage, 10_000_000);
        let mut operations = writes.as_array().unwrap().clone();
        operations.push(ending);
        let paid = spend(&mut stage, &Value::Array(operations));
        assert!(self::ending(&stage, vat).is_some());
        paid
    };
    for ending in [json!(["fail", 10]), json!(["illegal"]), json!(["exit", true, "#\"no\""])] {
        let paid = failing(ending.clone());
        assert!(paid > 500 * (WRITE + 100), "{ending}: {paid}");
    }
}
