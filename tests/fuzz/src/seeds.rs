//! Sound inputs, from which the fuzzer finds its way to unsound ones.

use std::sync::LazyLock;

use capstan_abi::{CapData, Delivery, DeliveryResult, Message, Resolution, Syscall};
use capstan_client::{Amount, Key, SignerData, TxBuilder, proto};

/// The names of the targets.
pub const TARGETS: [&str; 4] = ["tx", "capdata", "abi", "wasm"];

/// The inputs that a target starts from; none for an unknown one.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "tx" => transactions(),
        "capdata" => BODIES.iter().map(|body| [b"\x02", body.as_bytes()].concat()).collect(),
        "abi" => messages(),
        "wasm" => vec![ENGINE.clone(), module(""), module(LOOP), module(SYSCALL)],
        _ => Vec::new(),
    }
}

fn transactions() -> Vec<Vec<u8>> {
    let alice = Key::dev(0);
    let sender = alice.address().to_string();
    let args = CapData { body: "#[\"$0\",\"+7\"]".into(), slots: vec!["ro+1".into()] };
    let send = proto::MsgSend {
        sender: sender.clone(),
        target: "factory".into(),
        method: "createVat".into(),
        args: Some(proto::CapData { body: args.body, slots: args.slots }),
    };
    let drop = proto::MsgDrop { sender: sender.clone(), refs: vec!["ro-50".into()] };
    let ack = proto::MsgAck { sender: sender.clone(), through: 7 };
    let (subcluster_id, channel) = ("s1".to_owned(), "console".to_owned());
    let write = proto::MsgWriteChannel {
        sender: sender.clone(),
        subcluster_id: subcluster_id.clone(),
        channel: channel.clone(),
        lines: vec!["one".into(), String::new()],
        close: true,
    };
    let read = proto::MsgAckChannel { sender, subcluster_id, channel, through: 7 };
    let builders = [
        TxBuilder::new().message(&send),
        TxBuilder::new().message(&drop).memo("two").message(&ack),
        TxBuilder::new().message(&send).timeout_height(9),
        TxBuilder::new().message(&write).message(&read),
    ];
    let signer = SignerData { chain_id: "fuzz".into(), account_number: 1, sequence: 2 };
    let sign = |tx: TxBuilder| tx.gas_limit(100_000).fee(Amount(1500)).sign(&alice, &signer).ok();
    builders.into_iter().filter_map(sign).map(|tx| tx.bytes().to_vec()).collect()
}

const BODIES: [&str; 9] = [
    r##"#["method",["$0.Alleged: thing","+7","-8","#undefined","%name","!bang"]]"##,
    r##"#{"#error":"no","name":"TypeError"}"##,
    r##"#{"#tag":"match:any","payload":{"a":[1,2.5e3,-0,null,true]}}"##,
    r##"#"&1""##,
    r##"{"body":"#\"x\"","slots":["o+1"]}"##,
    r#"[1,{"a":"$not a slot"},"\u00e9\ud83d\ude00"]"#,
    r#"{"@qclass":"slot","index":0}"#,
    "[[[[[[[[[[]]]]]]]]]]",
    r##"#["\ud800",[{"\udfff":"!\ud800"}]]"##,
];

fn messages() -> Vec<Vec<u8>> {
    let data = || CapData { body: "#[\"m\",[\"$0\"]]".into(), slots: vec!["o+1".into()] };
    let promise = || "p-60".to_owned();
    let message = || Message { methargs: data(), result: Some(promise()) };
    let resolution = || Resolution { promise: promise(), rejected: true, data: data() };
    let syscalls = [
        Syscall::Send { target: "o-50".into(), message: message() },
        Syscall::Resolve { resolutions: vec![resolution()] },
        Syscall::VatstoreSet { key: "k".into(), value: "ü".into() },
        Syscall::VatstoreGetNextKey { prior: "".into() },
        Syscall::Exit { is_failure: false, info: data() },
        Syscall::VatstoreGet { key: "s".into() },
        Syscall::DropImports { refs: vec![promise(), promise()] },
    ];
    let deliveries = [
        Delivery::Message { target: "o+0".into(), message: message() },
        Delivery::Notify { resolutions: vec![resolution()] },
        Delivery::BringOutYourDead,
    ];
    let text = |syscall| capstan_abi::json::syscall_to_json(syscall).to_string().into_bytes();
    let mut seeds: Vec<Vec<u8>> = syscalls.iter().map(text).collect();
    seeds.extend(syscalls.iter().filter_map(|syscall| borsh::to_vec(syscall).ok()));
    seeds.extend(deliveries.iter().filter_map(|delivery| borsh::to_vec(delivery).ok()));
    seeds.extend(borsh::to_vec(&DeliveryResult::Error("why not".into())));
    seeds.push(b"[\"vatstoreSet\",\"s\\ud800\",\"\\ud83d\\ude00\"]".to_vec());
    seeds.extend(borsh::to_vec(&b"a\xed\xa0\x80"[..]));
    seeds
}

/// The engine that runs no JavaScript, `tests/vats/engine.wat`.
pub static ENGINE: LazyLock<Vec<u8>> =
    LazyLock::new(|| assemble(include_str!("../../vats/engine.wat")));

const LOOP: &str =
    "(loop $l (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1))) (br $l))";
const SYSCALL: &str =
    "(drop (call $syscall (i32.const 900) (i32.const 5))) (call $take_result (i32.const 0))";

/// A worker whose delivery runs `body`.
fn module(body: &str) -> Vec<u8> {
    assemble(&format!(
        r#"(module
  (import "capstan" "syscall" (func $syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 1 8)
  (table 2 2 funcref)
  (elem (i32.const 0) $one)
  (global $g (mut i32) (i32.const 7))
  (data (i32.const 900) "\02\01\00\00\00")
  (func $one (param i32) (result i32) (i32.mul (local.get 0) (global.get $g)))
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 1024)
  (func (export "capstan_deliver") (param i32 i32)
    (drop (call_indirect (param i32) (result i32) (i32.const 3) (i32.const 0)))
    {body}
    (call $done (i32.const 1016) (i32.const 1))))"#
    ))
}

fn assemble(text: &str) -> Vec<u8> {
    match wat::parse_str(text) {
        Ok(bytes) => bytes,
        Err(error) => panic!("a seed is no module: {error}"),
    }
}
