//! Hostile loops of single operators, chained so that each waits for the one before.

use super::pattern::{Pattern, looped};

/// Copies of the operator in one turn of the loop.
const COPIES: usize = 64;

/// A chain on one type: the operator's name, and its code between the value before and the value after.
type Chain = (&'static str, &'static str);

const I32: [Chain; 13] = [
    ("i32.add", "i32.const 77 i32.add"),
    ("i32.mul", "i32.const 16777619 i32.mul"),
    ("i32.rotl", "local.get $j i32.rotl"),
    ("i32.shl", "local.get $j i32.shl"),
    ("i32.clz", "i32.clz"),
    ("i32.popcnt", "i32.popcnt"),
    ("i32.eqz", "i32.eqz"),
    ("i32.lt_u", "local.get $j i32.lt_u"),
    ("i32.extend8_s", "i32.extend8_s"),
    ("local.tee", "local.tee $j"),
    ("i32.rem_u", "i32.const 2147483647 i32.or i32.const 3 i32.rem_u"),
    ("global.set, global.get", "global.set $g global.get $g"),
    ("memory.size", "memory.size i32.add"),
];

const I64: [Chain; 8] = [
    ("i64.add", "i64.const 77 i64.add"),
    ("i64.mul", "i64.const 1099511628211 i64.mul"),
    ("i64.rotl", "local.get $y i64.rotl"),
    ("i64.ctz", "i64.ctz"),
    ("i64.lt_s", "i64.const 5 i64.lt_s i64.extend_i32_u"),
    ("i64.extend_i32_s, i32.wrap", "i32.wrap_i64 i64.extend_i32_s"),
    ("i64.div_u of large numbers", "i64.const -1 i64.or i64.const 3 i64.div_u"),
    ("select", "i64.const 5 local.get $j select"),
];

const F64: [Chain; 16] = [
    ("f64.add", "f64.const 0.1 f64.add"),
    ("f64.mul", "f64.const 1.0000001 f64.mul"),
    ("f64.div", "f64.const 1.0000001 f64.div"),
    ("f64.sqrt", "f64.const 3.3 f64.mul f64.sqrt"),
    ("f64.min", "f64.const 9.5 f64.min"),
    ("f64.max", "f64.const 9.5 f64.max"),
    ("f64.nearest", "f64.nearest"),
    ("f64.neg, f64.abs", "f64.neg f64.abs"),
    ("f64.copysign", "local.get $g f64.copysign"),
    ("f64.promote, f32.demote", "f32.demote_f64 f64.promote_f32"),
    ("f64.convert, i64.trunc_sat", "i64.trunc_sat_f64_u f64.convert_i64_u"),
    ("f64.convert_i32, i32.trunc", "f64.const 100 f64.min i32.trunc_f64_s f64.convert_i32_s"),
    ("f64.convert_i32_u", "i32.wrap_i64 f64.convert_i32_u i64.reinterpret_f64"),
    ("i32.trunc_f64_s", "f64.const 1 i32.trunc_f64_s i32.add"),
    ("f64.eq", "f64.const 1 f64.eq f64.convert_i32_u"),
    ("f64.reinterpret", "i64.reinterpret_f64 f64.reinterpret_i64"),
];

/// Returns the patterns of all operators.
pub(super) fn patterns() -> Vec<Pattern> {
    let mut all = Vec::new();
    for (name, unit) in I32 {
        all.push(chain(name, unit, "$i", ""));
    }
    for (name, unit) in I64 {
        all.push(chain(name, unit, "$x", ""));
    }
    for (name, unit) in F64 {
        let local = match name {
            "f64.convert_i32_u" => "$x",
            "i32.trunc_f64_s" => "$i",
            _ => "$f",
        };
        all.push(chain(name, unit, local, "(local.set $g (f64.const -3))"));
    }
    // Numbers next to zero take some processors a detour.
    let tiny = "(local.set $f (f64.const 4e-308)) (local.set $g (f64.const 0.5))";
    all.push(chain(
        "f64.mul of subnormal numbers",
        "local.get $g f64.mul f64.const 1.5e-308 f64.add",
        "$f",
        tiny,
    ));
    all.push(chain(
        "f64.add of subnormal numbers",
        "f64.const 1e-315 f64.add",
        "$f",
        "(local.set $f (f64.const 0))",
    ));
    all.push(chain("f64.min of subnormal numbers", "f64.const 1e-315 f64.min", "$f", ""));
    all.push(chain(
        "f64.nearest of subnormal numbers",
        "f64.nearest f64.const 1e-315 f64.add",
        "$f",
        "",
    ));
    all.push(chain("f64.sqrt of subnormal numbers", "f64.const 1e-315 f64.min f64.sqrt", "$f", ""));
    all.push(chain(
        "promotions of subnormal numbers",
        "f32.demote_f64 f64.promote_f32",
        "$f",
        "(local.set $f (f64.const 1e-40))",
    ));
    all.push(chain(
        "i32.trunc_f64_s of subnormal numbers",
        "f64.const 1e-315 i32.trunc_f64_s i32.add",
        "$i",
        "",
    ));
    all.push(chain(
        "f64.div of subnormal numbers",
        "f64.const 1.0000001 f64.div",
        "$f",
        "(local.set $f (f64.const 4e-310))",
    ));
    all
}

fn chain(name: &str, unit: &str, local: &str, before: &str) -> Pattern {
    let copies = format!("{unit}\n").repeat(COPIES);
    let turn = format!("local.get {local}\n{copies}local.set {local}\n");
    Pattern::new(format!("chain of {name}"), format!("{before} {}", looped(40_000, &turn)))
}
