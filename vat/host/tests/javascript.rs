//! Tests of JavaScript vats on the project's own engine. They are equal under both compilers and
//! across restores, end when they exceed a limit, and are cheap to create.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use capstan_abi::{Delivery, DeliveryResult, Syscall};
use capstan_kernel_ports::{
    Computrons, Hash,
    host::{Delivered, VatHost, WorkerOptions, WorkerSource},
};
use capstan_vat_host::{Compiler, MemoryMode, WasmHost, cost};
use common::{
    BOTH, Kept, V1,
    javascript::{Bundle, COUNTER, Kernel, LIMIT, host, host_in, send, start_vat, started},
    native_stack_high_water,
};

#[test]
fn a_vat_answers_messages() {
    let mut host = host(Compiler::Cranelift);
    let mut kernel = Kernel::default();
    let source = Bundle::of(COUNTER).on(&host);
    started(&mut host, V1, &source, &mut kernel);
    for (method, args, rejected, body) in [
        ("increment", "[]", false, "#1"),
        ("increment", "[]", false, "#2"),
        ("hold", "[10]", false, "#10"),
        ("regexp", "[\"ab cd\"]", false, "#\"Ab Cd\""),
        ("fail", "[]", true, "#{\"#error\":\"no\",\"name\":\"Error\"}"),
    ] {
        let delivered = host.deliver(V1, &send(method, args, 60), LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Ok);
        assert!(delivered.computrons.is_some_and(|spent| spent > Computrons(1_000)));
        let (was_rejected, found) = kernel.last_resolution();
        assert_eq!(was_rejected, rejected, "{method}");
        if !rejected {
            assert_eq!(found, body, "{method}");
        }
    }
    let log = send("log", "[\"a\",{\"b\":1}]", 61);
    let delivered = host.deliver(V1, &log, LIMIT, &mut kernel).unwrap();
    assert_eq!(delivered.test_log, ["a{\"b\":1}"]);
}

#[test]
fn the_end_of_a_start_tells_how_building_the_root_ended() {
    let mut host = host(Compiler::Cranelift);
    let mut kernel = Kernel::default();
    for (body, error) in [
        ("new Promise(() => {})", "buildRootObject unresolved"),
        ("Promise.reject(Error('no root'))", "Error: no root"),
        ("Promise.reject('a text')", "a text"),
        ("{ throw Error('at once'); }", "Error: at once"),
    ] {
        let source = format!("export const buildRootObject = () => {body};");
        let source = Bundle::of(&source).on(&host);
        host.start(V1, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
        let delivered = host.deliver(V1, &start_vat(), LIMIT, &mut kernel).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Error(error.into()), "{body}");
    }
}

/// Everything that can be observed of a vat's life.
#[derive(Debug, PartialEq)]
struct Life {
    engine: Hash,
    deliveries: Vec<Delivered>,
    syscalls: Vec<Syscall>,
    heap: Option<(Hash, u64)>,
}

