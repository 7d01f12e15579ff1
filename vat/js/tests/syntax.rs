//! Tests of syntax where QuickJS-ng deviated from ECMA-262 (`build/faults.rs`): divisions within a
//! look-ahead, and regular expressions.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;

/// Returns a script's value as text, or the name of the thrown error.
fn outcome(source: &str) -> String {
    let quoted = serde_json::to_string(source).unwrap();
    let mut engine = Engine::new();
    engine.boot(&format!(
        "print((() => {{ try {{ return String((0, eval)({quoted})); }} catch (e) {{ return e.name; }} }})())"
    ))
    .unwrap();
    engine.log().remove(0)
}

fn check(cases: &[(&str, &str)]) {
    for (source, value) in cases {
        assert_eq!(outcome(source), *value, "{source}");
    }
}

/// Sources in which a `/` divides or begins a regular expression, by the token before it, with their values. The
/// tokens lie within brackets that may turn out to be an arrow function's parameters or a pattern.
const DIVISIONS: &[(&str, &str)] = &[
    ("((x = `a${1}b` / 2) => x)()", "NaN"),
    ("((x = `4` / 2) => x)()", "2"),
    ("((x = `${`4`}` / 2) => x)()", "2"),
    ("(({ y = `${8}` / 2 / 1 }) => y)({})", "4"),
    (
        "const o={if:4,of:6,function:8,class:2,get yield(){return 2}}; ((a=o.if/2, b=o?.of/2, c=o.function/2, d=o.class / 2, e=o.yield/2/1) => [a,b,c,d,e])()+''",
        "2,3,4,1,1",
    ),
    ("var of=8; ((a=of/2, b=of /2/ 1) => [a,b])()+''", "4,4"),
    (
        "var of=['q']; ((a = () => { for (const x of /a/[Symbol.split]('1a2')) return x; }) => a())()",
        "1",
    ),
    ("var of=8; ((a = () => { for (const x of [of / 2]) return x; }) => a())()", "4"),
    ("((a = () => { for (const of of /a/[Symbol.split]('1a2')) return of / 2; }) => a())()", "0.5"),
    ("((a = () => { for (let of = 8, z = of / 2 / 1; ;) return z }) => a())()", "4"),
    ("((a = async () => await /\\)/.exec(')')) => typeof a)()", "function"),
    ("((a = function* () { yield /\\)/; }) => [...a()])()+''", "/\\)/"),
    ("var yield_ = 8; var yield = 8; ((a = yield / 2) => a)()", "4"),
    ("var await = 8; ((a = await / 2) => a)()", "4"),
    ("((a = () => { if (1) /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { while (0) /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { for (;0;) /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { function f() {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { class f {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { try {} finally {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { try {} catch {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { do {} while (0) /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { switch (1) { case 1: {} /\\)/.test(')'); } return 5; }) => a())()", "5"),
    ("((a = () => { lab: {} /\\)/.test(')'); return 5; }) => a())()", "5"),
    ("((a = () => { const f = () => {}\n/\\)/.test(')'); return 5; }) => a())()", "5"),
    (
        "((a = ({valueOf() { return 8 }}) / 2 / 1, b = {valueOf() { return 8 }} / 2 / 1) => a + b)()",
        "8",
    ),
    ("((a = function () {} / 2 / 1, b = class {} / 2 / 1) => a + b)()", "NaN"),
    ("((a = async function () {} / 2 / 1, b = function* q() {} / 2 / 1) => a + b)()", "NaN"),
    ("((a = class extends Object {} / 2 / 1, b = class A { m() {} } / 2) => a + b)()", "NaN"),
    ("((a = { if(x) { return x / 2 } }.if(8) / 2) => a)()", "2"),
    ("((a = 8, b = a++ / 2 / 1) => b)()", "4"),
    ("((a = [8][0] / 2 / 1) => a)()", "4"),
    ("((a = (8) / 2 / 1) => a)()", "4"),
    ("((a = this / 2 / 1, b = null / 2 / 1, c = true / 2 / 1) => [b, c])()+''", "0,0.5"),
    ("((a = typeof /\\)/, b = void /\\)/, c = !/\\)/) => [a,b,c])()+''", "object,,false"),
    (
        "((a = 1 ? /\\)/ : 2, b = [/\\)/, /\\)/g], c = {x: /\\)/}) => [a,b,c.x])()+''",
        "/\\)/,/\\)/,/\\)/g,/\\)/",
    ),
    ("((a = /=\\)/, b = /\\//) => [a,b])()+''", "/=\\)/,/\\//"),
    ("((a = 8) => { a /= 2; return a })()", "4"),
    ("((a = b => (b /= 2, b / 2)) => a(8))()", "2"),
    ("(({ a = `x${ {b: 1}.b / 1 }y`.length / 2 }) => a)({})", "1.5"),
    ("(({ a = `x${ ((q = `${4}` / 2) => q)() }y` }) => a)({})", "x2y"),
    ("[...(function* () { const { a = yield /\\}/ } = {}; })()]+''", "/\\}/"),
    ("const { a = `${8}` / 2, ...b } = {c: 1}; a + b.c", "5"),
    ("const [ a = `8` / 2, b = Math.max / 2 ] = []; a + '' + b", "4NaN"),
    ("let x, o={in:8}; [x = o.in / 2] = []; x", "4"),
    ("let x, o={in:8}; ({x = o.in / 2 / 1} = {}); x", "4"),
    ("let r = 0; for (const { a = `${8}` / 2 } of [{}]) r += a; r", "4"),
    (
        "((a = class { #p = 8; static f(o) { return o.#p / 2 / 1; } static { /\\)/.test(1) } }) => a.f(new a))()",
        "4",
    ),
    (
        "((a = class { static x = 8; static { this.y = this.x / 2 / 1 } get z() { return 1 / 2 } /* ) */ }) => a.y)()",
        "4",
    ),
    ("(async (a = `${8}` / 2) => a) + ''", "async (a = `${8}` / 2) => a"),
    ("((a = new.target / 2) => a)", "SyntaxError"),
    ("(function (a = (() => new.target / 2 / 1)()) { return a })()", "NaN"),
    ("((a = () => { return /\\)/ }, b = () => { throw /\\)/ }) => a() + '')()", "/\\)/"),
    ("((a = x => { if (x) { } else /\\)/.test(1); return 3 }) => a())()", "3"),
    ("((a = x => { do /\\)/.test(1); while (0); return 3 }) => a())()", "3"),
    ("((a = x => { const y = x\n/2/1; return y }) => a(8))()", "4"),
    ("((let_ = 8, a = let_ / 2) => a)()", "4"),
    ("var let = 8; ((a = let / 2 / 1) => a)()", "4"),
    ("var async = 8; ((a = async / 2 / 1) => a)()", "4"),
    ("var static = 8, get = 4; ((a = static / 2 / get / 1) => a)()", "1"),
    ("'use strict'; ((a = function* () { yield /\\)/ }) => [...a()] + '')()", "/\\)/"),
    ("((a = 1 in /\\)/, b = {} instanceof RegExp / 2) => [a, b])()+''", "TypeError"),
    ("((a = x => x\n/2/1) => a(8))()", "4"),
    ("((a = () => { for (var i in /\\)/) ; return 3 }) => a())()", "3"),
    (
        "((a = (b) => { if (b) return b / 2 / 1; }, c = async (d) => { for await (const e of /\\)/[Symbol.split]('a')) return e; }) => a(8))()",
        "4",
    ),
    ("((a = () => { for (const x of [1]) /\\)/.test(x); return 4 }) => a())()", "4"),
    ("((a = { async *g() { yield /\\)/ }, *h() { yield /\\)/ } }) => [...a.h()] + '')()", "/\\)/"),
    ("((a = { get: 8 }.get / 2 / 1, b = { of: 4 }.of / 2 / 1) => a + b)()", "6"),
    (
        "(function() { const of = 8; return ((x = (of) / 2, y = [of / 2][0], z = f => of / 2 / 1) => x + y + z())() })()",
        "12",
    ),
];

