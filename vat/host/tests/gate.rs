//! Tests of the gate: each refusal has its reason, and nothing gets past it in other ways.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_kernel_ports::host::{Delivered, VatHost, WorkerOptions};
use capstan_vat_host::ModuleLimits;
use common::*;

/// Rest of a worker, to which a test adds the refused part.
const EXPORTS: &str = r#"
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 0)
  (func (export "capstan_deliver") (param i32 i32))"#;
const MEMORY: &str = r#"(memory (export "memory") 1 1)"#;

fn refusal(module: &[u8]) -> String {
    let host = host(BOTH[0]);
    let text = host.validate(module).expect_err("must be refused").0;
    // A module that is refused at install cannot be started either, for the same reason.
    let mut host = host;
    let started = host.start(V1, &wasm(module), &WorkerOptions::default()).unwrap().verdict;
    assert_eq!(started.unwrap_err().0, text);
    text
}

#[track_caller]
fn refuses(items: &str, reason: &str) {
    let text = format!("(module {items})");
    let module = wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let refusal = refusal(&module);
    assert!(refusal.contains(reason), "{refusal}");
}

/// Checks that `items` are refused in an otherwise good worker.
#[track_caller]
fn refuses_with(items: &str, reason: &str) {
    refuses(&format!("{items} {MEMORY} {EXPORTS}"), reason);
}

#[test]
fn a_worker_passes() {
    let host = host(BOTH[0]);
    assert_eq!(host.validate(&worker("", "")), Ok(()));
    let bulk_and_more = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))
        (drop (i32.extend8_s (i32.trunc_sat_f64_s (local.get $f))))";
    assert_eq!(host.validate(&worker("(global (mut i32) (i32.const 1))", bulk_and_more)), Ok(()));
}

