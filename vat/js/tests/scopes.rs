//! Tests of scopes and iterators where QuickJS-ng deviated from ECMA-262 (`build/faults.rs`):
//! parameters with default values, variables of a loop with `continue`, and iterators that throw.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;

/// Compares what scripts give as text, or the name of what they throw.
fn check(cases: &[(&str, &str)]) {
    for (source, value) in cases {
        let quoted = serde_json::to_string(source).unwrap();
        let mut engine = Engine::new();
        let script = format!(
            "print((() => {{ try {{ return `${{(0, eval)({quoted})}}`; }} catch (e) {{ return e.name; }} }})())"
        );
        assert_eq!(engine.boot(&script), Ok(0));
        assert_eq!(engine.log(), [*value], "{source}");
    }
}

#[test]
fn a_body_and_default_values_share_parameters() {
    check(&[
        ("((a, c = (a = 5)) => a)(1)", "5"),
        ("((a, b = () => a) => { a = 2; return b(); })(1)", "2"),
        ("((a, b = () => { a = 7; }) => { b(); return a; })(1)", "7"),
        ("(({ a }, b = () => a) => { a = 2; return b(); })({ a: 1 })", "2"),
        ("(({ a }, b = () => { a = 7; }) => { b(); return (() => a)(); })({ a: 1 })", "7"),
        ("((a, ...[b = () => a]) => { a += 5; return b(); })(1)", "6"),
        (
            "((a = 1, f = () => a, h = x => { a = x; }) => { h(5); return [a, f(), (() => { a = 8; return f(); })()]; })()",
            "5,5,8",
        ),
        ("[...(function* (a, b = () => a) { a = 2; yield b(); yield* [a]; })(1)]", "2,2"),
        ("new (class { constructor(a, b = () => a) { a = 4; this.x = b(); } })(1).x", "4"),
        ("((a, b = () => a) => { for (a of [1, 2, 3]); return b(); })(0)", "3"),
        ("((a, b = () => a) => [1, 2].map(x => (a += x, b())))(1)", "2,4"),
        ("((a, b = () => a) => [a++, ++a, a--, b(), typeof a])(1)", "1,3,3,2,number"),
        (
            "(function (a, b = 2) { a = 9; return [arguments[0], arguments.length, a, b]; })(1)",
            "1,1,9,2",
        ),
        ("(function f(f, g = () => f) { f = 3; return g(); })(1)", "3"),
        ("((a = b, b) => a)()", "ReferenceError"),
        ("((a, b = () => a) => { let a; })(1)", "SyntaxError"),
    ]);
}

#[test]
fn a_body_that_declares_a_parameter_has_a_variable_of_its_own() {
    check(&[
        ("((a, c = (a = 5)) => { var a; return a; })(1)", "5"),
        ("((a, b = () => a) => { var a = 2; return [a, b()]; })(1)", "2,1"),
        ("((a, b = () => { a = 7; }) => { var a; b(); return a; })(1)", "1"),
        (
            "(({ a }, b = () => a, c = (a = 5)) => { var a; a = 6; return [a, b()]; })({ a: 1 })",
            "6,5",
        ),
        ("((a, b = () => a) => { function a() {} return [typeof a, b()]; })(1)", "function,1"),
        ("((a, b = () => a) => { for (var a of [5]); return [b(), a]; })(1)", "1,5"),
        ("((a, b = () => a) => { { var a = 5; } return [b(), a, (() => a)()]; })(1)", "1,5,5"),
        ("((a, b = () => a) => { { let a = 5; } a = 3; return b(); })(1)", "3"),
        (
            "(function (a, b = arguments) { arguments = 5; return [typeof b, arguments]; })(1)",
            "object,5",
        ),
    ]);
}

#[test]
fn each_turn_of_a_loop_has_its_own_variables() {
    for (head_and_body, values) in [
        ("for (let i = 0; i < 3; i++) { f.push(() => i); if (i) continue; }", "0,1,2"),
        ("for (let i = 0; i < 3;) { f.push(() => i); i++; if (i) continue; }", "1,2,3"),
        ("for (let i = 0;; i++) { f.push(() => i); if (i < 4) continue; break; }", "0,1,2,3,4"),
        ("for (let i = 0;;) { f.push(() => i); i++; if (i < 4) continue; break; }", "1,2,3,4"),
        (
            "a: for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) { f.push(() => i * 10 + j); if (j) continue a; }",
            "0,1,10,11,20,21",
        ),
        (
            "for (let i = 0; i < 3; i++) { switch (i) { case 1: f.push(() => i); continue; } f.push(() => i); }",
            "0,1,2",
        ),
        (
            "for (let i = 0; i < 3; i++) { try { f.push(() => i); continue; } finally { f.push(() => i * 2); } }",
            "0,0,1,2,2,4",
        ),
        (
            "for (let i = 0; i < 3; f.push(() => i), i++) { if (i) continue; f.push(() => i); }",
            "0,1,2,3",
        ),
        ("for (let i = 0, g = () => i; i < 3; i++) { f.push(g); if (i) continue; }", "0,0,0"),
        ("for (let i = 0; i < 3; i++) { f.push(() => i); }", "0,1,2"),
        ("for (const x of [1, 2, 3]) { f.push(() => x); if (x > 1) continue; }", "1,2,3"),
        ("for (const x in { a: 1, b: 2 }) { f.push(() => x); if (x > 'a') continue; }", "a,b"),
        ("let i = 0; while (i++ < 3) { let k = i; f.push(() => k); if (i) continue; }", "1,2,3"),
    ] {
        check(&[(
            &format!("(() => {{ const f = []; {head_and_body} return f.map(g => g()); }})()"),
            values,
        )]);
    }
}

#[test]
fn an_iterator_that_throws_is_not_closed() {
    let iterator = "const log = []; let n = 0; const i = { [Symbol.iterator]() { return this; }, \
        next() { if (n === 2) throw 0; return { done: false, value: [n++] }; }, return() { log.push('return'); return {}; } };";
    for use_it in [
        "[...i]",
        "Math.max(...i)",
        "new Set(i)",
        "new Map(i)",
        "new WeakSet(i)",
        "Array.from(i)",
        "Array.from(i, x => x)",
        "Uint8Array.from(i)",
        "new AggregateError(i)",
        "new Uint8Array(i)",
        "const [a, b, c] = i",
        "const [...a] = i",
        "for (const x of i);",
        "[...(function* () { yield* i; })()]",
    ] {
        let attempt = format!(
            "(() => {{ {iterator} try {{ {use_it}; }} catch (e) {{ log.push(typeof e); }} return log; }})()"
        );
        check(&[(&attempt, "number")]);
    }
    // One whose values are refused is closed.
    for use_it in ["new Map(j)", "for (const x of j) throw 1", "const [a] = j"] {
        let iterator = "const log = []; const j = { [Symbol.iterator]() { return this; }, \
            next() { return { done: false, value: 1 }; }, return() { log.push('return'); return {}; } };";
        check(&[(
            &format!("(() => {{ {iterator} try {{ {use_it}; }} catch (e) {{}} return log; }})()"),
            "return",
        )]);
    }
}
