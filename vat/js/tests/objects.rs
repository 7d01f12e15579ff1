//! Tests that what makes objects cheaper (`build/objects.rs`) changes nothing that a program can see.
//! `CAPSTAN_TEST_SEED=N` repeats one run of random changes.

#![allow(clippy::unwrap_used)] // tests

mod common;

use common::Engine;

/// Number of random runs.
const RUNS: u64 = 40;

#[test]
fn objects_that_share_their_form_change_on_their_own() {
    let mut engine = Engine::with_shims();
    assert_eq!(engine.boot(include_str!("objects.js")), Ok(0), "{:?}", engine.log());
    let seeds = match std::env::var("CAPSTAN_TEST_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 1..RUNS + 1,
    };
    for seed in seeds {
        assert_eq!(engine.eval(&format!("runObjects({seed})")), "equal", "seed {seed}");
    }
}

/// Evaluates an expression in a new engine with the shims.
fn value(expression: &str) -> String {
    Engine::with_shims().eval(expression)
}

#[test]
fn a_private_field_of_a_frozen_object_can_be_written() {
    let counts = "class Counter { #count = 0; next() { this.#count += 1; return this.#count; } }
        const [a, b] = [harden(new Counter()), harden(new Counter())];
        [a.next(), a.next(), b.next(), Object.isFrozen(a)].join()";
    assert_eq!(value(counts), "1,2,1,true");
    // `harden` sees no private field.
    let hidden = "class Holder { #inner = {}; get inner() { return this.#inner; } }
        Object.isFrozen(harden(new Holder()).inner)";
    assert_eq!(value(hidden), "false");
}

#[test]
fn only_what_was_hardened_whole_counts_as_hardened() {
    let script = "const inner = { x: 1 };
        const bad = new Proxy({}, { preventExtensions: () => false });
        let thrown; try { harden({ inner, bad }); } catch (error) { thrown = error.name; }
        inner.deep = undefined; const late = { y: 1 };
        [thrown, Object.isFrozen(inner), Object.isFrozen(harden({ inner, late }).late)].join()";
    assert_eq!(value(script), "TypeError,true,true");
    let twice = "const a = harden([{ x: 1 }]); a === harden(a) && Object.isFrozen(a[0])";
    assert_eq!(value(twice), "true");
}

#[test]
fn a_getter_returns_the_variable_as_it_is_now() {
    let script = "let v = 1; const object = { get p() { return v; } }; const derived = { __proto__: object };
        const first = [object.p, derived.p]; v = { deep: 2 };
        [...first, object.p === v, derived.p === v, Reflect.get(object, 'p', 5) === v].join()";
    assert_eq!(value(script), "1,1,true,true,true");
    let primitive = "let w = 'w'; Object.defineProperty(String.prototype, 'tail', { get() { return w; } }); 'x'.tail";
    assert_eq!(value(primitive), "w");
    let early = "const object = { get p() { return later; } }; let name;
        try { object.p; } catch (error) { name = error.name; } let later = 3; [name, object.p].join()";
    assert_eq!(
        value(&format!("(() => {{ {} }})()", early.replace("[name,", "return [name,"))),
        "ReferenceError,3"
    );
    // An accessor with a `this`, and one that throws, run.
    let own = "({ x: 4, get p() { return this.x; } }).p";
    assert_eq!(value(own), "4");
}

#[test]
fn scopes_of_with_find_what_their_objects_have() {
    let script = "var outer = 'outer'; const seen = [];
        const proxy = new Proxy({}, { has: (_, key) => { seen.push(String(key)); return false; } });
        const hidden = { outer: 'hidden', [Symbol.unscopables]: { outer: true } };
        let found; with (proxy) { with (hidden) { found = outer; } }
        const made = { __proto__: { get outer() { return 'inherited'; } } };
        with (made) { found += ' ' + outer; }
        with ({}) { outer = 'written'; }
        with ([1, 2]) { found += ' ' + length; }
        [found, outer, seen.includes('outer')].join()";
    assert_eq!(value(script), "outer inherited 2,written,true");
}

#[test]
fn variables_are_uninitialized_again_in_each_turn() {
    let script = "(() => { const seen = []; for (let i = 0; i < 3; i += 1) {
        const read = [() => a, () => b, () => c].map(f => { try { return f(); } catch (error) { return error.name; } });
        seen.push(...read); let a = i, b = i, c = i; seen.push(a + b + c); } return seen.join(); })()";
    let turn = |sum: u32| format!("ReferenceError,ReferenceError,ReferenceError,{sum}");
    assert_eq!(value(script), [turn(0), turn(3), turn(6)].join(","));
}

#[test]
fn a_literal_takes_its_fields_in_order_and_the_last_of_a_name() {
    let script = "const name = 'b'; const o = { a: 1, b: 2, a: 3, 5: 'five', [name]: 4, __proto__: { c: 9 }, ['__proto__']: 8 };
        [JSON.stringify(o), Object.getPrototypeOf(o).c, Reflect.ownKeys(o).join('')].join()";
    assert_eq!(value(script), r#"{"5":"five","a":3,"b":4,"__proto__":8},9,5ab__proto__"#);
}
