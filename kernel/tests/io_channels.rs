//! Io channels of subclusters: order, bounds, directions, reads that wait, and their end.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::collections::BTreeMap;

use capstan_abi::{CapData, Delivery};
use capstan_kernel::{
    StaticVat,
    ids::{Endpoint, KRef},
    limits::{MAX_IO_BYTES, MAX_IO_LINE_BYTES, MAX_IO_LINES, MAX_IO_READS},
    promise::ResultPolicy,
    service::{NewService, ServiceKind},
    subcluster::{
        IoChannel, IoDirection, IoError, IoName, IoState, LaunchError, SubclusterConfig,
        SubclusterId,
    },
    view,
};
use capstan_kernel_ports::store::Read as _;
use serde_json::json;
use support::script::{Stage, answer};

/// A kernel with a subcluster `s1`, whose channels are named by their directions.
fn stage() -> Stage {
    let mut stage = Stage::new(&["alice", "bob"], |config| {
        let facet = NewService { kind: ServiceKind::Facet, system_only: true };
        config.services = BTreeMap::from([("facet".to_owned(), facet)]);
    });
    stage.kernel.launch_subcluster(&mut stage.state, &cluster(&["in", "out", "inout"])).unwrap();
    stage.run();
    stage
}

fn cluster(directions: &[&str]) -> SubclusterConfig {
    let channel = |text: &&str| {
        ((*text).to_owned(), IoChannel { direction: IoDirection::parse(text).unwrap() })
    };
    SubclusterConfig {
        io: directions.iter().map(channel).collect(),
        vats: vec![("member".to_owned(), StaticVat::new("b1-bob"))],
        ..SubclusterConfig::default()
    }
}

fn name(channel: &str) -> IoName {
    IoName { subcluster: SubclusterId(1), channel: channel.to_owned() }
}

fn record(stage: &Stage, channel: &str) -> IoState {
    view::io_channel(&stage.state, &name(channel)).unwrap().unwrap()
}

fn object(stage: &Stage, channel: &str) -> KRef {
    view::service(&stage.state, &name(channel).to_string()).unwrap().unwrap().kref
}

/// Calls a channel as the host does. Returns the promise for the answer.
fn queue(stage: &mut Stage, channel: &str, body: &str) -> KRef {
    let target = object(stage, channel);
    let methargs = CapData { body: body.to_owned(), slots: vec![] };
    let Stage { kernel, state, .. } = stage;
    let result = kernel.queue_to_object(state, target, methargs, ResultPolicy::Ignore).unwrap();
    stage.run();
    result
}

fn read(stage: &mut Stage, channel: &str) -> KRef {
    queue(stage, channel, "#[\"read\",[]]")
}

/// The body of an answer, which the host then lets go of. `None` as long as there is none.
fn outcome(stage: &mut Stage, result: KRef) -> Option<Result<String, String>> {
    let KRef::Promise(number) = result else { panic!("{result} is not a promise") };
    let promise = view::promise(&stage.state, number).unwrap().unwrap();
    promise.data()?;
    stage.kernel.take_resolution(&mut stage.state, result).unwrap();
    Some(answer(&promise))
}

fn ask(stage: &mut Stage, channel: &str, body: &str) -> Result<String, String> {
    let result = queue(stage, channel, body);
    outcome(stage, result).expect("an answer at once")
}

fn refused(stage: &mut Stage, channel: &str, body: &str) -> String {
    let error = ask(stage, channel, body).unwrap_err();
    assert!(error.contains("[KERNEL:DELIVERY_FAILED]"), "{error}");
    error
}

fn write(stage: &mut Stage, channel: &str, lines: &[&str], close: bool) -> Result<(), IoError> {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    stage.kernel.write_io(&mut stage.state, &name(channel), lines, close)?;
    stage.run();
    Ok(())
}

fn output(stage: &Stage, channel: &str, after: u64, limit: usize) -> Vec<(u64, String)> {
    view::io_output(&stage.state, &name(channel), after, limit).unwrap()
}

/// What an existing vat calls a channel's object, once it has it.
fn held_by(stage: &mut Stage, vat: &str, channel: &str) -> String {
    let object = object(stage, channel);
    stage.send(vat, "#[\"take\",[\"$0\"]]", &[object]);
    let clist = view::clist(&stage.state, Endpoint::Vat(stage.vat(vat))).unwrap();
    clist.into_iter().find(|(kref, _)| *kref == object).unwrap().1.vref
}

