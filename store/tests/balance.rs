//! The tree stays balanced and needs little stack, whatever blocks write.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/shape.rs"]
mod shape;

use std::{collections::BTreeMap, path::Path, thread};

use capstan_kernel_ports::{
    Hash,
    store::{Overlay, Read},
};
use capstan_store::{Error, Expected, Import, Local, Options, Store, app_hash};
use common::Random;
use grovedb_merk::tree::{kv_digest_to_kv_hash, node_hash, value_hash};
use shape::checked_shape;

/// Size of the stack on which all of this must run.
const STACK_BYTES: usize = 256 << 10;

/// A key that a block sets or removes.
type Changes = Vec<(Vec<u8>, bool)>;

fn on_a_stack_of<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(bytes).spawn(work).unwrap().join().unwrap()
}

fn key(i: u32) -> Vec<u8> {
    [&b"v7.vs."[..], &i.to_be_bytes()].concat()
}

fn value(key: &[u8]) -> Vec<u8> {
    key.iter().rev().copied().collect()
}

fn commit(store: &Store, changes: &Changes) -> Hash {
    common::commit(store, |block| {
        for (key, set) in changes {
            match set {
                true => block.set(key, value(key)),
                false => block.delete(key),
            }
        }
    })
}

#[test]
fn a_quarter_million_keys_are_set_exchanged_and_removed_in_one_block_each() {
    const KEYS: u32 = 250_000;
    on_a_stack_of(STACK_BYTES, || {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Options::default()).unwrap();
        let set = (0..=KEYS).map(|i| (key(2 * i), true)).collect();
        // Every second key is removed, and a neighbouring key is added.
        let exchange =
            (0..KEYS / 2).flat_map(|i| [(key(4 * i), false), (key(4 * i + 1), true)]).collect();
        // All keys but one in the middle are removed.
        let middle = KEYS / 2 * 2 + 2;
        let remove = (0..KEYS / 2)
            .flat_map(|i| [4 * i + 1, 4 * i + 2])
            .chain([2 * KEYS])
            .filter(|i| *i != middle)
            .map(|i| (key(i), false))
            .collect();
        let blocks: [(Changes, usize); 3] =
            [(set, KEYS as usize + 1), (exchange, KEYS as usize + 1), (remove, 1)];
        for (changes, left) in blocks {
            assert!(changes.len() >= KEYS as usize);
            let root = commit(&store, &changes);
            drop(changes);
            assert_eq!(checked_shape(&store.reader()).0, left);
            assert_eq!(store.reader().check_integrity().unwrap().keys, left as u64);
            drop(store);
            store = Store::open(dir.path(), Options::default()).unwrap();
            assert_eq!(store.root(), root);
        }
        assert_eq!(common::all(&store.reader()), [(key(middle), value(&key(middle)))]);
    });
}

/// Number of keys that most series begin with.
const KEYS: u32 = 24_000;

fn set(i: u32) -> (Vec<u8>, bool) {
    (key(i), true)
}

fn gone(i: u32) -> (Vec<u8>, bool) {
    (key(i), false)
}

/// Returns named series of blocks that are designed to unbalance a tree.
fn adversaries() -> Vec<(&'static str, Vec<Changes>)> {
    [removals(), insertions()].concat()
}

