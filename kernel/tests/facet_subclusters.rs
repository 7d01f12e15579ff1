//! Subclusters through the kernel's facet: launched, listed and ended by messages.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::collections::BTreeMap;

use capstan_abi::CapData;
use capstan_kernel::{
    ids::KRef,
    promise::ResultPolicy,
    service::{NewService, ServiceKind},
    subcluster::SubclusterId,
    view,
};
use support::script::{Stage, answer};

fn stage() -> Stage {
    Stage::new(&["alice"], |config| {
        config.services = BTreeMap::from([
            ("facet".to_owned(), NewService { kind: ServiceKind::Facet, system_only: true }),
            ("bridge".to_owned(), NewService { kind: ServiceKind::Bridge, system_only: false }),
        ]);
    })
}

/// Calls the facet, and gives the body of its answer.
fn ask(stage: &mut Stage, body: &str) -> Result<String, String> {
    let facet = view::service(&stage.state, "facet").unwrap().unwrap().kref;
    let methargs = CapData { body: body.to_owned(), slots: vec![] };
    let policy = ResultPolicy::Ignore;
    let result = stage.kernel.queue_to_object(&mut stage.state, facet, methargs, policy).unwrap();
    stage.run();
    let KRef::Promise(number) = result else { panic!("{result} is no promise") };
    let promise = view::promise(&stage.state, number).unwrap().unwrap();
    stage.kernel.take_resolution(&mut stage.state, result).unwrap();
    answer(&promise)
}

const LAUNCH: &str = r##"#["launchSubcluster",[{"bootstrap":"a","services":["bridge"],"vats":{"a":{"bundleID":"b1-alice"},"b":{"bundleID":"b1-alice"}}}]]"##;

#[test]
fn the_facet_launches_lists_and_ends_a_subcluster() {
    let mut stage = stage();
    let launched = ask(&mut stage, LAUNCH).unwrap();
    assert!(launched.contains(r#""subclusterId":"s1""#), "{launched}");
    assert!(launched.contains(r#""bootstrapResult":"#), "{launched}");
    assert!(launched.contains(r#""root":"$"#), "{launched}");
    let one = ask(&mut stage, r##"#["getSubcluster",["s1"]]"##).unwrap();
    for part in
        [r#""owner":"host""#, r#""status":"running""#, r#""services":["bridge"]"#, r#"["a","v"#]
    {
        assert!(one.contains(part), "{part}: {one}");
    }
    let all = ask(&mut stage, r##"#["getSubclusters",[]]"##).unwrap();
    assert!(all.contains(r#""id":"s1""#) && all.contains(r##""next":"#undefined""##), "{all}");
    let live = view::live_vats(&stage.state).unwrap().len();
    ask(&mut stage, r##"#["terminateSubcluster",["s1","enough"]]"##).unwrap();
    assert_eq!(view::live_vats(&stage.state).unwrap().len(), live - 2);
    assert_eq!(view::subcluster(&stage.state, SubclusterId(1)).unwrap(), None);
    let gone = ask(&mut stage, r##"#["getSubcluster",["s1"]]"##).unwrap_err();
    assert!(gone.contains("[KERNEL:DELIVERY_FAILED] Subcluster does not exist."), "{gone}");
    let again = ask(&mut stage, r##"#["terminateSubcluster",["s1"]]"##).unwrap_err();
    assert!(again.contains("Subcluster does not exist."), "{again}");
}

#[test]
fn what_is_wrong_with_a_launch_is_said_and_nothing_is_started() {
    let mut stage = stage();
    let live = view::live_vats(&stage.state).unwrap();
    for (config, words) in [
        (r#"3"#, "invalid cluster config"),
        (
            r#"{"bootstrap":"x","vats":{"a":{"bundleID":"b1-alice"}}}"#,
            "invalid bootstrap vat name x",
        ),
        (
            r#"{"bootstrap":"a","vats":{"a":{"bundleID":"b1-none"}}}"#,
            "bundle b1-none is not installed",
        ),
        (
            r#"{"bootstrap":"a","services":["nothing"],"vats":{"a":{"bundleID":"b1-alice"}}}"#,
            "no registered kernel service 'nothing'",
        ),
        (
            r#"{"bootstrap":"a","services":["facet"],"vats":{"a":{"bundleID":"b1-alice"}}}"#,
            "no registered kernel service 'facet'",
        ),
        (r#"{"bootstrap":"a","fly":1,"vats":{"a":{"bundleID":"b1-alice"}}}"#, "unknown field fly"),
    ] {
        let refused =
            ask(&mut stage, &format!(r##"#["launchSubcluster",[{config}]]"##)).unwrap_err();
        assert!(refused.contains(words), "{config}: {refused}");
        assert!(refused.contains("[KERNEL:DELIVERY_FAILED]"), "{refused}");
    }
    assert_eq!(view::live_vats(&stage.state).unwrap(), live);
    let root = ask(&mut stage, r##"#["getSystemSubclusterRoot",["nobody"]]"##).unwrap_err();
    assert!(root.contains(r#"System subcluster \"nobody\" not found"#), "{root}");
    stage.check();
}

#[test]
fn a_page_of_subclusters_is_one_that_a_vat_of_the_system_takes() {
    const LIMIT: u64 = 1_000;
    let mut stage = Stage::new(&["alice"], |config| {
        let facet = NewService { kind: ServiceKind::Facet, system_only: true };
        config.services = BTreeMap::from([("facet".to_owned(), facet)]);
        config.options.guard.max_bytes = LIMIT;
    });
    let name = "n".repeat(100);
    let launch = format!(
        r##"#["launchSubcluster",[{{"bootstrap":"{name}","vats":{{"{name}":{{"bundleID":"b1-alice"}}}}}}]]"##
    );
    for _ in 0..7 {
        ask(&mut stage, &launch).unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), "\"#undefined\"".to_owned());
    loop {
        let page = ask(&mut stage, &format!(r##"#["getSubclusters",[{after}]]"##)).unwrap();
        assert!(page.len() as u64 <= LIMIT, "{page}");
        let page: serde_json::Value = serde_json::from_str(&page[1..]).unwrap();
        let ids = page["subclusters"].as_array().unwrap().iter().map(|one| one["id"].to_string());
        seen.extend(ids);
        after = match page["next"].to_string() {
            none if none == "\"#undefined\"" => break,
            next => next,
        };
    }
    assert_eq!(seen, (1..=7).map(|n| format!("\"s{n}\"")).collect::<Vec<_>>());
}
