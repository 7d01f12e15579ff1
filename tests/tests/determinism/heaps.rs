//! Vats come back from heap snapshots and transcripts, and nothing of that can be seen: whenever a node is killed,
//! however few vats it keeps in memory, whatever it archives, it comes to the same root at every height.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use capstan_abi::CapData;
use capstan_kernel::promise::ResultPolicy;
use capstan_kernel::vat::{ReapThreshold, Threshold};
use capstan_kernel::{KernelOptions, NodeOptions, view};
use capstan_kernel_ports::host::{HeapImage, VatHost};
use capstan_kernel_ports::store::Read;
use capstan_kernel_ports::{Hash, VatId};
use capstan_tests::Options;
use capstan_tests::mixed::{CRANKS, Cranks, MixedNode, often};
use capstan_vat_host::MemoryMode;
use sha2::{Digest, Sha256};

fn few() -> NodeOptions {
    NodeOptions { max_vats_online: 2, ..NodeOptions::default() }
}

/// The roots of a node that was left alone.
fn roots() -> &'static [Hash] {
    static ROOTS: OnceLock<Vec<Hash>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut node = MixedNode::start(NodeOptions::default(), often());
        let roots = node.live(|node| audit(&node.store().reader()));
        assert!(roots.len() > 20, "the story has {} blocks", roots.len());
        roots
    })
}

#[test]
fn a_node_killed_after_any_crank_goes_on_as_if_nothing_had_been() {
    let mut node = MixedNode::start(few(), often());
    let mut killed = 0;
    let roots_of_killed = node.live(|node| {
        for cranks in 0..CRANKS {
            let (_, idle) = node.execute(cranks);
            // A new process is costly to make: once a block. All vats are gone from memory either way.
            match cranks {
                0 => node.kill(),
                _ => node.kernel.evict_all(),
            }
            killed += 1;
            if idle {
                break;
            }
        }
    });
    println!("killed {killed} times");
    assert_eq!(roots_of_killed, roots());
}

#[test]
fn how_many_vats_are_in_memory_and_what_is_archived_cannot_be_seen() {
    for (max_vats_online, archive) in [(1, false), (2, true), (3, false), (50, true)] {
        let mut node = MixedNode::start(
            NodeOptions { max_vats_online, archive, ..NodeOptions::default() },
            often(),
        );
        assert_eq!(node.live(|_| {}), roots(), "{max_vats_online} vats, archive {archive}");
        check_transcripts(&node.store().reader(), archive);
    }
}

/// All that a chain can see of a vat at the end of the story, after everyone has brought out their dead: its store, what it
/// imports and exports, the objects and promises that are left, and what the boss was answered.
fn outcome(options: KernelOptions) -> Outcome {
    let mut node = MixedNode::start(few(), options);
    node.live(|node| node.kernel.evict_all());
    let mut block = node.store().begin_block();
    node.kernel.reap_all_vats(&mut block, &BTreeMap::new()).unwrap();
    assert!(node.kernel.run(&mut block, &mut Cranks(10_000)).unwrap().idle);
    let live = view::live_vats(&block).unwrap();
    let states = live.iter().map(|vat| view::vat_state(&block, *vat).unwrap().unwrap());
    let taken = states.clone().filter(|state| state.snapshot.is_some()).count();
    let replayed = states.map(|state| state.span.entries()).max().unwrap();
    let scan = |prefix: &str| block.scan(prefix.as_bytes()).unwrap();
    let seen = ["k.s.", "k.c.", "k.o.", "k.p."].into_iter().flat_map(scan).collect();
    Outcome { seen, taken, replayed }
}

/// See [`outcome`].
struct Outcome {
    seen: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Number of vats that have a snapshot.
    taken: usize,
    /// The most transcript entries that a vat would be replayed with.
    replayed: u64,
}

