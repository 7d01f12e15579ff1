//! Tests of the prices of hostile work as counts. Times are the business of `capstan-bench cost`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::Delivery;
use capstan_kernel_ports::{
    Computrons,
    host::{VatHost, WorkerSource},
};
use capstan_vat_host::{HostOptions, cost};
use common::*;

/// Returns the computrons of a delivery to `module`, which are the same under both compilers.
fn spent(module: &[u8]) -> u64 {
    let [one, other] = BOTH.map(|compiler| once(compiler, module).computrons.unwrap().0);
    assert_eq!(one, other);
    one
}

/// Returns what `body` costs in a worker with a memory of at most `pages`, in points, to the next computron.
fn points_in(pages: u32, body: &str) -> u64 {
    let module = |body: &str| {
        let text = format!(
            r#"(module (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 1 {pages})
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 1024)
  (func (export "capstan_deliver") (param i32 i32) {body} (call $done (i32.const 1016) (i32.const 1))))"#
        );
        wat::parse_str(text).unwrap()
    };
    100 * (spent(&module(body)) - spent(&module("")))
}

#[test]
fn an_access_costs_what_the_largest_memory_of_its_module_makes_it_take() {
    let read = "(drop (i32.load (i32.const 64)))".repeat(1_000);
    let write = "(i32.store (i32.const 64) (i32.const 7))".repeat(1_000);
    for (pages, points) in [(1, 56), (16, 56), (17, 450), (256, 1_700), (3_200, 2_800)] {
        assert_eq!(cost::access_points(pages), points);
        // A constant or two and a `drop` come with each.
        assert_eq!(points_in(pages, &read), 1_000 * (points + 2));
        assert_eq!(points_in(pages, &write), 1_000 * (points + 2));
    }
}

#[test]
fn the_price_of_an_access_never_falls_as_the_memory_grows() {
    let prices: Vec<u64> = (0..=4_096).map(cost::access_points).collect();
    assert!(prices.is_sorted() && prices[0] < prices[4_096], "{prices:?}");
}

#[test]
fn a_copy_of_no_bytes_costs_two_accesses() {
    let copy = "(memory.copy (i32.const 0) (i32.const 64) (i32.const 0))".repeat(100);
    let each = |pages| points_in(pages, &copy) / 100;
    assert_eq!(each(16), cost::BULK_POINTS + 2 * 56 + 3);
    assert_eq!(each(4_096) - each(16), 2 * (2_800 - 56));
}

#[test]
fn subnormal_floats_cost_more_whichever_of_their_places_they_take() {
    let times = |a: &str, b: &str| {
        let product = format!("(drop (f64.mul (f64.const {a}) (f64.const {b})))").repeat(100);
        points_in(1, &product) / 100
    };
    let normal = times("1.5", "-2.5");
    // Zero and the smallest normal number are no subnormal numbers, nor are infinity and NaN.
    for (a, b) in [("0", "1"), ("-0", "-0"), ("0x1p-1022", "1"), ("inf", "2"), ("nan", "1")] {
        assert_eq!(times(a, b), normal, "{a} * {b}");
    }
    let more = cost::SUBNORMAL_POINTS;
    assert_eq!(times("1e-310", "1e300"), normal + more);
    assert_eq!(times("1e300", "-1e-310"), normal + more);
    assert_eq!(times("1e-200", "1e-115"), normal + more);
    assert_eq!(times("-1e-310", "0.5"), normal + 2 * more);
    assert_eq!(times("5e-324", "5e-324"), normal + 2 * more);
}

#[test]
fn subnormal_floats_of_32_bits_cost_more_too() {
    let once = |code: &str| points_in(1, &format!("(drop {code})").repeat(100)) / 100;
    let more = cost::SUBNORMAL_POINTS;
    let quotient = |a: &str, b: &str| once(&format!("(f32.div (f32.const {a}) (f32.const {b}))"));
    assert_eq!(quotient("1e-40", "1e-10") - quotient("1e-30", "1e-10"), more);
    assert_eq!(quotient("1e-40", "2") - quotient("1", "2"), 2 * more);
    let root = |a: &str| once(&format!("(f64.sqrt (f64.const {a}))"));
    assert_eq!(root("1e-310") - root("1"), more);
    let narrow = |a: &str| once(&format!("(f32.demote_f64 (f64.const {a}))"));
    assert_eq!(narrow("1e-40") - narrow("1"), more);
    let widen = |a: &str| once(&format!("(f64.promote_f32 (f32.const {a}))"));
    assert_eq!(widen("1e-40") - widen("1"), more);
}

#[test]
fn calls_and_branches_cost_more_in_modules_whose_code_no_cache_holds() {
    let fill = |operators: usize| {
        let code = "(local.set 0 (i32.const 1))".repeat(operators);
        format!("(func $f) (func (local i32) {code}) (func (local i32) {code})")
    };
    let calls = "(call $f) (block (br_if 0 (i32.const 1)))".repeat(100);
    let each = |operators| {
        let rest = spent(&worker(&fill(operators), ""));
        (spent(&worker(&fill(operators), &calls)) - rest).max(1)
    };
    let prices = [100, 5_000, 20_000, 40_000].map(each);
    assert!(prices.is_sorted_by(|a, b| a < b), "{prices:?}");
}

