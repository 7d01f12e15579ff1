//! The cost of the worst arguments for the vats of the system, within what the kernel lets through to them: 64 KiB, 32 levels,
//! 4,096 nodes, 64 references. Every method of theirs gets every one of them.
//!
//! With `--nocapture` it prints the dearest deliveries, from which the prices of messages to these vats are derived.
#![allow(clippy::unwrap_used)] // tests

use std::collections::BTreeMap;

use capstan_tests::{Device, LoneVat};

/// Less than a sixth of what a crank may spend, and less than what the largest message pays in advance.
const LIMIT: u64 = 30_000_000;
/// Twice as much, for what only governors can call: a configuration of a subcluster is read and written again.
const GOVERNED_LIMIT: u64 = 2 * LIMIT;
/// Objects that only governors can look up.
const GOVERNED: [&str; 2] = ["systemSubclusters.", "revoker."];

const BODY_BYTES: usize = 64 * 1024;
const DEPTH: usize = 32;
const NODES: usize = 4_096;
const SLOTS: usize = 64;

/// The argument is two levels down in a message's body, and two nodes beside it are the method and the arguments.
const ROOM: usize = 64;

/// An argument with its references.
struct Odd {
    name: &'static str,
    body: String,
    slots: Vec<String>,
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// Returns as many of `item`, of so many nodes each, as are let through.
fn many(item: &str, nodes: usize) -> String {
    let by_bytes = (BODY_BYTES - 1_024) / (item.len() + 1);
    let by_nodes = (NODES - ROOM) / nodes;
    array(std::iter::repeat_n(item.to_owned(), by_bytes.min(by_nodes)))
}

fn odd_arguments() -> Vec<Odd> {
    let plain = |name, body: String| Odd { name, body, slots: vec![] };
    let held = |name, letter: &str, slot: &str| Odd {
        name,
        body: array((0..SLOTS - 1).map(|n| format!("\"{letter}{n}\""))),
        slots: (0..SLOTS - 1).map(|n| format!("{slot}{}", 5_000 + n)).collect(),
    };
    let long = BODY_BYTES - 1_024;
    let wide = |count: usize, value: &str| {
        let fields = (0..count).map(|n| format!("\"{n}x\":{value}")).collect::<Vec<_>>();
        format!("{{{}}}", fields.join(","))
    };
    let nest =
        |open: &str, close: &str| format!("{}{}", open.repeat(DEPTH - 4), close.repeat(DEPTH - 4));
    vec![
        plain("nothing", "\"#undefined\"".to_owned()),
        plain("long text", format!("\"{}\"", "x".repeat(long))),
        plain("long text of escapes", format!("\"{}\"", "\\u0001".repeat(long / 6))),
        plain("long bigint", format!("\"+{}\"", "9".repeat(long))),
        plain("objects", many("{}", 1)),
        plain("arrays", many("[]", 1)),
        plain("pairs", many("[{}]", 2)),
        plain("numbers", many("7", 1)),
        plain("bigints", many("\"+7\"", 1)),
        plain("symbols", many("\"%a\"", 1)),
        plain("errors", many("{\"#error\":\"\",\"name\":\"Error\"}", 3)),
        plain("tags", many("{\"#tag\":\"a\",\"payload\":0}", 3)),
        plain("not a number", many("\"#NaN\"", 1)),
        plain("fields", wide(NODES - ROOM, "0")),
        plain("fields of objects", wide(NODES - ROOM, "{}")),
        plain("deep", nest("[", "]")),
        plain("many deep", many(&nest("[", "]"), DEPTH - 4)),
        plain("deep records", nest("{\"a\":", "}").replace(":}", ":0}")),
        held("references", "$", "o-"),
        held("promises", "&", "p-"),
    ]
}

/// The methods of an object that others can reach.
struct Object {
    name: &'static str,
    target: String,
    /// Of each method the arguments that make it work, among which the odd one takes one place after the other.
    methods: &'static [(&'static str, &'static [&'static str])],
}

