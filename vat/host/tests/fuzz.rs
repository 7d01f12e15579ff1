//! Fuzz tests with mutated modules and mutated messages. Each is refused, or runs to an end that is
//! the vat's own. None causes a panic or a fault of the node.
//!
//! `CAPSTAN_SECONDS` sets the duration of each test (5). `CAPSTAN_SEED` sets the first case (0).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use borsh::BorshDeserialize;
use capstan_abi::{
    CapData, Delivery, DeliveryResult, JsString, Message, Resolution, Syscall, SyscallData,
    SyscallResult,
};
use capstan_kernel_ports::{
    Computrons,
    host::{VatHost, WorkerOptions, WorkerSource},
};
use capstan_vat_host::{JsEngine, WasmHost};
use common::{
    generate::{Random, parts},
    *,
};

/// Calls `case` with one seed after another until the time is over.
fn for_some_time(mut case: impl FnMut(u64)) -> u64 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("CAPSTAN_SEED").unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(number("CAPSTAN_SECONDS").unwrap_or(5));
    let mut seed = first;
    while Instant::now() < until {
        // This is shown only if the test fails.
        println!("CAPSTAN_SEED={seed}");
        case(seed);
        seed += 1;
    }
    seed - first
}

/// Changes some bytes: flips, overwrites, removes, repeats, moves.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(6) {
        if bytes.is_empty() {
            bytes.push(random.number() as u8);
        }
        let n = bytes.len() as u64;
        let (at, to) = (random.below(n) as usize, random.below(n) as usize);
        let some = (random.below(16) as usize).min(bytes.len() - at);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
            2 => drop(bytes.drain(at..at + some)),
            3 => {
                let copy = bytes[at..at + some].to_vec();
                bytes.splice(to..to, copy);
            }
            4 => bytes.truncate(bytes.len() - some.min(bytes.len())),
            _ => bytes[at] = random.number() as u8,
        }
    }
}

#[test]
fn mutated_modules_are_refused_or_run() {
    let mut originals: Vec<Vec<u8>> = (0..20)
        .map(|seed| {
            let (items, body) = parts(seed);
            worker(&items, &body)
        })
        .collect();
    originals.push(worker("", ""));
    originals.push(wat::parse_str(TOY_ENGINE).unwrap());
    let mut host = host(BOTH[0]);
    let (mut passed, mut ran) = (0, 0);
    let cases = for_some_time(|seed| {
        let mut random = Random::from(seed);
        let mut module = originals[random.below(originals.len() as u64) as usize].clone();
        mutate(&mut random, &mut module);
        let valid = host.validate(&module).is_ok();
        let started = host.start(V1, &wasm(&module), &WorkerOptions::default()).unwrap().verdict;
        assert!(valid || started.is_err());
        passed += u64::from(valid);
        if started.is_ok() {
            let result =
                host.deliver(V1, &message("m"), Computrons(5_000), &mut Answers::default());
            ran += u64::from(result.unwrap().result == DeliveryResult::Ok);
        }
    });
    println!("{cases} modules, {passed} valid, {ran} came to rest");
    assert!(passed > 0 && ran > 0 && passed < cases);
}

#[test]
fn random_bytes_are_no_module() {
    let host = host(BOTH[0]);
    let cases = for_some_time(|seed| {
        let mut random = Random::from(seed);
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for _ in 0..random.below(200) {
            bytes.push(random.number() as u8);
        }
        assert!(host.validate(&bytes).is_err());
    });
    assert!(cases > 100);
}

/// Returns a worker that sends `request` as a syscall at each delivery, takes the answer, and reports `reply` as its
/// result. One that speaks JSON is an engine, which takes every bundle.
fn messenger(encoding: u8, request: &[u8], reply: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("\\{b:02x}")).collect::<String>();
    let (asked, answered) = (request.len(), reply.len());
    let (items, set_up) = match encoding {
        1 => ("", ""),
        _ => (
            r#"(global (export "__stack_pointer") (mut i32) (i32.const 65536))
  (data (i32.const 60000) "[\"dispatchReady\"]")
  (func (export "capstan_boot") (param i32 i32) (result i32) i32.const 0)"#,
            // The second letter of `["setBundle"` is not that of `["deliver"`.
            r#"(if (i32.eq (i32.load8_u (i32.add (local.get 0) (i32.const 2))) (i32.const 115))
      (then (call $done (i32.const 60000) (i32.const 17)) return))"#,
        ),
    };
    let text = format!(
        r#"(module
  (import "capstan" "syscall" (func $syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 4 4)
  (data (i32.const 65536) "{}") (data (i32.const 131072) "{}")
  {items}
  (func (export "capstan_abi") (result i32) i32.const {encoding})
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 0)
  (func (export "capstan_deliver") (param i32 i32)
    {set_up}
    (drop (call $syscall (i32.const 65536) (i32.const {asked})))
    (call $take_result (i32.const 196608))
    (call $done (i32.const 131072) (i32.const {answered}))))"#,
        hex(request),
        hex(reply),
    );
    wat::parse_str(&text).unwrap()
}

