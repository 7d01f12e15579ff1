//! Deposits: what a vat keeps takes computrons from its meter, which come back when it is freed.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::{CapData, Resolution};
use capstan_kernel::{
    billing::Billing,
    ids::{Endpoint, KRef, MeterId, RemoteId},
    promise::ResultPolicy,
    vat::{EXPORT_BYTES, Kept, Threshold},
    view,
};
use capstan_kernel_ports::VatId;
use capstan_test_random::Random;
use serde_json::{Value, json};
use support::{
    model::check_deposits,
    script::{Stage, orders},
};

const PRICE: u64 = 10;
const DELIVERY: u64 = 1_000;
const FUNDS: u64 = 1_000_000;
const UNDERFLOW: &str = "meter underflow, vat terminated";

/// A stage with a metered vat, whose root vatAdmin has as `o-52`.
struct Play {
    stage: Stage,
    vat: VatId,
}

impl Play {
    fn new() -> Self {
        Self::with(FUNDS)
    }

    fn with(funds: u64) -> Self {
        let mut stage = Stage::new(&["user"], |config| {
            config.options.billing =
                Billing { all_work: true, kept_byte: PRICE, ..Billing::SWINGSET };
            config.provisioner = Some("vatAdmin".to_owned());
            config.options.snapshot_initial = 1_000;
            config.options.snapshot_interval = 1_000;
            config.options.reap.deliveries = Threshold::Never;
        });
        let meter = format!("#[\"+{funds}\",\"+0\"]");
        let create = r##"#["b1-user",{"meterID":"m1"}]"##;
        let make = json!([
            ["call", "d-70", "createMeter", meter],
            ["call", "d-70", "createByBundleID", create]
        ]);
        stage.perform("vatAdmin", make).unwrap();
        let vat = *view::live_vats(&stage.state).unwrap().last().unwrap();
        let play = Self { stage, vat };
        assert_eq!(play.kept(), Kept { exports: EXPORT_BYTES, ..Kept::default() });
        play
    }

    /// Has the vat do something, and returns what that took from its meter, or gave it.
    fn order(&mut self, operations: &Value) -> i64 {
        self.send("o-52", operations)
    }

    fn send(&mut self, root: &str, operations: &Value) -> i64 {
        let before = self.remaining();
        let send = json!([["send", root, orders(operations), []]]);
        self.stage.perform("vatAdmin", send).unwrap();
        check_deposits(&self.stage.state, PRICE);
        before as i64 - self.remaining() as i64
    }

    fn remaining(&self) -> u64 {
        let meter = view::meter(&self.stage.state, MeterId(1)).unwrap().unwrap();
        u64::try_from(meter.remaining.unwrap()).unwrap()
    }

    fn kept(&self) -> Kept {
        view::vat_state(&self.stage.state, self.vat).unwrap().unwrap().kept
    }

    fn ending(&self) -> Option<String> {
        let record = view::vat_state(&self.stage.state, self.vat).unwrap().unwrap();
        record.status.ending().map(|ending| ending.reason())
    }

    /// Ends the vat from outside, and cleans up.
    fn terminate(&mut self) {
        let reason = CapData { body: "#\"enough\"".to_owned(), slots: vec![] };
        self.stage.kernel.terminate_vat(&mut self.stage.state, self.vat, &reason).unwrap();
        self.run();
    }

    fn run(&mut self) {
        self.stage.run();
        check_deposits(&self.stage.state, PRICE);
    }

    /// Asks the vat for a text of that length, for a promise that the host holds.
    fn ask(&mut self, bytes: usize) -> KRef {
        let root = view::kref_of(&self.stage.state, Endpoint::Vat(self.vat), "o+0").unwrap();
        let methargs = CapData { body: format!("#[\"ask\",[{bytes}]]"), slots: vec![] };
        let (kernel, state) = (&mut self.stage.kernel, &mut self.stage.state);
        let ignore = ResultPolicy::Ignore;
        let promise = kernel.queue_to_object(state, root.unwrap(), methargs, ignore).unwrap();
        self.run();
        promise
    }

