//! Vats that run ahead of their turn, on other threads, and nothing of that can be seen: the state, the transcripts and the
//! log of a node with any number of threads are those of a node with one, also when runs are late, reordered and lost.
#![allow(clippy::unwrap_used)] // tests

mod chains;
mod counts;
mod sleepers;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use capstan_abi::CapData;
use capstan_client::Bundle;
use capstan_kernel::device::{BUNDLE, DeviceKind};
use capstan_kernel::ids::{KRef, MeterId};
use capstan_kernel::policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy};
use capstan_kernel::promise::ResultPolicy;
use capstan_kernel::queue::TakenOut;
use capstan_kernel::slog::{Event, Slog};
use capstan_kernel::vat::{ReapThreshold, Threshold, VatConfig};
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, NodeOptions, StaticVat, VAT_ADMIN, view,
};
use capstan_kernel_ports::{
    Hash,
    store::{Overlay, Read},
};
use capstan_store::{Block, Store};
use capstan_tests::mixed::{Cranks, MixedNode, often};
use capstan_tests::{Options, bundle, host};
use capstan_vat_host::WasmHost;
use serde_json::{Value, json};

/// The vats of a stage. The first one is the bootstrap vat, which has the device.
const VATS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Cranks of a block, few enough for a block to end while vats run ahead.
const CRANKS: u64 = 11;

/// Turns of a loop that take longer than starting a thread.
const LONG: u64 = 60_000;

/// What happens to a chain.
enum Act {
    /// A message to a vat's root, with a method and arguments.
    Tell(&'static str, &'static str, Value),
    /// As many cranks as this are executed and committed.
    Run(u64),
    /// Everything is executed, block by block.
    Finish,
    /// A vat is ended from outside.
    End(&'static str),
    /// The message that was told last is skipped when its turn comes.
    Skip,
    /// All vats leave memory.
    Evict,
    /// A vat gets a meter of its own, with so many computrons.
    Meter(&'static str, u64),
}

use counts::Counts;

use Act::{End, Evict, Finish, Meter, Run, Skip, Tell};

/// The syscalls that a vat is told to make.
fn calls(vat: &'static str, calls: Value) -> Act {
    Tell(vat, "do", json!([calls]))
}

/// A message that keeps the kernel's thread busy.
fn long(vat: &'static str) -> Act {
    Tell(vat, "work", json!([LONG]))
}

fn remember(vat: &'static str) -> Act {
    Tell(vat, "remember", json!(["key"]))
}

/// What a chain comes to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    roots: Vec<Hash>,
    transcripts: BTreeMap<Vec<u8>, Vec<u8>>,
    log: Vec<String>,
}

struct Log(Arc<Mutex<Vec<String>>>);

impl Slog for Log {
    fn event(&mut self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

/// Runs so many cranks, and writes to the log what each of them counts. A chain's computrons and budgets come from that.
struct Noting {
    cranks: Cranks,
    log: Arc<Mutex<Vec<String>>>,
}

impl RunPolicy for Noting {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        self.cranks.allow_cleanup()
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, work: &KernelWork) -> bool {
        self.log.lock().unwrap().push(format!("{outcome:?} {work:?}"));
        self.cranks.crank_done(outcome, work)
    }
}

struct Stage {
    kernel: Kernel<WasmHost>,
    store: Store,
    roots: Vec<Hash>,
    log: Arc<Mutex<Vec<String>>>,
    /// The result of the message that was told last.
    last: Option<KRef>,
}

fn config(options: KernelOptions) -> KernelConfig {
    static BUNDLES: OnceLock<[Bundle; 2]> = OnceLock::new();
    let [raw, admin] = BUNDLES.get_or_init(|| {
        let admin = Bundle::from_endo_json(capstan_vat_system::vat_admin_bundle()).unwrap();
        [bundle("tests/vats/ahead.js"), admin]
    });
    let id = raw.id.to_string();
    let vat = || StaticVat { enable_setup: true, ..StaticVat::new(&id) };
    let vats = VATS.map(|name| (name.to_owned(), vat()));
    let admin_vat = (VAT_ADMIN.to_owned(), StaticVat::new(admin.id.to_string()));
    KernelConfig {
        bootstrap: Some("a".to_owned()),
        pin_bootstrap_root: true,
        vats: vats.into_iter().chain([admin_vat]).collect(),
        bundles: [raw, admin].map(|bundle| (bundle.id.to_string(), bundle.bytes.clone())).into(),
        named_bundles: BTreeMap::from([("itself".to_owned(), id.clone())]),
        devices: BTreeMap::from([(BUNDLE.to_owned(), DeviceKind::Bundle)]),
        ..KernelConfig::new(options)
    }
}

impl Stage {
    fn start(options: &Options, node: NodeOptions, kernel_options: KernelOptions) -> Self {
        let store = Store::in_memory().unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let mut kernel = Kernel::new(host(options), node);
        kernel.set_slog(Box::new(Log(Arc::clone(&log))));
        let mut stage = Self { kernel, store, roots: vec![], log, last: None };
        stage.change(|kernel, block| {
            kernel.initialize(block, &config(kernel_options)).unwrap();
            for vat in VATS {
                kernel.pin_vat_root(block, vat).unwrap();
            }
        });
        while !stage.run(CRANKS) {}
        stage
    }