#[test]
fn each_page_of_the_memory_is_paid_for_before_it_is_used() {
    let start = |pages: u32| {
        let text =
            String::from_utf8(TEMPLATE.to_vec()).unwrap().replace("PAGES", &pages.to_string());
        let module = wat::parse_str(text).unwrap();
        let mut host = host(BOTH[0]);
        host.start(V1, &wasm(&module), &Default::default()).unwrap().cost.own.0
    };
    let page = cost::USER_PAGE_POINTS / cost::POINTS_PER_COMPUTRON;
    assert_eq!(start(100) - start(1), 99 * page);
    assert_eq!(points_in(200, "(drop (memory.grow (i32.const 99)))") / 100, 99 * page + 3);
}

const TEMPLATE: &[u8] = br#"(module (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") PAGES 200)
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 1024)
  (func (export "capstan_deliver") (param i32 i32)))"#;

#[test]
fn a_console_line_costs_its_kept_bytes_whatever_the_node_does_with_it() {
    let line = |length: u32| {
        spent(&worker(
            "",
            &format!("(call $log (i32.const 2) (i32.const 2048) (i32.const {length}))"),
        )) - spent(&worker("", ""))
    };
    let price = |passed: u64, kept: u64| {
        let call = cost::HOST_CALL_POINTS + cost::HOST_BYTE_POINTS * passed;
        (call + cost::LINE_POINTS + cost::LINE_BYTE_POINTS * kept).div_ceil(100)
    };
    // The three constants of the call, the call and rounding cost a computron at most.
    for (length, kept) in [(0, 0), (100, 100), (4_096, 4_096), (20_000, 4_096)] {
        let paid = line(length);
        let least = price(u64::from(length), kept);
        assert!((least..=least + 1).contains(&paid), "{length}: {paid} for {least}");
    }
}

#[test]
fn deliveries_of_javascript_cost_more_the_more_memory_the_vat_uses() {
    let percents = [1, 24, 40, 100].map(|mebibytes: usize| cost::memory_percent(mebibytes << 20));
    assert_eq!(percents, [100, 100, 160, 200]);
}

/// Returns the computrons for compiling a worker with these items.
fn compiled(items: &str) -> u64 {
    let mut host = host(BOTH[0]);
    host.start(V1, &wasm(&worker(items, "")), &Default::default()).unwrap().cost.load.0
}

#[test]
fn compiling_costs_what_a_function_makes_of_its_bytes() {
    let bare = compiled("");
    // Each has ten operators of one byte or two. Calls become many more.
    let of = |turn: &str| {
        compiled(&format!("(func $f) (func (local f64) {})", turn.repeat(1_000))) - bare
    };
    let (nops, calls) = (of("nop nop "), of("(call $f)"));
    assert!(calls > 10 * nops, "{calls} for calls, {nops} for as many bytes of nothing");
    let tables = of(&format!("(block (br_table {} (i32.const 0)))", "0 ".repeat(100)));
    assert!(tables > 100 * 1_000 * 30, "each target of a jump table is paid for: {tables}");
}

#[test]
fn compiling_a_long_function_costs_as_much_as_many_short_ones_of_its_operators() {
    let sum = "(drop (i32.add (i32.const 1) (i32.const 2)))";
    let of = |functions: usize, sums: usize| {
        compiled(&format!("(func {})", sum.repeat(sums)).repeat(functions)) - compiled("")
    };
    let (long, short) = (of(1, 10_000), of(100, 100));
    let each = (short - long) / 99;
    assert!((1_000..4_000).contains(&each), "a function costs {each} besides its operators");
}

#[test]
fn functions_with_many_locals_and_types_with_many_parameters_cost_more_to_compile() {
    let locals = "(local i64)".repeat(1_600);
    // Types are shared by the functions that have no parameters.
    let (few, many) = (compiled("(func (local i64))"), compiled(&format!("(func {locals})")));
    assert!(many - few >= 30 * 99, "{few}, {many}");
    let types = |count: usize| {
        let ty = |number: usize| format!("(type (func (param {})))", "i64 ".repeat(number % 60));
        compiled(&(0..count).map(ty).collect::<String>())
    };
    assert!(types(120) - types(60) >= 60 * 30 * 40);
}

#[test]
fn compiling_costs_the_same_whether_the_cache_has_the_code_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let module = worker("(func nop nop nop)", "");
    let load = || {
        let cache_dir = Some(dir.path().to_owned());
        let mut host = open(HostOptions { cache_dir, ..HostOptions::default() });
        let started = host.start(V1, &wasm(&module), &Default::default()).unwrap();
        started.cost.load
    };
    let first = load();
    assert!(first.0 > 50_000);
    assert_eq!(load(), first);
}

#[test]
fn a_collection_of_javascript_costs_more_by_the_pages_of_its_memory() {
    let mut host = host(BOTH[0]);
    let source = WorkerSource::JavaScript {
        engine: host.engine(),
        bundle_id: format!("b1-{}", "0".repeat(128)),
        zip: vec![],
    };
    host.start(V1, &source, &Default::default()).unwrap().verdict.unwrap();
    let mut spend = |delivery: &Delivery, limit: u64| {
        let limit = Computrons(limit);
        host.deliver(V1, delivery, limit, &mut Answers::default()).unwrap().computrons
    };
    let usual = spend(&message("m"), 1_000_000).unwrap().0;
    // The toy engine does the same for both, and has two pages.
    let price = cost::collection_points(2 << 16) / cost::POINTS_PER_COMPUTRON;
    let paid = spend(&Delivery::BringOutYourDead, 1_000_000).unwrap().0;
    assert!((price..price + 2 * usual).contains(&paid), "{paid}, {price} and {usual}");
    // Who cannot pay for it has none.
    assert_eq!(spend(&Delivery::BringOutYourDead, price), None);
}