    fn let_go(&mut self, promise: KRef) {
        self.stage.kernel.take_resolution(&mut self.stage.state, promise).unwrap();
        // The next crank looks at it.
        self.stage.perform("boot", json!([])).unwrap();
        self.run();
    }

    /// An account whose factory is the vat's root.
    fn account(&mut self, address: &str) -> RemoteId {
        let account = self.stage.kernel.provision(&mut self.stage.state, address).unwrap();
        self.run();
        self.acknowledge(account);
        account
    }

    /// Has an account send the vat a message.
    fn from(&mut self, account: RemoteId, body: &str, slots: &[&str]) {
        let methargs = CapData {
            body: body.to_owned(),
            slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        };
        let (kernel, state) = (&mut self.stage.kernel, &mut self.stage.state);
        kernel.remote_send(state, account, "ro-50", methargs).unwrap();
        self.run();
    }

    fn acknowledge(&mut self, account: RemoteId) {
        let outbox = view::outbox(&self.stage.state, account).unwrap();
        let (kernel, state) = (&mut self.stage.kernel, &mut self.stage.state);
        if let Some((last, _)) = outbox.last() {
            kernel.remote_acknowledge(state, account, *last).unwrap();
        }
        self.run();
    }

    /// The vat's name for the account's object.
    fn object(&self) -> String {
        let clist = view::clist(&self.stage.state, Endpoint::Vat(self.vat)).unwrap();
        let mut vrefs = clist.into_iter().map(|(_, entry)| entry.vref);
        vrefs.find(|vref| vref.starts_with("o-")).unwrap()
    }

    fn outbox(&self, account: RemoteId) -> String {
        format!("{:?}", view::outbox(&self.stage.state, account).unwrap())
    }
}

/// The body of a message with so many letters.
fn letters(count: usize) -> String {
    format!("#[\"hi\",[\"{}\"]]", "x".repeat(count))
}

#[test]
fn what_a_key_holds_is_deposited_and_comes_back_when_it_is_deleted() {
    let mut play = Play::new();
    let set = |bytes: u64| json!([["set", "key", bytes]]);
    let price = |bytes: u64| ((3 + bytes + 100) * PRICE + DELIVERY) as i64;
    assert_eq!(play.order(&set(5_000)), price(5_000));
    assert_eq!(play.kept().vatstore, 5_103);
    // The difference alone is moved.
    assert_eq!(play.order(&set(6_000)), (1_000 * PRICE + DELIVERY) as i64);
    assert_eq!(play.order(&set(6_000)), DELIVERY as i64);
    assert_eq!(play.order(&set(1_000)), -((5_000 * PRICE - DELIVERY) as i64));
    let delete = json!([["delete", "key"], ["delete", "key"], ["delete", "no such key"]]);
    assert_eq!(play.order(&delete), -((1_103 * PRICE - DELIVERY) as i64));
    assert_eq!(play.kept().vatstore, 0);
}

#[test]
fn what_is_set_and_deleted_in_one_delivery_takes_no_deposit() {
    let mut play = Play::new();
    let much = FUNDS * 5;
    let order = json!([["set", "key", much], ["set", "key", much / 2], ["delete", "key"]]);
    assert_eq!(play.order(&order), DELIVERY as i64);
}

#[test]
fn growth_that_the_meter_does_not_cover_ends_the_vat_and_is_undone() {
    let mut play = Play::new();
    play.order(&json!([["set", "old", 100]]));
    let left = play.remaining();
    // The delivery itself is paid for first.
    let bytes = (left - DELIVERY) / PRICE - 103;
    let kept = play.kept();
    play.order(&json!([["set", "new", bytes + 1]]));
    assert_eq!(play.ending().unwrap(), UNDERFLOW);
    assert!(play.kept().total() < kept.total(), "{:?}", play.kept());
    assert_eq!(play.remaining(), FUNDS - 3 * DELIVERY);
    assert!(play.stage.keys(play.vat).is_empty());
}

