//! Hostile flow of control: branches and calls that no processor foretells, and code that fits no cache.

use super::pattern::{Pattern, looped};

const RANDOM: &str = "(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))\n";

/// Returns the patterns.
pub(super) fn patterns() -> Vec<Pattern> {
    let bit = "(i32.and (i32.shr_u (local.get $i) (i32.const 30)) (i32.const 1))";
    let byte = "(i32.shr_u (local.get $i) (i32.const 26))";
    let branch = format!(
        "{RANDOM} (block $b (br_if $b {bit}) (local.set $j (i32.add (local.get $j) (i32.const 1))))\n"
    );
    let conditional = format!(
        "{RANDOM} (if {bit} (then (local.set $j (i32.const 1))) (else (local.set $j (i32.const 2))))\n"
    );
    let table = br_table(byte);
    let recursion = "(func $down (param i32) (result i32) (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))";
    vec![
        Pattern::new("branches at random", looped(20_000, &branch.repeat(16))),
        Pattern::new("if and else at random", looped(20_000, &conditional.repeat(16))),
        Pattern::new("a jump table at random", looped(100_000, &format!("{RANDOM} {table}"))),
        Pattern::new("calls of an empty function", looped(20_000, &"(call $empty)".repeat(16)))
            .with_items("(func $empty)".to_owned()),
        Pattern::new("deep recursion", looped(30, "(local.set $j (call $down (i32.const 10000)))"))
            .with_items(recursion.to_owned()),
        Pattern::new(
            "calls with 60 parameters",
            looped(20_000, &format!("(call $many {})", "(i64.const 1)".repeat(60))),
        )
        .with_items(format!("(func $many (param {}))", "i64 ".repeat(60))),
        Pattern::new("calls with 2,000 locals", looped(2_000, "(call $wide)"))
            .with_items(format!("(func $wide (local {}))", "i64 ".repeat(2_000))),
        Pattern::new("calls through a small table", indirect(byte)).with_items(functions(64, 4)),
        Pattern::new(
            "calls through a table of 16,000 at random",
            indirect("(i32.rem_u (i32.shr_u (local.get $i) (i32.const 8)) (i32.const 16000))"),
        )
        .with_items(functions(16_000, 4)),
        Pattern::new(
            "calls through a table of large functions at random",
            indirect("(i32.rem_u (i32.shr_u (local.get $i) (i32.const 8)) (i32.const 8000))"),
        )
        .with_items(functions(8_000, 40)),
        Pattern::new("a small tree of branches at random", tree_walk(1)).with_items(trees(1, 11)),
        Pattern::new("trees of branches in 200 KiB at random", tree_walk(2))
            .with_items(trees(2, 12)),
        Pattern::new("large trees of branches at random", tree_walk(8)).with_items(trees(8, 12)),
        Pattern::new("calls in a scattered order", scattered(16_000))
            .with_items(functions(16_000, 4)),
        Pattern::new("calls in a scattered order in 16 KiB", scattered(500).repeat(16))
            .with_items(functions(500, 4)),
        Pattern::new("calls in a scattered order in 60 KiB", scattered(2_000).repeat(4))
            .with_items(functions(2_000, 4)),
        Pattern::new("calls in a scattered order in 200 KiB", scattered(7_000).repeat(2))
            .with_items(functions(7_000, 4)),
        Pattern::new("a function of 200 KiB", "(call $long) (call $long)".repeat(40)).with_items(
            format!(
                "(func $long (local i32) {})",
                "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(25_000)
            ),
        ),
        Pattern::new(
            "functions of 200 KiB in turn",
            "(call $a) (call $b) (call $c) (call $d) (call $e)".repeat(16),
        )
        .with_items(
            ["a", "b", "c", "d", "e"]
                .map(|name| {
                    format!(
                        "(func ${name} (local i32) {})",
                        "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(25_000)
                    )
                })
                .concat(),
        ),
    ]
}

fn br_table(index: &str) -> String {
    let open: String = (0..65).map(|i| format!("(block $c{i} ")).collect();
    let labels: String = (0..65).map(|i| format!("$c{i} ")).collect();
    format!("{open} (br_table {labels} {index}) {}", ") (local.set $j (i32.const 1))".repeat(65))
}

fn indirect(index: &str) -> String {
    looped(100_000, &format!("{RANDOM} (call_indirect (type $plain) {index})"))
}

/// `count` functions of some operators, and a table of them.
fn functions(count: u32, operators: usize) -> String {
    let body = "(global.set $g (i32.const 3))".repeat(operators);
    let names: String = (0..count).map(|i| format!("$f{i} ")).collect();
    let all: String = (0..count).map(|i| format!("(func $f{i} (type $plain) {body})\n")).collect();
    format!(
        "(type $plain (func)) (table {count} {count} funcref) (elem (i32.const 0) func {names}) {all}"
    )
}

/// Walks one tree after the other.
fn tree_walk(trees: u32) -> String {
    let calls: String =
        (0..trees).map(|i| format!("{RANDOM} (call $t{i} (local.get $i))\n")).collect();
    looped(10_000, &calls)
}

fn trees(count: u32, levels: u32) -> String {
    let tree = tree(levels);
    (0..count).map(|i| format!("(func $t{i} (param i32) {tree})\n")).collect()
}

/// Calls each of `count` functions once, none next to the one before.
fn scattered(count: u32) -> String {
    (0..count).map(|i| format!("(call $f{})", u64::from(i) * 7_919 % u64::from(count))).collect()
}

/// Branches by the upper bits of a parameter.
fn tree(levels: u32) -> String {
    match levels {
        0 => "(global.set $g (local.get 0))".to_owned(),
        _ => {
            let rest = tree(levels - 1);
            let bit = 32 - levels;
            format!(
                "(if (i32.and (local.get 0) (i32.const {})) (then {rest}) (else {rest}))",
                1_u32 << bit
            )
        }
    }
}
