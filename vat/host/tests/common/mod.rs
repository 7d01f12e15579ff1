//! Code that the tests share: hosts, small workers in WAT, and objects that answer syscalls.
#![allow(dead_code)] // Each test binary uses a part of this.

pub(crate) mod generate;
pub(crate) mod javascript;

use std::collections::BTreeMap;

use capstan_abi::{CapData, Delivery, Message, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HeapImage, HeapPage, HostFault, Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
};
use capstan_vat_host::{Compiler, Compilers, HostOptions, JsEngine, MemoryMode, WasmHost};

pub(crate) const V1: VatId = VatId(1);
pub(crate) const LIMIT: Computrons = Computrons(1_000_000);

/// A heap as a store keeps it.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) image: HeapImage,
    pub(crate) pages: BTreeMap<Hash, Vec<u8>>,
}

impl Kept {
    /// The heap of the worker of `vat`.
    pub(crate) fn of(host: &mut WasmHost, vat: VatId) -> Self {
        let image = host.heap_image(vat).unwrap().expect("the worker runs");
        let page = |page: &HeapPage| (page.hash, host.heap_page(vat, page.number).unwrap());
        let pages = image.pages.iter().map(page).collect();
        Self { image, pages }
    }

    /// Starts a worker with this heap.
    pub(crate) fn restore(
        &self,
        host: &mut WasmHost,
        vat: VatId,
        source: &WorkerSource,
    ) -> Result<(), HostFault> {
        self.restore_with(host, vat, source, &WorkerOptions::default())
    }

    /// The same for a worker that was started with these options.
    pub(crate) fn restore_with(
        &self,
        host: &mut WasmHost,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<(), HostFault> {
        let mut page = |hash: &Hash| Ok(self.pages[hash].clone());
        host.restore(vat, source, options, &self.image, &mut page)
    }
}

/// Engine in a few lines: takes every bundle and answers every delivery with `["ok",null]`. Its
/// memory holds a counter of its commands at 64.
pub(crate) const TOY_ENGINE: &str = r#"
(module
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 2 4)
  (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
  (data (i32.const 0) "[\"dispatchReady\"]")
  (data (i32.const 32) "[\"ok\",null]")
  (func (export "capstan_abi") (result i32) i32.const 2)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 4096)
  (func (export "capstan_boot") (param i32 i32) (result i32)
    (i32.store (i32.const 68) (i32.add (i32.load (i32.const 68)) (local.get 1)))
    i32.const 0)
  (func (export "capstan_deliver") (param i32 i32)
    (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (i32.const 1)))
    (if (i32.eq (i32.load8_u (i32.add (local.get 0) (i32.const 2))) (i32.const 115))
      (then (call $done (i32.const 0) (i32.const 17)))
      (else (call $done (i32.const 32) (i32.const 11))))))
"#;