#[test]
fn growth_that_the_meter_just_covers_is_kept() {
    let mut play = Play::new();
    let bytes = (play.remaining() - DELIVERY) / PRICE - 103;
    play.order(&json!([["set", "new", bytes]]));
    assert_eq!(play.ending(), None);
    assert!(play.remaining() < PRICE);
}

#[test]
fn a_failed_delivery_keeps_nothing() {
    let mut play = Play::new();
    play.order(&json!([["set", "key", 5_000], ["fail", 10]]));
    assert!(play.ending().is_some());
    assert_eq!(play.kept(), Kept::default());
    assert_eq!(play.remaining(), FUNDS - 2 * DELIVERY);
}

#[test]
fn an_end_returns_the_deposit_when_the_cleanup_frees_the_bytes() {
    let mut play = Play::new();
    play.order(&json!([["set", "key", 5_000]]));
    play.terminate();
    assert_eq!(play.ending().unwrap(), "enough");
    assert_eq!(play.kept(), Kept::default());
    assert_eq!(play.remaining(), FUNDS - 2 * DELIVERY);
}

#[test]
fn data_of_a_promise_are_deposited_as_long_as_anybody_holds_it() {
    let mut play = Play::new();
    let promise = play.ask(20_000);
    let promises = 20_003 + 100;
    assert_eq!(play.kept().promises, promises);
    play.terminate();
    // The vat is gone, and its data still stand.
    assert_eq!(play.kept(), Kept { promises, ..Kept::default() });
    let before = play.remaining();
    play.let_go(promise);
    assert_eq!(play.kept(), Kept::default());
    assert_eq!(play.remaining() - before, promises * PRICE);
}

#[test]
fn a_vat_whose_answer_is_larger_than_its_meter_covers_ends() {
    let mut play = Play::new();
    let promise = play.ask(9_900_000);
    assert_eq!(play.ending().unwrap(), UNDERFLOW);
    assert_eq!(play.kept(), Kept::default());
    play.let_go(promise);
}

#[test]
fn what_lies_in_an_outbox_is_deposited_until_it_is_acknowledged() {
    let mut play = Play::new();
    let account = play.account("cap1a");
    assert_eq!(play.kept().outboxes, 0);
    let before = play.remaining();
    play.from(account, "#[\"ask\",[20000]]", &[]);
    assert_eq!(play.kept().outboxes, 20_003 + 100);
    assert_eq!(play.kept().promises, 0);
    play.from(account, "#[\"ask\",[5]]", &["ro+1"]);
    assert_eq!(play.kept().outboxes, 20_003 + 8 + 200);
    // A call to the account's object, whose result it never settles.
    play.order(&json!([["send", "o-50", letters(1_000), []]]));
    assert_eq!(play.kept().outboxes, 20_003 + 8 + 300 + letters(1_000).len() as u64);
    play.acknowledge(account);
    assert_eq!(play.kept(), Kept { exports: EXPORT_BYTES, ..Kept::default() });
    assert_eq!(before - play.remaining(), 3 * DELIVERY);
}

#[test]
fn what_an_outbox_does_not_get_because_of_the_deposit_is_told_as_a_rejection() {
    let mut play = Play::new();
    let (one, other) = (play.account("cap1a"), play.account("cap1b"));
    // The data are covered once: as those of the promise, and then in one of the outboxes. Told to the first account they
    // would be kept twice, because the other one has still to be told of the promise.
    play.from(one, "#[\"ask\",[5]]", &["ro+1"]);
    play.from(other, "#[\"ask\",[5]]", &["ro+1"]);
    let (text, shared) = (format!("#\"{}\"", "x".repeat(60_000)), json!(["p+7"]));
    play.order(&json!([
        ["send", "o-50", "#[\"hi\",[\"&0\"]]", shared],
        ["send", "o-51", "#[\"hi\",[\"&0\"]]", shared]
    ]));
    play.order(&json!([["resolve", "p+7", text, []]]));
    assert_eq!(play.ending(), None);
    let told = [play.outbox(one), play.outbox(other)];
    assert!(told[1].contains("xxxxxxxxxx"), "{}", told[1]);
    assert!(
        told[0].contains("[KERNEL:DELIVERY_FAILED] the meter of the vat that settled"),
        "{}",
        told[0]
    );
    play.acknowledge(one);
    // A call that the meter does not cover is rejected, and the vat lives.
    play.order(&json!([["send", "o-50", letters(60_000), [], "p+8"]]));
    assert_eq!(play.ending(), None);
    assert_eq!(play.outbox(one), "[]");
    let heard = format!("{:?}", play.stage.heard.borrow().last().unwrap());
    assert!(heard.contains("does not cover the deposit for keeping it"), "{heard}");
}

