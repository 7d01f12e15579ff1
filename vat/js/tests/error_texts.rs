//! What the engine says about errors: the names of callees, the modules of frames, and rejections that nobody handles.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;

#[test]
fn a_call_of_what_is_no_function_names_it_where_the_name_is_certain() {
    let mut engine = Engine::new();
    let setup = "globalThis.undefinedHere = undefined; globalThis.thrown = f => { try { f(); } catch (e) { return e.message; } };";
    assert_eq!(engine.boot(setup), Ok(0));
    for (code, callee) in [
        ("const x = {}; return thrown(() => x.nothing())", "x.nothing"),
        ("return thrown(() => { const x = {}; x.nothing(1, [2], g => g); })", "x.nothing"),
        ("return thrown(() => { const x = { y: {} }; return x.y.z(); })", "x.y.z"),
        ("return thrown(() => { const f = 1; f(2, 3, 4, 5, 6); })", "f"),
        ("return thrown((a, b) => { b(); })", "b"),
        ("return thrown(() => undefinedHere())", "undefinedHere"),
        ("return thrown(() => undefinedHere(() => 1, Math.max(1, 2), `${1}`))", "undefinedHere"),
        ("return thrown(() => { ({}).inner(); })", "(intermediate value).inner"),
        ("const o = { m() { this.gone(); } }; return thrown(() => o.m())", "this.gone"),
        ("const o = { m() { return () => this.gone(); } }; return thrown(o.m())", "this.gone"),
    ] {
        let said = engine.eval(&format!("(() => {{ {code} }})()"));
        assert_eq!(said, format!("{callee} is not a function"), "{code}");
    }
    for code in [
        "(() => 1)()()",
        "{ const x = {}; x.sure(x.a ? 1 : 2); }",
        "{ const x = {}; x['a' + 1](); }",
        "{ const f = 1; f(...[1]); }",
        "[1].map(2)",
        "Reflect.apply(Math.max.apply, 1, [])",
    ] {
        assert_eq!(engine.eval(&format!("thrown(() => {{ {code} }})")), "not a function", "{code}");
    }
    // A name that is very long, or very deep, is cut or left out.
    let long = "n".repeat(10_000);
    let said = engine.eval(&format!("thrown(() => {{ const x = {{}}; x.{long}(); }})"));
    assert!(said.starts_with("x.nnn") && said.len() < 300, "{said}");
    let deep = "o.o.o.o.o.o.o.o.gone()";
    let said = engine.eval(&format!("thrown(() => {{ const o = {{}}; o.o = o; {deep}; }})"));
    assert_eq!(said, "(intermediate value).o.o.o.gone is not a function");
    // In the midst of a function that is larger than what is looked at.
    let many = "Math.abs(1);".repeat(5_000);
    let said = engine.eval(&format!("thrown(() => {{ {many} const x = {{}}; x.late(); }})"));
    assert_eq!(said, "x.late is not a function");
}

#[test]
fn frames_name_the_module_by_its_source_url() {
    let mut engine = Engine::new();
    let mut frame = |tail: &str| {
        let source = format!("\\nfunction inner() {{ throw Error(\"x\"); }}\\ninner();{tail}");
        let code = format!(
            "(() => {{ try {{ (0, eval)('{source}'); }} catch (e) {{ return e.stack.split('\\n').find(line => line.includes('inner')).trim(); }} }})()"
        );
        engine.eval(&code)
    };
    let named = frame("\\n//# sourceURL=.../shop/src/prices.js\\n");
    assert!(named.starts_with("at inner (.../shop/src/prices.js:2:"), "{named}");
    let exact = format!("\\n//# sourceURL={}", "n".repeat(240));
    assert!(frame(&exact).contains("nnn"));
    for tail in [
        "".to_owned(),
        "\\n//# sourceURL=".to_owned(),
        "\\n// sourceURL=x.js".to_owned(),
        "\\n//# sourceURL=a b.js".to_owned(),
        "\\n//# sourceURL=a(b).js".to_owned(),
        "\\n//# sourceURL=\\u00fc.js".to_owned(),
        format!("\\n//# sourceURL={}", "n".repeat(100_000)),
    ] {
        let unnamed = frame(&tail);
        assert!(unnamed.starts_with("at inner (<input>:2:"), "{tail:.80}: {unnamed}");
    }
}

#[test]
fn rejections_are_told_once_nothing_is_left_to_do_and_nobody_handles_them() {
    let mut engine = Engine::new();
    let console =
        "globalThis.capstanConsole = { unhandled: reason => print(`unhandled ${reason}`) };";
    assert_eq!(engine.boot(console), Ok(0));
    let mut told = |script: &str| {
        let before = engine.log().len();
        assert_eq!(engine.boot(script), Ok(0), "{script}");
        engine.log().split_off(before)
    };
    let nothing: [&str; 0] = [];
    assert_eq!(told("Promise.reject(1);"), ["unhandled 1"]);
    assert_eq!(told("Promise.reject(1).catch(() => {});"), nothing);
    assert_eq!(
        told("{ const p = Promise.reject(1); Promise.resolve().then(() => p.catch(() => {})); }"),
        nothing
    );
    assert_eq!(told("(async () => { await null; throw 2; })();"), ["unhandled 2"]);
    assert_eq!(told("Promise.all([Promise.reject(3), Promise.reject(4)]);"), ["unhandled 3"]);
    assert_eq!(told("Promise.reject(5).then(() => {});"), ["unhandled 5"]);
    // Told before an immediate runs, which may be too late to handle it.
    let late = "{ const p = Promise.reject(6); setImmediate(() => { print('immediate'); p.catch(() => {}); }); }";
    assert_eq!(told(late), ["unhandled 6", "immediate"]);
    let many = told("for (let i = 0; i < 100; i += 1) Promise.reject(i);");
    assert_eq!((many.len(), many[31].as_str()), (32, "unhandled 31"));
    assert_eq!(told("Promise.reject(7);"), ["unhandled 7"], "there is room again");
    let handled =
        "for (let i = 0; i < 1000; i += 1) Promise.reject(i).catch(() => {}); Promise.reject(8);";
    assert_eq!(told(handled), ["unhandled 8"]);
    // What the report itself throws or rejects ends nothing.
    assert_eq!(told("Promise.reject({ toString() { throw 9; } });"), nothing);
    let again = "Promise.reject({ toString() { Promise.reject('inner'); return 'outer'; } });";
    assert_eq!(told(again), ["unhandled outer", "unhandled inner"]);
    assert_eq!(told("delete globalThis.capstanConsole; Promise.reject(10);"), nothing);
}