/// Returns a borsh worker whose delivery runs `body` and then reports success.
///
/// `$len` is the delivery's length, `$i` and `$j` are free i32 locals, `$x` an i64, `$f` an f64.
/// Bytes 0 to 1023 of the memory are zero, and the delivery lies at 1024.
pub(crate) fn worker(items: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
  (import "capstan" "syscall" (func $syscall (param i32 i32) (result i32)))
  (import "capstan" "take_result" (func $take_result (param i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (import "capstan" "log" (func $log (param i32 i32 i32)))
  (import "capstan" "fault" (func $fault (param i32)))
  (memory (export "memory") 1 8)
  {items}
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 1024)
  (func (export "capstan_deliver") (param $ptr i32) (param $len i32)
    (local $i i32) (local $j i32) (local $x i64) (local $f f64)
    {body}
    (call $done (i32.const 1016) (i32.const 1))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

pub(crate) fn toy_engine() -> JsEngine {
    JsEngine {
        worker_wasm: wat::parse_str(TOY_ENGINE).unwrap(),
        boot_scripts: vec![("toy".to_owned(), b"boot".to_vec())],
    }
}

/// Returns a host that uses one compiler for everything and keeps nothing.
pub(crate) fn host(compiler: Compiler) -> WasmHost {
    host_in(compiler, MemoryMode::default())
}

/// Returns such a host with this mode of memory.
pub(crate) fn host_in(compiler: Compiler, memory: MemoryMode) -> WasmHost {
    let compilers = Compilers { engine: compiler, modules: compiler };
    open(HostOptions { compilers, memory, ..HostOptions::default() })
}

pub(crate) const MEMORY_MODES: [MemoryMode; 2] = [MemoryMode::CopyOnWrite, MemoryMode::Copies];

pub(crate) fn open(options: HostOptions) -> WasmHost {
    WasmHost::open(toy_engine(), options, &|_| ()).unwrap()
}

pub(crate) const BOTH: [Compiler; 2] = [Compiler::Singlepass, Compiler::Cranelift];

pub(crate) fn wasm(module: &[u8]) -> WorkerSource {
    WorkerSource::Wasm { module: module.to_vec() }
}

pub(crate) fn start(host: &mut WasmHost, vat: VatId, module: &[u8]) {
    host.start(vat, &wasm(module), &WorkerOptions::default()).unwrap().verdict.unwrap();
}

/// Starts `module` as v1 of a new host and makes one delivery.
pub(crate) fn once(compiler: Compiler, module: &[u8]) -> Delivered {
    let mut host = host(compiler);
    start(&mut host, V1, module);
    deliver(&mut host, V1).unwrap()
}

pub(crate) fn deliver(host: &mut WasmHost, vat: VatId) -> Result<Delivered, HostFault> {
    host.deliver(vat, &message("poke"), LIMIT, &mut Answers::default())
}

pub(crate) fn message(method: &str) -> Delivery {
    Delivery::Message {
        target: "o+0".to_owned(),
        message: Message {
            methargs: CapData { body: format!("#[\"{method}\",[]]"), slots: vec![] },
            result: Some("p-60".to_owned()),
        },
    }
}

/// Answers every syscall with null, or with nothing at all, and remembers them.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) syscalls: Vec<Syscall>,
    pub(crate) malformed: Vec<String>,
    pub(crate) fail: bool,
}

impl Syscalls for Answers {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let answer = match &syscall {
            Syscall::VatstoreGet { key } => SyscallData::Text(format!("value of {key}").into()),
            _ => SyscallData::Null,
        };
        self.syscalls.push(syscall);
        (!self.fail).then_some(SyscallResult::Ok(answer))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.malformed.push(problem.to_owned());
        Some(SyscallResult::Error("malformed".to_owned()))
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

/// Returns the largest use of any native stack of this process so far. It counts the resident pages
/// of mappings that have the size of one.
pub(crate) fn native_stack_high_water() -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let kilobytes = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap();
    let (mut size, mut most) = (0, 0);
    for line in maps.lines() {
        if line.starts_with("Size:") {
            size = kilobytes(line) * 1024;
        } else if line.starts_with("Rss:")
            && size.abs_diff(capstan_vat_host::cost::NATIVE_STACK_BYTES) <= 1 << 16
        {
            most = most.max(kilobytes(line) * 1024);
        }
    }
    most
}

/// Returns a JavaScript engine whose deliveries run `body`. Its stack pointer is `$sp`.
pub(crate) fn engine(body: &str) -> JsEngine {
    let text = format!(
        r#"(module
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 2 4)
  (global $sp (mut i32) (i32.const 65536))
  (data (i32.const 0) "[\"dispatchReady\"]")
  (func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "capstan_abi") (result i32) i32.const 2)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 4096)
  (func (export "capstan_boot") (param i32 i32) (result i32) i32.const 0)
  (func (export "capstan_deliver") (param i32 i32)
    (if (i32.eq (i32.load8_u (i32.add (local.get 0) (i32.const 2))) (i32.const 100))
      (then {body}))
    (call $done (i32.const 0) (i32.const 17))))"#
    );
    JsEngine { worker_wasm: wat::parse_str(text).unwrap(), boot_scripts: vec![] }
}

/// Makes one delivery to a vat on `engine`.
pub(crate) fn on_engine(compiler: Compiler, engine: JsEngine) -> Result<Delivered, HostFault> {
    let compilers = Compilers { engine: compiler, modules: compiler };
    let options = HostOptions { compilers, ..HostOptions::default() };
    let mut host = WasmHost::open(engine, options, &|_| ()).unwrap();
    let source = WorkerSource::JavaScript {
        engine: host.engine(),
        bundle_id: format!("b1-{}", "0".repeat(128)),
        zip: vec![],
    };
    host.start(V1, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
    let result = host.deliver(V1, &message("m"), Computrons(100_000_000), &mut Answers::default());
    assert!(!host.is_running(V1));
    result
}