    fn change<T>(&mut self, work: impl FnOnce(&mut Kernel<WasmHost>, &mut Block) -> T) -> T {
        let mut block = self.store.begin_block();
        let done = work(&mut self.kernel, &mut block);
        let height = self.store.height() + 1;
        self.store.commit(self.store.prepare(block).unwrap(), height).unwrap();
        self.roots.push(self.store.root());
        done
    }

    /// Executes a block. Returns whether nothing is left to do.
    fn run(&mut self, cranks: u64) -> bool {
        let mut policy = Noting { cranks: Cranks(cranks), log: Arc::clone(&self.log) };
        self.change(|kernel, block| kernel.run(block, &mut policy).unwrap().idle)
    }

    fn act(&mut self, act: &Act) {
        match act {
            Tell(vat, method, args) => {
                let body = format!("#{}", marked(&json!([method, args])));
                let methargs = CapData { body, slots: vec![] };
                self.last = self.change(|kernel, block| {
                    let policy = ResultPolicy::Ignore;
                    kernel.queue_to_vat_root(block, vat, methargs, policy).unwrap()
                });
            }
            Skip => self.kernel.take_out(self.last.map(TakenOut::Result)),
            Run(cranks) => drop(self.run(*cranks)),
            Finish => while !self.run(CRANKS) {},
            End(name) => self.change(|kernel, block| {
                let vat = view::vat_by_name(block, name).unwrap().unwrap();
                let reason = CapData { body: "#\"enough\"".to_owned(), slots: vec![] };
                kernel.terminate_vat(block, vat, &reason).unwrap();
            }),
            Evict => self.kernel.evict_all(),
            Meter(name, computrons) => self.change(|_, block| {
                let vat = view::vat_by_name(block, name).unwrap().unwrap();
                let key = format!("k.v.{}", vat.0).into_bytes();
                let config = block.get(&key).unwrap().unwrap();
                let mut config: VatConfig = borsh::from_slice(&config).unwrap();
                config.meter = Some(MeterId(vat.0));
                block.set(&key, borsh::to_vec(&config).unwrap());
                let meter = (Some(u128::from(*computrons)), 0_u128);
                block.set(format!("k.m.{}", vat.0).as_bytes(), borsh::to_vec(&meter).unwrap());
                let its_use = (None::<String>, 1_u64, 0_u128);
                block.set(format!("k.mu.{}", vat.0).as_bytes(), borsh::to_vec(&its_use).unwrap());
            }),
        }
    }

    fn outcome(self) -> Outcome {
        let transcripts = self.store.reader().scan(b"local.").unwrap().into_iter().collect();
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        Outcome { roots: self.roots, transcripts, log }
    }
}

/// Smallcaps of JSON: strings that begin with a sign are marked.
fn marked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with(|sign: char| ('!'..='-').contains(&sign)) => {
            json!(format!("!{text}"))
        }
        Value::Array(items) => items.iter().map(marked).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), marked(value))).collect(),
        ),
        other => other.clone(),
    }
}

