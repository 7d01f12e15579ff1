//! Tests of images, of caches and of many workers at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{fs, path::Path};

use capstan_abi::{DeliveryResult, Syscall};
use capstan_kernel_ports::{
    Hash, VatId,
    host::{VatHost, WorkerOptions, WorkerSource},
};
use capstan_vat_host::{Compilers, HostOptions, MemoryMode, WasmHost};
use common::*;

/// Worker with state of every kind: memory written and grown, globals of all four types, data
/// segments that were overwritten, a passive segment, a table. It reports its state to the kernel
/// as the key of a vatstoreGet.
fn stateful() -> Vec<u8> {
    worker(
        r#"(global $a (mut i32) (i32.const 5))
        (global $b (mut i64) (i64.const -6))
        (global $c (mut f32) (f32.const 0.5))
        (global $d (mut f64) (f64.const nan:0x123))
        (global $fixed i32 (i32.const 3))
        (data (i32.const 2048) "will be overwritten")
        (data $p "passive")
        (type $t (func (result i32)))
        (table 2 funcref) (elem (i32.const 0) $f $g)
        (func $f (type $t) (i32.const 1)) (func $g (type $t) (i32.const 2))"#,
        r#"(global.set $a (i32.add (global.get $a) (call_indirect (type $t) (i32.and (global.get $a) (i32.const 1)))))
        (global.set $b (i64.mul (global.get $b) (i64.const 31)))
        (global.set $c (f32.div (global.get $c) (f32.const 3)))
        (i32.store (i32.const 2048) (global.get $a))
        (memory.init $p (i32.const 2060) (i32.const 0) (i32.const 7))
        (if (i32.lt_u (memory.size) (i32.const 6)) (then (drop (memory.grow (i32.const 1)))))
        (i64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)) (global.get $b))
        ;; Syscall::VatstoreGet with a key of 2 hex digits of state
        (i32.store8 (i32.const 0) (i32.const 5))
        (i32.store (i32.const 1) (i32.const 2))
        (i32.store8 (i32.const 5) (i32.add (i32.const 65) (i32.and (global.get $a) (i32.const 15))))
        (i32.store8 (i32.const 6) (i32.add (i32.const 65) (i32.wrap_i64 (i64.and (global.get $b) (i64.const 15)))))
        (drop (call $syscall (i32.const 0) (i32.const 7)))
        (call $take_result (i32.const 3000))"#,
    )
}

/// Makes some deliveries to `vat` and returns the spent points and the syscalls.
fn run(host: &mut WasmHost, vat: VatId, times: usize) -> Vec<String> {
    let mut answers = Answers::default();
    let one = |_| {
        let delivered = host.deliver(vat, &message("m"), LIMIT, &mut answers).unwrap();
        assert_eq!(delivered.result, DeliveryResult::Ok);
        format!("{delivered:?}")
    };
    let mut seen: Vec<String> = (0..times).map(one).collect();
    seen.extend(answers.syscalls.iter().map(|syscall| match syscall {
        Syscall::VatstoreGet { key } => key.to_string(),
        other => format!("{other:?}"),
    }));
    seen
}

#[test]
fn a_restored_worker_goes_on_as_the_one_it_was_taken_from() {
    for (compiler, memory) in BOTH.into_iter().flat_map(|c| MEMORY_MODES.map(|m| (c, m))) {
        let module = stateful();
        let mut host = host_in(compiler, memory);
        start(&mut host, V1, &module);
        run(&mut host, V1, 3);
        let image = host.image(V1).unwrap();
        assert_eq!(host.heap(V1), Some((image.hash(), image.size_bytes())));
        let kept = Kept::of(&mut host, V1);
        assert_eq!(kept.image.hash, image.hash());
        kept.restore(&mut host, VatId(2), &wasm(&module)).unwrap();
        assert_eq!(host.image(VatId(2)).unwrap(), image);
        assert_eq!(run(&mut host, V1, 5), run(&mut host, VatId(2), 5));
        assert_eq!(host.heap(V1), host.heap(VatId(2)));
        assert_ne!(host.image(V1).unwrap().hash(), image.hash());
        // Other compilers and other ways to hold memory take each other's images.
        for (other, memory) in BOTH.into_iter().flat_map(|c| MEMORY_MODES.map(|m| (c, m))) {
            let mut host_2 = host_in(other, memory);
            kept.restore(&mut host_2, V1, &wasm(&module)).unwrap();
            run(&mut host_2, V1, 5);
            assert_eq!(host_2.heap(V1), host.heap(V1));
        }
    }
}

