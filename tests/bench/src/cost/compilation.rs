//! Modules that take a compiler long: of long functions and of many, and of each operator that takes it longer than others.

use anyhow::{Result, anyhow};
use capstan_tests::Scales;

use super::Row;

/// Bytes that the functions of most modules have together, about.
const CODE_BYTES: usize = 60_000;

/// A module that is compiled.
#[derive(Clone)]
struct Shape {
    name: String,
    /// Items of the module besides its functions.
    items: String,
    /// Number of the functions.
    functions: usize,
    /// What each function begins with, has again and again, and ends with.
    body: [String; 3],
    turns: usize,
}

impl Shape {
    /// One function that does `turn` again and again. Each turn has so many bytes.
    fn new(name: &str, turn: &str, bytes: usize) -> Self {
        let body = ["", turn, ""].map(str::to_owned);
        let turns = CODE_BYTES / bytes;
        Self { name: name.to_owned(), items: String::new(), functions: 1, body, turns }
    }

    /// The same of a float on the stack.
    fn of_float(name: &str, turn: &str, bytes: usize) -> Self {
        Self::new(name, turn, bytes).between("local.get 4", "drop")
    }

    fn between(mut self, head: &str, tail: &str) -> Self {
        (self.body[0], self.body[2]) = (head.to_owned(), tail.to_owned());
        self
    }

    /// So many functions, each with so many of the turns.
    fn parted(mut self, functions: usize, turns: usize) -> Self {
        (self.functions, self.turns) = (functions, turns);
        self
    }

    fn with_items(mut self, items: String) -> Self {
        self.items = items;
        self
    }

    fn row_name(&self) -> String {
        format!("hostile: a module of {}", self.name)
    }

    fn module(&self) -> Result<Vec<u8>, wat::Error> {
        let Self { items, functions, body: [head, turn, tail], turns, .. } = self;
        let turns = format!("{turn} ").repeat(*turns);
        let function = format!("(func (local i32 i32 i64 i64 f64 f64) {head} {turns} {tail})\n");
        let functions = function.repeat(*functions);
        wat::parse_str(format!(
            r#"(module
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 16 16)
  (table 16000 funcref)
  (type $none (func))
  (func $empty)
  (func (export "capstan_abi") (result i32) i32.const 1)
  (func (export "capstan_alloc") (param i32) (result i32) i32.const 8)
  (func (export "capstan_deliver") (param i32 i32) (call $done (i32.const 8) (i32.const 1)))
  {items} {functions})"#
        ))
    }
}

/// Measurements of each module, of which the least counts.
const ROUNDS: usize = 3;

