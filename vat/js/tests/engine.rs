//! Tests of the engine by itself, before lockdown: its ABI, its globals, and its faults.

#![allow(clippy::unwrap_used)] // tests

mod common;

use capstan_test_random::Random;
use common::{End, Engine};

#[test]
fn the_module_has_the_abi_and_nothing_else() {
    let mut exports = common::exports();
    exports.sort();
    let expected = ["capstan_abi", "capstan_alloc", "capstan_boot", "capstan_deliver", "memory"];
    assert_eq!(exports, expected);
    let mut imports = common::imports();
    imports.sort();
    let names = ["done", "fault", "log", "syscall", "take_result"];
    assert_eq!(imports, names.map(|name| format!("capstan.{name}")));
    assert_eq!(common::max_memory_pages(), Some(2048));
    assert_eq!(Engine::new().call("capstan_abi", &[]), Ok(Some(2)));
}

#[test]
fn text_is_encoded_as_the_standard_says() {
    let mut engine = Engine::with_shims();
    let encode = "[...new TextEncoder().encode(TEXT)].map(b => b.toString(16)).join(' ')";
    for (text, bytes) in [
        ("''", ""),
        ("undefined", ""),
        ("'aé€😀'", "61 c3 a9 e2 82 ac f0 9f 98 80"),
        ("'\\uD800'", "ef bf bd"),
        ("'\\uDC00\\uD800x'", "ef bf bd ef bf bd 78"),
        ("'\\uD83D\\uDE00\\uD83D'", "f0 9f 98 80 ef bf bd"),
        ("'\\uD7FF\\uE000'", "ed 9f bf ee 80 80"),
    ] {
        assert_eq!(engine.eval(&encode.replace("TEXT", text)), bytes, "{text}");
    }
}

/// Rust's lossy decoder follows the same rule: U+FFFD for each maximal invalid part.
#[test]
fn any_bytes_are_decoded_as_the_standard_says() {
    let mut random = Random::seeded(1);
    let mut engine = Engine::with_shims();
    let alphabet =
        [0x41, 0x80, 0xBF, 0x9F, 0xA0, 0x8F, 0x90, 0xC1, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5];
    for _ in 0..2000 {
        let length = random.below(7);
        let bytes: Vec<u8> = (0..length).map(|_| *random.choose(&alphabet)).collect();
        let decoder = format!(
            "new TextDecoder('utf-8', {{ ignoreBOM: true }}).decode(new Uint8Array({bytes:?}))"
        );
        let codes = format!("[...{decoder}].map(c => c.codePointAt(0)).join()");
        let expected = String::from_utf8_lossy(&bytes);
        let expected: Vec<String> = expected.chars().map(|c| (c as u32).to_string()).collect();
        assert_eq!(engine.eval(&codes), expected.join(","), "{bytes:x?}");
        let fatal = format!(
            "try {{ new TextDecoder('utf8', {{ fatal: true }}).decode(new Uint8Array({bytes:?})); 'valid' }} catch (e) {{ e.name }}"
        );
        let is_valid = std::str::from_utf8(&bytes).is_ok();
        assert_eq!(engine.eval(&fatal), if is_valid { "valid" } else { "TypeError" }, "{bytes:x?}");
    }
}

#[test]
fn a_decoder_takes_views_and_marks() {
    let mut engine = Engine::with_shims();
    for (expression, value) in [
        ("new TextDecoder().decode(new Uint8Array([0xEF, 0xBB, 0xBF, 97]))", "a"),
        (
            "new TextDecoder('UTF-8', { ignoreBOM: true }).decode(new Uint8Array([0xEF, 0xBB, 0xBF, 97])).length",
            "2",
        ),
        ("new TextDecoder().decode(new Uint8Array([97, 98, 99, 100]).subarray(1, 3))", "bc"),
        ("new TextDecoder().decode(new Uint8Array([97]).buffer)", "a"),
        ("new TextDecoder().decode()", ""),
        ("try { new TextDecoder('latin1') } catch (e) { e.name }", "RangeError"),
        (
            "try { new TextDecoder().decode(new Uint8Array(1), { stream: true }) } catch (e) { e.name }",
            "TypeError",
        ),
    ] {
        assert_eq!(engine.eval(expression), value, "{expression}");
    }
}

#[test]
fn base64_is_strict() {
    let mut engine = Engine::with_shims();
    // RFC 4648, section 10.
    for (text, encoded) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        let encode = format!("Base64.encode(new TextEncoder().encode('{text}'))");
        assert_eq!(engine.eval(&encode), encoded);
        let decode = format!("new TextDecoder().decode(Base64.decode('{encoded}'))");
        assert_eq!(engine.eval(&decode), text);
    }
    for bad in ["A", "AA", "AA=A", "A===", "AB==", "AA==AA==", "A*==", "AAA\\n"] {
        let decode = format!("try {{ Base64.decode('{bad}') }} catch (e) {{ e.name }}");
        assert_eq!(engine.eval(&decode), "TypeError", "{bad}");
    }
    let view = "Base64.encode(new Uint8Array([1, 2, 3, 4]).subarray(1, 3))";
    assert_eq!(engine.eval(view), "AgM=");
}