/// Sends every odd argument in every place of every method. Returns the computrons, dearest first.
fn measure(vat: &mut LoneVat, objects: &[Object]) -> Vec<(u64, usize, String)> {
    let mut found = Vec::new();
    for object in objects {
        for (method, arguments) in object.methods {
            for odd in odd_arguments() {
                for place in 0..=arguments.len() {
                    let mut all: Vec<String> =
                        arguments.iter().map(|text| (*text).to_owned()).collect();
                    match place == arguments.len() {
                        true => all.push(odd.body.clone()),
                        false => all[place] = odd.body.clone(),
                    }
                    // The reference that a usual argument mentions comes after those of the odd one.
                    let target = format!("${}", odd.slots.len());
                    let body = array(all.into_iter()).replace("$TARGET", &target);
                    let mut slots: Vec<&str> = odd.slots.iter().map(String::as_str).collect();
                    if body.contains(&format!("\"{target}\"")) {
                        slots.push("o-4000");
                    }
                    let slots = &slots[..];
                    let outcome = vat.send(&object.target, method, &body, slots);
                    let what = format!("{}.{method} #{place} {}", object.name, odd.name);
                    found.push((outcome.computrons, outcome.count, what));
                }
            }
        }
    }
    found.sort_by_key(|(computrons, ..)| std::cmp::Reverse(*computrons));
    found
}

fn show(vat: &str, found: &[(u64, usize, String)]) {
    for (computrons, syscalls, what) in found.iter().take(25) {
        println!("{vat}: {computrons:>9} computrons, {syscalls:>4} syscalls: {what}");
    }
    // And the dearest of each kind of argument.
    let mut kinds = BTreeMap::new();
    for (computrons, syscalls, what) in found {
        let kind = what.split_once('#').map_or("", |(_, rest)| &rest[2..]);
        let entry = kinds.entry(kind).or_insert((0, 0));
        *entry = (*entry).max((*computrons, *syscalls));
    }
    for (kind, (computrons, syscalls)) in kinds {
        println!("{vat}: at most {computrons:>9} computrons, {syscalls:>4} syscalls: {kind}");
    }
    for (computrons, _, what) in found {
        let is_governed = GOVERNED.iter().any(|name| what.starts_with(name));
        let limit = if is_governed { GOVERNED_LIMIT } else { LIMIT };
        assert!(*computrons <= limit, "{vat}: {what}: {computrons}");
    }
}

#[test]
fn the_timer_is_cheap_whatever_it_is_given() {
    let device: Device = Box::new(|_, method, _| match method {
        "getLastPolled" => "\"+1000\"".to_owned(),
        _ => "\"#undefined\"".to_owned(),
    });
    let mut vat = LoneVat::start(capstan_vat_system::timer_bundle(), "{}", device);
    let made = vat.send("o+0", "createTimerService", "[\"$0.Alleged: device\"]", &["d-70"]);
    let service = made.slots().remove(0);
    let one = |vat: &mut LoneVat, target: &str, method: &str, args: &str| {
        vat.send(target, method, args, &[]).slots().remove(0)
    };
    let clock = one(&mut vat, &service, "getClock", "[]");
    let brand = one(&mut vat, &service, "getTimerBrand", "[]");
    let repeater = one(&mut vat, &service, "makeRepeater", "[10,10]");
    let notifier = one(&mut vat, &service, "makeNotifier", "[10,10]");
    let objects = [
        Object {
            name: "timerService",
            target: service,
            methods: &[
                ("getCurrentTimestamp", &[]),
                ("setWakeup", &["\"+2000\"", "\"$TARGET\"", "\"$TARGET\""]),
                ("wakeAt", &["\"+2000\"", "\"$TARGET\""]),
                ("delay", &["10", "\"$TARGET\""]),
                ("makeRepeater", &["10", "10"]),
                ("repeatAfter", &["10", "10", "\"$TARGET\"", "\"$TARGET\""]),
                ("makeNotifier", &["10", "10", "\"$TARGET\""]),
                ("cancel", &["\"$TARGET\""]),
                ("getClock", &[]),
                ("getTimerBrand", &[]),
                ("nothingOfThatName", &[]),
            ],
        },
        Object { name: "clock", target: clock, methods: &[("getCurrentTimestamp", &[])] },
        Object {
            name: "brand",
            target: brand,
            methods: &[("isMyTimerService", &["1"]), ("isMyClock", &["1"])],
        },
        Object {
            name: "repeater",
            target: repeater,
            methods: &[("schedule", &["\"$TARGET\""]), ("disable", &[])],
        },
        Object { name: "notifier", target: notifier, methods: &[("getUpdateSince", &["\"+1\""])] },
    ];
    show("timer", &measure(&mut vat, &objects));
    let reap = vat.bring_out_your_dead();
    println!("timer: {} computrons, {} syscalls: collection", reap.computrons, reap.count);
}