/// Has a vat read, which then waits for the line.
fn read_by(stage: &mut Stage, vat: &str, channel: &str, promise: &str) {
    let target = held_by(stage, vat, channel);
    let order = json!([["send", target, "#[\"read\",[]]", [], promise]]);
    stage.perform(vat, order).unwrap();
}

/// What a vat was notified of, as bodies.
fn told(stage: &Stage, vat: &str) -> Vec<String> {
    let vat = stage.vat(vat);
    let heard = stage.heard.borrow();
    let notified = heard.iter().filter(|(to, _)| *to == vat).filter_map(|(_, d)| match d {
        Delivery::Notify { resolutions } => Some(resolutions[0].data.body.clone()),
        _ => None,
    });
    notified.collect()
}

fn upgrade(stage: &mut Stage, vat: &str) {
    let id = stage.vat(vat);
    let args = format!("#[\"{id}\",\"b1-{vat}\",\"#undefined\",\"new\"]");
    stage.perform("boot", json!([["call", "d-70", "upgradeVat", args]])).unwrap();
    let incarnation = view::vat_state(&stage.state, id).unwrap().unwrap().incarnation;
    assert_eq!(incarnation, 1);
}

fn keys(stage: &Stage) -> usize {
    ["k.io.", "k.ioi.", "k.ioo.", "k.svc.io:"]
        .map(|prefix| stage.state.scan(prefix.as_bytes()).unwrap().len())
        .iter()
        .sum()
}

#[test]
fn lines_are_read_in_order_and_a_read_waits_for_the_next_one() {
    let mut stage = stage();
    write(&mut stage, "in", &["one", "two"], false).unwrap();
    assert_eq!(record(&stage, "in").input.len(), 2);
    assert_eq!(ask(&mut stage, "in", "#[\"read\",[]]").unwrap(), "#\"one\"");
    assert_eq!(ask(&mut stage, "in", "#[\"read\",[]]").unwrap(), "#\"two\"");
    let reads = [(); 3].map(|()| read(&mut stage, "in"));
    assert_eq!(record(&stage, "in").readers.len(), 3);
    write(&mut stage, "in", &["three", "!four", "", "five", "six"], false).unwrap();
    let answers = reads.map(|result| outcome(&mut stage, result).unwrap().unwrap());
    assert_eq!(answers, ["#\"three\"", "#\"!!four\"", "#\"\""]);
    assert_eq!(ask(&mut stage, "in", "#[\"read\",[]]").unwrap(), "#\"five\"");
    let left = record(&stage, "in");
    assert_eq!((left.input.len(), left.input.bytes, left.readers.len()), (1, 3, 0));
    stage.check();
}

#[test]
fn the_end_of_the_input_is_null_for_each_read_that_waits_or_else_for_the_next_one() {
    let mut stage = stage();
    let reads = [(); 2].map(|()| read(&mut stage, "in"));
    write(&mut stage, "in", &["last"], true).unwrap();
    let answers = reads.map(|result| outcome(&mut stage, result).unwrap().unwrap());
    assert_eq!(answers, ["#\"last\"", "#null"]);
    write(&mut stage, "in", &["a"], true).unwrap();
    write(&mut stage, "in", &["b"], false).unwrap();
    for expected in ["#\"a\"", "#null", "#\"b\""] {
        assert_eq!(ask(&mut stage, "in", "#[\"read\",[]]").unwrap(), expected);
    }
    let waiting = read(&mut stage, "in");
    assert_eq!(outcome(&mut stage, waiting), None);
    write(&mut stage, "in", &[], true).unwrap();
    assert_eq!(outcome(&mut stage, waiting).unwrap().unwrap(), "#null");
    stage.check();
}

#[test]
fn what_vats_write_is_numbered_and_stays_until_it_is_acknowledged() {
    let mut stage = stage();
    for text in ["one", "two", "three"] {
        let body = format!("#[\"write\",[\"{text}\"]]");
        assert_eq!(ask(&mut stage, "out", &body).unwrap(), "#\"#undefined\"");
    }
    let all = [(1, "one"), (2, "two"), (3, "three")].map(|(n, text)| (n, text.to_owned()));
    assert_eq!(output(&stage, "out", 0, 9), all);
    assert_eq!(output(&stage, "out", 1, 1), all[1..2]);
    let acknowledge = |stage: &mut Stage, through| {
        stage.kernel.acknowledge_io(&mut stage.state, &name("out"), through)
    };
    assert_eq!(acknowledge(&mut stage, 2).unwrap().output.len(), 1);
    assert_eq!(output(&stage, "out", 0, 9), all[2..]);
    acknowledge(&mut stage, 1).expect("it is again what it was");
    let error = acknowledge(&mut stage, 4).unwrap_err().to_string();
    assert!(error.contains("line 4 of IO channel \"io:s1:out\" is not written yet"), "{error}");
    acknowledge(&mut stage, 3).unwrap();
    assert_eq!(output(&stage, "out", u64::MAX, 9), []);
    assert_eq!(record(&stage, "out").output.bytes, 0);
    ask(&mut stage, "out", "#[\"write\",[\"four\"]]").unwrap();
    assert_eq!(output(&stage, "out", 0, 9), [(4, "four".to_owned())]);
}