/// Runs the same life on a host with `compiler` and `memory`. The worker is replaced by a restored
/// image before the deliveries in `restored`.
fn live(
    compiler: Compiler,
    memory: MemoryMode,
    bundle: &Bundle,
    restored: fn(u64) -> bool,
) -> Life {
    let mut host = host_in(compiler, memory);
    let mut kernel = Kernel::default();
    let source = bundle.on(&host);
    host.start(V1, &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
    let mut deliveries = Vec::new();
    for i in 0..60 {
        if restored(i) {
            let image = host.image(V1).unwrap();
            assert_eq!(Some((image.hash(), image.size_bytes())), host.heap(V1));
            let kept = Kept::of(&mut host, V1);
            host.stop(V1);
            kept.restore(&mut host, V1, &source).unwrap();
            assert_eq!(Some((image.hash(), image.size_bytes())), host.heap(V1));
        }
        let delivery = match i {
            0 => start_vat(),
            _ if i % 20 == 19 => Delivery::BringOutYourDead,
            _ => match i % 5 {
                0 => send("make", &format!("[\"n{i}\"]"), 60 + i),
                1 => send("hold", &format!("[{}]", i * 20), 60 + i),
                2 => send("floats", &format!("[{}]", i * 7919), 60 + i),
                3 => send("regexp", "[\"the quick brown fox\"]", 60 + i),
                _ => send("increment", "[]", 60 + i),
            },
        };
        deliveries.push(host.deliver(V1, &delivery, LIMIT, &mut kernel).unwrap());
    }
    Life { engine: host.engine(), deliveries, syscalls: kernel.syscalls, heap: host.heap(V1) }
}

#[test]
fn compilers_restores_and_memory_modes_cannot_be_observed() {
    use MemoryMode::{Copies, CopyOnWrite};
    let bundle = Bundle::of(COUNTER);
    let expected = live(Compiler::Cranelift, CopyOnWrite, &bundle, |_| false);
    assert!(expected.deliveries.iter().all(|d| d.result == DeliveryResult::Ok));
    let lives: [(Compiler, MemoryMode, fn(u64) -> bool); 8] = [
        (Compiler::Singlepass, CopyOnWrite, |_| false),
        (Compiler::Singlepass, CopyOnWrite, |i| i == 21),
        (Compiler::Singlepass, CopyOnWrite, |_| true),
        (Compiler::Cranelift, CopyOnWrite, |i| i == 0),
        (Compiler::Cranelift, CopyOnWrite, |i| i == 38),
        (Compiler::Cranelift, CopyOnWrite, |_| true),
        (Compiler::Singlepass, Copies, |i| i == 21),
        (Compiler::Cranelift, Copies, |_| true),
    ];
    for (number, (compiler, memory, restored)) in lives.into_iter().enumerate() {
        let other = live(compiler, memory, &bundle, restored);
        assert_eq!(other.engine, expected.engine, "{compiler:?}");
        for (i, (one, other)) in expected.deliveries.iter().zip(&other.deliveries).enumerate() {
            assert_eq!(other, one, "delivery {i}, {compiler:?}, life {number}");
        }
        for (one, other) in expected.syscalls.iter().zip(&other.syscalls) {
            assert_eq!(other, one, "{compiler:?}, life {number}");
        }
        assert_eq!(other.heap, expected.heap, "{compiler:?}, life {number}");
    }
}

const PIT: &str = r#"
import { Far } from '@endo/far';
const nest = (n, wrap) => { let x = wrap(0); for (let i = 0; i < n; i += 1) x = wrap(x); return x; };
const run = source => new Compartment().evaluate(source);
const tests = {
  loop: () => { for (;;); },
  promiseLoop: async () => { for (;;) await null; },
  backtrack: () => /^(a+)+$/.test('a'.repeat(40) + 'b'),
  bigSquare: () => { let x = 3n; for (;;) x *= x; },
  bigPower: () => String(7n ** 400000n).length,
  hoard: () => { const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1)); },
  hoardObjects: () => { let a = {}; for (;;) a = { a, b: [1, 2, 3] }; },
  hoardCaught: () => { const a = []; for (;;) { try { a.push(new ArrayBuffer(1 << 24)); } catch (e) {} } },
  repeat: () => { const s = 'xy'.repeat(1 << 28); return s.length; },
  doubling: () => { let s = 'x'; const a = []; for (;;) { s += s; a.push(s + 'y', s.charCodeAt(3)); } },
  recurse: () => { const f = n => f(n + 1) + 1; return f(0); },
  recurseCaught: () => { const f = n => { try { return f(n + 1) + 1; } catch (e) { return 0; } }; return f(0); },
  recurseMutual: () => { const f = a => g(...a, 1).length; const g = (...a) => [f(a)]; return f([]); },
  recurseMethod: () => { const o = { get x() { return this.x; } }; return o.x; },
  recurseNew: () => { class A { constructor() { this.a = new A(); } } return new A(); },
  recurseProxy: () => { const p = new Proxy({}, { get: (t, k) => p[k] }); return p.x; },
  recurseApply: () => { const f = () => Reflect.apply(f, null, []) + f.call(null) + f.bind(null)(); return f(); },
  recurseSort: () => { const f = () => [2, 1, 3].sort(f).length; return f(); },
  recurseMap: () => { const f = x => [x].map(f).reduce(f); return f(1); },
  recurseReplace: () => { const f = () => 'aaa'.replace(/a/g, f); return f(); },
  recurseGenerator: () => { function* g() { yield* g(); } return [...g()]; },
  recurseString: () => { const o = { toString: () => `${o}` }; return `${o}`; },
  recurseToJson: () => { const o = { toJSON: () => JSON.stringify(o) }; return JSON.stringify(o); },
  deepStringify: () => JSON.stringify(nest(200000, x => [x])).length,
  deepParse: () => JSON.parse('['.repeat(200000) + ']'.repeat(200000)).length,
  deepFlat: () => nest(200000, x => [x]).flat(Infinity).length,
  deepToString: () => String(nest(200000, x => [x])).length,
  deepHarden: () => Object.isFrozen(harden(nest(20000, x => ({ x })))),
  deepSend: () => harden(nest(20000, x => [x])),
  deepProxy: () => { const p = nest(100000, x => new Proxy(Object(x), {})); return p.x; },
  deepBound: () => nest(100000, x => (typeof x === 'function' ? x : () => 1).bind(null))(),
  deepRegexp: () => new RegExp('('.repeat(50000) + ')'.repeat(50000)).test('x'),
  deepClass: () => new RegExp('(?=a'.repeat(20000) + ')'.repeat(20000)).test('aaaa'),
  deepInherit: () => nest(300000, x => Object.create(Object(x))).missing,
  deepRope: () => { let s = ''; for (let i = 0; i < 300000; i += 1) s = `${i}` + s; return s.charCodeAt(5); },
  deepPromise: () => nest(100000, x => Promise.resolve(x).then(y => y)),
  deepFunction: () => run('('.repeat(50000) + '1' + ')'.repeat(50000)),
  deepBlocks: () => run('{'.repeat(50000) + '1' + '}'.repeat(50000)),
  deepArrows: () => run('a=>'.repeat(20000) + '1'),
  deepTernary: () => run('1?'.repeat(20000) + '1' + ':1'.repeat(20000)),
  deepArrayLiteral: () => run('['.repeat(30000) + ']'.repeat(30000)),
  deepObjectLiteral: () => run('({a:'.repeat(20000) + '1' + '})'.repeat(20000)),
  deepCalls: () => run('f('.repeat(30000) + ')'.repeat(30000)),
  deepTemplate: () => run('`${'.repeat(20000) + '1' + '}`'.repeat(20000)),
  deepDestructuring: () => run('var ' + '['.repeat(20000) + 'a' + ']'.repeat(20000) + '=1'),
  deepFunctions: () => run('(function(){'.repeat(5000) + '})'.repeat(5000)),
  deepClasses: () => run('(class{m(){'.repeat(3000) + '}})'.repeat(3000)),
  deepIf: () => run('if(1)'.repeat(20000) + '1'),
  deepNew: () => run('new '.repeat(30000) + 'f'),
  deepAssign: () => run('a='.repeat(20000) + '1'),
  deepPower: () => run('2**'.repeat(20000) + '1'),
  deepGroups: () => new RegExp('(?:'.repeat(20000) + 'a' + ')'.repeat(20000)).test('a'),
  deepSets: () => new RegExp('['.repeat(20000) + 'a' + ']'.repeat(20000), 'v').test('a'),
  deepInstanceOf: () => ({}) instanceof nest(100000, f => (f || (() => 1)).bind(null)),
  deepIsArray: () => Array.isArray(nest(100000, x => new Proxy(x || [], {}))),
  deepHas: () => 'x' in nest(100000, x => new Proxy(x || {}, {})),
  deepOwnKeys: () => Reflect.ownKeys(nest(100000, x => new Proxy(x || {}, {}))),
  deepProxyCall: () => nest(100000, f => new Proxy(f || (() => 1), {}))(),
  deepProxyNew: () => new (nest(100000, f => new Proxy(f || class {}, {})))(),
  deepPrototype: () => Reflect.getPrototypeOf(nest(100000, x => new Proxy(x || {}, {}))),
  deepYield: () => [...nest(20000, g => (function* () { yield* g || []; })())],
  deepAwait: async () => { const f = async n => n && (await f(n - 1)); return f(100000); },
  deepReviver: () => JSON.parse('['.repeat(5000) + ']'.repeat(5000), (k, v) => v),
  deepReplacer: () => JSON.stringify(nest(5000, x => [x]), (k, v) => v).length,
  deepError: () => String(nest(50000, cause => Error('x', { cause })).stack),
  deepIterator: () => { const i = () => ({ [Symbol.iterator]: i, next: () => [...i()] }); return [...i()]; },
  deepPrimitive: () => { const o = { [Symbol.toPrimitive]: () => +o }; return +o; },
  deepSetter: () => { const o = { set x(v) { this.x = v; } }; o.x = 1; },
  deepSpecies: () => { class A extends Array { static get [Symbol.species]() { return new A(1).map(x => x); } } return new A(1).map(x => x); },
  deepThen: () => { const t = { then: f => f(t) }; return Promise.resolve(t); },
  deepTag: () => { const f = () => f`x`; return f(); },
  deepFrom: () => { const f = x => Array.from([x], f); return f(1); },
  deepFind: () => { const f = () => [1].find(f); return f(); },
  deepTyped: () => { const f = () => new Uint8Array(2).sort(f); return f(); },
  deepMatchAll: () => { const f = () => [...'a'.matchAll({ [Symbol.matchAll]: f })]; return f(); },
  deepSplit: () => { const o = { [Symbol.split]: () => 'a'.split(o) }; return 'a'.split(o); },
  bigString: () => (3n ** 1000000n).toString().length,
  bigParse: () => BigInt('7'.repeat(300000)) % 10n,
  bigShift: () => (1n << 30000000n) % 3n,
  deepUnary: () => run('!'.repeat(50000) + '1'),
  freeArrays: () => { let a = nest(200000, x => [x]); a = 0; return a; },
  freePrototypes: () => { let a = nest(100000, x => Object.create(Object(x))); a = 0; return a; },
  freeClosures: () => { let f = nest(100000, x => () => x); f = 0; return f; },
  freeBound: () => { let f = nest(100000, x => (x || (() => 1)).bind(null)); f = 0; return f; },
  freeMaps: () => { let m = nest(50000, x => new Map([[x, x]])); m = 0; return m; },
  freeProxies: () => { let p = nest(100000, x => new Proxy(Object(x), {})); p = 0; return p; },
  freeErrors: () => { let e = nest(20000, cause => Error('x', { cause })); e = 0; return e; },
  freeRopes: () => { let s = 'x'.repeat(9000); for (let i = 0; i < 200000; i += 1) s += 'yz'; s = 0; return s; },
  freePromises: () => { let p = nest(50000, x => new Promise(r => r(x))); p = 0; return p; },
  freeGenerators: () => { let g = nest(20000, x => { const i = (function* () { yield x; })(); i.next(); return i; }); g = 0; return g; },
  freeRing: () => { const a = {}; a.a = nest(200000, x => ({ x: x || a })); return 0; },
  freeWeak: () => { const w = new WeakMap(); let k = {}; for (let i = 0; i < 100000; i += 1) { const n = {}; w.set(k, n); k = n; } return 0; },
  ropeMiddle: () => { let s = 'x'.repeat(9000); for (let i = 0; i < 2000; i += 1) s = `y${s}z`; return s.indexOf('x'); },
  ropeKey: () => { let s = 'x'.repeat(9000); for (let i = 0; i < 100000; i += 1) s += 'yz'; return Object.keys({ [s]: 1 })[0].length; },
  cyclicFlat: () => { const a = []; a.push(a); return a.flat(Infinity); },
  cyclicString: () => { const a = []; a.push(a); return String(a); },
  cyclicJson: () => { const a = []; a.push(a); return JSON.stringify(a); },
  longSum: () => run('1' + '+1'.repeat(100000)),
  longList: () => run('[' + '1,'.repeat(100000) + ']').length,
  longTemplate: () => run('`' + '${1}'.repeat(70000) + '`').length,
  longChain: () => run('({})' + '?.a'.repeat(70000)),
  longElse: () => run('if (0) ; else '.repeat(20000) + '1'),
  longSwitch: () => run(`switch (1) { ${'case 0: '.repeat(70000)} }`),
  longNames: () => run(`var ${Array.from({ length: 70000 }, (_, i) => `v${i}`)}; 1`),
  longParameters: () => run(`((${Array.from({ length: 70000 }, (_, i) => `v${i}`)}) => 1)()`),
  longArguments: () => Math.max(...new Array(70000).fill(1)),
  longLabels: () => run(`${Array.from({ length: 20000 }, (_, i) => `l${i}:`).join(' ')} 1`),
  lookAhead: () => run(`${'('.repeat(300)}${'`1` / 2, '.repeat(3000)}1${')'.repeat(300)}`),
  lookAheadPatterns: () => run(`(${'[x = '.repeat(200)}1${'] = []'.repeat(200)}) => x`),
  namesAhead: () => new RegExp(`${'\\k<n>'.repeat(3000)}(?<n>a)`).test('a'),
  namesApart: () => new RegExp(`${'(?:'.repeat(250)}${'(?<n>a)|'.repeat(250)}b${')'.repeat(250)}`).test('b'),
  namesTwice: () => new RegExp(`${'(?<n>a)|'.repeat(200)}(?<m>b)(?<m>c)`),
  stringsBehind: () => new RegExp(`(?<=[\\q{${Array.from({ length: 3000 }, (_, i) => i).join('|')}}])x`, 'v').test('2999x'),
};
export const buildRootObject = () => Far('root', { run: name => tests[name](), names: () => Object.keys(tests).join() });
"#;