#[test]
fn the_provisioner_is_cheap_whatever_it_is_given() {
    let device: Device = Box::new(|_, method, _| match method {
        "revoke" | "isRevoked" => "\"no such object\"".to_owned(),
        "systemSubclusters" => "[]".to_owned(),
        _ => "{\"amount\":\"7\",\"isGovernor\":true,\"vatID\":\"v9\"}".to_owned(),
    });
    let mut vat = LoneVat::start(capstan_vat_system::provisioner_bundle(), "{}", device);
    let vats = "[{\"vatAdmin\":\"$0\"},{\"bridge\":\"$2.Alleged: device\",\"vatAdmin\":\"$1.Alleged: device\"}]";
    let sent = vat.send("o+0", "bootstrap", vats, &["o-50", "d-70", "d-72"]).sent();
    vat.notify(&sent[0].2, false, "\"$0\"", &["o-51"]);
    let factory = vat.send("o+0", "provision", "[\"alice\"]", &[]).slots().remove(0);
    let governed = |vat: &mut LoneVat, name: &str| {
        vat.send(&factory, "lookup", &format!("[{name:?}]"), &[]).slots().remove(0)
    };
    let revoker = governed(&mut vat, "chain/revoker");
    let subclusters = governed(&mut vat, "chain/system-subclusters");
    let factory = Object {
        name: "factory",
        target: factory,
        methods: &[
            (
                "createVat",
                &["\"w1-0000000000000000000000000000000000000000000000000000000000000000\"", "{}"],
            ),
            ("launchSubcluster", &["{\"name\":\"c\",\"vats\":{\"a\":{}}}"]),
            ("upgradeVat", &["\"$TARGET\"", "\"b1-0\"", "{}"]),
            ("publish", &["\"n\"", "\"$TARGET\""]),
            ("unpublish", &["\"n\""]),
            ("lookup", &["\"n\""]),
        ],
    };
    let revoker = Object {
        name: "revoker",
        target: revoker,
        methods: &[("revoke", &["\"$TARGET\"", "{}"]), ("isRevoked", &["\"$TARGET\""])],
    };
    let subclusters = Object {
        name: "systemSubclusters",
        target: subclusters,
        methods: &[
            ("list", &[]),
            ("getRoot", &["\"n\""]),
            ("upgradeVat", &["\"n\"", "\"v\"", "\"b1-0\"", "{}"]),
            ("launch", &["\"n\"", "{\"vats\":{}}"]),
            ("terminate", &["\"n\"", "\"why\""]),
        ],
    };
    let objects = [factory, revoker, subclusters];
    show("provisioner", &measure(&mut vat, &objects));
    let reap = vat.bring_out_your_dead();
    println!("provisioner: {} computrons, {} syscalls: collection", reap.computrons, reap.count);
}

/// The methods of vatAdmin's service, with arguments.
const SERVICE_METHODS: &[(&str, &[&str])] = &[
    ("waitForBundleCap", &["\"b1-0\""]),
    ("getBundleCap", &["\"b1-0\""]),
    ("getNamedBundleCap", &["\"n\""]),
    ("getBundleIDByName", &["\"n\""]),
    ("createMeter", &["\"+1\"", "\"+0\""]),
    ("createUnlimitedMeter", &[]),
    ("createVat", &["{}", "{}"]),
    ("createVatByName", &["\"n\"", "{}"]),
];

