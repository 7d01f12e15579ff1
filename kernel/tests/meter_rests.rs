//! The rest of a meter goes back to its owner once its vats have ended and what they kept is freed.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::sync::{Arc, Mutex};

use capstan_abi::CapData;
use capstan_kernel::{
    Application, BridgeAnswer, KernelPanic, Rest,
    billing::Billing,
    ids::{Endpoint, KRef, MeterId},
    promise::ResultPolicy,
    vat::EndKind,
    view,
};
use capstan_kernel_ports::{VatId, store::Overlay};
use serde_json::{Value, json};
use support::script::{Stage, orders};

const PRICE: u64 = 10;

/// An application that notes what it takes back: owner, computrons, and those before.
#[derive(Clone, Default)]
struct Cashier(Arc<Mutex<Vec<(String, u128, u128)>>>);

impl Application for Cashier {
    fn outbound(&mut self, _: &mut dyn Overlay, _: &[Value]) -> Result<BridgeAnswer, KernelPanic> {
        Ok(BridgeAnswer::Returned(None))
    }

    fn take_back(&mut self, _: &mut dyn Overlay, rest: &Rest<'_>) -> Result<bool, KernelPanic> {
        if rest.owner == "nobody" {
            return Ok(false);
        }
        self.0.lock().unwrap().push((rest.owner.to_owned(), rest.computrons, rest.before));
        Ok(true)
    }
}

/// A stage with a vat on a meter of `alice`, or of somebody else.
struct Play {
    stage: Stage,
    vat: VatId,
    cashier: Cashier,
}

impl Play {
    fn of(owner: &str) -> Self {
        Self::with_write_price(owner, 0)
    }

    fn with_write_price(owner: &str, write: u64) -> Self {
        let mut stage = Stage::new(&["user"], |config| {
            config.options.billing =
                Billing { all_work: true, kept_byte: PRICE, write, ..Billing::SWINGSET };
        });
        let cashier = Cashier::default();
        stage.kernel.set_application(Box::new(cashier.clone()));
        let meter = format!("#[\"+1000000\",\"+0\",{owner:?}]");
        stage.perform("vatAdmin", json!([["call", "d-70", "createMeter", meter]])).unwrap();
        let mut play = Self { stage, vat: VatId(0), cashier };
        play.vat = play.create();
        play
    }

    fn create(&mut self) -> VatId {
        let create = r##"#["b1-user",{"meterID":"m1"}]"##;
        let order = json!([["call", "d-70", "createByBundleID", create]]);
        self.stage.perform("vatAdmin", order).unwrap();
        *view::live_vats(&self.stage.state).unwrap().last().unwrap()
    }

    fn terminate(&mut self, vat: VatId) {
        let args = json!([vat.to_string(), "enough"]);
        let order = json!([["call", "d-70", "terminateWithFailure", format!("#{args}")]]);
        self.stage.perform("vatAdmin", order).unwrap();
    }

    /// Has the vat do something.
    fn order(&mut self, operations: &Value) {
        let send = json!([["send", "o-52", orders(operations), []]]);
        self.stage.perform("vatAdmin", send).unwrap();
    }

    fn remaining(&self) -> u128 {
        view::meter(&self.stage.state, MeterId(1)).unwrap().unwrap().remaining.unwrap()
    }

    fn taken(&self) -> Vec<(String, u128, u128)> {
        self.cashier.0.lock().unwrap().clone()
    }

    fn kind(&self) -> EndKind {
        let record = view::vat_state(&self.stage.state, self.vat).unwrap().unwrap();
        record.status.ending().unwrap().kind
    }
}

#[test]
fn the_rest_goes_back_with_the_deposits_when_the_vat_is_cleaned_up() {
    let mut play = Play::of("alice");
    play.order(&json!([["set", "key", 5_000]]));
    let deposit = view::vat_state(&play.stage.state, play.vat).unwrap().unwrap().deposit;
    let rest = play.remaining() + deposit;
    play.terminate(play.vat);
    assert_eq!(play.taken(), [("alice".to_owned(), rest, 0)]);
    assert_eq!((play.remaining(), play.kind()), (0, EndKind::Terminated));
    let used = view::meter_use(&play.stage.state, MeterId(1)).unwrap();
    assert_eq!((used.vats, used.given_back), (0, rest));
}

#[test]
fn a_vat_that_fails_or_exits_leaves_nothing_in_its_meter() {
    for (operation, kind) in [
        (json!(["exit", false, "#7"]), EndKind::Exited),
        (json!(["exit", true, "#7"]), EndKind::Failed),
        (json!(["fail", 10]), EndKind::Failed),
        (json!(["set", "key", 10_000_000]), EndKind::Failed),
    ] {
        let mut play = Play::of("alice");
        play.order(&json!([operation]));
        assert_eq!((play.remaining(), play.kind()), (0, kind), "{operation}");
        assert_eq!(play.taken().len(), 1, "{operation}");
    }
}