/// The ways in which a node may run vats, the serial one first.
fn ways() -> Vec<Options> {
    let way = |threads, chaos| Options { threads, chaos, ..Options::usual() };
    vec![
        way(1, None),
        way(2, None),
        way(7, None),
        way(2, Some(1)),
        way(7, Some(2)),
        way(3, Some(3)),
    ]
}

/// Plays a story in all ways. Returns the log of the serial one, and the deliveries that ran ahead in all ways together.
fn same(node: NodeOptions, kernel: &KernelOptions, story: &[Act]) -> (Vec<String>, Counts) {
    let mut first: Option<Outcome> = None;
    let mut ahead = Counts::default();
    for way in ways() {
        let mut stage = Stage::start(&way, node, kernel.clone());
        story.iter().for_each(|act| stage.act(act));
        let counts = Counts::of(&stage);
        println!("{} threads, chaos {:?}: {counts:?}", way.threads, way.chaos);
        assert!(way.threads > 1 || counts == Counts::default(), "one thread runs nothing ahead");
        ahead.add(counts);
        let outcome = stage.outcome();
        let Some(first) = &first else {
            first = Some(outcome);
            continue;
        };
        for (number, (found, expected)) in outcome.log.iter().zip(&first.log).enumerate() {
            assert_eq!(found, expected, "line {number} of the log with {way:?}");
        }
        assert_eq!(outcome.log.len(), first.log.len(), "{way:?}");
        assert!(outcome == *first, "{way:?}");
    }
    (first.unwrap().log, ahead)
}

/// Plays a story on a usual kernel, and insists that vats ran ahead, and that the log shows what the story is about.
fn plays(story: &[Act], shows: &str) {
    plays_on(NodeOptions::default(), &limited(), story, shows);
}

/// The same of a story in which runs are in vain.
fn loses(story: &[Act], shows: &str) {
    let (log, counts) = same(NodeOptions::default(), &limited(), story);
    assert!(counts.begun > 0 && counts.lost > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains(shows)), "the log does not show {shows:?}");
}

fn plays_on(node: NodeOptions, kernel: &KernelOptions, story: &[Act], shows: &str) {
    let (log, counts) = same(node, kernel, story);
    assert!(counts.begun > 0 && counts.counted > 0, "{counts:?}");
    assert!(log.iter().any(|line| line.contains(shows)), "the log does not show {shows:?}");
}

/// A kernel that takes no snapshots and reaps seldom, so that a story is about one thing.
fn limited() -> KernelOptions {
    KernelOptions {
        reap: ReapThreshold { deliveries: Threshold::At(1_000), ..ReapThreshold::default() },
        snapshot_initial: 1_000,
        snapshot_interval: 1_000,
        crank_limit: 20_000_000,
        ..often()
    }
}

fn data(text: &str) -> Value {
    json!({"body": format!("#{text}"), "slots": []})
}

#[test]
fn deliveries_that_change_heap_and_store() {
    let mut story = vec![];
    for _ in 0..6 {
        VATS.iter().for_each(|vat| story.push(remember(vat)));
        VATS.iter().for_each(|vat| story.push(long(vat)));
    }
    story.push(Finish);
    plays(&story, "VatstoreSet");
}

#[test]
fn a_syscall_that_returns_nothing_is_refused_and_the_vat_goes_on_until_it_ends() {
    for (vat, illegal) in [
        ("b", json!(["subscribe", "p-99"])),
        ("c", json!(["resolve", [["p-99", false, data("1")]]])),
        ("d", json!(["dropImports", ["o-99"]])),
        ("e", json!(["send", "o-99", data("[\"x\",[]]")])),
    ] {
        let story = [
            long("a"),
            calls(
                vat,
                json!([["vatstoreSet", "undone", "1"], illegal, ["vatstoreSet", "more", "2"]]),
            ),
            remember("a"),
            remember(vat),
            Finish,
        ];
        loses(&story, "prepare to die");
    }
}