/// A vatAdmin device that does what it is asked.
fn vat_admin_device() -> Device {
    let mut meters = 0;
    Box::new(move |_, method, _| match method {
        "createMeter" | "createUnlimitedMeter" => {
            meters += 1;
            format!("\"m{meters}\"")
        }
        "createByBundleID" => {
            meters += 1;
            format!("\"v{meters}\"")
        }
        "getBundleID" => "\"b1-0\"".to_owned(),
        "upgradeVat" => "\"up1\"".to_owned(),
        _ => "\"#undefined\"".to_owned(),
    })
}

#[test]
fn vat_admin_is_cheap_whatever_it_is_given() {
    let mut vat = LoneVat::start(capstan_vat_system::vat_admin_bundle(), "{}", vat_admin_device());
    let made = vat.send("o+0", "createVatAdminService", "[\"$0.Alleged: device\"]", &["d-70"]);
    let service = made.slots().remove(0);
    let meter = vat.send(&service, "createMeter", "[\"+5\",\"+0\"]", &[]).slots().remove(0);
    let unlimited = vat.send(&service, "createUnlimitedMeter", "[]", &[]).slots().remove(0);
    let args = "[\"$0.Alleged: device node\",{\"meter\":\"$1\"}]";
    let asked = vat.send(&service, "createVat", args, &["d-71", &meter]);
    let news = vat.send("o+0", "newVatCallback", "[\"v3\",{\"rootObject\":\"$0\"}]", &["o-80"]);
    let created = news.settled().into_iter().find(|r| r.promise == asked.result).unwrap();
    let admin = created.data.slots[0].clone();
    let notifier = vat.send(&meter, "getNotifier", "[]", &[]).slots().remove(0);
    let meter_methods: &[(&str, &[&str])] = &[
        ("addRemaining", &["\"+1\""]),
        ("setThreshold", &["\"+1\""]),
        ("get", &[]),
        ("getNotifier", &[]),
    ];
    let objects = [
        Object { name: "vatAdminService", target: service, methods: SERVICE_METHODS },
        Object { name: "meter", target: meter, methods: meter_methods },
        Object { name: "unlimitedMeter", target: unlimited, methods: meter_methods },
        Object {
            name: "meterNotifier",
            target: notifier,
            methods: &[("getUpdateSince", &["\"+1\""])],
        },
        Object {
            name: "adminNode",
            target: admin,
            methods: &[
                ("done", &[]),
                ("upgrade", &["{}", "{}"]),
                ("changeOptions", &["{\"reapInterval\":7}"]),
                ("adminData", &[]),
                ("terminateWithFailure", &["\"x\""]),
                ("revoke", &["\"$TARGET\""]),
                ("isRevoked", &["\"$TARGET\""]),
            ],
        },
        // What the kernel sends with what vats end with. (`meterCrossedThreshold` has nothing of theirs.)
        Object {
            name: "root",
            target: "o+0".to_owned(),
            methods: &[
                ("vatUpgradeCallback", &["\"up1\"", "false", "\"why\"", "0"]),
                ("vatTerminated", &["\"v3\"", "true", "\"info\""]),
                ("newVatCallback", &["\"v9\"", "{\"error\":\"why\"}"]),
                ("bundleInstalled", &["\"b1-0\""]),
            ],
        },
    ];
    show("vatAdmin", &measure(&mut vat, &objects));
    let reap = vat.bring_out_your_dead();
    println!("vatAdmin: {} computrons, {} syscalls: collection", reap.computrons, reap.count);
}

