//! Starts of workers that are refused, and those of vats that begin without vatAdmin.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::{
    StaticVat,
    billing::Billing,
    subcluster::{News, SubclusterConfig},
    vat::Threshold,
    view,
};
use capstan_kernel_ports::{Computrons, host::StartCost};
use serde_json::json;
use support::script::Stage;

const OWN: u64 = 30;
const LOAD: u64 = 500;

fn stage() -> Stage {
    let mut stage = Stage::new(&["user"], |config| {
        config.options.billing =
            Billing { all_work: true, resident_vats: 100, ..Billing::SWINGSET };
        config.options.reap.deliveries = Threshold::Never;
    });
    stage.kernel.host_mut().start_cost = StartCost { load: Computrons(LOAD), own: Computrons(OWN) };
    stage
}

fn cluster() -> SubclusterConfig {
    SubclusterConfig {
        bootstrap: Some("a".to_owned()),
        vats: vec![("a".to_owned(), StaticVat::new("b1-user"))],
        ..SubclusterConfig::default()
    }
}

#[test]
fn a_launch_whose_source_is_refused_fails_and_the_kernel_goes_on() {
    let mut stage = stage();
    stage.kernel.host_mut().refusal = Some("it is no worker");
    let launched = stage.kernel.launch_subcluster(&mut stage.state, &cluster()).unwrap();
    stage.run();
    stage.kernel.host_mut().refusal = None;
    let failed =
        stage.kernel.take_notices().into_iter().any(
            |notice| matches!(notice.news, News::Failed(why) if why.contains("it is no worker")),
        );
    assert!(failed);
    assert!(view::subcluster(&stage.state, launched.id).unwrap().is_none());
    stage.perform("user", json!([["set", "k", 1]])).unwrap();
    // The host holds the result of a launch until it has taken it.
    let result = launched.bootstrap_result.unwrap();
    stage.kernel.take_resolution(&mut stage.state, result).unwrap();
    stage.check();
}

#[test]
fn the_start_of_a_vat_that_vat_admin_did_not_make_is_counted() {
    let mut stage = stage();
    let launched = stage.kernel.launch_subcluster(&mut stage.state, &cluster()).unwrap();
    stage.run();
    let (_, vat) = launched.vats[0];
    let record = view::vat_state(&stage.state, vat).unwrap().unwrap();
    assert_eq!((record.start_cost, record.load_cost), (OWN, LOAD));
}

#[test]
fn a_vat_that_cannot_be_made_holds_nothing_of_its_parameters() {
    let mut stage = stage();
    let create = r##"#["b1-user",{"vatParameters":{"it":"$0"}}]"##;
    for refusal in [Some("it is no worker"), None] {
        stage.kernel.host_mut().refusal = refusal;
        let order = json!([["call", "d-70", "createByBundleID", create, ["o+7"]]]);
        stage.perform("vatAdmin", order).unwrap();
        stage.kernel.host_mut().refusal = None;
        stage.check();
    }
}

#[test]
fn an_upgrade_that_fails_holds_nothing_of_its_parameters() {
    let mut stage = stage();
    let vat = stage.vat("user");
    let upgrade = |bundle: &str| format!("#[\"{vat}\",\"{bundle}\",{{\"it\":\"$0\"}},\"again\"]");
    for (bundle, refusal) in [("b1-user", Some("it is no worker")), ("b1-none", None)] {
        stage.kernel.host_mut().refusal = refusal;
        let order = json!([["call", "d-70", "upgradeVat", upgrade(bundle), ["o+7"]]]);
        stage.perform("vatAdmin", order).unwrap();
        stage.kernel.host_mut().refusal = None;
        stage.check();
    }
}

#[test]
fn a_vat_that_has_ended_holds_nothing_of_its_parameters() {
    let mut stage = stage();
    let create = r##"#["b1-user",{"vatParameters":{"it":"$0"}}]"##;
    let order = json!([["call", "d-70", "createByBundleID", create, ["o+7"]]]);
    stage.perform("vatAdmin", order).unwrap();
    let vat = *view::live_vats(&stage.state).unwrap().last().unwrap();
    assert_eq!(view::vat_parameters(&stage.state, vat).unwrap().len(), 1);
    let end = format!("#[\"{vat}\",\"done\"]");
    stage.perform("vatAdmin", json!([["call", "d-70", "terminateWithFailure", end]])).unwrap();
    assert_eq!(view::vat_parameters(&stage.state, vat).unwrap(), []);
    stage.check();
}