/// Starts a [`messenger`] as v1.
fn start_messenger(host: &mut WasmHost, encoding: u8, request: &[u8], reply: &[u8]) {
    let worker_wasm = messenger(encoding, request, reply);
    if encoding == 1 {
        return start(host, V1, &worker_wasm);
    }
    let engine = JsEngine { worker_wasm, boot_scripts: vec![] };
    let engine = host.add_engine(&engine, &|_| ()).unwrap();
    let bundle_id = format!("b1-{}", "0".repeat(128));
    let source = WorkerSource::JavaScript { engine, bundle_id, zip: vec![] };
    host.start(V1, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
}

fn syscalls() -> Vec<Syscall> {
    let data =
        || CapData { body: "#[\"m\",[\"$0\",\"+7\"]]".to_owned(), slots: vec!["o+1".to_owned()] };
    let text = || "p-60".to_owned();
    vec![
        Syscall::Send {
            target: text(),
            message: Message { methargs: data(), result: Some(text()) },
        },
        Syscall::CallNow { target: text(), method: text().into(), args: data() },
        Syscall::Subscribe { promise: text() },
        Syscall::Resolve {
            resolutions: vec![Resolution { promise: text(), rejected: true, data: data() }],
        },
        Syscall::Exit { is_failure: false, info: data() },
        Syscall::VatstoreGet { key: text().into() },
        Syscall::VatstoreGetNextKey { prior: "".into() },
        Syscall::VatstoreSet { key: text().into(), value: "ü".into() },
        Syscall::VatstoreDelete { key: text().into() },
        Syscall::DropImports { refs: vec![text(), text()] },
        Syscall::RetireExports { refs: vec![] },
    ]
}

#[test]
fn mutated_messages_are_read_or_reported() {
    let mut host = host(BOTH[0]);
    let (mut read, mut refused) = (0, 0);
    let cases = for_some_time(|seed| {
        if seed % 50 == 49 {
            // A host keeps all its engines.
            host = common::host(BOTH[0]);
        }
        let mut random = Random::from(seed);
        let syscall = syscalls().remove(random.below(syscalls().len() as u64) as usize);
        let is_json = random.below(2) == 1;
        let (mut request, mut reply) = match is_json {
            true => {
                let vso = capstan_abi::json::syscall_to_json(&syscall);
                let request = format!("[\"syscall\",{vso}]").into_bytes();
                (request, b"[\"error\",\"why not\",null]".to_vec())
            }
            false => (
                borsh::to_vec(&syscall).unwrap(),
                borsh::to_vec(&DeliveryResult::Error("why not".into())).unwrap(),
            ),
        };
        let intact = random.below(4) == 0;
        if !intact {
            mutate(&mut random, &mut request);
            mutate(&mut random, &mut reply);
        }
        start_messenger(&mut host, 1 + u8::from(is_json), &request, &reply);
        let mut answers = Answers::default();
        let delivered = host.deliver(V1, &message("m"), LIMIT, &mut answers).unwrap();
        if intact {
            assert_eq!(answers.syscalls, [syscall]);
            assert_eq!(delivered.result, DeliveryResult::Error("why not".into()));
        }
        read += answers.syscalls.len();
        refused += answers.malformed.len();
        assert!(answers.syscalls.len() + answers.malformed.len() <= 1);
    });
    println!("{cases} messages, {read} read, {refused} refused");
    assert!(read > 0 && refused > 0);
}

#[test]
fn texts_are_wtf_8_or_the_syscall_is_malformed() {
    for (encoding, key, expected) in [
        (1, &b"s\xed\xa0\x80"[..], Some(r#""s\ud800""#)),
        (1, b"\xed\xb8\x80\xed\xa0\xbd", Some(r#""\ude00\ud83d""#)),
        (1, b"\xf0\x9f\x98\x80", Some(r#""\ud83d\ude00""#)),
        // A pair in two halves, no UTF-8, and half a surrogate.
        (1, b"\xed\xa0\xbd\xed\xb8\x80", None),
        (1, b"\xff", None),
        (1, b"\xed\xa0", None),
        (2, b"s\\ud800", Some(r#""s\ud800""#)),
        (2, b"\\ud83d\\ude00", Some(r#""\ud83d\ude00""#)),
        (2, b"s\xed\xa0\x80", Some(r#""s\ud800""#)),
        (2, b"\\ud83d\xed\xb8\x80", None),
        (2, b"\xff", None),
        (2, b"\\ud8", None),
    ] {
        for compiler in BOTH {
            let request = match encoding {
                1 => [&[5, key.len() as u8, 0, 0, 0], key].concat(),
                _ => [&b"[\"syscall\",[\"vatstoreGet\",\""[..], key, b"\"]]"].concat(),
            };
            let reply: &[u8] = if encoding == 1 { b"\0" } else { b"[\"ok\"]" };
            let mut host = host(compiler);
            start_messenger(&mut host, encoding, &request, reply);
            let mut answers = Answers::default();
            let delivered = host.deliver(V1, &message("m"), LIMIT, &mut answers).unwrap();
            assert_eq!(delivered.result, DeliveryResult::Ok);
            let expected: Vec<Syscall> = expected
                .map(|json| Syscall::VatstoreGet { key: JsString::from_json(json).unwrap() })
                .into_iter()
                .collect();
            assert_eq!(answers.syscalls, expected, "{encoding} {key:x?}");
            assert_eq!(answers.malformed.len(), 1 - expected.len(), "{:?}", answers.malformed);
        }
    }
}

#[test]
fn a_body_is_utf_8_in_which_a_lone_surrogate_is_an_escape() {
    let exit = |body: &str| Syscall::Exit {
        is_failure: false,
        info: CapData { body: body.to_owned(), slots: vec![] },
    };
    let (raw, escaped) = (exit("#\"xyz\""), exit(r##"#"\ud800""##));
    let borsh = |syscall: &Syscall| borsh::to_vec(syscall).unwrap();
    let mut lone = borsh(&raw);
    let at = lone.windows(3).position(|part| part == b"xyz").unwrap();
    lone[at..at + 3].copy_from_slice(b"\xed\xa0\x80");
    let json = |body: &str| {
        let vso = format!(r#"["exit",false,{{"body":"{body}","slots":[]}}]"#);
        format!(r#"["syscall",{vso}]"#).into_bytes()
    };
    for (encoding, request, expected) in [
        (1, borsh(&escaped), Some(&escaped)),
        (1, lone, None),
        (2, json(r##"#\"\\ud800\""##), Some(&escaped)),
        (2, json(r##"#\"\ud800\""##), None),
    ] {
        let reply: &[u8] = if encoding == 1 { b"\0" } else { b"[\"ok\"]" };
        let mut host = host(BOTH[0]);
        start_messenger(&mut host, encoding, &request, reply);
        let mut answers = Answers::default();
        host.deliver(V1, &message("m"), LIMIT, &mut answers).unwrap();
        assert_eq!(answers.syscalls.iter().collect::<Vec<_>>(), Vec::from_iter(expected));
        assert_eq!(answers.malformed.len(), usize::from(expected.is_none()));
    }
}

/// Tests that output which a JSON worker prints is never taken for a syscall.
#[test]
fn what_is_printed_is_never_a_syscall() {
    let deep = ["[".repeat(10_000), "]".repeat(10_000)].concat();
    let wide = ",1e999".repeat(5_000);
    for printed in
        [r#""\ud800""#, r#"{"\udfff":["\ud800"]}"#, r#""\u0000""#, &deep, &format!("0{wide}")]
    {
        for command in ["[\"sourcedConsole\",\"vat\",\"log\",", "[\"testLog\",", "[\"unheardOf\","]
        {
            let request = format!("{command}{}]", printed);
            let mut host = host(BOTH[0]);
            start_messenger(&mut host, 2, request.as_bytes(), b"[\"ok\"]");
            let mut answers = Answers::default();
            let delivered = host.deliver(V1, &message("m"), LIMIT, &mut answers).unwrap();
            assert_eq!(delivered.result, DeliveryResult::Ok, "{request:.100}");
            assert!(answers.malformed.is_empty() && answers.syscalls.is_empty());
            assert!(host.is_running(V1));
        }
    }
}

/// Decodes mutated encodings of `values`. Each value that decodes must encode to the same bytes.
fn decode_mutated<T: BorshDeserialize + borsh::BorshSerialize>(random: &mut Random, value: &T) {
    let mut bytes = borsh::to_vec(value).unwrap();
    mutate(random, &mut bytes);
    if let Ok(value) = borsh::from_slice::<T>(&bytes) {
        assert_eq!(borsh::to_vec(&value).unwrap(), bytes);
    }
}

#[test]
fn every_decodable_encoding_is_the_only_one() {
    let deliveries = [
        message("m"),
        Delivery::StartVat { parameters: CapData { body: "#{}".to_owned(), slots: vec![] } },
        Delivery::Notify { resolutions: vec![] },
        Delivery::DropExports { refs: vec!["o+1".to_owned()] },
        Delivery::BringOutYourDead,
        Delivery::ChangeVatOptions { options_json: "{}".to_owned() },
    ];
    let results: [SyscallResult; 3] = [
        SyscallResult::Ok(SyscallData::Null),
        SyscallResult::Ok(SyscallData::Text("x".into())),
        SyscallResult::Error("no".to_owned()),
    ];
    for_some_time(|seed| {
        let mut random = Random::from(seed);
        deliveries.iter().for_each(|delivery| decode_mutated(&mut random, delivery));
        results.iter().for_each(|result| decode_mutated(&mut random, result));
        syscalls().iter().for_each(|syscall| decode_mutated(&mut random, syscall));
    });
}