/// The pit's vat with its root built, and what its tests are called.
fn pit(compiler: Compiler) -> (WasmHost, WorkerSource, Kept, Vec<String>) {
    let mut host = host(compiler);
    let mut kernel = Kernel::default();
    let source = Bundle::of(PIT).on(&host);
    started(&mut host, V1, &source, &mut kernel);
    let image = Kept::of(&mut host, V1);
    host.deliver(V1, &send("names", "[]", 60), LIMIT, &mut kernel).unwrap();
    let (_, names) = kernel.last_resolution();
    let names = names.trim_start_matches("#\"").trim_end_matches('"');
    (host, source, image, names.split(',').map(str::to_owned).collect())
}

/// Falls into every pit, each from the same image.
fn fall(compiler: Compiler, limit: Computrons) -> Vec<(String, Delivered, Vec<Syscall>)> {
    let (mut host, source, image, names) = pit(compiler);
    let one = |name: String| {
        let mut kernel = Kernel::default();
        image.restore(&mut host, V1, &source).unwrap();
        let delivery = send("run", &format!("[\"{name}\"]"), 61);
        let began = std::time::Instant::now();
        let delivered = host.deliver(V1, &delivery, limit, &mut kernel).unwrap();
        println!("{name}: {:?} {:?} {:?}", delivered.result, delivered.computrons, began.elapsed());
        (name, delivered, kernel.syscalls)
    };
    names.into_iter().map(one).collect()
}