/// Returns named series of blocks that unbalance a tree by removals.
fn removals() -> Vec<(&'static str, Vec<Changes>)> {
    let all: Changes = (0..KEYS).map(set).collect();
    let after_all = |blocks: Vec<Changes>| [vec![all.clone()], blocks].concat();
    let runs = |from: u32| (from..from + 3_000).map(gone).collect::<Changes>();
    // Each round keeps the keys outside of its intervals, which are halves of halves.
    let halves = |odd: u32| {
        let inside = move |i: &u32| (i.max(&1).ilog2() + odd).is_multiple_of(2);
        (0..KEYS).filter(inside).map(gone).collect::<Changes>()
    };
    vec![
        ("ascending runs", after_all((0..KEYS / 3_000).map(|i| runs(i * 3_000)).collect())),
        ("descending runs", after_all((0..KEYS / 3_000).rev().map(|i| runs(i * 3_000)).collect())),
        (
            "every second key of those left",
            after_all(
                (0..14)
                    .map(|bit| {
                        (0..KEYS)
                            .filter(|i| (i >> bit) % 2 == 1 && i % (1 << bit) == 0)
                            .map(gone)
                            .collect()
                    })
                    .collect(),
            ),
        ),
        ("all but the first", after_all(vec![(1..KEYS).map(gone).collect()])),
        ("all but the last", after_all(vec![(0..KEYS - 1).map(gone).collect()])),
        ("all but one", after_all(vec![(0..KEYS).filter(|i| *i != 9_999).map(gone).collect()])),
        ("all", after_all(vec![(0..KEYS).map(gone).collect()])),
        ("halves of halves", after_all(vec![halves(0)])),
        ("the other halves of halves", after_all(vec![halves(1), halves(0)])),
        (
            "a region again and again",
            after_all(
                (0..6)
                    .flat_map(|_| {
                        [(5_000..20_000).map(gone).collect(), (5_000..20_000).map(set).collect()]
                    })
                    .collect(),
            ),
        ),
        (
            "one side grows while the other goes",
            after_all(
                (0..12)
                    .map(|i| {
                        let grows = (0..1_000).map(move |j| (key(KEYS + i * 1_000 + j), true));
                        (i * 2_000..(i + 1) * 2_000).map(gone).chain(grows).collect()
                    })
                    .collect(),
            ),
        ),
    ]
}

/// Returns named series of blocks that unbalance a tree by insertions.
fn insertions() -> Vec<(&'static str, Vec<Changes>)> {
    let all: Changes = (0..KEYS).map(set).collect();
    let into_one_gap = (0..40_u8).map(|depth| {
        let beside = move |i: u16| ([&key(9)[..], &[255 - depth], &i.to_be_bytes()].concat(), true);
        (0..700).map(beside).collect()
    });
    let nested_gaps = (0..60_usize).map(|depth| {
        let inside = move |i: u8| ([key(9), vec![128; depth], vec![i]].concat(), true);
        (0..=255).map(inside).collect()
    });
    vec![
        ("into one gap", [vec![all.clone()], into_one_gap.collect()].concat()),
        ("into gaps in gaps", [vec![all], nested_gaps.collect()].concat()),
        (
            "a prefix among others",
            vec![
                (0..6_000)
                    .flat_map(|i| {
                        [b"a.", b"b.", b"c."].map(|prefix| ([&prefix[..], &key(i)].concat(), true))
                    })
                    .collect(),
                (0..6_000).map(|i| ([&b"b."[..], &key(i)].concat(), false)).collect(),
                (0..6_000).map(|i| ([&b"a."[..], &key(i)].concat(), false)).collect(),
            ],
        ),
        (
            "one key a block",
            (0..300).map(|i| vec![set(i)]).chain((0..300).map(|i| vec![gone(i)])).collect(),
        ),
    ]
}

#[test]
fn no_order_of_insertions_and_removals_unbalances_the_tree() {
    on_a_stack_of(STACK_BYTES, || {
        for (name, blocks) in adversaries() {
            println!("{name}");
            let dir = tempfile::tempdir().unwrap();
            // Few nodes stay in memory, and checkpoints are frequent.
            let options = Options { tree_nodes: 500, journal_bytes: 8 << 20, ..Options::default() };
            let mut store = Store::open(dir.path(), options.clone()).unwrap();
            let mut map = BTreeMap::new();
            for (number, changes) in blocks.iter().enumerate() {
                let root = commit(&store, changes);
                for (key, set) in changes {
                    match set {
                        true => drop(map.insert(key.clone(), value(key))),
                        false => drop(map.remove(key)),
                    }
                }
                assert_eq!(checked_shape(&store.reader()).0, map.len(), "{name}, block {number}");
                if number % 8 == 0 || number + 1 == blocks.len() {
                    store.reader().check_integrity().unwrap();
                    drop(store);
                    store = Store::open(dir.path(), options.clone()).unwrap();
                    assert_eq!(store.root(), root, "{name}, block {number}");
                }
            }
            let left: Vec<_> = map.into_iter().collect();
            assert_eq!(common::all(&store.reader()), left, "{name}");
        }
    });
}

/// Returns a random block over a few thousand keys: runs, scattered keys and dense regions, set or removed.
fn random_blocks(random: &mut Random) -> Vec<Changes> {
    (0..40)
        .map(|_| {
            let mut changes = BTreeMap::new();
            for _ in 0..1 + random.below(4) {
                let (from, length) = (random.below(5_000), 1 + random.below(2_500));
                let (step, set) = (1 + random.below(3), random.one_in(2));
                let keys = (from..from + length).step_by(step as usize);
                changes.extend(keys.map(|i| (key(i as u32), set)));
            }
            changes.into_iter().collect()
        })
        .collect()
}

