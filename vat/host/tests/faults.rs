//! Tests of every way in which a vat can exhaust a resource or break. Both compilers give the same
//! text, the vat is gone, and the host is unharmed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::DeliveryResult;
use capstan_kernel_ports::{Computrons, VatId, host::VatHost};
use capstan_vat_host::cost;
use common::*;

/// Checks the outcome of a delivery to `module` under both compilers. After an error the worker
/// must be gone and the host still work.
fn ends_with(module: &[u8], expected: &str) {
    for compiler in BOTH {
        let mut host = host(compiler);
        start(&mut host, V1, module);
        let delivered = deliver(&mut host, V1).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Error(expected.into()), "{compiler:?}");
        assert_eq!(delivered.computrons, None);
        assert!(!host.is_running(V1));
        start(&mut host, VatId(2), &worker("", ""));
        assert_eq!(deliver(&mut host, VatId(2)).unwrap().result, DeliveryResult::Ok);
    }
}

#[test]
fn a_delivery_that_does_nothing_costs_the_same_under_both_compilers() {
    let spent = BOTH.map(|compiler| once(compiler, &worker("", "")));
    assert_eq!(spent[0], spent[1]);
    assert_eq!(spent[0].result, DeliveryResult::Ok);
    // One host call of one byte, a handful of operators.
    assert_eq!(spent[0].computrons, Some(Computrons(51)));
}

#[test]
fn an_endless_loop_exceeds_the_compute_meter() {
    ends_with(&worker("", "(loop $l (br $l))"), "Compute meter exceeded");
}

#[test]
fn endless_recursion_exceeds_the_stack_meter() {
    let recursive =
        "(func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))";
    ends_with(&worker(recursive, "(drop (call $f (i32.const 1)))"), "Stack meter exceeded");
}

#[test]
fn endless_indirect_recursion_exceeds_the_stack_meter() {
    let recursive = "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $f)
        (func $f (type $t) (call_indirect (type $t) (i32.const 0)))";
    ends_with(&worker(recursive, "(call $f)"), "Stack meter exceeded");
}

/// Functions that recurse without end, with frames of all shapes.
fn recursions() -> Vec<Vec<u8>> {
    let mut modules = Vec::new();
    for (params, locals, operands) in [
        (0, 0, 0),
        (1, 0, 1),
        (64, 0, 0),
        (0, 1_000, 0),
        (0, 2_000, 0),
        (4, 10, 900),
        (8, 500, 500),
    ] {
        let arguments: String = (0..params).map(|i| format!("(i64.const {i}) ")).collect();
        // Everything is live across the call: every local is read afterwards, and the operands wait
        // on the stack.
        let before: String = (0..locals)
            .map(|i| format!("(local.set {} (i64.load (i32.const {})))", params + i, i % 1_000))
            .collect();
        let waiting = "(i64.load (i32.const 8)) ".repeat(operands);
        let after = "i64.add ".repeat(operands);
        let read: String =
            (0..locals).map(|i| format!("(i64.add (local.get {}))", params + i)).collect();
        let function = format!(
            "(func $f (param {}) (result i64) (local {}) {before} {waiting} (call $f {arguments}) \
             {after} {read})",
            "i64 ".repeat(params),
            "i64 ".repeat(locals),
        );
        let read_stack =
            read.replace("(i64.add (local.get", "(local.get").replace("))", ") i64.add ");
        let function = function.replace(&read, &read_stack);
        modules.push(worker(&function, &format!("(drop (call $f {arguments}))")));
    }
    modules
}

#[test]
fn the_stack_counter_trips_long_before_the_native_stack_is_full() {
    for compiler in BOTH {
        // It runs on a thread of its own, and so on a native stack of its own.
        let run = move || {
            for module in recursions() {
                let delivered = once(compiler, &module);
                assert_eq!(delivered.result, DeliveryResult::Error("Stack meter exceeded".into()));
            }
            native_stack_high_water()
        };
        let used = std::thread::spawn(run).join().unwrap();
        println!("{compiler:?}: {used} bytes of native stack");
        assert!(used > 0 && used * 4 <= cost::NATIVE_STACK_BYTES, "{compiler:?} used {used}");
    }
}