#[test]
fn a_message_that_waits_on_a_promise_is_deposited_until_the_promise_is_settled() {
    let mut play = Play::new();
    let account = play.account("cap1a");
    play.from(account, "#[\"ask\",[5]]", &["ro+1"]);
    play.acknowledge(account);
    play.order(&json!([["send", "o-50", "#[\"hi\",[]]", [], "p+8"]]));
    let body = letters(5_000);
    play.order(&json!([["send", "p+8", body, [], "p+9"], ["send", "p+8", body, []]]));
    assert_eq!(play.kept().messages, 2 * (body.len() as u64 + 100));
    // More than the meter covers is rejected.
    play.order(&json!([["send", "p+8", letters(200_000), [], "p+10"]]));
    assert_eq!(play.ending(), None);
    assert_eq!(play.kept().messages, 2 * (body.len() as u64 + 100));
    let heard = format!("{:?}", play.stage.heard.borrow().last().unwrap());
    assert!(heard.contains("does not cover the deposit for keeping it"), "{heard}");
    let data = CapData { body: "#7".to_owned(), slots: vec![] };
    let (kernel, state) = (&mut play.stage.kernel, &mut play.stage.state);
    let call = view::outbox(state, account).unwrap().remove(0).1;
    let promise = call.result().unwrap().clone();
    let settled = vec![Resolution { promise, rejected: false, data }];
    kernel.remote_resolve(state, account, settled).unwrap();
    play.run();
    assert_eq!(play.kept().messages, 0);
}

#[test]
fn exports_are_deposited_until_they_are_retired_or_settled() {
    let mut play = Play::new();
    let many: Vec<String> = (10..30).map(|n| format!("o+{n}")).collect();
    // vatAdmin's root is held by the vat as o-50.
    play.order(&json!([["send", "p+1", "#[\"hi\",[]]", many]]));
    assert_eq!(play.kept().exports, 22 * EXPORT_BYTES);
    assert!(play.kept().messages > 0);
    play.order(&json!([["resolve", "p+1", "#7", []]]));
    // The message is rejected, nobody holds the objects, and the kernel asks for their retirement.
    assert_eq!(play.kept().messages, 0);
    assert_eq!(play.kept().exports, EXPORT_BYTES);
}

#[test]
fn a_heap_is_deposited_when_its_snapshot_is_taken() {
    let mut play = Play::with(100 * FUNDS);
    play.stage.kernel.host_mut().heap_pages = 50;
    play.stage.kernel.snapshot_all_vats(&mut play.stage.state).unwrap();
    play.run();
    assert_eq!(play.kept().heap, 50 * 4096);
    play.order(&json!([]));
    play.stage.kernel.host_mut().heap_pages = 20;
    play.stage.kernel.snapshot_all_vats(&mut play.stage.state).unwrap();
    play.run();
    assert_eq!(play.kept().heap, 20 * 4096);
    let upgrade = format!("#[\"{}\",\"b1-user\",{{}},\"again\"]", play.vat);
    play.stage.perform("vatAdmin", json!([["call", "d-70", "upgradeVat", upgrade]])).unwrap();
    play.run();
    assert_eq!(play.kept().heap, 0);
}