/// Compiles the modules whose names are `wanted`.
pub(super) fn rows(wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Row>> {
    let all = [operators(), calls_and_branches(), parts()].concat();
    all.iter().filter(|shape| wanted(&shape.row_name())).map(weigh).collect()
}

fn weigh(shape: &Shape) -> Result<Row> {
    let refused = |error: String| anyhow!("{}: {error}", shape.name);
    let module = shape.module().map_err(|error| refused(error.to_string()))?;
    let mut measured = Scales::weigh_compilation(&module).map_err(refused)?;
    // A host of its own compiles again. What else the machine does can only add.
    for _ in 1..ROUNDS {
        let again = Scales::weigh_compilation(&module).map_err(refused)?;
        measured.cpu = measured.cpu.min(again.cpu);
    }
    Ok(Row::new(shape.row_name(), true, measured.cpu.as_secs_f64() * 1e3, measured.computrons))
}

/// Returns the operators of numbers and of the memory that take a compiler long.
fn operators() -> Vec<Shape> {
    let shape = Shape::new;
    let of_float = Shape::of_float;
    vec![
        shape("no operations", "nop", 1),
        shape("sums", "(drop (i64.add (i64.const 1) (i64.const 2)))", 6),
        shape("remainders", "(local.set 0 (i32.rem_s (local.get 0) (local.get 1)))", 7),
        shape("reads", "(drop (i32.load (i32.const 0)))", 6),
        shape("reads of floats", "(local.set 4 (f64.load (local.get 0)))", 7),
        shape("writes", "(i32.store (i32.const 0) (i32.const 0))", 7),
        shape("sizes of the memory", "(drop (memory.size))", 3),
        shape("growth of the memory", "(drop (memory.grow (i32.const 0)))", 5),
        shape("fills", "(memory.fill (local.get 0) (local.get 0) (local.get 0))", 9),
        shape("copies", "(memory.copy (local.get 0) (local.get 0) (local.get 0))", 10),
        of_float("products of floats", "(f64.mul (local.get 5))", 3),
        of_float("absolute values", "f64.abs", 1),
        of_float("least of two floats", "(f64.min (local.get 5))", 3),
        of_float("conversions", "i32.trunc_f64_s f64.convert_i32_s", 2),
        of_float("conversions without sign", "i64.trunc_f64_u f64.convert_i64_u", 2),
        of_float("promotions", "f32.demote_f64 f64.promote_f32", 2),
    ]
}

/// Returns what ends basic blocks.
fn calls_and_branches() -> Vec<Shape> {
    let shape = Shape::new;
    let (values, drops) = ("local.get 2 local.get 3 i64.add ".repeat(900), "drop ".repeat(900));
    let targets = format!("(block (br_table {} (local.get 0)))", "0 ".repeat(CODE_BYTES));
    vec![
        shape("calls", "(call $empty)", 2),
        shape("calls over many values", "(call $empty)", 2).between(&values, &drops),
        shape("calls in deep blocks", "(call $empty)", 2)
            .between(&"(block ".repeat(900), &")".repeat(900)),
        shape("calls through the table", "(call_indirect (type $none) (local.get 0))", 5),
        shape("loops", "(loop)", 3),
        shape("branches", "(br_if 0 (local.get 0))", 4),
        shape("branches over many values", "(br_if 0 (local.get 0))", 4).between(&values, &drops),
        shape(
            "both branches with results",
            "(drop (if (result i64) (local.get 0) (then (local.get 2)) (else (local.get 3))))",
            11,
        ),
        shape("a jump table", &targets, CODE_BYTES),
        shape("returns", "return", 1),
    ]
}

/// Returns modules of many parts.
fn parts() -> Vec<Shape> {
    let sum = "(drop (i64.add (i64.const 1) (i64.const 2)))";
    let locals = "(func (local i64 i64 i64) ".to_owned() + &"(local i64)".repeat(1_900) + ")\n";
    let entries = format!("(elem (i32.const 0) {})", "0 ".repeat(16_000));
    vec![
        Shape::new("one function of 200 KiB", sum, 6).parted(1, 34_000),
        Shape::new("functions of 1 KiB", sum, 6).parted(200, 170),
        Shape::new("16,000 empty functions", "nop", 1).parted(16_000, 0),
        Shape::new("functions of 1,900 locals", "nop", 1)
            .parted(1, 0)
            .with_items(locals.repeat(500)),
        Shape::new("4,000 types", "nop", 1).parted(1, 0).with_items(types()),
        Shape::new("data of 1 MB", "nop", 1)
            .parted(1, 0)
            .with_items(format!("(data (i32.const 0) \"{}\")", "m".repeat(1_000_000))),
        Shape::new("16,000 entries of a table", "nop", 1).parted(1, 0).with_items(entries),
    ]
}

/// Returns 4,000 types of 62 parameters that differ.
fn types() -> String {
    let kind = |number: u32, bit: u32| if number >> bit & 1 == 1 { "i64 " } else { "f64 " };
    let parameters = |number| (0..12).map(|bit| kind(number, bit)).collect::<String>();
    let rest = "i64 ".repeat(50);
    (0..4_000).map(|number| format!("(type (func (param {}{rest})))", parameters(number))).collect()
}