#[test]
fn what_a_vat_exceeds_ends_it_the_same_under_both_compilers() {
    // They run on threads of their own, and so on native stacks of their own.
    let fallen = BOTH.map(|compiler| {
        let run = move || (fall(compiler, Computrons(20_000_000)), native_stack_high_water());
        std::thread::spawn(run).join().unwrap()
    });
    let [(singlepass, _), (cranelift, _)] = &fallen;
    for (one, other) in singlepass.iter().zip(cranelift) {
        assert_eq!(one, other);
    }
    let text = |name: &str| {
        let (_, delivered, _) = cranelift.iter().find(|(n, _, _)| n == name).unwrap();
        match &delivered.result {
            DeliveryResult::Error(text) => text.to_string(),
            DeliveryResult::Ok => "ok".to_owned(),
        }
    };
    for name in ["loop", "promiseLoop", "backtrack", "bigSquare"] {
        assert_eq!(text(name), "Compute meter exceeded", "{name}");
    }
    for name in ["hoard", "hoardCaught", "repeat", "doubling"] {
        assert_eq!(text(name), "Allocate meter exceeded", "{name}");
    }
    for (name, _, _) in cranelift.iter().filter(|(name, _, _)| name.starts_with("recurse")) {
        assert_eq!(text(name), "Stack meter exceeded", "{name}");
    }
    // The native stack must have a margin of four over all of these.
    for (compiler, (_, used)) in BOTH.iter().zip(&fallen) {
        println!("{compiler:?}: {used} bytes of native stack, of {}", cost::NATIVE_STACK_BYTES);
        assert!(*used > 0 && used * 4 <= cost::NATIVE_STACK_BYTES, "{compiler:?} used {used}");
    }
}
