//! Tests of the provisioner vat on the engine, with the test as its kernel.

#![allow(clippy::unwrap_used)] // tests

#[path = "../../js/tests/common/mod.rs"]
mod common;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex},
};

use common::Engine;
use serde_json::{Value, json};

const PARAMETERS: &str = "{\"defaultComputrons\":500,\"maxComputrons\":\"+1000\"}";
const UNKNOWN: &str = "b1-00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

type Vatstore = Arc<Mutex<BTreeMap<String, String>>>;

/// Provisioner that has been started.
struct Provisioner {
    engine: Engine,
    vatstore: Vatstore,
    /// Syscalls since they were last read, except those of the vatstore.
    syscalls: Arc<Mutex<Vec<Value>>>,
    next_promise: u32,
}

impl Provisioner {
    fn start(vatstore: Vatstore) -> Self {
        let syscalls: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (store, log) = (Arc::clone(&vatstore), Arc::clone(&syscalls));
        let mut engine = Engine::answering(Box::new(move |command| answer(command, &store, &log)));
        for (_, script) in capstan_vat_js::boot_scripts() {
            assert_eq!(engine.boot(std::str::from_utf8(script).unwrap()), Ok(0));
        }
        let bundle: Value =
            serde_json::from_slice(capstan_vat_system::provisioner_bundle()).unwrap();
        let mut provisioner = Self { engine, vatstore, syscalls, next_promise: 100 };
        let ready = provisioner.command(&json!(["setBundle", "v1", bundle, {}]));
        assert_eq!(ready, json!(["dispatchReady"]));
        let body = format!("#{PARAMETERS}");
        provisioner.deliver(json!(["startVat", { "body": body, "slots": [] }]));
        provisioner
    }

    fn bootstrapped() -> Self {
        let mut provisioner = Self::start(Vatstore::default());
        let args = r#"[{"vatAdmin":"$0"},{"bridge":"$2.Alleged: device","vatAdmin":"$1.Alleged: device"}]"#;
        let sent = provisioner.send("o+0", "bootstrap", args, &["o-50", "d-70", "d-72"]);
        assert_eq!(sent[0][1], "o-50");
        assert_eq!(
            sent[0][2]["methargs"]["body"],
            r##"#["createVatAdminService",["$0.Alleged: device",true]]"##
        );
        let made = r#"{"ownedMeters":"$1","service":"$0"}"#;
        provisioner.fulfil(&sent[0], made, &["o-51", "o-52"]);
        provisioner
    }