#[test]
fn the_root_is_a_function_of_the_blocks_alone() {
    let mut random = Random::seeded(77);
    for round in 0..4 {
        let blocks = random_blocks(&mut random);
        // Nodes in memory, journal size, blocks between two openings.
        let ways = [
            (0, 0, usize::MAX),
            (7, 1 << 20, 3),
            (1_000, 4 << 20, 11),
            (1 << 20, usize::MAX, usize::MAX),
            (1 << 20, usize::MAX, 7), // opened from the journal, whose commits are done one after the other
        ];
        let roots = ways.map(|(tree_nodes, journal_bytes, opened_every)| {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { tree_nodes, journal_bytes, ..Options::default() };
            let mut store = Store::open(dir.path(), options.clone()).unwrap();
            let mut map = BTreeMap::new();
            let mut roots = Vec::new();
            for (number, changes) in blocks.iter().enumerate() {
                roots.push(commit(&store, changes));
                for (key, set) in changes {
                    match set {
                        true => drop(map.insert(key.clone(), value(key))),
                        false => drop(map.remove(key)),
                    }
                }
                if (number + 1).is_multiple_of(opened_every) {
                    drop(store);
                    store = Store::open(dir.path(), options.clone()).unwrap();
                    checked_shape(&store.reader());
                }
            }
            store.reader().check_integrity().unwrap();
            let left: Vec<_> = map.into_iter().collect();
            assert_eq!(common::all(&store.reader()), left, "round {round}");
            // A copy has the same shape, so the same blocks lead to the same roots.
            let copied = tempfile::tempdir().unwrap();
            let copy = copy_of(&store, copied.path());
            for store in [&store, &copy] {
                roots.push(commit(store, &blocks[0]));
            }
            roots
        });
        for (way, other) in ways.iter().zip(&roots) {
            assert_eq!(*other, roots[0], "round {round}, {way:?}");
            assert_eq!(other[blocks.len()], other[blocks.len() + 1], "round {round}, a copy");
        }
    }
}

fn copy_of(store: &Store, dir: &Path) -> Store {
    let expected = Expected { height: store.height(), app_hash: store.app_hash(), local: true };
    let mut import = Import::begin(dir, Options::default(), expected).unwrap();
    for chunk in store.reader().export(1 << 16, Local::all()) {
        import.chunk(&chunk.unwrap()).unwrap();
    }
    import.finish().unwrap()
}

/// Returns the keys of an AVL tree with this height and the fewest nodes, level by level.
fn sparsest(height: u32) -> Vec<Vec<u32>> {
    let mut fewest = vec![0, 1];
    while fewest.len() <= height as usize {
        fewest.push(1 + fewest[fewest.len() - 1] + fewest[fewest.len() - 2]);
    }
    let mut levels = vec![Vec::new(); height as usize];
    let mut below = vec![(0, height, 0)];
    while let Some((first, height, level)) = below.pop() {
        if height == 0 {
            continue;
        }
        let left = fewest[height as usize - 1];
        levels[level].push(first + left);
        below.push((first, height - 1, level + 1));
        below.push((first + left + 1, height.saturating_sub(2), level + 1));
    }
    levels
}

#[test]
fn a_quarter_of_the_stack_is_enough_for_a_quarter_of_the_greatest_height() {
    // A tree has at most 96 levels (`MAX_HEIGHT`), and each level needs the same amount of stack.
    on_a_stack_of(
        std::env::var("SB").map(|s| s.parse().unwrap()).unwrap_or(STACK_BYTES / 4),
        || {
            let levels = sparsest(96 / 4);
            for tree_nodes in [0, 1 << 20] {
                let options = Options { tree_nodes, ..Options::default() };
                let dir = tempfile::tempdir().unwrap();
                let store = Store::open(dir.path(), options).unwrap();
                for level in &levels {
                    commit(&store, &level.iter().map(|i| (key(*i), true)).collect());
                }
                assert_eq!(checked_shape(&store.reader()).1, 96 / 4);
                store.reader().check_integrity().unwrap();
                // The higher side of every node is removed, so every node rotates.
                commit(
                    &store,
                    &levels[12..].concat().iter().map(|i| (key(*i), i % 3 == 0)).collect(),
                );
                checked_shape(&store.reader());
                let all = levels.concat();
                commit(&store, &all.iter().map(|i| (key(*i), false)).collect());
                assert_eq!(store.root(), Hash::default());
            }
        },
    );
}

