//! Benchmarks of a delivery, a worker and a module on this machine.
//!
//! `cargo bench -p capstan-vat-host --bench delivery [-- --json]`. CPU times are of this thread,
//! and compile times are wall times of all threads.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use capstan_abi::{CapData, Delivery, Message, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{HeapImage, HeapPage, Syscalls, VatHost, WorkerOptions, WorkerSource},
};
use capstan_vat_host::{Compiler, Compilers, HostOptions, JsEngine, WasmHost};

const LIMIT: Computrons = Computrons(100_000_000);
const BOTH: [Compiler; 2] = [Compiler::Singlepass, Compiler::Cranelift];

/// A worker that reports success and does nothing else, or one syscall before.
fn worker(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
  (import "capstan" "syscall" (func $syscall (param i32 i32) (result i32)))
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 1 16)
  (data (i32.const 0) "\05\00\00\00\00")
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 1024)
  (func $fib (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "capstan_deliver") (param i32 i32) {body}
    (call $done (i32.const 1016) (i32.const 1))))"#
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Answers every syscall with null.
struct Null;

impl Syscalls for Null {
    fn syscall(&mut self, _: Syscall) -> Option<SyscallResult> {
        Some(SyscallResult::Ok(SyscallData::Null))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        Some(SyscallResult::Error(problem.to_owned()))
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut rows = Vec::new();
    for compiler in BOTH {
        bench_modules(compiler, &mut rows);
        bench_engine(compiler, &mut rows);
    }
    if json {
        let object = |(name, value, unit): &(String, f64, &str)| serde_json::json!({"name": name, "value": value, "unit": unit});
        println!("{}", serde_json::Value::Array(rows.iter().map(object).collect()));
        return;
    }
    for (name, value, unit) in &rows {
        println!("{name:60} {value:>14.3} {unit}");
    }
}

type Rows = Vec<(String, f64, &'static str)>;

fn engine() -> JsEngine {
    let scripts = capstan_vat_js::boot_scripts();
    JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: scripts.map(|(name, source)| (name.to_owned(), source.to_vec())).to_vec(),
    }
}

fn open(compiler: Compiler, cache_dir: Option<&std::path::Path>) -> WasmHost {
    let options = HostOptions {
        cache_dir: cache_dir.map(Into::into),
        compilers: Compilers { engine: compiler, modules: compiler },
        ..HostOptions::default()
    };
    WasmHost::open(engine(), options, &|_| ()).unwrap_or_else(|error| panic!("{error}"))
}

/// Deliveries to modules in wasm, and the making of their workers.
fn bench_modules(compiler: Compiler, rows: &mut Rows) {
    let name = compiler.name();
    let dir = std::env::temp_dir().join(format!("capstan-bench-{}", std::process::id()));
    let mut host = open(compiler, Some(&dir));
    for (what, body) in [
        ("trivial delivery", ""),
        ("delivery with one syscall", "(drop (call $syscall (i32.const 0) (i32.const 5)))"),
        ("delivery with fib(20)", "(drop (call $fib (i32.const 20)))"),
    ] {
        let module = worker(body);
        start(&mut host, VatId(1), &module);
        let (wall, cpu) = repeat(Duration::from_secs(1), |_| deliver(&mut host, VatId(1)));
        rows.push((format!("{name}: {what}"), 1e-3 / wall, "thousand a second"));
        rows.push((format!("{name}: {what}, CPU"), cpu * 1e6, "µs"));
    }
    let module = worker("");
    let (wall, _) = repeat(Duration::from_secs(1), |i| start(&mut host, VatId(i % 64), &module));
    rows.push((format!("{name}: start a worker of a known module"), wall * 1e6, "µs"));
    let (image, pages) = keep(&mut host, VatId(1));
    let source = WorkerSource::Wasm { module };
    let (wall, _) = repeat(Duration::from_secs(1), |i| {
        let mut page = |hash: &Hash| Ok(pages[hash].clone());
        let restored =
            host.restore(VatId(i % 64), &source, &WorkerOptions::default(), &image, &mut page);
        restored.unwrap_or_else(|error| panic!("{error}"));
    });
    rows.push((format!("{name}: restore a worker of 64 KiB"), wall * 1e6, "µs"));
    drop(std::fs::remove_dir_all(&dir));
}

/// The JavaScript engine: compiling, booting, loading, new vats.
fn bench_engine(compiler: Compiler, rows: &mut Rows) {
    let name = compiler.name();
    let dir = std::env::temp_dir().join(format!("capstan-bench-{}", std::process::id()));
    let began = Instant::now();
    drop(open(compiler, Some(&dir)));
    rows.push((
        format!("{name}: compile and boot the engine"),
        began.elapsed().as_secs_f64() * 1e3,
        "ms",
    ));
    let (wall, _) = repeat(Duration::from_secs(1), |_| drop(open(compiler, Some(&dir))));
    rows.push((format!("{name}: open with a full cache"), wall * 1e3, "ms"));
    let mut host = open(compiler, Some(&dir));
    let zip = vec![0; 1000];
    let bundle_id = format!("b1-{}", "0".repeat(128));
    let source = WorkerSource::JavaScript { engine: host.engine(), bundle_id, zip };
    let options = WorkerOptions::default();
    let mut begin = |i: u64| {
        let started = host.start(VatId(i % 64), &source, &options);
        let started = started.unwrap_or_else(|error| panic!("{error}"));
        started.verdict.unwrap_or_else(|error| panic!("{error}"));
    };
    let (wall, _) = repeat(Duration::from_secs(1), &mut begin);
    rows.push((
        format!("{name}: start a JavaScript worker with a bundle of 1 kB"),
        wall * 1e3,
        "ms",
    ));
    let (wall, _) = repeat(Duration::from_secs(1), |_| {
        let _ = host.heap(VatId(1));
    });
    rows.push((format!("{name}: hash the heap of a JavaScript worker"), wall * 1e3, "ms"));
    let (image, pages) = keep(&mut host, VatId(1));
    let (wall, _) = repeat(Duration::from_secs(1), |i| {
        let mut page = |hash: &Hash| Ok(pages[hash].clone());
        let restored =
            host.restore(VatId(i % 64), &source, &WorkerOptions::default(), &image, &mut page);
        restored.unwrap_or_else(|error| panic!("{error}"));
    });
    rows.push((format!("{name}: restore a JavaScript worker"), wall * 1e3, "ms"));
    drop(std::fs::remove_dir_all(&dir));
}

fn start(host: &mut WasmHost, vat: VatId, module: &[u8]) {
    let source = WorkerSource::Wasm { module: module.to_vec() };
    let started = host.start(vat, &source, &WorkerOptions::default());
    let started = started.unwrap_or_else(|error| panic!("{error}"));
    started.verdict.unwrap_or_else(|error| panic!("{error}"));
}

/// A worker's heap and its pages.
fn keep(host: &mut WasmHost, vat: VatId) -> (HeapImage, BTreeMap<Hash, Vec<u8>>) {
    let image = host.heap_image(vat).ok().flatten().unwrap_or_else(|| panic!("{vat} was started"));
    let page = |page: &HeapPage| {
        let bytes = host.heap_page(vat, page.number);
        (page.hash, bytes.unwrap_or_else(|| panic!("{vat} was started")))
    };
    let pages = image.pages.iter().map(page).collect();
    (image, pages)
}

fn deliver(host: &mut WasmHost, vat: VatId) {
    let methargs = CapData { body: "#[\"increment\",[]]".to_owned(), slots: vec![] };
    let message = Message { methargs, result: Some("p-60".to_owned()) };
    let delivery = Delivery::Message { target: "o+0".to_owned(), message };
    let delivered = host.deliver(vat, &delivery, LIMIT, &mut Null);
    assert!(delivered.is_ok_and(|delivered| delivered.computrons.is_some()));
}

/// Calls `work` for about as long as said; wall and CPU seconds a call.
fn repeat(time: Duration, mut work: impl FnMut(u64)) -> (f64, f64) {
    work(0);
    let (began, cpu) = (Instant::now(), thread_seconds());
    let mut calls = 0;
    while began.elapsed() < time {
        work(calls);
        calls += 1;
    }
    let calls = calls as f64;
    (began.elapsed().as_secs_f64() / calls, (thread_seconds() - cpu) / calls)
}

fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the struct given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