#[test]
fn cleanup_is_paid_before_the_rest_goes_back() {
    const WRITE: u64 = 3;
    let price_of_cleanup = |keys: u64| {
        let mut play = Play::with_write_price("alice", WRITE);
        let sets: Vec<_> = (0..keys).map(|i| json!(["set", format!("key{i}"), 1])).collect();
        play.order(&json!(sets));
        let deposit = view::vat_state(&play.stage.state, play.vat).unwrap().unwrap().deposit;
        let before = play.remaining() + deposit;
        play.terminate(play.vat);
        assert_eq!((play.taken().len(), play.remaining()), (1, 0));
        u64::try_from(before - play.taken()[0].1).unwrap()
    };
    let (few, many) = (price_of_cleanup(10), price_of_cleanup(110));
    // Each key is an entry that is deleted, and looked at.
    assert!((100 * WRITE..200 * WRITE).contains(&(many - few)), "{few} and {many}");
}

#[test]
fn what_others_free_later_follows() {
    let mut play = Play::of("alice");
    let root = view::kref_of(&play.stage.state, Endpoint::Vat(play.vat), "o+0").unwrap();
    let methargs = CapData { body: "#[\"ask\",[20000]]".to_owned(), slots: vec![] };
    let state = &mut play.stage.state;
    let promise =
        play.stage.kernel.queue_to_object(state, root.unwrap(), methargs, ResultPolicy::Ignore);
    let promise: KRef = promise.unwrap();
    play.stage.run();
    play.terminate(play.vat);
    let (first, data) = (play.taken()[0].1, u128::from((20_003 + 100) * PRICE));
    play.stage.kernel.take_resolution(&mut play.stage.state, promise).unwrap();
    play.stage.perform("boot", json!([])).unwrap();
    play.stage.run();
    assert_eq!(play.taken()[1..], [("alice".to_owned(), data, first)]);
    assert_eq!(play.remaining(), 0);
}

#[test]
fn a_meter_that_still_pays_for_a_vat_keeps_its_rest() {
    let mut play = Play::of("alice");
    let second = play.create();
    assert_eq!(view::meter_use(&play.stage.state, MeterId(1)).unwrap().vats, 2);
    play.terminate(play.vat);
    assert!(play.taken().is_empty() && play.remaining() > 0);
    play.terminate(second);
    assert_eq!((play.taken().len(), play.remaining()), (1, 0));
}

#[test]
fn the_rest_goes_back_when_the_last_vat_of_a_meter_is_cleaned_up() {
    let mut play = Play::with_write_price("alice", 3);
    let second = play.create();
    let keys: Vec<_> = (0..50).map(|i| json!(["set", format!("key{i}"), 1])).collect();
    play.order(&json!(keys));
    let end = |vat: VatId| {
        let args = json!([vat.to_string(), "enough"]);
        json!(["call", "d-70", "terminateWithFailure", format!("#{args}")])
    };
    play.stage.perform("vatAdmin", json!([end(play.vat), end(second)])).unwrap();
    // Each of them pays for its cleanup, so there is no rest in between.
    assert_eq!((play.taken().len(), play.remaining()), (1, 0));
    assert_eq!(view::meter_use(&play.stage.state, MeterId(1)).unwrap().vats, 0);
}

#[test]
fn what_nobody_takes_back_stays() {
    let mut play = Play::of("nobody");
    play.terminate(play.vat);
    assert!(play.remaining() > 0);
    assert_eq!(view::meter_use(&play.stage.state, MeterId(1)).unwrap().given_back, 0);
}

#[test]
fn a_meter_that_never_had_a_vat_is_given_back_on_demand() {
    let mut play = Play::of("alice");
    let give_back = |play: &mut Play, meter: &str| {
        let args = format!("#[{meter:?}]");
        play.stage.perform("vatAdmin", json!([["call", "d-70", "giveBackMeter", args]]))
    };
    give_back(&mut play, "m1").unwrap();
    assert!(play.taken().is_empty(), "its vat runs");
    let meter = "#[\"+77\",\"+0\",\"bob\"]";
    play.stage.perform("vatAdmin", json!([["call", "d-70", "createMeter", meter]])).unwrap();
    for _ in 0..2 {
        give_back(&mut play, "m2").unwrap();
    }
    assert_eq!(play.taken(), [("bob".to_owned(), 77, 0)], "once");
}