#[test]
fn vats_that_share_a_meter_share_what_is_left_in_it() {
    let mut play = Play::new();
    let create = r##"#["b1-user",{"meterID":"m1"}]"##;
    play.stage.perform("vatAdmin", json!([["call", "d-70", "createByBundleID", create]])).unwrap();
    let second = *view::live_vats(&play.stage.state).unwrap().last().unwrap();
    let half = FUNDS / PRICE / 2;
    play.order(&json!([["set", "key", half]]));
    // Its root is what vatAdmin was given last.
    let root = play.stage.references("vatAdmin", "o-").last().unwrap().clone();
    play.send(&root, &json!([["set", "key", half]]));
    assert!(!play.stage.lives(second));
    assert_eq!(play.ending(), None);
    assert_eq!(play.kept().vatstore, half + 103);
    // What the first one frees is there for a third one.
    play.order(&json!([["delete", "key"]]));
    play.stage.perform("vatAdmin", json!([["call", "d-70", "createByBundleID", create]])).unwrap();
    let root = play.stage.references("vatAdmin", "o-").last().unwrap().clone();
    play.send(&root, &json!([["set", "key", half]]));
    let third = *view::live_vats(&play.stage.state).unwrap().last().unwrap();
    assert!(play.stage.lives(third) && third > second);
}

/// Does something random, which keeps or frees bytes.
fn stir(play: &mut Play, random: &mut Random, account: RemoteId, held: &mut Vec<KRef>) {
    let key = format!("k{}", random.below(4));
    match random.below(12) {
        0..3 => _ = play.order(&json!([["set", key, random.below(3_000)]])),
        3 => _ = play.order(&json!([["delete", key]])),
        4 => held.push(play.ask(random.index(3_000))),
        5 if !held.is_empty() => {
            let promise = held.swap_remove(random.index(held.len()));
            play.let_go(promise);
        }
        6 | 7 => play.from(account, &format!("#[\"ask\",[{}]]", random.below(2_000)), &[]),
        8 => play.acknowledge(account),
        9 => {
            let call = letters(random.index(500));
            _ = play.order(&json!([["send", play.object(), call, []]]));
        }
        10 => {
            play.stage.kernel.host_mut().heap_pages = 1 + random.below(4) as u32;
            play.stage.kernel.snapshot_all_vats(&mut play.stage.state).unwrap();
            play.run();
        }
        _ => {
            let upgrade = format!("#[\"{}\",\"b1-user\",{{}},\"again\"]", play.vat);
            let upgrade = json!([["call", "d-70", "upgradeVat", upgrade]]);
            play.stage.perform("vatAdmin", upgrade).unwrap();
            // The new incarnation is given the account's object again.
            play.from(account, "#[\"ask\",[5]]", &["ro+1"]);
        }
    }
}

#[test]
fn deposits_follow_the_bytes_whatever_happens() {
    for seed in 1..=6 {
        let mut play = Play::with(if seed % 2 == 0 { FUNDS / 4 } else { 10 * FUNDS });
        let funds = play.remaining() + DELIVERY + EXPORT_BYTES * PRICE;
        let account = play.account("cap1a");
        play.from(account, "#[\"ask\",[5]]", &["ro+1"]);
        let (mut random, mut held) = (Random::from(seed), Vec::new());
        for _ in 0..60 {
            if play.ending().is_some() {
                break;
            }
            stir(&mut play, &mut random, account, &mut held);
        }
        assert_eq!(play.ending().is_some(), seed % 2 == 0, "seed {seed}");
        if play.ending().is_none() {
            play.terminate();
        }
        held.into_iter().for_each(|promise| play.let_go(promise));
        play.acknowledge(account);
        assert_eq!(play.kept(), Kept::default(), "seed {seed}");
        let record = view::vat_state(&play.stage.state, play.vat).unwrap().unwrap();
        assert_eq!(play.remaining(), funds - record.computrons, "seed {seed}");
    }
}
