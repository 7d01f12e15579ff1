//! Texts with lone surrogates, on the real engine and a whole chain: whatever a vat or an account does with one comes to
//! what SwingSet makes of it, nobody dies of it, and a node that is started again comes to the same.
#![allow(clippy::unwrap_used)] // tests

use capstan_client::{Args, Bundle, CreateVat, MessageResult, Wallet};
use capstan_tests::{Machine, MachineConfig, Node, bundle, bundle_text, soon};

/// The provisioner, without which no account can make a vat, and vatAdmin, whose end stops every node.
const SYSTEM_VATS: [&str; 2] = ["v1", "v2"];

struct World {
    node: Node,
    vat: capstan_client::proto::CreatedVat,
    bundle: Bundle,
}

impl World {
    fn start() -> Self {
        let node = Node::start(|_| {});
        let bundle = bundle("tests/vats/surrogates.js");
        let alice = node.wallet(0);
        alice.install_bundle(&bundle).unwrap();
        let vat = alice.create_vat(&CreateVat::new(&bundle.id)).unwrap();
        Self { node, vat, bundle }
    }

    fn alice(&self) -> Wallet {
        self.node.wallet(0)
    }

    /// Sends to the vat's root; the arguments are smallcaps over the root, the admin object and the account's factory.
    fn send(&self, method: &str, args: &str) -> MessageResult {
        let slots = vec![self.vat.root.clone(), self.vat.admin.clone(), "ro-50".to_owned()];
        self.alice().send(&self.vat.root, method, &Args::smallcaps(args, slots)).unwrap()
    }

    fn check(&self, method: &str, args: &str, status: &str, body: &str) {
        let answer = self.send(method, args);
        let found = (answer.status.as_str(), answer.value.body.as_str());
        assert_eq!(found, (status, body), "{method}{args}");
    }