#[test]
fn a_damaged_snapshot_is_a_host_fault_and_leaves_no_worker() {
    let module = stateful();
    let mut host = host(BOTH[0]);
    start(&mut host, V1, &module);
    run(&mut host, V1, 2);
    let kept = Kept::of(&mut host, V1);
    let own = kept.image.pages.len();
    assert!((2..16).contains(&own), "{own} pages differ from zeros");
    let spoil: [fn(&mut Kept); 8] = [
        |kept| kept.image.head[0] = 9,
        |kept| kept.image.head[6] ^= 1,
        |kept| kept.image.head.truncate(3),
        |kept| kept.image.memory_bytes += 65_536,
        |kept| kept.image.memory_bytes += 1,
        |kept| kept.image.pages.reverse(),
        |kept| kept.image.pages[0].number = u32::MAX,
        |kept| kept.pages.values_mut().for_each(|page| page[7] ^= 1),
    ];
    for (i, spoil) in spoil.into_iter().enumerate() {
        let mut damaged = kept.clone();
        spoil(&mut damaged);
        let fault = damaged.restore(&mut host, V1, &wasm(&module)).unwrap_err();
        assert!(fault.text().contains("heap snapshot"), "{i}: {fault}");
        assert!(!host.is_running(V1));
    }
    // A snapshot of another module.
    assert!(kept.restore(&mut host, V1, &wasm(&worker("", ""))).is_err());
    kept.restore(&mut host, V1, &wasm(&module)).unwrap();
    assert_eq!(host.heap(V1).unwrap().0, kept.image.hash);
}

#[test]
fn the_heap_hash_is_a_function_of_memory_and_globals() {
    let hashes = MEMORY_MODES.map(heap_hashes);
    assert_eq!(hashes[0], hashes[1]);
}

fn heap_hashes(memory: MemoryMode) -> [Hash; 4] {
    let mut host = host_in(BOTH[0], memory);
    for (vat, items) in [
        (1, ""),
        (2, ""),
        (3, "(data (i32.const 9) \"x\")"),
        (4, "(global (mut i32) (i32.const 1))"),
    ] {
        start(&mut host, VatId(vat), &worker(items, ""));
    }
    let hash = |vat| host.heap(VatId(vat)).unwrap().0;
    assert_eq!(hash(1), hash(2));
    assert_ne!(hash(1), hash(3));
    assert_ne!(hash(1), hash(4));
    assert_eq!(host.heap(VatId(1)).unwrap().1, 65_536);
    assert_eq!(host.heap(VatId(9)), None);
    [1, 2, 3, 4].map(hash)
}

#[test]
fn javascript_workers_start_from_the_booted_image_and_do_not_share_what_they_write() {
    for (compiler, memory) in BOTH.into_iter().flat_map(|c| MEMORY_MODES.map(|m| (c, m))) {
        let mut host = host_in(compiler, memory);
        let source = WorkerSource::JavaScript {
            engine: host.engine(),
            bundle_id: format!("b1-{}", "0".repeat(128)),
            zip: b"zip".to_vec(),
        };
        for vat in [1, 2, 3] {
            host.start(VatId(vat), &source, &WorkerOptions::default()).unwrap().verdict.unwrap();
        }
        deliver(&mut host, VatId(2)).unwrap();
        // The toy engine counts its commands at 64, and the bytes of its boot scripts at 68.
        for (vat, commands) in [(1, 2), (2, 3), (3, 2)] {
            let image = host.image(VatId(vat)).unwrap();
            let first = image.pages().next().unwrap();
            assert_eq!(first[64..72], [commands, 0, 0, 0, 4, 0, 0, 0]);
        }
        // The stop of one leaves the others alone.
        host.stop(VatId(1));
        assert!(!host.is_running(VatId(1)) && host.is_running(VatId(2)));
        deliver(&mut host, VatId(3)).unwrap();
    }
}

#[test]
fn bad_sources_are_refused_the_same_everywhere() {
    let mut host = host(BOTH[0]);
    let engine = host.engine();
    let mut start = |engine, bundle_id: &str| {
        let source =
            WorkerSource::JavaScript { engine, bundle_id: bundle_id.to_owned(), zip: vec![] };
        host.start(V1, &source, &WorkerOptions::default())
    };
    let refusal = start(engine, "b1-12").unwrap().verdict.unwrap_err();
    assert!(refusal.0.contains("is not the id of an Endo bundle"), "{refusal}");
    let fault = start(capstan_kernel_ports::Hash([7; 32]), "b1-12").map(|_| ());
    assert!(fault.is_ok(), "the id is looked at first: {fault:?}");
    let fault =
        start(capstan_kernel_ports::Hash([7; 32]), &format!("b1-{}", "a".repeat(128))).unwrap_err();
    assert!(fault.text().contains("is not on this node"), "{fault}");
}