#[test]
fn each_direction_refuses_the_other_one_by_its_name() {
    let mut stage = stage();
    let error = refused(&mut stage, "out", "#[\"read\",[]]");
    assert!(error.contains(r#"IO channel \"io:s1:out\" is write-only"#), "{error}");
    let error = refused(&mut stage, "in", "#[\"write\",[\"x\"]]");
    assert!(error.contains(r#"IO channel \"io:s1:in\" is read-only"#), "{error}");
    for data in ["", "7", "[]", "\"\\ud800\""] {
        let error = refused(&mut stage, "inout", &format!("#[\"write\",[{data}]]"));
        assert!(error.contains("write: data must be a string"), "{error}");
    }
    let error = refused(&mut stage, "inout", "#[\"close\",[]]");
    assert!(error.contains("has no method"), "{error}");
    assert_eq!(write(&mut stage, "out", &["x"], false), Err(IoError::NoInput(name("out"))));
    let refusal = stage.kernel.acknowledge_io(&mut stage.state, &name("in"), 0).unwrap_err();
    assert_eq!(refusal, IoError::NoOutput(name("in")));
    assert_eq!(write(&mut stage, "err", &["x"], false), Err(IoError::Unknown(name("err"))));
    ask(&mut stage, "inout", "#[\"write\",[\"x\"]]").unwrap();
    write(&mut stage, "inout", &["y"], false).unwrap();
    assert_eq!(ask(&mut stage, "inout", "#[\"read\",[]]").unwrap(), "#\"y\"");
}

#[test]
fn the_last_line_that_fits_is_taken_and_one_more_is_refused_whole() {
    let mut stage = stage();
    let full = Err(IoError::Full(name("in")));
    let many = vec!["x"; MAX_IO_LINES as usize];
    write(&mut stage, "in", &many, false).unwrap();
    assert_eq!(write(&mut stage, "in", &["y"], false), full);
    assert_eq!(write(&mut stage, "in", &[], true), full, "an end takes a place, too");
    ask(&mut stage, "in", "#[\"read\",[]]").unwrap();
    assert_eq!(write(&mut stage, "in", &["y", "z"], false), full);
    assert_eq!(record(&stage, "in").input.len(), MAX_IO_LINES - 1, "none of the two");
    write(&mut stage, "in", &[], true).unwrap();

    let long = "x".repeat(MAX_IO_LINE_BYTES);
    let longer = format!("{long}x");
    let error = write(&mut stage, "inout", &["a", &longer], false);
    assert_eq!(error, Err(IoError::LongLine(MAX_IO_LINE_BYTES + 1)));
    for _ in 0..MAX_IO_BYTES / MAX_IO_LINE_BYTES as u64 {
        write(&mut stage, "inout", &[&long], false).unwrap();
        ask(&mut stage, "inout", &format!("#[\"write\",[\"{long}\"]]")).unwrap();
    }
    assert_eq!(write(&mut stage, "inout", &["x"], false), Err(IoError::Full(name("inout"))));
    let error = refused(&mut stage, "inout", "#[\"write\",[\"x\"]]");
    assert!(error.contains("is full: at most 128 lines of 262144 bytes"), "{error}");
    let error = refused(&mut stage, "out", &format!("#[\"write\",[\"{longer}\"]]"));
    assert!(error.contains("at most 65536 bytes, not 65537"), "{error}");
    for _ in 0..MAX_IO_LINES {
        ask(&mut stage, "out", "#[\"write\",[\"\"]]").unwrap();
    }
    assert!(refused(&mut stage, "out", "#[\"write\",[\"\"]]").contains("is full"));
    stage.kernel.acknowledge_io(&mut stage.state, &name("out"), 1).unwrap();
    ask(&mut stage, "out", "#[\"write\",[\"\"]]").unwrap();
}

#[test]
fn a_read_too_many_is_refused_and_a_write_that_fails_leaves_those_that_wait() {
    let mut stage = stage();
    let reads: Vec<KRef> = (0..MAX_IO_READS).map(|_| read(&mut stage, "in")).collect();
    let error = refused(&mut stage, "in", "#[\"read\",[]]");
    assert!(error.contains(r#"IO channel \"io:s1:in\" has 32 reads that wait already"#), "{error}");
    let long = "x".repeat(MAX_IO_LINE_BYTES + 1);
    write(&mut stage, "in", &["one", &long], false).unwrap_err();
    assert_eq!(record(&stage, "in").readers.len(), MAX_IO_READS);
    assert_eq!(outcome(&mut stage, reads[0]), None);
    write(&mut stage, "in", &["one"], false).unwrap();
    assert_eq!(outcome(&mut stage, reads[0]).unwrap().unwrap(), "#\"one\"");
    assert_eq!(record(&stage, "in").readers.len(), MAX_IO_READS - 1);
}

#[test]
fn a_line_is_not_given_to_a_vat_that_has_ended_or_was_upgraded_since_it_read() {
    let mut stage = stage();
    read_by(&mut stage, "alice", "in", "p+7");
    stage.check();
    stage.kernel.launch_subcluster(&mut stage.state, &cluster(&[])).unwrap();
    stage.run();
    let member = *view::live_vats(&stage.state).unwrap().last().unwrap();
    let root = stage.kernel.vat_root(&mut stage.state, member).unwrap().unwrap();
    let channel = object(&stage, "in");
    let call = |stage: &mut Stage, body: String, slots: Vec<KRef>| {
        let data = CapData { body, slots };
        stage.kernel.post_to_object(&mut stage.state, root, data).unwrap();
        stage.run();
    };
    call(&mut stage, "#[\"take\",[\"$0\"]]".to_owned(), vec![channel]);
    let held = view::clist(&stage.state, Endpoint::Vat(member)).unwrap();
    let held = held.into_iter().find(|(kref, _)| *kref == channel).unwrap().1.vref;
    let order = json!([["send", held, "#[\"read\",[]]", [], "p+7"]]);
    call(&mut stage, support::script::orders(&order), vec![]);
    read_by(&mut stage, "bob", "in", "p+7");
    assert_eq!(record(&stage, "in").readers.len(), 3);

    upgrade(&mut stage, "alice");
    let reason = data("#\"over\"");
    stage.kernel.terminate_vat(&mut stage.state, member, &reason).unwrap();
    stage.run();
    write(&mut stage, "in", &["for whoever is left"], false).unwrap();
    assert_eq!(told(&stage, "bob"), ["#\"for whoever is left\""]);
    let lost = told(&stage, "alice");
    assert!(!lost.iter().any(|body| body.contains("for whoever")), "{lost:?}");
    assert_eq!(record(&stage, "in").readers, []);
    stage.check();
}

#[test]
fn a_read_that_is_under_way_during_an_upgrade_takes_no_line() {
    let mut stage = stage();
    let channel = held_by(&mut stage, "alice", "in");
    let id = stage.vat("alice");
    let args = format!("#[\"{id}\",\"b1-alice\",\"#undefined\",\"new\"]");
    // The upgrade gets in line before the read of the old incarnation.
    for (vat, order) in [
        ("boot", json!([["call", "d-70", "upgradeVat", args]])),
        ("alice", json!([["send", channel, "#[\"read\",[]]", [], "p+7"]])),
    ] {
        let methargs = data(&support::script::orders(&order));
        assert!(stage.kernel.post_to_vat_root(&mut stage.state, vat, methargs).unwrap());
    }
    write(&mut stage, "in", &["one"], false).unwrap();
    assert_eq!(view::vat_state(&stage.state, id).unwrap().unwrap().incarnation, 1);
    let lost = told(&stage, "alice").pop().unwrap();
    assert!(lost.contains("read by a vat that was upgraded since"), "{lost}");
    assert_eq!(record(&stage, "in").input.len(), 1);
    assert_eq!(ask(&mut stage, "in", "#[\"read\",[]]").unwrap(), "#\"one\"");
}

#[test]
fn reads_that_nobody_waits_for_make_room_for_others() {
    let mut stage = stage();
    let channel = held_by(&mut stage, "alice", "in");
    let orders: Vec<_> = (0..MAX_IO_READS)
        .map(|n| json!(["send", channel, "#[\"read\",[]]", [], format!("p+{}", 7 + n)]))
        .collect();
    stage.perform("alice", json!(orders)).unwrap();
    refused(&mut stage, "in", "#[\"read\",[]]");
    upgrade(&mut stage, "alice");
    let waiting = read(&mut stage, "in");
    assert_eq!(record(&stage, "in").readers.len(), 1);
    write(&mut stage, "in", &["x"], false).unwrap();
    assert_eq!(outcome(&mut stage, waiting).unwrap().unwrap(), "#\"x\"");
}

#[test]
fn the_end_of_a_subcluster_closes_its_channels_and_leaves_nothing() {
    let mut stage = stage();
    assert_eq!(keys(&stage), 6, "a record and a service for each");
    read_by(&mut stage, "alice", "in", "p+7");
    let waiting = read(&mut stage, "inout");
    ask(&mut stage, "out", "#[\"write\",[\"unread\"]]").unwrap();
    let gone = object(&stage, "in");
    let Stage { kernel, state, .. } = &mut stage;
    kernel.terminate_subcluster(state, SubclusterId(1), &data("#\"over\"")).unwrap();
    stage.run();
    assert_eq!(keys(&stage), 0);
    let closed = outcome(&mut stage, waiting).unwrap().unwrap_err();
    assert!(
        closed.contains(r#"[KERNEL:DELIVERY_FAILED] IO channel \"io:s1:inout\" is closed"#),
        "{closed}"
    );
    assert!(told(&stage, "alice")[0].contains("is closed"));
    let methargs = data("#[\"read\",[]]");
    let Stage { kernel, state, .. } = &mut stage;
    let result = kernel.queue_to_object(state, gone, methargs, ResultPolicy::Ignore).unwrap();
    stage.run();
    let error = outcome(&mut stage, result).unwrap().unwrap_err();
    assert!(error.contains("[KERNEL:OBJECT_DELETED]"), "{error}");
    assert_eq!(write(&mut stage, "in", &["x"], false), Err(IoError::Unknown(name("in"))));
    stage.check();
}

#[test]
fn a_channel_is_only_its_own_subclusters_and_its_name_is_reserved() {
    let mut stage = stage();
    let mut other = cluster(&["out"]);
    other.services = vec!["io:s1:in".to_owned()];
    let refused = stage.kernel.launch_subcluster(&mut stage.state, &other).unwrap_err();
    assert_eq!(refused, LaunchError::UnknownService("io:s1:in".to_owned()));
    // A name in both lists is the channel's.
    other.services = vec!["out".to_owned()];
    let launched = stage.kernel.launch_subcluster(&mut stage.state, &other).unwrap();
    stage.run();
    let own = IoName { subcluster: launched.id, channel: "out".to_owned() };
    assert!(view::io_channel(&stage.state, &own).unwrap().is_some());
    let facet = view::service(&stage.state, "facet").unwrap().unwrap().kref;
    let mut call = |body: &str, slots: &[KRef]| {
        let methargs = CapData { body: body.to_owned(), slots: slots.to_vec() };
        let Stage { kernel, state, .. } = &mut stage;
        let result = kernel.queue_to_object(state, facet, methargs, ResultPolicy::Ignore).unwrap();
        stage.run();
        outcome(&mut stage, result).unwrap().unwrap_err()
    };
    let error = call("#[\"getService\",[\"io:s1:in\"]]", &[]);
    assert!(error.contains("no registered kernel service 'io:s1:in'"), "{error}");
    let error = call("#[\"registerKernelServiceObject\",[\"io:s9:in\",\"$0\"]]", &[facet]);
    assert!(error.contains("does not begin with io:"), "{error}");
    let error = call("#[\"unregisterKernelServiceObject\",[\"io:s1:in\"]]", &[]);
    assert!(error.contains("the kernel itself answers for"), "{error}");
    let config =
        r#"{"bootstrap":"a","io":{"x":{"type":"console"}},"vats":{"a":{"bundleID":"b1-bob"}}}"#;
    for (channel, words) in [
        (r#"{"type":"console"}"#, "io channel x: there is no type on a chain"),
        (r#"{"fly":1}"#, "io channel x: unknown option fly"),
        (r#"{"direction":"up"}"#, "io channel x: direction must be in, out or inout"),
        ("7", "io channel x is not a record"),
    ] {
        let config = config.replace(r#"{"type":"console"}"#, channel);
        let error = call(&format!("#[\"launchSubcluster\",[{config}]]"), &[]);
        assert!(error.contains(words), "{error}");
    }
}

fn data(body: &str) -> CapData<KRef> {
    CapData { body: body.to_owned(), slots: vec![] }
}