#[test]
fn reads_of_the_vats_own_store() {
    let reads = json!([
        ["vatstoreSet", "m", "1"],
        ["vatstoreSet", "n", ""],
        ["vatstoreGet", "m"],
        ["vatstoreGet", "n"],
        ["vatstoreGetNextKey", ""],
        ["vatstoreDelete", "m"],
        ["vatstoreGetNextKey", "key"],
        ["vatstoreGet", "m"],
    ]);
    let mut story = vec![];
    for _ in 0..4 {
        story.extend([long("a"), calls("b", reads.clone()), remember("c"), remember("b")]);
        story.extend([long("a"), Tell("b", "clear", json!([150])), remember("c"), Run(5)]);
    }
    story.push(Finish);
    plays(&story, "many.1149");
}

#[test]
fn keys_values_and_syscalls_without_bound() {
    let key = "k".repeat(70_000);
    let story = [
        long("a"),
        Tell("b", "fill", json!([9, 1_000])),
        calls("c", json!([["vatstoreSet", key, "1"], ["vatstoreGet", "key"]])),
        calls("d", json!([["vatstoreGet", key]])),
        remember("e"),
        Finish,
        long("a"),
        remember("b"),
        Finish,
    ];
    plays(&story, "prepare to die");
}

#[test]
fn a_device_is_asked_at_the_deliverys_turn() {
    let ask = |vat| {
        calls(
            vat,
            json!([
                ["vatstoreSet", "asked", "1"],
                ["callNow", "d-70", "getBundleIDByName", data("[\"itself\"]")],
                ["vatstoreGet", "asked"],
                ["callNow", "d-70", "getBundleIDByName", data("[\"nothing\"]")],
                ["vatstoreSet", "asked", "2"],
            ]),
        )
    };
    let mut story = vec![];
    for _ in 0..4 {
        story.extend([long("b"), ask("a"), remember("c"), long("b"), remember("a")]);
    }
    // A vat that has no such device.
    story.extend([long("a"), ask("e"), Finish]);
    plays(&story, "CallNow");
}

#[test]
fn collection_comes_first() {
    let send = json!(["send", "o-50", {"body": "#[\"hear\",[\"$0\"]]", "slots": ["o+7"]}]);
    let mut story = vec![calls("a", json!([send])), Finish];
    // The boss dropped what the other vat holds on to while both run.
    story.extend([
        long("b"),
        long("c"),
        calls("b", json!([["dropImports", ["o-50"]]])),
        remember("a"),
        remember("c"),
        remember("a"),
        Finish,
    ]);
    loses(&story, "DropExports");
}

#[test]
fn reaping_and_snapshots_come_between() {
    let mut story = vec![];
    for _ in 0..8 {
        VATS.iter().for_each(|vat| story.extend([remember(vat), long(vat)]));
        story.push(Run(7));
    }
    story.push(Finish);
    let kernel = KernelOptions { crank_limit: 20_000_000, ..often() };
    plays_on(NodeOptions::default(), &kernel, &story, "SnapshotSaved");
}

#[test]
fn a_vat_ends_while_it_runs_ahead() {
    let mut story = vec![];
    for vat in ["b", "c", "d"] {
        story.extend([long("a"), remember(vat), long("e"), remember(vat), Run(6), End(vat)]);
        story.extend([remember(vat), Finish]);
    }
    plays(&story, "Terminate");
}

#[test]
fn a_message_is_skipped_while_its_vat_runs_ahead() {
    let mut story = vec![];
    for _ in 0..3 {
        story.extend([long("a"), remember("c"), remember("b"), Run(5), Skip]);
        story.extend([long("c"), long("d"), remember("e"), Run(6), remember("b"), remember("a")]);
        story.push(Finish);
    }
    loses(&story, "VatstoreSet");
}

#[test]
fn an_exit_and_an_error_undo_the_delivery() {
    let story = [
        long("a"),
        calls("b", json!([["vatstoreSet", "undone", "1"], ["exit", true, data("\"bad\"")]])),
        calls("c", json!([["exit", false, data("\"good\"")]])),
        Tell("d", "boom", json!([])),
        remember("e"),
        remember("b"),
        remember("c"),
        remember("d"),
        Finish,
    ];
    plays(&story, "Terminate");
}

#[test]
fn a_loop_without_end_exceeds_its_limit() {
    let story = [long("a"), Tell("b", "spin", json!([])), remember("c"), remember("b"), Finish];
    plays(&story, "Compute meter exceeded");
}