fn cached(dir: &Path) -> HostOptions {
    HostOptions {
        cache_dir: Some(dir.to_owned()),
        compilers: Compilers { engine: BOTH[0], modules: BOTH[0] },
        ..HostOptions::default()
    }
}

/// Returns the files in the cache, with their contents.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_damaged_cache_file_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let module = stateful();
    let story = || {
        let mut host = open(cached(dir.path()));
        start(&mut host, V1, &module);
        (host.engine(), run(&mut host, V1, 3), host.heap(V1))
    };
    let expected = story();
    let made = files(dir.path());
    // Two artifacts and the engine's image.
    assert_eq!(made.len(), 3, "{made:?}");
    assert_eq!(story(), expected, "from the cache");
    for (path, contents) in &made {
        let mut flipped = contents.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let mut last = contents.clone();
        *last.last_mut().unwrap() ^= 0x80;
        let truncated = contents[..middle].to_vec();
        let of_another = made.iter().find(|(other, _)| other != path).unwrap().1.clone();
        for damaged in [flipped, last, truncated, of_another, vec![], b"short".to_vec()] {
            fs::write(path, damaged).unwrap();
            assert_eq!(story(), expected);
            // The artifact is made again to the bit, or at least to another good one.
            assert!(fs::read(path).unwrap().len() > 32);
        }
    }
    assert_eq!(files(dir.path()).len(), 3, "no temporary files are left");
}

#[test]
fn a_cache_that_cannot_be_written_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "in the way").unwrap();
    let refused = WasmHost::open(toy_engine(), cached(&blocked.join("cache")), &|_| ());
    assert!(refused.unwrap_err().to_string().starts_with("cannot create the cache directory"));
    // Writing fails later, since a directory is at the path of each file.
    let probe = dir.path().join("probe");
    open(cached(&probe));
    for (path, _) in files(&probe) {
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.join("x")).unwrap();
    }
    let mut host = open(cached(&probe));
    start(&mut host, V1, &worker("", ""));
    assert_eq!(deliver(&mut host, V1).unwrap().result, DeliveryResult::Ok);
}

#[test]
fn full_caches_drop_what_nobody_runs_and_change_no_result() {
    let modules: Vec<Vec<u8>> =
        (0..6).map(|n| worker("", &"(drop (i32.const 1))".repeat(50 * n))).collect();
    let story = |options: HostOptions| {
        let mut host = open(options);
        let usage = host.usage();
        // One module is run all the time, the others one after another and again.
        start(&mut host, VatId(99), &modules[0]);
        let mut results = Vec::new();
        for module in modules.iter().chain(&modules) {
            start(&mut host, V1, module);
            let delivered = deliver(&mut host, V1).unwrap();
            results.push((delivered.result, delivered.computrons, host.heap(V1)));
            host.stop(V1);
        }
        results.push((deliver(&mut host, VatId(99)).unwrap().result, None, None));
        (results, usage.artifact_bytes(), usage.idle_code_bytes())
    };
    let (roomy, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (expected, disk, idle) = story(cached(roomy.path()));
    let artifacts = |dir: &Path| {
        let artifact = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
            (path.extension().unwrap() == "artifact").then_some(bytes.len() as u64)
        };
        files(dir).into_iter().filter_map(artifact).collect::<Vec<_>>()
    };
    // Those of the users and the engine's.
    assert_eq!(artifacts(roomy.path()).len(), 7);
    assert_eq!(disk, artifacts(roomy.path()).iter().sum::<u64>());
    assert!(idle > 0 && idle < disk);
    let bounds =
        HostOptions { max_artifact_bytes: 1, max_idle_code_bytes: 0, ..cached(full.path()) };
    let (results, disk, idle) = story(bounds);
    assert_eq!(results, expected);
    // The engine's, that of v99, and the last one that was compiled, which ran then.
    assert_eq!(artifacts(full.path()).len(), 3);
    assert_eq!((disk, idle), (artifacts(full.path()).iter().sum(), 0));
}

#[test]
fn hundreds_of_workers_run_side_by_side() {
    let mut host = host(BOTH[0]);
    let module = stateful();
    for vat in 1..=600 {
        start(&mut host, VatId(vat), &module);
    }
    let expected = run(&mut host, VatId(1), 2);
    for vat in 2..=600 {
        assert_eq!(run(&mut host, VatId(vat), 2), expected);
    }
}

#[test]
fn a_host_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let mut host = host(BOTH[0]);
    is_send(&host);
    let module = stateful();
    start(&mut host, V1, &module);
    let first = run(&mut host, V1, 2);
    let (mut host, second) = std::thread::spawn(move || {
        let second = run(&mut host, V1, 2);
        (host, second)
    })
    .join()
    .unwrap();
    assert_ne!(first, second);
    assert_eq!(run(&mut host, V1, 2).len(), 4);
}