#[test]
fn imports_other_than_the_abi_are_refused_by_name() {
    refuses_with(
        r#"(import "env" "now" (func (result i64)))"#,
        "forbidden import env.now; allowed are the functions capstan.syscall(i32, i32) -> i32, \
         capstan.take_result(i32), capstan.done(i32, i32), capstan.log(i32, i32, i32) and \
         capstan.fault(i32)",
    );
    refuses_with(
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
        "forbidden import wasi_snapshot_preview1.fd_write;",
    );
    refuses_with(r#"(import "capstan" "random" (func))"#, "forbidden import capstan.random;");
    refuses_with(
        r#"(import "capstan" "syscall" (func (param i64 i32) (result i32)))"#,
        "forbidden import capstan.syscall (with another type);",
    );
    refuses_with(
        r#"(import "capstan" "done" (global i32))"#,
        "forbidden import capstan.done (a global);",
    );
    refuses_with(r#"(import "env" "g" (global (mut i32)))"#, "forbidden import env.g (a global);");
    refuses_with(r#"(import "env" "t" (table 1 funcref))"#, "forbidden import env.t (a table);");
    refuses(
        &format!(r#"(import "env" "m" (memory 1)) {EXPORTS}"#),
        "forbidden import env.m (a memory);",
    );
}

#[test]
fn missing_exports_are_named() {
    refuses(MEMORY, "missing export capstan_abi() -> i32");
    refuses(EXPORTS, "missing export memory");
    refuses(&format!("(memory 1 1) {EXPORTS}"), "missing export memory");
    let without = |name: &str, other: &str| format!("{MEMORY} {}", EXPORTS.replace(name, other));
    refuses(&without("capstan_alloc", "other"), "missing export capstan_alloc(i32) -> i32");
    refuses(&without("capstan_deliver", "other"), "missing export capstan_deliver(i32, i32)");
    refuses(
        &without("(param i32 i32))", "(param i32 i64))"),
        "missing export capstan_deliver(i32, i32)",
    );
}

#[test]
fn memories_without_a_maximum_or_with_too_large_a_one_are_refused() {
    refuses(
        &format!(r#"(memory (export "memory") 1) {EXPORTS}"#),
        "the memory has no maximum; declare one of at most 4096 pages of 64 KiB",
    );
    refuses(
        &format!(r#"(memory (export "memory") 1 4097) {EXPORTS}"#),
        "the memory's maximum in pages is 4097, more than the 4096 allowed",
    );
    refuses(
        &format!(r#"(memory (export "memory") 5000 6000) {EXPORTS}"#),
        "the memory's initial size in pages is 5000, more than the 4096 allowed",
    );
    refuses_with("(memory 1 1)", "the number of memories is 2, more than the 1 allowed");
}

#[test]
fn what_would_change_state_outside_of_memory_and_globals_is_refused() {
    refuses_with("(func $f) (start $f)", "a start function is not allowed");
    let table = "(table $t 2 2 funcref) (elem $e func) (data $d \"x\")";
    for (operator, code) in [
        ("table.copy", "(table.copy (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("table.init", "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0))"),
        ("table.set", "(table.set $t (i32.const 0) (ref.null func))"),
        ("table.grow", "(drop (table.grow $t (ref.null func) (i32.const 1)))"),
        ("table.fill", "(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))"),
        ("elem.drop", "(elem.drop $e)"),
        ("data.drop", "(data.drop $d)"),
    ] {
        let function = format!("{table} (func {code})");
        // Operators that need reference types are refused for that where it comes first.
        let text =
            refusal(&wat::parse_str(format!("(module {function} {MEMORY} {EXPORTS})")).unwrap());
        let named = text.starts_with(&format!("function 0 uses {operator}, which is not allowed"));
        let typed = text.contains("reference types support is not enabled");
        assert!(named || typed, "{operator}: {text}");
    }
    refuses_with(
        &format!("{table} (table 1 funcref)"),
        "the number of tables is 2, more than the 1 allowed",
    );
}

#[test]
fn other_features_are_refused_by_name() {
    for (feature, items) in [
        ("SIMD", "(func (drop (v128.const i64x2 0 0)))"),
        ("SIMD", "(func (param v128))"),
        ("threads", r#"(func (drop (i32.atomic.load (i32.const 0))))"#),
        ("reference types", "(func (param externref))"),
        ("reference types", "(func (drop (ref.null func)))"),
        ("multi-value", "(func (result i32 i32) (i32.const 1) (i32.const 2))"),
        ("tail calls", "(func $f return_call $f)"),
        ("exceptions", "(tag (param i32))"),
        ("memory64", r#"(func (drop (i32.load (i64.const 0)))) (memory i64 1 1)"#),
        ("gc", "(type (struct))"),
        ("constant expression", "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        (
            "wide arithmetic",
            "(func (param i64) (drop (drop (i64.mul_wide_s (local.get 0) (local.get 0)))))",
        ),
    ] {
        let text = format!("(module {items} {MEMORY} {EXPORTS})");
        // Memory 64 comes with a second memory, so ours is left out.
        let text = if feature == "memory64" { text.replace(MEMORY, "") } else { text };
        let refusal = refusal(&wat::parse_str(&text).unwrap());
        println!("{feature}: {refusal}");
        assert!(refusal.starts_with("not an allowed wasm module: "), "{feature}: {refusal}");
        assert!(refusal.contains(feature), "{feature}: {refusal}");
        assert!(refusal.contains("allowed is WebAssembly 1.0 with bulk memory"), "{refusal}");
    }
}

#[test]
fn reserved_exports_are_refused() {
    refuses_with(
        r#"(global (export "capstan.depth") i32 (i32.const 0))"#,
        "forbidden export \"capstan.depth\"",
    );
}

#[test]
fn what_is_too_large_is_refused() {
    let limits = ModuleLimits::user();
    let many = |n: u32, item: &str| item.repeat(n as usize);
    refuses_with(
        &many(limits.globals + 1, "(global i32 (i32.const 0))"),
        "the number of globals is 1025",
    );
    refuses_with(&many(limits.functions + 1, "(func)"), "the number of functions is 16388");
    refuses_with(
        &format!("(table {} funcref)", limits.table_entries + 1),
        "the table's size is 16385",
    );
    refuses_with(
        &many(limits.data_segments + 1, "(data \"\")"),
        "the number of data segments is 4097",
    );
    refuses_with(
        &many(limits.element_segments + 1, "(elem func)"),
        "the number of element segments is 1025",
    );
    refuses_with(
        &format!("(func (local {}))", many(limits.locals + 1, "i32 ")),
        "a function's number of locals is 2049",
    );
    refuses_with(
        &format!(
            "(func {} {})",
            many(limits.operands + 1, "(i32.const 0)"),
            many(limits.operands + 1, "drop ")
        ),
        "a function's operand stack is 1025",
    );
    let depth = limits.nesting as usize;
    refuses_with(
        &format!("(func {} {})", "(block ".repeat(depth), ")".repeat(depth)),
        "the nesting of blocks is 1025",
    );
    refuses_with(
        &format!(
            "(func {})",
            "(drop (i64.const 0x7fffffffffffffff))".repeat(limits.body_bytes / 11)
        ),
        "a function's size in bytes is",
    );
    let calls = format!("(func {})", "(call $leaf)".repeat(100_000));
    refuses_with(
        &format!("(func $leaf) {}", calls.repeat(2)),
        "the number of operators, metering included, is 46",
    );
    let padding = "x".repeat(limits.module_bytes);
    refuses_with(&format!("(data \"{padding}\")"), "the module's size in bytes is");
}

#[test]
fn what_is_no_module_is_refused() {
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh", b"\0asm\x0d\0\x01\0", &[0xff; 100]] {
        let text = refusal(bytes);
        assert!(text.starts_with("not an allowed wasm module: "), "{text}");
    }
}

#[test]
fn segments_that_do_not_fit_are_refused_at_start() {
    for items in [
        "(data (i32.const 65536) \"x\")",
        "(data (i32.const -1) \"x\")",
        "(table 1 funcref) (func $f) (elem (i32.const 1) $f)",
    ] {
        for compiler in BOTH {
            let module = wat::parse_str(format!("(module {items} {MEMORY} {EXPORTS})")).unwrap();
            let mut host = host(compiler);
            assert_eq!(host.validate(&module), Ok(()));
            let started =
                host.start(V1, &wasm(&module), &WorkerOptions::default()).unwrap().verdict;
            assert_eq!(started.unwrap_err().0, "a data or element segment does not fit");
        }
    }
}

#[test]
fn an_unknown_abi_is_refused_at_start() {
    let mut host = host(BOTH[0]);
    for (number, expected) in [
        (7, "capstan_abi() is 7: a module's must be 1 (borsh)"),
        (
            2,
            "capstan_abi() is 2 (JSON), which only the JavaScript engine speaks: a module's must be 1 (borsh)",
        ),
    ] {
        let exports = EXPORTS.replace("i32.const 1)", &format!("i32.const {number})"));
        let text = wat::parse_str(format!("(module {MEMORY} {exports})")).unwrap();
        let started = host.start(V1, &wasm(&text), &WorkerOptions::default()).unwrap().verdict;
        assert_eq!(started.unwrap_err().0, expected);
        assert!(!host.is_running(V1));
    }
    start(&mut host, V1, &worker("", ""));
    assert!(host.is_running(V1));
}

#[test]
fn names_in_custom_sections_mean_nothing() {
    // The names of the module, a function and a local, each with a NUL, at the end of the module.
    let names = b"\0\x19\x04name\0\x03\x02a\0\x01\x05\x01\0\x02\0b\x02\x06\x01\0\x01\0\x01\0";
    let odd = [b"\0\x05\x04name".as_slice(), b"\0\x02\x01\xff", b"\0\x09\x04name\0\xff\xff\xff"];
    let plain = worker("", "");
    let (_, expected) = run(&plain);
    for section in [names.as_slice()].into_iter().chain(odd) {
        let mut module = plain.clone();
        module.extend_from_slice(section);
        let (validated, delivered) = run(&module);
        if validated {
            assert_eq!(delivered, expected, "{section:?}");
        }
    }
    assert!(run(&[plain.as_slice(), names].concat()).0);
}

/// Checks whether the module passes, and returns the result of its delivery.
fn run(module: &[u8]) -> (bool, Option<Delivered>) {
    let mut host = host(BOTH[0]);
    let validated = host.validate(module).is_ok();
    let started = host.start(V1, &wasm(module), &WorkerOptions::default()).unwrap().verdict.is_ok();
    assert_eq!(validated, started);
    (validated, started.then(|| deliver(&mut host, V1).unwrap()))
}