#[test]
fn a_look_ahead_tells_divisions_from_regular_expressions() {
    check(DIVISIONS);
}

/// A closing bracket inside of a regular expression, or a quote, ends neither the look-ahead nor the parameters.
#[test]
fn a_look_ahead_sees_through_nested_templates_and_patterns() {
    check(&[
        ("((x = `${`${`${8}` / 2}` / 2}` / 2) => x)()", "1"),
        ("(({ a: [b = `${{ c: 8 }.c / 2}` / 2] = [], ...d }) => b)({})", "2"),
        ("(([a = ({ of: 8 }).of / 2, { in: b = `6` / 2 } = {}]) => [a, b])([]) + ''", "4,3"),
        ("let a, b; [a = `8` / 2, { b = { if: 6 }.if / 2 }] = [, {}]; [a, b] + ''", "4,3"),
        ("((a = '/)', b = \"/)\", c = `/)`) => a + b + c)()", "/)/)/)"),
        ("((a = 8 /* ) / */ / 2, b = 8 // ) /\n / 4) => a + b)()", "6"),
        ("((a = /[/)]/.source / 2) => a)()", "NaN"),
    ]);
}

/// Two groups of one name are an early error if both can take part in a match: unless they stand in different
/// alternatives of one disjunction.
#[test]
fn groups_of_one_name_stand_in_different_alternatives() {
    let legal = [
        "(?<n>a)|(?<n>b)",
        "(?:(?<n>a)|(?<n>b))",
        "(?:(?<n>a)|(?<n>b))|(?<n>c)",
        "(?<n>a)|(?:(?<n>b)|(?<n>c))",
        "(?:x|(?<n>a)|(?:(?<n>b)|z))|(?<n>q)",
        "(?:(?:(?:(?<n>a)|1)|2)|3)|(?:4|(?:5|(?<n>b)))",
        "((?<n>a)|x)(?<m>b)",
        "(?:(?<n>a)|(?<n>b)){2,3}",
        "(?:(?<n>a)|(?<n>b))*?(?:(?<m>a)|(?<m>b))+",
        "(?=(?<n>a)|(?<n>b))",
        "(?<!(?<n>a)|(?<n>b))",
        "(?!(?<n>a)|(?<m>c))|(?<n>b)",
        "(?<=(?<n>a))|(?=(?<n>b))",
        "(?<m>(?<n>a)|(?<n>b))|(?<n>c)|(?<m>d)",
        "|(?<n>a)|(?<n>b)|",
    ];
    let illegal = [
        "(?<n>a)(?<n>b)",
        "(?<n>a|1)(?<n>b)",
        "(?<n>a)(?:1|(?<n>b))",
        "(?:1|(?<n>a))(?<n>b)",
        "(?:(?<n>a)|(?<n>b))(?<n>c)",
        "(?<n>a)(?:(?<m>b)|(?<m>c)|(?<n>d))",
        "((?<n>a)|x)(?<n>b)",
        "(?:x|(?<n>a))(?:y|(?<n>b))",
        "(?<n>(?<n>a))",
        "(?<n>(?<n>a)|b)",
        "(?<n>a|(?<n>b))",
        "(?<n>a|(?:b|(?<n>c)))",
        "(?=(?<n>a))(?<n>b)",
        "(?!(?<n>a))(?<n>b)",
        "(?<=(?<n>a|1))(?<n>b)",
        "(?<!1|(?<n>a))(?<n>b)",
        "(?:(?<n>a)|1){2}(?<n>b)",
        "(?<n>a)|(?<m>b|1)(?<m>c)",
        "(?:(?<n>a)|(?:(?<m>b)|1)(?<m>c))",
    ];
    for flags in ["", "u", "v", "gimsyd"] {
        for (patterns, expected) in [(&legal[..], "accepted"), (&illegal[..], "SyntaxError")] {
            for pattern in patterns {
                let source = format!("new RegExp('{pattern}', '{flags}'); 'accepted'");
                assert_eq!(outcome(&source), expected, "/{pattern}/{flags}");
            }
        }
    }
    // There may be any number of alternatives, with names in the first and last.
    let many = format!("/(?<n>a){}|(?<n>b)/.exec('b').groups.n", "|1".repeat(1000));
    assert_eq!(outcome(&many), "b");
}