#[test]
fn a_notification_says_more_than_was_foreseen() {
    let resolve = |promise, other: Option<&str>| match other {
        Some(other) => {
            json!(["resolve", [[promise, false, {"body": "#[\"&0\"]", "slots": [other]}]]])
        }
        None => json!(["resolve", [[promise, false, data("1")]]]),
    };
    let story = [
        // The boss waits for a promise of its own, which it hands to another vat inside of another one.
        calls(
            "a",
            json!([
                ["send", "o-50", {"body": "#[\"hear\",[\"&0\",\"&1\"]]", "slots": ["p+5", "p+6"]}],
                ["send", "o-51", {"body": "#[\"hear\",[\"&0\"]]", "slots": ["p+5"]}],
            ]),
        ),
        Finish,
        calls("b", json!([["subscribe", "p-60"], ["subscribe", "p-61"]])),
        calls("c", json!([["subscribe", "p-60"]])),
        Finish,
        calls("a", json!([resolve("p+5", Some("p+6"))])),
        // The notifications are foreseen now, and say more when their turn comes.
        long("d"),
        calls("a", json!([resolve("p+6", None)])),
        Finish,
        remember("b"),
        remember("c"),
        Finish,
    ];
    let (log, counts) = same(NodeOptions::default(), &limited(), &story);
    assert!(counts.begun > 0 && counts.lost > 0, "{counts:?}");
    let both = |line: &&String| line.contains("p-60") && line.contains("p-61");
    assert!(
        log.iter().filter(both).any(|line| line.contains("vat_delivery: Notify")),
        "not told at once"
    );
}

#[test]
fn what_vats_print() {
    let mut story = vec![];
    for _ in 0..3 {
        story.extend([long("a"), Tell("b", "chat", json!([20, 50])), remember("c")]);
        story.extend([Tell("d", "chat", json!([1_200, 4_000])), remember("e"), Run(4)]);
    }
    story.push(Finish);
    plays(&story, "Console");
}

#[test]
fn vats_leave_memory_while_others_run() {
    let mut story = vec![];
    for round in 0..4 {
        VATS.iter().for_each(|vat| story.extend([remember(vat), long(vat)]));
        story.push(Run(9));
        if round % 2 == 1 {
            story.push(Evict);
        }
    }
    story.push(Finish);
    for max_vats_online in [1, 3] {
        let node = NodeOptions { max_vats_online, ..NodeOptions::default() };
        let (log, _) = same(node, &KernelOptions { crank_limit: 20_000_000, ..often() }, &story);
        assert!(log.iter().any(|line| line.contains("SnapshotLoaded")));
    }
}

/// The roots of vats with liveslots that are made, upgraded and ended.
#[test]
fn a_story_of_vats_that_come_and_go() {
    let live =
        |way: Options| MixedNode::start_on(way, NodeOptions::default(), often()).live(|_| {});
    let mut all = ways().into_iter().map(live);
    let first = all.next().unwrap();
    all.for_each(|roots| assert_eq!(roots, first));
}

/// A delivery that is lost costs a replay. So a vat whose runs are always lost stops running ahead.
#[test]
fn a_vat_whose_runs_are_lost_runs_in_turn() {
    let send = |number: u64| {
        let slot = format!("o+{number}");
        json!(["send", "o-50", {"body": "#[\"hear\",[\"$0\"]]", "slots": [slot]}])
    };
    let mut story = vec![];
    for round in 0..40 {
        story.extend([calls("a", json!([send(100 + round)])), Finish]);
        let drop = json!([["dropImports", [format!("o-{}", 50 + round)]]]);
        story.extend([long("c"), long("d"), calls("b", drop), remember("a"), Finish]);
    }
    let mut stage = Stage::start(
        &Options { threads: 2, ..Options::usual() },
        NodeOptions::default(),
        limited(),
    );
    story.iter().for_each(|act| stage.act(act));
    let lost = stage.kernel.host().usage().ahead_lost();
    println!("{lost} lost");
    assert!(lost < 15, "{lost} of 40 runs were lost");
}