    /// Returns the first object of a new account.
    fn account(&mut self, address: &str) -> String {
        let (body, slots) = self.ask("o+0", "provision", &format!("[{address:?}]"), &[]);
        assert_eq!(body, r#""$0.Alleged: accountFactory""#);
        slots[0].as_str().unwrap().to_string()
    }

    fn command(&mut self, command: &Value) -> Value {
        let replies = self.engine.deliver(&command.to_string()).unwrap();
        assert_eq!(replies.len(), 1);
        serde_json::from_str(&replies[0]).unwrap()
    }

    /// Delivers, and returns the resulting syscalls without subscriptions.
    fn deliver(&mut self, delivery: Value) -> Vec<Value> {
        let result = self.command(&json!(["deliver", delivery]));
        assert_eq!(result[0], "ok", "{result}");
        let mut syscalls = std::mem::take(&mut *self.syscalls.lock().unwrap());
        syscalls.retain(|syscall| syscall[0] != "subscribe");
        syscalls
    }

    fn send(&mut self, target: &str, method: &str, args: &str, slots: &[&str]) -> Vec<Value> {
        self.next_promise += 1;
        let body = format!("#[{method:?},{args}]");
        let methargs = json!({ "body": body, "slots": slots });
        let result = format!("p-{}", self.next_promise);
        self.deliver(json!(["message", target, { "methargs": methargs, "result": result }]))
    }

    /// Sends a message that is answered at once, and returns body and slots of the answer.
    fn ask(
        &mut self,
        target: &str,
        method: &str,
        args: &str,
        slots: &[&str],
    ) -> (String, Vec<Value>) {
        let syscalls = self.send(target, method, args, slots);
        assert_eq!(syscalls.len(), 1, "{syscalls:?}");
        resolution(&syscalls[0], false)
    }

    /// Sends a message that is refused at once, and returns the error's text.
    fn refused(&mut self, target: &str, method: &str, args: &str) -> String {
        let syscalls = self.send(target, method, args, &[]);
        assert_eq!(syscalls.len(), 1, "{syscalls:?}");
        error_text(&syscalls[0])
    }

    /// Publishes an object for a deposit, and returns body and slots of the answer.
    fn publish(
        &mut self,
        account: &str,
        payer: &str,
        name: &str,
        object: &str,
    ) -> (String, Vec<Value>) {
        let args = format!("[{name:?},\"$0\"]");
        let syscalls = self.send(account, "publish", &args, &[object]);
        let taken = json!(["deposits", {"type": "takeForName", "payer": payer}]);
        assert_eq!(asked(&syscalls[0]), taken);
        resolution(&syscalls[1], false)
    }

    /// Creates a vat for an account and returns its adminNode.
    fn created(&mut self, account: &str, admin: &str) {
        let sent = self.send(account, "createVat", &format!("[\"{UNKNOWN}\"]"), &[]);
        let sent = self.fulfil(&sent[0], r#""$0.Alleged: device node""#, &["d-71"]);
        let sent = self.fulfil(&sent[1], r#""$0.Alleged: meter""#, &["o-60"]);
        let created = r#"{"adminNode":"$0.Alleged: adminNode","root":"$1.Alleged: root"}"#;
        self.fulfil(&sent[0], created, &[admin, "o-62"]);
    }

    /// Fulfils the result of a message that the vat sent, and returns the syscalls that follow.
    fn fulfil(&mut self, send: &Value, body: &str, slots: &[&str]) -> Vec<Value> {
        let data = json!({ "body": format!("#{body}"), "slots": slots });
        self.deliver(json!(["notify", [[send[2]["result"], false, data]]]))
    }
}

/// Answers one command of the supervisor. Its console gets no answer; the bridge takes what is bought
/// for less than 1000 computrons and refuses the rest, and all of the pauper.
fn answer(command: &str, vatstore: &Vatstore, log: &Mutex<Vec<Value>>) -> String {
    let command: Value = serde_json::from_str(command).unwrap();
    if command[0] != "syscall" {
        return String::new();
    }
    let syscall = &command[1];
    let text = |index: usize| syscall[index].as_str().unwrap().to_string();
    let mut vatstore = vatstore.lock().unwrap();
    let data: Value = match syscall[0].as_str().unwrap() {
        "vatstoreGet" => json!(vatstore.get(&text(1))),
        "vatstoreSet" => {
            vatstore.insert(text(1), text(2));
            Value::Null
        }
        "vatstoreDelete" => {
            vatstore.remove(&text(1));
            Value::Null
        }
        "vatstoreGetNextKey" => {
            let range = (Bound::Excluded(text(1)), Bound::Unbounded);
            json!(vatstore.range::<String, _>(range).next().map(|(key, _)| key))
        }
        "callNow" => {
            log.lock().unwrap().push(syscall.clone());
            let body = syscall[3]["body"].as_str().unwrap();
            let told = match syscall[2].as_str().unwrap() {
                "addSubcluster" => Some(r#"{"id":"s1","services":{}}"#),
                method if method.contains("Subcluster") => Some("\"#undefined\""),
                _ => None,
            };
            let is_too_much = body.contains("\"1000\"") || body.contains("\"pauper\"");
            let answer = if is_too_much { r#"{"error":"too poor"}"# } else { r#"{"amount":"7"}"# };
            json!({ "body": format!("#{}", told.unwrap_or(answer)), "slots": [] })
        }
        _ => {
            log.lock().unwrap().push(syscall.clone());
            Value::Null
        }
    };
    json!(["ok", data]).to_string()
}

/// Returns body (without `#`) and slots of the one promise that a `resolve` settles.
fn resolution(syscall: &Value, is_rejection: bool) -> (String, Vec<Value>) {
    assert_eq!(syscall[0], "resolve", "{syscall}");
    let settled = &syscall[1][0];
    assert_eq!(settled[1], is_rejection, "{syscall}");
    let body = settled[2]["body"].as_str().unwrap().trim_start_matches('#').to_string();
    (body, settled[2]["slots"].as_array().unwrap().clone())
}

fn error_text(syscall: &Value) -> String {
    let (body, _) = resolution(syscall, true);
    let error: Value = serde_json::from_str(&body).unwrap();
    error["#error"].as_str().unwrap().to_string()
}

#[test]
fn an_account_gets_one_factory_for_good() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    assert_ne!(alice, provisioner.account("bob"));
    assert_eq!(alice, provisioner.account("alice"));
    let mut upgraded = Provisioner::start(Arc::clone(&provisioner.vatstore));
    assert_eq!(alice, upgraded.account("alice"));
}

#[test]
fn a_vat_is_created_with_a_meter() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    for (options, computrons) in [("{\"name\":\"n\"}", "+500"), ("{\"computrons\":\"+9\"}", "+9")] {
        let sent =
            provisioner.send(&alice, "createVat", &format!("[\"{UNKNOWN}\",{options}]"), &[]);
        let body = |send: &Value| send[2]["methargs"]["body"].as_str().unwrap().to_string();
        assert_eq!(body(&sent[0]), format!("#[\"getBundleCap\",[\"{UNKNOWN}\"]]"));
        let sent = provisioner.fulfil(&sent[0], r#""$0.Alleged: device node""#, &["d-71"]);
        assert_eq!(trade(&sent[0]), json!(["buy", "alice", &computrons[1..]]));
        let made = format!("#[\"createMeterFor\",[\"alice\",\"{computrons}\",\"+0\"]]");
        assert_eq!(body(&sent[1]), made);
        let sent = provisioner.fulfil(&sent[1], r#""$0.Alleged: meter""#, &["o-60"]);
        assert!(
            body(&sent[0]).starts_with(
                "#[\"createVat\",[\"$0.Alleged: device node\",{\"meter\":\"$1.Alleged: meter\""
            ),
            "{}",
            body(&sent[0])
        );
        assert_eq!(sent[0][2]["methargs"]["slots"], json!(["d-71", "o-60"]));
        let created = r#"{"adminNode":"$0.Alleged: adminNode","root":"$1.Alleged: root"}"#;
        let settled = provisioner.fulfil(&sent[0], created, &["o-61", "o-62"]);
        let (body, slots) = resolution(settled.last().unwrap(), false);
        assert_eq!(
            body,
            r#"{"adminNode":"$0.Alleged: adminNode","meter":"$1.Alleged: meterView","root":"$2.Alleged: root"}"#
        );
        assert_eq!([&slots[0], &slots[2]], ["o-61", "o-62"]);
    }
}

/// Returns the requests through the bridge.
fn asked(call: &Value) -> Value {
    assert_eq!([&call[0], &call[1], &call[2]], ["callNow", "d-72", "callOutbound"], "{call}");
    serde_json::from_str(&call[3]["body"].as_str().unwrap()[1..]).unwrap()
}

/// Returns type, payer and computrons of the requests through the bridge.
fn trade(call: &Value) -> Value {
    let args = asked(call);
    assert_eq!(args[0], "computrons");
    json!([args[1]["type"], args[1]["payer"], args[1]["computrons"]])
}

#[test]
fn what_a_vat_that_fails_to_start_did_not_spend_is_given_back() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    let sent = provisioner.send(&alice, "createVat", &format!("[\"{UNKNOWN}\"]"), &[]);
    let sent = provisioner.fulfil(&sent[0], r#""$0.Alleged: device node""#, &["d-71"]);
    let sent = provisioner.fulfil(&sent[1], r#""$0.Alleged: meter""#, &["o-60"]);
    let error = json!({ "body": "#{\"#error\":\"no root\",\"name\":\"Error\"}", "slots": [] });
    let sent = provisioner.deliver(json!(["notify", [[sent[0][2]["result"], true, error]]]));
    let body = r##"#["giveBackMeter",["$0.Alleged: meter"]]"##;
    assert_eq!(sent[0][2]["methargs"]["body"], body);
    assert_eq!(sent[0][2]["methargs"]["slots"], json!(["o-60"]));
    let settled = provisioner.fulfil(&sent[0], "\"#undefined\"", &[]);
    assert_eq!(error_text(settled.last().unwrap()), "no root");
}

#[test]
fn a_vat_that_is_not_paid_for_is_not_created() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    let args = format!("[\"{UNKNOWN}\",{{\"computrons\":\"+1000\"}}]");
    let sent = provisioner.send(&alice, "createVat", &args, &[]);
    let sent = provisioner.fulfil(&sent[0], r#""$0.Alleged: device node""#, &["d-71"]);
    assert_eq!(error_text(&sent[1]), "createVat: too poor");
    assert_eq!(sent.len(), 2, "no meter: {sent:?}");
}

#[test]
fn what_cannot_be_created_is_refused_with_the_reason() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    for (args, reason) in [
        ("[\"b1-00\"]".to_string(), "createVat: \"b1-00\" is not a bundle id"),
        ("[7]".to_string(), "createVat: 7 is not a bundle id"),
        (format!("[\"{UNKNOWN}\",3]"), "createVat: options must be a record"),
        (
            format!("[\"{UNKNOWN}\",{{\"critical\":true}}]"),
            "createVat: unknown options \"critical\"",
        ),
        (
            format!("[\"{UNKNOWN}\",{{\"computrons\":\"+1001\"}}]"),
            "createVat: computrons must be a natural of at most \"[1000n]\", not \"[1001n]\"",
        ),
        (
            format!("[\"{UNKNOWN}\",{{\"computrons\":-1}}]"),
            "createVat: computrons must be a natural of at most \"[1000n]\", not -1",
        ),
    ] {
        assert_eq!(provisioner.refused(&alice, "createVat", &args), reason);
    }
    let sent = provisioner.send(&alice, "createVat", &format!("[\"{UNKNOWN}\"]"), &[]);
    let error = json!({ "body": "#{\"#error\":\"no\",\"name\":\"Error\"}", "slots": [] });
    let settled = provisioner.deliver(json!(["notify", [[sent[0][2]["result"], true, error]]]));
    let reason = error_text(settled.last().unwrap());
    assert_eq!(reason, format!("createVat: bundle \"{UNKNOWN}\" is not installed"));
}

#[test]
fn before_bootstrap_nothing_can_be_created() {
    let mut provisioner = Provisioner::start(Vatstore::default());
    let alice = provisioner.account("alice");
    let reason = provisioner.refused(&alice, "createVat", &format!("[\"{UNKNOWN}\"]"));
    assert_eq!(reason, "the chain has not been bootstrapped");
}

#[test]
fn names_belong_to_the_account_that_publishes_them() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    let bob = provisioner.account("bob");
    let (name, _) = provisioner.publish(&alice, "alice", "counter", "o-77");
    assert_eq!(name, "\"alice/counter\"");
    let again = provisioner.send(&alice, "publish", "[\"counter\",\"$0\"]", &["o-78"]);
    assert_eq!(error_text(&again[0]), "publish: the name \"alice/counter\" is taken");
    provisioner.publish(&bob, "bob", "counter", "o-79");

    let mut provisioner = Provisioner::start(Arc::clone(&provisioner.vatstore));
    for (account, name, object) in
        [(&alice, "counter", "o-77"), (&bob, "counter", "o-79"), (&bob, "alice/counter", "o-77")]
    {
        let (_, slots) = provisioner.ask(account, "lookup", &format!("[{name:?}]"), &[]);
        assert_eq!(slots, [object]);
    }
    let given_back = provisioner.send(&alice, "unpublish", "[\"counter\"]", &[]);
    assert_eq!(
        asked(&given_back[0]),
        json!(["deposits", {"type": "giveBack", "payer": "alice", "amount": "7"}])
    );
    resolution(&given_back[1], false);
    for (account, method, args, reason) in [
        (
            &bob,
            "lookup",
            "[\"alice/counter\"]",
            "lookup: nothing is published as \"alice/counter\"",
        ),
        (
            &alice,
            "unpublish",
            "[\"counter\"]",
            "unpublish: nothing is published as \"alice/counter\"",
        ),
        (&bob, "lookup", "[null]", "lookup: a name is a string, not null"),
        (&bob, "publish", "[\"x\",\"y\"]", "publish: only an object can be published"),
    ] {
        assert_eq!(provisioner.refused(account, method, args), reason);
    }
    let reason = provisioner.refused(&bob, "publish", "[\"a/b\",1]");
    assert!(reason.starts_with("publish: a name is 1 to 100 letters"), "{reason}");
}

#[test]
fn a_name_that_is_not_paid_for_is_not_published() {
    let mut provisioner = Provisioner::bootstrapped();
    let pauper = provisioner.account("pauper");
    let refused = provisioner.send(&pauper, "publish", "[\"x\",\"$0\"]", &["o-77"]);
    assert_eq!(error_text(&refused[1]), "publish: too poor");
    let reason = provisioner.refused(&pauper, "lookup", "[\"x\"]");
    assert_eq!(reason, "lookup: nothing is published as \"pauper/x\"");
}

#[test]
fn vats_are_upgraded_that_an_account_created_and_no_others() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    provisioner.created(&alice, "o-61");
    let bob = provisioner.account("bob");
    for (admin, is_one) in [("o-61", true), ("o-62", false), ("o-63", false), ("p-99", false)] {
        let args = format!("[\"{}0\",\"{UNKNOWN}\"]", if admin == "p-99" { "&" } else { "$" });
        let syscalls = provisioner.send(&bob, "upgradeVat", &args, &[admin]);
        match is_one {
            true => assert_eq!(syscalls[0][1], "o-51", "vatAdmin is asked for the bundle"),
            false => assert_eq!(
                error_text(&syscalls[0]),
                "upgradeVat: not the adminNode of a vat that an account created"
            ),
        }
    }
    let mut upgraded = Provisioner::start(Arc::clone(&provisioner.vatstore));
    let args = format!("[\"$0\",\"{UNKNOWN}\"]");
    assert_eq!(upgraded.send(&bob, "upgradeVat", &args, &["o-61"])[0][1], "o-51");
}

#[test]
fn a_subcluster_is_bounded() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    let config = |count: usize| {
        let vats = (0..count).map(|n| format!("\"v{n}\":{{\"bundleID\":\"{UNKNOWN}\"}}"));
        let vats = vats.collect::<Vec<_>>().join(",");
        format!("[{{\"name\":\"c\",\"vats\":{{{vats}}}}}]")
    };
    let reason = |count| format!("launchSubcluster: a subcluster has 1 to 32 vats, not {count}");
    for count in [0, 33, 1_000] {
        assert_eq!(provisioner.refused(&alice, "launchSubcluster", &config(count)), reason(count));
    }
    let syscalls = provisioner.send(&alice, "launchSubcluster", &config(32), &[]);
    assert_eq!(syscalls[0][1], "o-51", "the bundles are looked for: {syscalls:?}");
}

#[test]
fn refusals_do_not_repeat_what_they_were_given() {
    let mut provisioner = Provisioner::bootstrapped();
    let alice = provisioner.account("alice");
    let long = format!("\"{}\"", "x".repeat(60_000));
    let wide = format!("[{}]", vec!["{}"; 1_000].join(","));
    let deep = format!("{}{}", "[".repeat(30), "]".repeat(30));
    let names = (0..4_000).map(|n| format!("\"option{n}\":1")).collect::<Vec<_>>().join(",");
    for odd in
        [&long, &wide, &deep, &format!("{{{names}}}"), &format!("\"+{}\"", "9".repeat(9_000))]
    {
        for args in [
            ("createVat", format!("[{odd}]")),
            ("createVat", format!("[\"{UNKNOWN}\",{odd}]")),
            ("createVat", format!("[\"{UNKNOWN}\",{{\"name\":{odd}}}]")),
            ("createVat", format!("[\"{UNKNOWN}\",{{\"computrons\":{odd}}}]")),
            ("createVat", format!("[\"{UNKNOWN}\",{{\"reapInterval\":{odd}}}]")),
            ("launchSubcluster", format!("[{odd}]")),
            ("launchSubcluster", format!("[{{\"name\":{odd},\"vats\":{{}}}}]")),
            ("launchSubcluster", format!("[{{\"name\":\"c\",\"vats\":{odd}}}]")),
            (
                "launchSubcluster",
                format!("[{{\"name\":\"c\",\"vats\":{{\"a\":{{}}}},\"bootstrap\":{odd}}}]"),
            ),
            ("upgradeVat", format!("[{odd},{odd}]")),
            ("upgradeVat", format!("[1,2,{odd}]")),
            ("upgradeVat", format!("[1,2,{{\"upgradeMessage\":{odd}}}]")),
            ("publish", format!("[{odd},1]")),
            ("publish", format!("[\"n\",{odd}]")),
            ("unpublish", format!("[{odd}]")),
            ("lookup", format!("[{odd}]")),
        ] {
            let reason = provisioner.refused(&alice, args.0, &args.1);
            assert!(reason.len() < 500, "{}: {} bytes", args.0, reason.len());
        }
    }
}