    /// Asserts that all vats live that lived before.
    fn check_alive(&self) {
        self.check("ping", "[]", "fulfilled", r##"#"pong""##);
        for vat in SYSTEM_VATS {
            assert_eq!(self.node.client().vat(vat).unwrap().status, "running", "{vat}");
        }
    }
}

/// Rejections of vat code have a number of their own, which is not looked at.
fn without_ids(body: &str) -> String {
    let Some((before, rest)) = body.split_once("\"errorId\":\"") else { return body.to_owned() };
    let (_, after) = rest.split_once("\",").unwrap();
    format!("{before}{}", without_ids(after))
}

const ANSWERS: [(&str, &str, &str, &str); 22] = [
    ("echo", r#"["\ud800"]"#, "fulfilled", r##"#["\ud800"]"##),
    (
        "echo",
        r#"[{"\udfff":"\ud83d","a\uD800":["!\ud800"]}]"#,
        "fulfilled",
        r##"#[{"a\ud800":["\ud800"],"\udfff":"\ud83d"}]"##,
    ),
    ("echo", r#"["%\ud800"]"#, "fulfilled", r##"#["%\ud800"]"##),
    ("concat", r#"["\ud83d","\ude00"]"#, "fulfilled", "#\"\u{1F600}\""),
    ("concat", r#"["\ude00","\ud83d"]"#, "fulfilled", r##"#"\ude00\ud83d""##),
    ("halves", r#"["\ud83d\ude00"]"#, "fulfilled", r##"#["\ud83d","\ude00"]"##),
    ("symbol", "[]", "fulfilled", r##"#"%\ud800""##),
    ("record", "[]", "fulfilled", "#{\"z\":\"\u{10000}\",\"\\ud800\":1,\"\\udfff\":\"\\ud800\"}"),
    ("callNamed", r##"["$0"]"##, "fulfilled", r##"#"called""##),
    ("rejectedText", "[]", "rejected", r##"#"\ud800""##),
    ("console", "[]", "fulfilled", r##"#"ok""##),
    ("heapStores", "[]", "fulfilled", r##"#[1,2,["\ud800"]]"##),
    ("storeInit", "[]", "fulfilled", "#1"),
    ("fill", "[]", "fulfilled", r##"#[true,false,["\ud800"]]"##),
    ("inOrder", "[]", "fulfilled", "#true"),
    ("size", "[]", "fulfilled", "#[8,8]"),
    (
        "values",
        "[]",
        "fulfilled",
        "#[\"a7\",\"\u{d7ff}6\",\"\\ud8005\",\"\\ud800x4\",\"\\udfff3\",\"\u{e000}2\",\"\u{10000}1\",\"\u{1F600}0\"]",
    ),
    ("change", "[]", "fulfilled", r##"#["now \ud800",false,true,7]"##),
    ("size", "[]", "fulfilled", "#[7,7]"),
    ("clear", "[]", "fulfilled", "#0"),
    ("size", "[]", "fulfilled", "#[0,0]"),
    ("inOrder", "[]", "fulfilled", "#true"),
];

#[test]
fn whatever_a_vat_does_with_them_is_answered_also_after_a_restart() {
    let mut world = World::start();
    for (method, args, status, body) in ANSWERS {
        world.check(method, args, status, body);
        // The vat comes back from its transcript, in which these texts stand: all that it does is compared.
        if ["console", "fill", "change"].contains(&method) {
            world.node.restart();
        }
    }
    for (method, body) in [
        ("plainError", r##"#{"#error":"no account named \ud800","name":"RangeError"}"##),
        ("namedError", r##"#{"#error":"\ud800","name":"\ud800"}"##),
        ("storeGet", r##"#{"#error":"key \"[Alleged: string]\"","name":"Error"}"##),
    ] {
        let answer = world.send(method, "[]");
        let found = without_ids(&answer.value.body);
        match method {
            "storeGet" => assert!(found.contains(r#"not found in collection \"m\""#), "{found}"),
            _ => assert_eq!((answer.status.as_str(), found.as_str()), ("rejected", body)),
        }
        world.check_alive();
    }
    let named = world.send("named", "[]");
    assert_eq!(named.value.body, r##"#"$0.Alleged: thing \ud800""##);
}

#[test]
fn no_account_ends_a_vat_of_the_system_with_them() {
    let world = World::start();
    // A method that the admin object, the account's factory, and the vat itself do not have. (The text quotes its
    // name as JSON does.)
    for target in ["$1", "$2", "$0"] {
        let answer = world.send("knock", &format!(r#"["{target}"]"#));
        let (status, body) = (answer.status.as_str(), answer.value.body.as_str());
        let refused =
            body.starts_with(r##"#["rejected","target has no method \"\\ud800\", has ["##);
        assert!(status == "fulfilled" && refused, "{target}: {body}");
        let answer = world.send("symbolKnock", &format!(r#"["{target}"]"#));
        assert!(answer.value.body.starts_with(r##"#["rejected","##), "{target}");
        world.check_alive();
    }
    let id = &world.bundle.id;
    let direct = [
        format!(r#"["{id}",{{"x\ud800":1}}]"#),
        format!(r#"["{id}",{{"name":"\ud800"}}]"#),
        format!(r#"["{id}",{{"computrons":"\ud800"}}]"#),
        format!(r#"["{id}",{{"reapInterval":"\ud800"}}]"#),
        r#"["\ud800"]"#.to_owned(),
        r#"["\ud800",{"\ud800":"\ud800"}]"#.to_owned(),
    ];
    for args in direct {
        // By a transaction, and by a vat that was given the factory.
        let answer =
            world.alice().send("factory", "createVat", &Args::smallcaps(&args, vec![])).unwrap();
        assert_eq!(answer.status, "rejected", "{args}: {}", answer.value.body);
        let answer = world.send("tell", &format!(r#"["$2","createVat",{}"#, &args[1..]));
        assert!(
            answer.value.body.starts_with(r##"#["rejected","##),
            "{args}: {}",
            answer.value.body
        );
        world.check_alive();
    }
    for (target, method) in
        [("$2", "lookup"), ("$2", "publish"), ("$1", "upgrade"), ("$1", "changeOptions")]
    {
        for args in [r#""\ud800""#, r#"{"\ud800":"\ud800"}"#, r#""\ud800","\udfff""#] {
            let answer = world.send("tell", &format!(r#"["{target}","{method}",{args}]"#));
            assert_eq!(answer.status, "fulfilled", "{method} {args}: {}", answer.value.body);
            world.check_alive();
        }
    }
    // Nobody noticed: another account makes a vat, and so does a vat.
    world.node.wallet(1).create_vat(&CreateVat::new(id)).unwrap();
    let answer = world
        .send("create", &format!(r#"["$2","{id}",{{"vatParameters":{{"\ud800":"\udfff"}}}}]"#));
    assert_eq!(answer.value.body, r##"#["fulfilled",{"\ud800":"\udfff"}]"##);
}

#[test]
fn ends_and_upgrades_tell_them_as_they_are() {
    let mut world = World::start();
    let alice = world.alice();
    let waiting = alice.send_only(&world.vat.root, "pending", &Args::default()).unwrap().hash;
    let upgraded = world.send("upgrade", &format!(r#"["$2","$1","{}"]"#, world.bundle.id));
    // The vat that asked is the one that was upgraded.
    assert_eq!(upgraded.status, "rejected", "{}", upgraded.value.body);
    for body in [
        upgraded.value.body,
        world.node.client().wait_result(waiting, 0, soon()).unwrap().value.body,
    ] {
        assert!(body.contains(r#""upgradeMessage":"\ud800""#), "{body}");
    }
    world.check("parameters", "[]", "fulfilled", r##"#{"\ud800":"\ud800"}"##);
    for (method, status, told) in [
        ("exit", "fulfilled", r##"#"\ud800""##),
        ("fail", "rejected", r##"#{"#error":"\ud800","name":"Error"}"##),
    ] {
        let vat = alice.create_vat(&CreateVat::new(&world.bundle.id)).unwrap();
        let done = alice.send_only(&vat.admin, "done", &Args::default()).unwrap().hash;
        alice.send(&vat.root, method, &Args::default()).unwrap();
        let ending = world.node.client().wait_result(done, 0, soon()).unwrap();
        let found = (ending.status.as_str(), without_ids(&ending.value.body));
        assert_eq!(found, (status, told.to_owned()));
        // For people, who are shown UTF-8.
        let vat = world.node.client().vat(&vat.vat_id).unwrap();
        assert_eq!(vat.ending.unwrap().reason, r"\ud800", "{method}");
    }
    world.node.restart();
    world.check_alive();
    let alice = world.alice();
    // A vat whose modules throw one.
    let thrower = bundle_text("throw Error('x\\ud800');\nexport const buildRootObject = () => {};");
    alice.install_bundle(&thrower).unwrap();
    let refused = alice.create_vat(&CreateVat::new(&thrower.id)).unwrap_err().to_string();
    assert!(refused.contains("x\\"), "{refused}");
    world.check_alive();
}

/// The report's five vats: each does one ordinary thing, and a sixth shows what came of it.
#[test]
fn the_five_calls_are_answered_as_in_swingset() {
    let vat = bundle_text(
        r#"
import { Far } from '@endo/far';
import { makeScalarBigMapStore } from '@agoric/vat-data';
const S = '\ud800';
const act = {
  plainError: () => { throw RangeError(`no account named ${S}`); },
  console: () => { console.log(S); return 'ok'; },
  storeGet: () => makeScalarBigMapStore('m').get(S),
  storeInit: () => { const m = makeScalarBigMapStore('m'); m.init(S, 1); return m.get(S); },
};
export const buildRootObject = () => Far('a', { go: name => act[name]() });
"#,
    );
    let boot = bundle_text(
        r#"
import { E, Far } from '@endo/far';
export const buildRootObject = ({ testLog }) => {
  const show = (name, p) => p.then(v => testLog(name, ' ok ', JSON.stringify(v)), x => testLog(name, ' rejected ', x.message));
  return Far('boot', {
    bootstrap: async ({ a, b, c, d, e }) => {
      await show('plainError', E(a).go('plainError'));
      await show('console', E(b).go('console'));
      await show('storeGet', E(c).go('storeGet'));
      await show('storeInit', E(d).go('storeInit'));
      await show('unknown method', E(e)['\ud800']());
    },
  });
};
"#,
    );
    let vats = ["a", "b", "c", "d", "e"].map(|name| (name, vat.clone()));
    let vats = [("boot", boot)].into_iter().chain(vats).collect();
    let machine = Machine::start(&MachineConfig { vats, ..MachineConfig::default() });
    assert_eq!(
        machine.heard(),
        [
            r"plainError rejected no account named \ud800",
            r#"console ok "ok""#,
            r#"storeGet rejected key (a string) not found in collection "m""#,
            "storeInit ok 1",
            r#"unknown method rejected target has no method "\ud800", has ["__getMethodNames__","go"]"#,
        ]
    );
}