#[test]
fn a_registry_lets_go_of_a_target_that_is_its_own_token() {
    let mut engine = Engine::with_shims();
    let set_up = engine.boot(
        "const seen = []; const registry = new FinalizationRegistry(held => seen.push(held));
         const watch = (make, held) => { const target = make(); registry.register(target, held, target); };
         watch(() => ({}), 'plain');
         watch(() => { const cycle = {}; cycle.self = cycle; return cycle; }, 'cycle');
         let kept = {}; registry.register(kept, 'kept', kept);
         (() => { const target = {}; registry.register(target, 'unregistered', target);
                  seen.push(registry.unregister(target), registry.unregister(target)); })();
         gc();
         setImmediate(() => { seen.push('then'); kept = undefined; gc(); });",
    );
    assert_eq!(set_up, Ok(0));
    assert_eq!(engine.eval("seen.join()"), "true,false,plain,cycle,then,kept");
}

#[test]
fn what_a_boot_script_leaves_is_permanent_and_what_it_holds_is_not() {
    let mut engine = Engine::with_shims();
    let set_up = engine.boot(
        "const seen = []; const registry = new FinalizationRegistry(held => seen.push(held));
         const watch = (target, held) => { registry.register(target, held); return target; };
         const form = { first: 'one', second: 'two' };
         let holder = watch({ slot: undefined, list: [], map: new Map(), weak: new WeakMap() }, 'holder');
         const counter = () => { let count = 0; return { up: () => ++count, text: `n${count}` }; };",
    );
    assert_eq!(set_up, Ok(0));
    // An immediate runs when the jobs of the collection before have run.
    let used = engine.boot(
        "const cycle = () => { const object = { first: 1, second: 2 }; object.self = object; return object; };
         const steps = [
           () => { holder.slot = watch(cycle(), 'slot'); holder.list.push(watch(cycle(), 'list'));
                   holder.map.set('key', watch(cycle(), 'map')); holder.weak.set(form, watch(cycle(), 'weak'));
                   (() => watch({ holder, form }, 'refers to it'))();
                   (() => { const ring = watch({ holder }, 'ring'); ring.ring = ring; })(); gc(); },
           () => { seen.push('all held'); holder.slot = undefined; gc(); },
           () => { holder.list.length = 0; gc(); },
           () => { holder.map.delete('key'); gc(); },
           () => { holder.weak.delete(form); gc(); },
           () => { // Its form changes, as that of any object, and no other one's.
                   form.third = 'three'; delete form.first; holder.extra = 1; Object.freeze(form);
                   seen.push(Object.keys(form).join('+'), Object.keys({ first: 1, second: 2 }).join('+'));
                   for (let i = 0; i < 10_000; i++) { const { up, text } = counter(); up(); seen.last = text + up(); }
                   seen.push(seen.last); holder = undefined; gc(); },
           () => seen.push('end'),
         ];
         const next = () => { const step = steps.shift(); if (step) { step(); setImmediate(next); } };
         next();",
    );
    assert_eq!(used, Ok(0), "{:?}", engine.log());
    assert_eq!(
        engine.eval("seen.join()"),
        "refers to it,ring,all held,slot,list,map,weak,second+third,first+second,n02,end"
    );
}

#[test]
fn promise_jobs_come_before_immediates() {
    let mut engine = Engine::with_shims();
    let set_up = engine.boot(
        "const order = []; const note = x => () => { order.push(x); };
         setImmediate(() => { order.push('i1'); setImmediate(note('i3')); Promise.resolve().then(note('p4')); });
         setImmediate(note('i2'));
         Promise.resolve().then(note('p1')).then(note('p2')).then(note('p3'));",
    );
    assert_eq!(set_up, Ok(0));
    assert_eq!(engine.eval("order.join()"), "p1,p2,p3,i1,p4,i2,i3");
}

#[test]
fn there_is_no_time_and_no_chance() {
    let observe =
        "[Date.now(), new Date(0).getTimezoneOffset(), Math.random(), Math.random()].join()";
    let first = Engine::with_shims().eval(observe);
    assert!(first.starts_with("0,0,0."), "{first}");
    assert_eq!(Engine::with_shims().eval(observe), first);
}

#[test]
fn a_script_that_throws_is_reported() {
    let mut engine = Engine::with_shims();
    assert_eq!(engine.boot("throw Error('no good')"), Ok(1));
    assert!(engine.log().iter().any(|line| line == "Error: no good"));
    assert_eq!(engine.boot("syntax error"), Ok(1));
    assert_eq!(engine.boot("Promise.reject(1); 1"), Ok(0));
}