#[test]
fn when_snapshots_are_taken_cannot_be_seen() {
    let never = KernelOptions {
        reap: ReapThreshold { deliveries: Threshold::Never, ..ReapThreshold::default() },
        snapshot_initial: u64::MAX,
        snapshot_interval: u64::MAX,
        ..often()
    };
    // Every vat is replayed from its first delivery all the time.
    let expected = outcome(never.clone());
    assert!(expected.taken == 0 && expected.replayed > 40, "{}", expected.replayed);
    assert!(expected.seen.len() > 100, "{}", expected.seen.len());
    let answered = |text: &str| {
        expected.seen.values().any(|value| String::from_utf8_lossy(value).contains(text))
    };
    assert!(answered(r#"["ben 2 5 5","cat 4 5 4"]"#), "the answer to the fifth round");
    // After every single delivery, and after every second, third and so on.
    for interval in 1..=5 {
        let options = KernelOptions {
            snapshot_initial: interval,
            snapshot_interval: interval,
            snapshot_debt: if interval == 1 { 1 } else { u64::MAX },
            ..never.clone()
        };
        let found = outcome(options);
        let Outcome { taken, replayed, .. } = found;
        assert!(taken >= 4 && replayed <= interval + 3, "{interval}: {taken}, {replayed}");
        for (key, value) in &expected.seen {
            let name = String::from_utf8_lossy(key);
            assert_eq!(found.seen.get(key), Some(value), "{name}, every {interval}");
        }
        assert_eq!(found.seen.len(), expected.seen.len(), "every {interval}");
    }
}

/// Bundles' images are made by the node's process, compiled code may come from a cache: neither decides anything.
#[test]
fn what_is_cached_cannot_be_seen() {
    let cache = tempfile::tempdir().unwrap();
    let kept = Options { cache_dir: Some(cache.path().to_owned()), ..Options::default() };
    let copied = Options { memory: MemoryMode::Copies, ..kept.clone() };
    // Without any cache; with one that is filled; with a full one, by a process that has loaded no bundle yet; and
    // without copy-on-write.
    for host in [Options::default(), kept.clone(), kept, copied] {
        let mut node = MixedNode::start_on(host.clone(), few(), often());
        let mut blocks = 0;
        let found = node.live(|node| {
            blocks += 1;
            // A new process makes its images anew, in the middle of everything.
            if blocks % 20 == 0 && host.cache_dir.is_some() {
                node.kill();
            }
        });
        assert_eq!(found, roots(), "{host:?}");
    }
}

#[test]
fn heaps_that_no_vat_has_any_more_are_dropped() {
    let mut node = MixedNode::start(few(), often());
    node.live(|node| {
        node.kernel.evict_all();
        audit(&node.store().reader());
    });
    let reader = node.store().reader();
    assert_eq!(
        reader.scan(b"local.k.hx.").unwrap(),
        [],
        "all is idle, so nothing waits to be dropped"
    );
    let with_heap: BTreeSet<VatId> = view::vats(&reader)
        .unwrap()
        .into_iter()
        .filter(|vat| view::heap_image(&reader, *vat).unwrap().is_some())
        .collect();
    let live: BTreeSet<VatId> = view::live_vats(&reader).unwrap().into_iter().collect();
    assert!(with_heap.is_subset(&live), "{with_heap:?} have heaps, {live:?} live");
    assert!(with_heap.len() >= 3, "{with_heap:?}");
}

#[test]
fn a_snapshot_is_due_when_replay_would_cost_the_debt() {
    let mut options = often();
    options.snapshot_initial = 1_000;
    options.snapshot_interval = 1_000;
    options.snapshot_debt = 300_000;
    let mut node = MixedNode::start(NodeOptions::default(), options);
    let unlimited = KernelOptions { snapshot_debt: u64::MAX, ..often() };
    node.live(|node| {
        let reader = node.store().reader();
        for vat in view::live_vats(&reader).unwrap() {
            let state = view::vat_state(&reader, vat).unwrap().unwrap();
            // After the start itself, SwingSet and Capstan take none.
            let is_new = state.span.entries() <= 2;
            assert!(is_new || state.replay_debt < 300_000, "{vat} owes {}", state.replay_debt);
        }
    });
    let reader = node.store().reader();
    let taken = |vat: &VatId| view::vat_state(&reader, *vat).unwrap().unwrap().snapshot.is_some();
    assert!(view::live_vats(&reader).unwrap().iter().any(taken), "some vat came to owe that much");
    let boss = view::vat_by_name(&reader, "boss").unwrap().unwrap();
    // The boss's start alone costs more than that.
    let mut costly =
        MixedNode::start(NodeOptions::default(), KernelOptions { snapshot_debt: 1, ..unlimited });
    costly.live(|_| {});
    let state = view::vat_state(&costly.store().reader(), boss).unwrap().unwrap();
    assert!(state.snapshot.is_some() && state.replay_debt == 0, "{state:?}");
    // Each delivery is followed by a snapshot, which is two entries and a bringOutYourDead.
    assert_eq!(state.span.entries(), 1);
}

/// That nodes agree on the number follows from their roots: it is in the hashed state.
#[test]
fn a_snapshot_counts_the_pages_of_the_vats_own_and_not_those_of_its_bundle() {
    let mut node = MixedNode::start(NodeOptions::default(), often());
    node.live(|_| {});
    let reader = node.store().reader();
    let mut counted = 0;
    for vat in view::live_vats(&reader).unwrap() {
        let record = view::vat_state(&reader, vat).unwrap().unwrap();
        let Some(image) = view::heap_image(&reader, vat).unwrap() else { continue };
        let pages = record.heap_pages;
        assert_eq!(pages, image.pages.len() as u64, "{vat}");
        assert!((1..1_000).contains(&pages), "{vat} has {pages} pages of its own");
        counted += 1;
    }
    assert!(counted >= 3, "{counted} vats have heaps");
}

#[test]
fn a_heap_that_is_not_on_this_node_is_a_fault_of_the_node() {
    let mut node = MixedNode::start(NodeOptions::default(), often());
    for _ in 0..20 {
        node.block();
    }
    node.kernel.evict_all();
    let mut block = node.store().begin_block();
    for (key, _) in block.scan(b"local.k.hp.").unwrap() {
        capstan_kernel_ports::store::Overlay::delete(&mut block, &key);
    }
    let methargs = CapData { body: r#"#["round",[1]]"#.to_owned(), slots: vec![] };
    node.kernel.queue_to_vat_root(&mut block, "boss", methargs, ResultPolicy::Ignore).unwrap();
    let panic = node.kernel.run(&mut block, &mut Cranks(50)).unwrap_err();
    assert!(!panic.is_consensus() && panic.to_string().contains("is not on this node"), "{panic}");
    assert_eq!(node.kernel.host().heap(VatId(1)), None);
}

/// Compares counts and pages with the images that are kept: nothing is missing, nothing too much.
fn audit(state: &impl Read) {
    for vat in view::vats(state).unwrap() {
        let image: Option<HeapImage> = view::heap_image(state, vat).unwrap();
        let record = view::vat_state(state, vat).unwrap().unwrap();
        if let Some((hash, _)) = record.snapshot.filter(|_| image.is_some()) {
            assert_eq!(image.as_ref().map(|image| image.hash), Some(hash), "{vat}");
        }
    }
    let mut held: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    // Heaps and what waits to be let go begin with a list of pages: its length, and for each a number of
    // 4 bytes and a hash.
    for prefix in ["local.k.h.", "local.k.hx."] {
        for (_, list) in state.scan(prefix.as_bytes()).unwrap() {
            let (length, pages) = list.split_first_chunk::<4>().unwrap();
            let (pages, _) = pages.as_chunks::<36>();
            for page in &pages[..u32::from_le_bytes(*length) as usize] {
                *held.entry(page[4..].to_vec()).or_default() += 1;
            }
        }
    }
    let strip = |prefix: &[u8]| {
        let entries = state.scan(prefix).unwrap().into_iter();
        entries
            .map(|(key, value)| (key[prefix.len()..].to_vec(), value))
            .collect::<BTreeMap<_, _>>()
    };
    let counts: BTreeMap<Vec<u8>, u32> = strip(b"local.k.hc.")
        .into_iter()
        .map(|(hash, count)| (hash, u32::from_le_bytes(count.try_into().unwrap())))
        .collect();
    assert_eq!(counts, held);
    for (hash, page) in strip(b"local.k.hp.") {
        assert!(counts.contains_key(&hash));
        let found = Sha256::new().chain_update([0]).chain_update(&page).finalize();
        assert_eq!(found.to_vec(), hash);
    }
}

/// Checks that the kept transcripts are those that the state says, and with `archive` all.
fn check_transcripts(state: &impl Read, archive: bool) {
    for vat in view::vats(state).unwrap() {
        let record = view::vat_state(state, vat).unwrap().unwrap();
        let from = if archive { 0 } else { record.kept_from };
        let kept = state.scan(format!("local.k.t.{vat}.").as_bytes()).unwrap();
        assert_eq!(kept.len() as u64, record.span.end - from, "{vat}");
    }
}