#[test]
fn an_engine_whose_own_stack_is_spent_exceeds_the_stack_meter() {
    let error = |text: &str| DeliveryResult::Error(text.into());
    for compiler in BOTH {
        // Below zero, addresses wrap to where no memory is.
        let below = "(global.set $sp (i32.const -32)) (i32.store (global.get $sp) (i32.const 1))";
        let delivered = on_engine(compiler, engine(below)).unwrap();
        assert_eq!(delivered.result, error("Stack meter exceeded"));
        // The same trap is another matter if the stack is not spent.
        let elsewhere = "(i32.store (i32.const -32) (i32.const 1))";
        let delivered = on_engine(compiler, engine(elsewhere)).unwrap();
        assert_eq!(delivered.result, error("wasm trap: memory access out of bounds"));
    }
}

#[test]
fn growing_memory_beyond_its_maximum_exceeds_the_allocate_meter() {
    ends_with(
        &worker("", "(loop $l (drop (memory.grow (i32.const 1))) (br $l))"),
        "Allocate meter exceeded",
    );
    ends_with(&worker("", "(drop (memory.grow (i32.const -1)))"), "Allocate meter exceeded");
    ends_with(&worker("", "(drop (memory.grow (i32.const 8)))"), "Allocate meter exceeded");
}

#[test]
fn growing_memory_up_to_its_maximum_is_allowed() {
    for compiler in BOTH {
        let grow = worker(
            "",
            "(drop (memory.grow (i32.const 7))) (i32.store (i32.const 524284) (i32.const 1))",
        );
        assert_eq!(once(compiler, &grow).result, DeliveryResult::Ok);
    }
}

#[test]
fn a_giant_fill_is_charged_before_it_is_done() {
    // This is out of bounds and does nothing, but asking for 4 GiB again and again must end soon.
    let fill = "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))";
    ends_with(&worker("", fill), "Compute meter exceeded");
    let giant = "(memory.fill (i32.const 0) (i32.const 1) (i32.const -1))";
    ends_with(&worker("", giant), "Compute meter exceeded");
}

#[test]
fn bulk_operations_are_charged_by_length() {
    let cost =
        |body: &str| once(BOTH[0], &worker("(data $d \"0123456789\")", body)).computrons.unwrap().0;
    let empty = cost("");
    // 64 KiB at 2 bytes a point are 327.68 computrons. Each operation costs 200 points besides, and one or two accesses.
    assert_eq!(cost("(memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))") - empty, 331);
    assert_eq!(cost("(memory.copy (i32.const 0) (i32.const 0) (i32.const 65536))") - empty, 331);
    assert_eq!(cost("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))") - empty, 3);
    assert_eq!(cost("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))") - empty, 18);
    assert_eq!(cost("(drop (memory.grow (i32.const 0)))") - empty, 3);
    assert_eq!(cost("(drop (memory.grow (i32.const 2)))") - empty, 4_603);
}

#[test]
fn the_worker_can_report_a_fault_itself() {
    ends_with(&worker("", "(call $fault (i32.const 0))"), "Compute meter exceeded");
    ends_with(&worker("", "(call $fault (i32.const 1))"), "Allocate meter exceeded");
    ends_with(&worker("", "(call $fault (i32.const 2))"), "Stack meter exceeded");
    ends_with(
        &worker("", "(call $fault (i32.const 9))"),
        "the worker faulted with the unknown kind 9",
    );
}