#[test]
fn a_command_is_answered_once_whatever_the_supervisor_does() {
    let no_reply = "[\"error\",\"the supervisor gave no reply\",null]";
    for (supervisor, reply) in [
        ("", no_reply),
        ("globalThis.handleCommand = () => { throw 1; };", no_reply),
        ("globalThis.handleCommand = () => ({});", no_reply),
        ("globalThis.handleCommand = () => null;", no_reply),
        ("globalThis.handleCommand = command => ({ result: command });", "[\"hello\"]"),
        (
            "globalThis.handleCommand = command => { const report = {}; \
             setImmediate(() => { report.result = issueCommand(command); }); return report; };",
            "answer to [\"hello\"]",
        ),
    ] {
        let mut engine = Engine::with_shims();
        assert_eq!(engine.boot(supervisor), Ok(0));
        assert_eq!(engine.deliver("[\"hello\"]"), Ok(vec![reply.to_string()]), "{supervisor}");
    }
}

/// Each runs out of stack in another part of the engine. None may catch it.
#[test]
fn a_full_stack_ends_the_vat() {
    for program in [
        "const f = () => 1 + f(); f();",
        "class A { constructor() { new A(); } } new A();",
        "const o = { get x() { return o.x; } }; o.x;",
        "const o = { toString() { return `${o}`; } }; `${o}`;",
        "const f = () => [2, 1].sort(f); f();",
        "const f = () => 'a'.replace(/a/, f); f();",
        "function* g() { yield* g(); } [...g()];",
        "JSON.parse('['.repeat(300000));",
        "JSON.parse('{\"a\":'.repeat(300000));",
        "let a = []; for (let i = 0; i < 20000; i++) a = [a]; String(a);",
        "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); p.x;",
        "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); Object.keys(p);",
        "(0, eval)('('.repeat(100000));",
        "(0, eval)('`${'.repeat(100000));",
        "(0, eval)('{'.repeat(100000));",
        "new RegExp('(?:'.repeat(100000) + ')'.repeat(100000));",
        "new RegExp('['.repeat(100000) + ']'.repeat(100000), 'v');",
        // More than the reserve in one frame: the trap at an address out of bounds.
        "const names = Array.from({ length: 30000 }, (_, i) => `a${i}`).join(); \
         (0, eval)(`const f = (${names}) => f(); f();`);",
    ] {
        let mut engine = Engine::with_shims();
        let end = engine.boot(&format!("try {{ {program} }} catch (e) {{ print('caught', e); }}"));
        let is_stack = matches!(end, Err(End::Fault(2) | End::OutOfBounds));
        assert!(is_stack, "{program}: {end:?}, log {:?}", engine.log());
    }
}

#[test]
fn refused_memory_ends_the_vat() {
    for program in [
        "const all = []; for (;;) all.push(new Uint8Array(1 << 20));",
        "const all = []; for (;;) all.push({});",
        "new ArrayBuffer(2 ** 31 - 1);",
        "'ab'.repeat(2 ** 27).indexOf('c');",
        "const all = new Map(); for (let i = 0; ; i++) all.set(i, `${i}`);",
        "Array(2 ** 32 - 2).fill(1);",
        "let s = 'x'; for (;;) s += s;",
        "let s = 'x'; for (;;) s = `${s}${s}`;",
        "let s = 'x'; for (;;) s = s.concat(s);",
        "'xx'.repeat(2 ** 30);",
        "'x'.padStart(2 ** 31);",
        "'x'.padEnd(Infinity);",
        "const s = 'x'.repeat(2 ** 16); s.split('').join(s);",
    ] {
        let mut engine = Engine::with_shims();
        let end = engine.boot(&format!("try {{ {program} }} catch (e) {{ print('caught', e); }}"));
        assert_eq!(end, Err(End::Fault(1)), "{program}: log {:?}", engine.log());
    }
}

/// Lengths that the standard refuses, and BigInts, which messages contain. XS refuses them at other
/// sizes.
#[test]
fn a_size_that_the_standard_refuses_is_an_error_that_can_be_caught() {
    for program in [
        "'x'.repeat(2 ** 31)",
        "'x'.repeat(-1)",
        "''.repeat(Infinity)",
        "new Array(2 ** 32)",
        "new ArrayBuffer(2 ** 31)",
        "new ArrayBuffer(8).transfer(2 ** 40)",
        "new Uint8Array(2 ** 53 - 1)",
        "[].length = 2 ** 32",
        "Array.prototype.slice.call({ length: 2 ** 32 })",
        "1n << (2n ** 30n)",
        "3n ** (2n ** 40n)",
        "BigInt.asUintN(2 ** 40, -1n)",
        "BigInt('9'.repeat(400000))",
    ] {
        let mut engine = Engine::with_shims();
        let name = format!(
            "(() => {{ try {{ return typeof ({program}); }} catch (e) {{ return e.name; }} }})()"
        );
        assert_eq!(engine.eval(&name), "RangeError", "{program}");
    }
}