#[test]
fn a_new_incarnation_starts_as_fast_with_many_vats_and_meters() {
    let start = |vatstore| {
        let mut numbers = 0;
        let device: Device = Box::new(move |_, method, _| {
            numbers += 1;
            match method {
                "createMeter" => format!("\"m{numbers}\""),
                "createByBundleID" => format!("\"v{numbers}\""),
                "getBundleID" => "\"b1-0\"".to_owned(),
                _ => "\"#undefined\"".to_owned(),
            }
        });
        LoneVat::again(capstan_vat_system::vat_admin_bundle(), "{}", device, vatstore)
    };
    let begin = |vat: &mut LoneVat| {
        let service =
            vat.send("o+0", "createVatAdminService", "[\"$0.Alleged: device\"]", &["d-70"]);
        (service.slots().remove(0), service.count)
    };
    let mut vat = start(BTreeMap::new());
    let (service, _) = begin(&mut vat);
    let (few, _) = (start(vat.vatstore().clone()).started(), ());
    let mut meters = Vec::new();
    for _ in 0..300 {
        let meter = vat.send(&service, "createMeter", "[\"+5\",\"+0\"]", &[]).slots().remove(0);
        let args = "[\"$0.Alleged: device node\",{\"meter\":\"$1\"}]";
        vat.send(&service, "createVat", args, &["d-71", &meter]);
        meters.push(meter);
    }
    let mut again = start(vat.vatstore().clone());
    assert_eq!(again.started(), few, "syscalls of the start");
    // It knows the meters and the vats all the same.
    let (service, _) = begin(&mut again);
    let args = "[\"$0.Alleged: device node\",{\"meter\":\"$1\"}]";
    let made = again.send(&service, "createVat", args, &["d-71", &meters[7]]);
    assert!(format!("{:?}", made.syscalls).contains("meterID"), "{:?}", made.syscalls);
    let ended = again.send("o+0", "vatTerminated", "[\"v2\",true,\"x\"]", &[]);
    assert!(again.vatstore().len() < vat.vatstore().len() + 60 && ended.count > 2);
}

#[test]
fn answers_of_done_are_kept_for_everybody_however_many_strangers_ask() {
    let mut vats = 0;
    let mut kept = 0;
    let device: Device = Box::new(move |_, method, _| match method {
        "createByBundleID" => {
            vats += 1;
            format!("\"v{vats}\"")
        }
        "deferResult" => {
            kept += 1;
            format!("\"+{kept}\"")
        }
        "getBundleID" => "\"b1-0\"".to_owned(),
        _ => "\"#undefined\"".to_owned(),
    });
    let mut vat = LoneVat::start(capstan_vat_system::vat_admin_bundle(), "{}", device);
    let made = vat.send("o+0", "createVatAdminService", "[\"$0.Alleged: device\"]", &["d-70"]);
    let service = made.slots().remove(0);
    let create = |vat: &mut LoneVat, id: &str| {
        let asked = vat.send(&service, "createVat", "[\"$0.Alleged: device node\",{}]", &["d-71"]);
        let args = format!("[{id:?},{{\"rootObject\":\"$0\"}}]");
        let news = vat.send("o+0", "newVatCallback", &args, &["o-80"]);
        let created = news.settled().into_iter().find(|r| r.promise == asked.result).unwrap();
        created.data.slots[0].clone()
    };
    // A stranger's fifty vats, each asked as often as one may be.
    for number in 1..=50 {
        let admin = create(&mut vat, &format!("v{number}"));
        for _ in 0..20 {
            assert_eq!(vat.send(&admin, "done", "[]", &[]).settled(), [], "it waits in the heap");
        }
        let refusal = vat.send(&admin, "done", "[]", &[]).refusal();
        assert!(refusal.contains("20 times already"), "{refusal}");
    }
    let admin = create(&mut vat, "v51");
    for _ in 0..20 {
        let asked = vat.send(&admin, "done", "[]", &[]);
        assert_eq!(asked.called(), ["deferResult"], "the device keeps it");
    }
    assert!(vat.send(&admin, "done", "[]", &[]).refusal().contains("20 times already"));
    let ended = vat.send("o+0", "vatTerminated", "[\"v51\",true,\"why\"]", &[]);
    assert_eq!(ended.called(), ["settleResult"; 20]);
    let ended = vat.send("o+0", "vatTerminated", "[\"v1\",false,\"why\"]", &[]);
    assert_eq!(ended.called(), [""; 0]);
    assert_eq!(ended.settled().len(), 21, "those of the heap, and the message's own answer");
}