#[test]
fn traps_have_texts_that_no_compiler_decides() {
    ends_with(&worker("", "unreachable"), "wasm trap: unreachable code reached");
    ends_with(
        &worker("", "(drop (i32.load (i32.const 65533)))"),
        "wasm trap: memory access out of bounds",
    );
    ends_with(
        &worker("", "(drop (i32.load offset=0xffffffff (i32.const -1)))"),
        "wasm trap: memory access out of bounds",
    );
    ends_with(
        &worker("", "(memory.copy (i32.const 65535) (i32.const 0) (i32.const 2))"),
        "wasm trap: memory access out of bounds",
    );
    let arithmetic = "wasm trap: integer operation without a result";
    ends_with(&worker("", "(drop (i32.div_s (i32.const 1) (i32.const 0)))"), arithmetic);
    ends_with(&worker("", "(drop (i64.rem_u (i64.const 1) (i64.const 0)))"), arithmetic);
    ends_with(&worker("", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))"), arithmetic);
    ends_with(&worker("", "(drop (i32.trunc_f64_s (f64.const nan)))"), arithmetic);
    ends_with(&worker("", "(drop (i64.trunc_f64_u (f64.const 1e300)))"), arithmetic);
    let indirect = "wasm trap: indirect call without a matching function";
    let table = "(type $t (func)) (type $u (func (result i32))) (table 3 funcref)
        (func $f (type $u) (i32.const 1)) (elem (i32.const 0) $f)";
    for index in [0, 1, 7] {
        let call = format!("(call_indirect (type $t) (i32.const {index}))");
        ends_with(&worker(table, &call), indirect);
    }
}

#[test]
fn a_delivery_ends_with_exactly_one_result() {
    ends_with(
        &worker("", "(call $done (i32.const 1016) (i32.const 1))"),
        "the worker reported two results",
    );
    ends_with(&worker("", "return"), "the delivery ended without a result");
    ends_with(
        &worker("", "(call $done (i32.const 1016) (i32.const 0)) return"),
        "the worker's result could not be read: Unexpected length of input",
    );
    ends_with(
        &worker("", "(call $done (i32.const 1016) (i32.const 2)) return"),
        "the worker's result could not be read: Not all bytes read",
    );
}

#[test]
fn pointers_outside_of_memory_end_the_vat() {
    let outside = "the worker passed an address outside its memory";
    ends_with(&worker("", "(call $done (i32.const -1) (i32.const 2))"), outside);
    ends_with(&worker("", "(drop (call $syscall (i32.const 0) (i32.const -1)))"), outside);
    ends_with(&worker("", "(call $log (i32.const 0) (i32.const 65536) (i32.const 1))"), outside);
    ends_with(
        &worker(
            "",
            "(drop (call $syscall (i32.const 0) (i32.const 0))) (call $take_result (i32.const -1))",
        ),
        "take_result: the address is outside the memory",
    );
}

#[test]
fn a_worker_can_report_an_error_and_live_on() {
    for compiler in BOTH {
        // DeliveryResult::Error("no")
        let data = "(data (i32.const 0) \"\\01\\02\\00\\00\\00no\")";
        let mut host = host(compiler);
        start(&mut host, V1, &worker(data, "(call $done (i32.const 0) (i32.const 7)) return"));
        let delivered = deliver(&mut host, V1).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Error("no".into()));
        assert!(delivered.computrons.is_some());
        assert!(host.is_running(V1));
    }
}

#[test]
fn a_syscall_that_the_node_cannot_answer_unwinds_the_worker_as_a_host_fault() {
    for compiler in BOTH {
        let mut host = host(compiler);
        // Syscall::VatstoreGet { key: "" }. The code after it must not run.
        let get = worker(
            "(data (i32.const 0) \"\\05\\00\\00\\00\\00\")",
            "(drop (call $syscall (i32.const 0) (i32.const 5)))
             (drop (call $syscall (i32.const 0) (i32.const 5)))",
        );
        start(&mut host, V1, &get);
        let mut answers = Answers { fail: true, ..Answers::default() };
        let result = host.deliver(V1, &message("m"), LIMIT, &mut answers);
        assert!(result.is_err(), "{result:?}");
        assert_eq!(answers.syscalls.len(), 1);
        assert!(!host.is_running(V1));
    }
}

#[test]
fn no_worker_is_a_host_fault() {
    let mut host = host(BOTH[0]);
    let error = deliver(&mut host, V1).unwrap_err();
    assert_eq!(error.text(), "there is no worker for v1: start it first");
}