#[test]
fn groups_give_what_took_part_in_the_match() {
    check(&[
        ("/(?<n>a)|(?<n>b)/.exec('b').groups.n", "b"),
        ("/(?:(?<n>a)|(?<n>b))\\k<n>/.exec('abb')[0]", "bb"),
        ("/(?:(?<n>a|1)|(?<n>b)){2}/.exec('ab').groups.n", "b"),
        ("'b-a'.replace(/(?<n>a)|(?<n>b)/g, '[$<n>]')", "[b]-[a]"),
        // In a lookbehind what stands to the right is matched first.
        ("String(/(?<=(?<n>a)x|\\k<n>(?<n>b))c/.exec('abc'))", "null"),
        ("/(?<=(?<n>a)x|\\k<n>(?<n>b))c/.exec('bbc').index", "2"),
        // A name before its group, and one right behind another's.
        ("/\\k<b>(?<a>(?<b>x))y/.exec('xy')[0]", "xy"),
        ("/\\k<b>(?<a>[(](?<b>x))y/.exec('(xy')[0]", "(xy"),
        ("/\\k<b>(?<a>\\((?<b>x))y/.exec('(xy')[0]", "(xy"),
    ]);
}

/// A class of flag `v` that contains strings, in a lookbehind: each is matched as it is written.
#[test]
fn classes_of_strings_are_matched_in_lookbehinds() {
    check(&[
        (r"/(?<=[\q{ab}])x/v.test('abx')", "true"),
        (r"/(?<=[\q{ab}])x/v.test('bax')", "false"),
        (r"/(?<=^[\q{ab|cde}b])x/v.test('cdex')", "true"),
        (r"/(?<=^[\q{ab|cde}b])x/v.test('bx')", "true"),
        (r"/(?<=^[\q{ab|cde}b])x/v.test('ex')", "false"),
        (r"/(?<=^[\q{ab|}])x/v.test('abx')", "true"),
        (r"/(?<=^[\q{ab|}])x/v.test('x')", "true"),
        (r"/(?<=^[\q{abc|ab|c}d]{2})x/v.exec('abcdx').index", "4"),
        (r"/(?<=[\q{AB}c])X/iv.exec('abx')[0]", "x"),
        (r"/(?<!.[\q{ab}b])$/v.test('aab')", "false"),
        (r"/(?<=^\p{RGI_Emoji_Flag_Sequence})x/v.test('\u{1F1E9}\u{1F1EA}x')", "true"),
        (r"/(?<=^[^\p{L}])x/v.test('1x')", "true"),
        (r"/[\q{ab}c]x/v.exec('-abx')[0]", "abx"),
    ]);
}

/// A trap that says yes to an assignment is believed if the target's property is writable, though it cannot be configured.
#[test]
fn a_sealed_property_is_assigned_through_a_proxy() {
    let define = "{ defineProperty: (t, k, d) => Reflect.defineProperty(t, k, d) }";
    let lie = "{ defineProperty: () => true }";
    for (program, value) in [
        (format!("const p = new Proxy(Object.seal({{ a: 1 }}), {define}); p.a = 2; p.a"), "2"),
        (format!("const p = new Proxy({{ a: 1 }}, {define}); p.a = 2; p.a"), "2"),
        (
            format!(
                "Object.defineProperty(new Proxy(Object.seal({{ a: 1 }}), {lie}), 'a', {{ value: 1, writable: false }})"
            ),
            "TypeError",
        ),
        (
            format!(
                "Object.defineProperty(new Proxy(Object.freeze({{ a: 1 }}), {lie}), 'a', {{ value: 2 }})"
            ),
            "TypeError",
        ),
    ] {
        assert_eq!(outcome(&format!("'use strict'; {program}")), value, "{program}");
    }
}