/// Returns the bytes and the hash of a node, for an export stream.
fn node(key: &[u8], links: [Option<(&[u8], [u8; 32], [u8; 2])>; 2]) -> (Vec<u8>, [u8; 32]) {
    let mut leaf = vec![0];
    leaf.extend(<sha2::Sha256 as sha2::Digest>::digest(b"x"));
    let value_hash = value_hash(&leaf).value;
    let kv_hash = kv_digest_to_kv_hash(key, &value_hash).value;
    let mut bytes = Vec::new();
    for link in &links {
        match link {
            None => bytes.push(0),
            Some((key, hash, heights)) => {
                bytes.extend([&[1, key.len() as u8], *key, hash, heights, &[0]].concat());
            }
        }
    }
    bytes.extend([&[0][..], &kv_hash, &value_hash, &leaf].concat());
    let [left, right] = links.map(|link| link.map_or([0; 32], |(_, hash, _)| hash));
    (bytes, node_hash(&kv_hash, &left, &right).value)
}

/// Imports a state that consists of `nodes`, in key order, and of an entry for each.
fn import(nodes: &[(Vec<u8>, Vec<u8>)], root_key: &[u8], root: [u8; 32]) -> Result<Store, Error> {
    let mut stream = Vec::new();
    let mut append = |kind: u8, key: &[u8], value: &[u8]| {
        let length = |part: &[u8]| (part.len() as u32).to_be_bytes();
        stream.extend([&[kind], &length(key)[..], &length(value), key, value].concat());
    };
    let format = capstan_store::FORMAT.to_be_bytes();
    append(
        1,
        b"capstan state",
        &[&format, &7_u64.to_be_bytes()[..], &root, &[0; 32], root_key].concat(),
    );
    nodes.iter().for_each(|(key, bytes)| append(2, key, bytes));
    nodes.iter().for_each(|(key, _)| append(3, key, b"x"));
    append(5, b"", &(2 * nodes.len() as u64).to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    let app_hash = app_hash(&Hash::default(), &Hash(root));
    let expected = Expected { height: 7, app_hash, local: false };
    let mut import = Import::begin(dir.path(), Options::default(), expected)?;
    import.chunk(&stream)?;
    import.finish()
}

#[test]
fn an_unbalanced_state_is_not_imported_even_under_its_own_root() {
    // With b to the right of a the tree is balanced. With c below b it is not.
    let (c, c_hash) = node(b"c", [None, None]);
    let (b, b_hash) = node(b"b", [None, Some((b"c", c_hash, [0, 0]))]);
    let (a, a_hash) = node(b"a", [None, Some((b"b", b_hash, [0, 1]))]);
    let nodes = [("a", a), ("b", b), ("c", c)].map(|(key, node)| (key.into(), node));
    let balanced = import(&nodes[1..], b"b", b_hash).unwrap();
    assert_eq!(balanced.reader().get(b"c").unwrap(), Some(b"x".to_vec()));
    let refused = import(&nodes, b"a", a_hash).unwrap_err();
    assert!(refused.to_string().contains("heights differ by more than one"), "{refused}");
}

#[test]
fn a_stream_that_claims_the_greatest_height_is_refused_on_a_small_stack() {
    on_a_stack_of(STACK_BYTES, || {
        // Each node's left child is the previous node. Its right child, one level lower, is claimed but absent.
        let name = |i: u8| format!("k{i:03}").into_bytes();
        let (first, mut hash) = node(&name(0), [None, None]);
        let mut nodes = vec![(name(0), first)];
        for i in 1..96_u8 {
            let heights = [i.saturating_sub(1), i.saturating_sub(2)];
            let (left, right) = (name(i - 1), name(200));
            let lower = [i.saturating_sub(2), i.saturating_sub(3)];
            let right = (i > 1).then_some((right.as_slice(), [7; 32], lower));
            let (bytes, its_hash) = node(&name(i), [Some((&left, hash, heights)), right]);
            nodes.push((name(i), bytes));
            hash = its_hash;
        }
        let refused = import(&nodes, &name(95), hash).unwrap_err();
        assert!(matches!(refused, Error::Damaged(_)), "{refused}");
    });
}
