//! The parameters of vats: an upgrade keeps them unless it is given others.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_abi::Delivery;
use capstan_kernel::{billing::Billing, ids::MeterId, vat::EXPORT_BYTES, view};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};
use support::{
    model::check_deposits,
    script::{Stage, orders},
};

const PRICE: u64 = 10;
const GIVEN: &str = r##"{"friend":"$0.Alleged: undefined","start":"+5"}"##;

/// A stage with a metered vat whose parameters hold the root of `friend`.
struct Play {
    stage: Stage,
    vat: VatId,
}

impl Play {
    fn new(leaks: bool) -> Self {
        let fails = |bundle: &str, delivery: &Delivery| {
            bundle == "b1-bad" && matches!(delivery, Delivery::StartVat { .. })
        };
        let mut stage = Stage::failing(
            &["bad", "friend", "user"],
            |config| {
                config.options.billing =
                    Billing { all_work: true, kept_byte: PRICE, ..Billing::SWINGSET };
                config.options.collect_leaks = !leaks;
            },
            fails,
        );
        stage
            .perform(
                "vatAdmin",
                json!([["call", "d-70", "createMeter", r##"#["+1000000","+0"]"##]]),
            )
            .unwrap();
        let friend = stage.references("vatAdmin", "o-").remove(1);
        let create = format!(r##"#["b1-user",{{"meterID":"m1","vatParameters":{GIVEN}}}]"##);
        let create = json!([["call", "d-70", "createByBundleID", create, [friend]]]);
        stage.perform("vatAdmin", create).unwrap();
        let vat = *view::live_vats(&stage.state).unwrap().last().unwrap();
        Self { stage, vat }
    }

    fn admin(&mut self, method: &str, args: &Value, slots: &Value) {
        let order = json!([["call", "d-70", method, format!("#{args}"), slots]]);
        self.stage.perform("vatAdmin", order).unwrap();
        self.stage.check();
        check_deposits(&self.stage.state, PRICE);
    }

    fn keep(&mut self, bundle: &str) {
        let args = json!([self.vat.to_string(), bundle, "again"]);
        self.admin("upgradeVatKeepingParameters", &args, &json!([]));
    }

    /// The parameters of each start that the vat has seen.
    fn starts(&self) -> Vec<String> {
        let heard = self.stage.heard.borrow();
        let starts = heard.iter().filter(|(vat, _)| *vat == self.vat);
        let starts = starts.filter_map(|(_, delivery)| match delivery {
            Delivery::StartVat { parameters } => Some(parameters.body.clone()),
            _ => None,
        });
        starts.collect()
    }

    fn kept(&self) -> u64 {
        view::vat_state(&self.stage.state, self.vat).unwrap().unwrap().kept.parameters
    }
}

fn given() -> String {
    format!("#{GIVEN}")
}

#[test]
fn an_upgrade_may_keep_the_parameters_and_what_they_refer_to() {
    let mut play = Play::new(false);
    let bytes = given().len() as u64 + 10 + 100;
    assert_eq!(play.kept(), bytes);
    play.keep("b1-user");
    play.keep("b1-user");
    assert_eq!(play.starts(), [given(), given(), given()]);
    assert_eq!(play.kept(), bytes);
    assert_eq!(view::vat_state(&play.stage.state, play.vat).unwrap().unwrap().incarnation, 2);
}

#[test]
fn an_upgrade_that_fails_leaves_the_parameters() {
    let mut play = Play::new(false);
    play.keep("b1-bad");
    let args = json!([play.vat.to_string(), "b1-bad", {"other": 1}, "again"]);
    play.admin("upgradeVat", &args, &json!([]));
    let record = view::vat_state(&play.stage.state, play.vat).unwrap().unwrap();
    assert_eq!(record.incarnation, 0);
    play.keep("b1-user");
    assert_eq!(play.starts().last(), Some(&given()));
}

#[test]
fn new_parameters_replace_the_old_ones() {
    let mut play = Play::new(false);
    let args = json!([play.vat.to_string(), "b1-user", {"other": 1}, "again"]);
    play.admin("upgradeVat", &args, &json!([]));
    play.keep("b1-user");
    let other = r##"#{"other":1}"##.to_owned();
    assert_eq!(play.starts(), [given(), other.clone(), other.clone()]);
    assert_eq!(play.kept(), other.len() as u64 + 100);
    // Undefined parameters are none, and nothing is kept of them.
    let args = json!([play.vat.to_string(), "b1-user", "#undefined", "again"]);
    play.admin("upgradeVat", &args, &json!([]));
    play.keep("b1-user");
    assert_eq!(play.starts().last().unwrap(), r##"#"#undefined""##);
    assert_eq!(play.kept(), 0);
}

#[test]
fn the_end_of_a_vat_frees_its_parameters() {
    for leaks in [false, true] {
        let mut play = Play::new(leaks);
        let args = json!([play.vat.to_string(), "enough"]);
        play.admin("terminateWithFailure", &args, &json!([]));
        assert_eq!(play.kept(), 0);
        // SwingSet never releases what they refer to.
        assert_eq!(
            view::vat_parameters(&play.stage.state, play.vat).unwrap().len(),
            usize::from(leaks)
        );
    }
}

#[test]
fn parameters_that_the_meter_does_not_cover_are_refused_and_the_old_ones_stay() {
    let mut play = Play::new(false);
    let left = |play: &Play| {
        view::meter(&play.stage.state, MeterId(1)).unwrap().unwrap().remaining.unwrap()
    };
    let too_long = "x".repeat(usize::try_from(left(&play)).unwrap() / 10 + EXPORT_BYTES as usize);
    let args = json!([play.vat.to_string(), "b1-user", too_long, "again"]);
    play.admin("upgradeVat", &args, &json!([]));
    let record = view::vat_state(&play.stage.state, play.vat).unwrap().unwrap();
    assert_eq!((record.incarnation, play.stage.lives(play.vat)), (0, true));
    play.keep("b1-user");
    assert_eq!(play.starts().last(), Some(&given()));
}

#[test]
fn parameters_of_static_vats_may_hold_the_roots_of_others_that_start_later() {
    let body = r##"#{"first":"$0.Alleged: root","last":"$1.Alleged: root"}"##;
    let mut stage = Stage::new(&["a", "b", "c"], |config| {
        config.vats.get_mut("b").unwrap().parameters.body = body.to_owned();
        let roots = vec!["a".to_owned(), "c".to_owned()];
        config.parameter_roots.insert("b".to_owned(), roots);
    });
    let vat = stage.vat("b");
    let slots = stage.heard.borrow().iter().find_map(|(heard, delivery)| match delivery {
        Delivery::StartVat { parameters } if *heard == vat => Some(parameters.slots.clone()),
        _ => None,
    });
    let slots = slots.unwrap();
    assert_eq!(slots.len(), 2);
    for (slot, name) in slots.iter().zip(["a", "c"]) {
        let other = stage.vat(name);
        let before = stage.count(other, |delivery| matches!(delivery, Delivery::Message { .. }));
        stage.perform("b", json!([["send", slot, orders(&json!([])), []]])).unwrap();
        let after = stage.count(other, |delivery| matches!(delivery, Delivery::Message { .. }));
        assert_eq!(after, before + 1, "{name}");
    }
    stage.check();
}
