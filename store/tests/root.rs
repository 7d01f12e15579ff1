//! Inputs of the root hash, and what does not influence it.
#![allow(clippy::unwrap_used)]

mod common;

use capstan_kernel_ports::{
    Hash,
    store::{Overlay, Read},
};
use capstan_store::{Options, Store};
use common::{Random, commit, commit_entries};

#[test]
fn is_pinned_for_a_fixed_history() {
    // Consensus depends on this value. If it changes, every chain forks.
    let store = Store::in_memory().unwrap();
    for height in 1..=20 {
        let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
        store.commit(prepared, height).unwrap();
    }
    assert_eq!(store.root().to_string(), PINNED);
}

const PINNED: &str = "40562823545859a9aa4c975b117d4ad38d129266ebc8b80e1692f3db9cbd2157";

#[test]
fn of_the_empty_state_is_zero_again_after_everything_is_removed() {
    let store = Store::in_memory().unwrap();
    assert_eq!(store.root(), Hash::default());
    let keys: Vec<_> = (0..300u32).map(|i| i.to_be_bytes()).collect();
    let full = commit(&store, |block| keys.iter().for_each(|key| block.set(key, vec![1])));
    assert_ne!(full, Hash::default());
    let empty = commit(&store, |block| keys.iter().for_each(|key| block.delete(key)));
    assert_eq!(empty, Hash::default());
    store.reader().check_integrity().unwrap();
    assert_ne!(commit_entries(&store, &[(b"a", b"b")]), Hash::default());
}

#[test]
fn does_not_change_with_a_block_that_changes_nothing() {
    let store = Store::in_memory().unwrap();
    let root = commit_entries(&store, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"")]);
    assert_eq!(store.prepare(store.begin_block()).unwrap().root(), root);
    let mut block = store.begin_block();
    block.set(b"a", b"1".to_vec()); // what it was
    block.set(b"b", b"other".to_vec());
    block.set(b"b", b"2".to_vec()); // and back
    block.delete(b"nothing there");
    block.set(b"new", b"x".to_vec());
    block.delete(b"new"); // written and removed within the block
    block.push();
    block.set(b"a", b"other".to_vec());
    block.delete(b"c");
    block.rollback();
    let prepared = store.prepare(block).unwrap();
    assert_eq!((prepared.root(), prepared.changed_keys()), (root, 0));
    store.commit(prepared, 2).unwrap();
    assert_eq!(store.root(), root);
}

#[test]
fn does_not_depend_on_the_order_of_writes_within_a_block() {
    let mut random = Random::seeded(3);
    for _ in 0..20 {
        let mut entries: Vec<_> = (0..500u32)
            .map(|i| (format!("k{}", i * 7919 % 1000).into_bytes(), random.bytes(9)))
            .collect();
        let roots: Vec<_> = (0..3)
            .map(|_| {
                for i in (1..entries.len()).rev() {
                    entries.swap(i, random.below(i as u64 + 1) as usize);
                }
                let store = Store::in_memory().unwrap();
                commit_entries(&store, &[(b"k5", b"before"), (b"k77", b"before")]);
                commit(&store, |block| {
                    entries.iter().for_each(|(k, v)| block.set(k, v.clone()));
                })
            })
            .collect();
        assert_eq!(roots[0], roots[1]);
        assert_eq!(roots[0], roots[2]);
    }
}

#[test]
fn does_not_depend_on_what_is_in_memory_nor_on_reopening() {
    let run = |tree_nodes: usize, discard: bool, reopen: bool| {
        let dir = tempfile::tempdir().unwrap();
        let options =
            Options { tree_nodes, journal_bytes: 7_000 * tree_nodes, ..Options::default() };
        let mut store = Store::open(dir.path(), options.clone()).unwrap();
        let mut roots = Vec::new();
        for height in 1..=30 {
            if discard && height % 3 == 0 {
                let other = common::scripted_block(&store, height + 1000);
                store.discard(store.prepare(other).unwrap());
            }
            let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
            store.commit(prepared, height).unwrap();
            roots.push(store.root());
            if reopen && height % 2 == 0 {
                drop(store);
                store = Store::open(dir.path(), options.clone()).unwrap();
            }
        }
        roots
    };
    let expected = run(100_000, false, false);
    for nodes in [0, 1, 20, 100] {
        assert_eq!(run(nodes, false, false), expected, "{nodes} nodes");
    }
    assert_eq!(run(100_000, true, false), expected, "with discards");
    assert_eq!(run(30, true, true), expected, "with discards and reopening");
    assert_eq!(run(100_000, true, true), expected, "from the journal alone");
}

#[test]
fn covers_the_difference_between_empty_and_absent() {
    let store = Store::in_memory().unwrap();
    let without = commit_entries(&store, &[(b"a", b"1")]);
    let with = commit_entries(&store, &[(b"e", b"")]);
    assert_ne!(without, with);
    assert_eq!(store.reader().get(b"e").unwrap(), Some(Vec::new()));
    assert_eq!(store.reader().get(b"f").unwrap(), None);
    let mut block = store.begin_block();
    assert_eq!(block.get(b"e").unwrap(), Some(Vec::new()));
    block.set(b"f", Vec::new());
    assert_eq!(block.get(b"f").unwrap(), Some(Vec::new()));
    assert_eq!(block.next_after(b"f", b"e").unwrap(), Some((b"f".to_vec(), Vec::new())));
}

#[test]
fn covers_keys_of_any_length_each_on_its_own() {
    let store = Store::in_memory().unwrap();
    let mut roots = vec![store.root()];
    // Long keys with a common prefix of at least 223 bytes, in one block and in several.
    let long: Vec<Vec<u8>> = (0..40)
        .map(|i| [vec![b'k'; 240 + i % 20], vec![i as u8]].concat())
        .chain([vec![b'z'; 255], vec![b'z'; 256], vec![b'z'; 1000], vec![b'z'; 60_000]])
        .collect();
    commit(&store, |block| long.iter().for_each(|key| block.set(key, key.clone())));
    for key in &long {
        assert_eq!(store.reader().get(key).unwrap().as_ref(), Some(key));
        roots.push(commit_entries(&store, &[(key, b"changed")]));
    }
    for key in &long {
        roots.push(commit(&store, |block| block.delete(key)));
        store.reader().check_integrity().unwrap();
    }
    assert_eq!(roots.pop(), Some(Hash::default()), "the last removal empties the tree");
    let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(distinct.len(), roots.len(), "every change is a new root");
}

#[test]
fn leaves_local_keys_out_but_they_are_committed_with_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let root = commit_entries(&store, &[(b"a", b"1"), (b"local.a", b"1"), (b"localx", b"1")]);
    let plain = Store::in_memory().unwrap();
    assert_eq!(root, commit_entries(&plain, &[(b"a", b"1"), (b"localx", b"1")]));
    let blob = b"a blob".to_vec();
    let mut block = store.begin_block();
    block.set(b"local.a", b"2".to_vec());
    block.delete(b"local.b");
    let hash = block.put_blob(blob.clone());
    let mut seen = Vec::new();
    block.set(b"b", b"x".to_vec());
    block.delete(b"b");
    block.top_writes(&mut |key, value| seen.push((key.to_vec(), value.map(<[u8]>::to_vec))));
    assert_eq!(seen, [(b"b".to_vec(), None)], "local keys are not among the writes that count");
    let prepared = store.prepare(block).unwrap();
    assert_eq!(prepared.root(), root);
    assert_eq!(store.reader().get(b"local.a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.reader().blob(&hash).unwrap(), None);
    store.commit(prepared, 2).unwrap();
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((store.root(), store.height()), (root, 2));
    assert_eq!(store.reader().get(b"local.a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(store.reader().blob(&hash).unwrap(), Some(blob));
}

#[test]
fn is_computed_without_writing_anything() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let root = commit_entries(&store, &[(b"a", b"1")]);
    let file = dir.path().join(capstan_store::FILE);
    let before = std::fs::read(&file).unwrap();
    let mut block = store.begin_block();
    block.set(b"a", b"2".to_vec());
    let prepared = store.prepare(block).unwrap();
    assert_ne!(prepared.root(), root);
    assert!(std::fs::read(&file).unwrap() == before, "prepare wrote to the file");
    drop(prepared);
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((store.height(), store.root()), (1, root));
    assert_eq!(store.reader().get(b"a").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn readers_keep_their_state_while_blocks_are_committed() {
    let store = Store::in_memory().unwrap();
    let mut readers = vec![store.reader()];
    for height in 1..=10u64 {
        let mut block = store.begin_block();
        block.set(b"height", height.to_be_bytes().to_vec());
        store.commit(store.prepare(block).unwrap(), height).unwrap();
        readers.push(store.reader());
    }
    for (height, reader) in readers.iter().enumerate() {
        let found = reader.get(b"height").unwrap();
        let expected = (height > 0).then(|| (height as u64).to_be_bytes().to_vec());
        assert_eq!((found, reader.height()), (expected, height as u64));
        reader.check_integrity().unwrap();
    }
}

#[test]
fn readers_on_other_threads_see_whole_states_only() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let store = Store::in_memory().unwrap();
    common::commit_entries(&store, &[(b"a", &1u64.to_be_bytes()), (b"z", &1u64.to_be_bytes())]);
    let (done, begun) = (AtomicBool::new(false), std::sync::Barrier::new(4));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    begun.wait();
                    let mut seen = 0;
                    loop {
                        let is_last = done.load(Ordering::Acquire);
                        let state = store.reader();
                        let height = state.height().to_be_bytes().to_vec();
                        assert_eq!(state.get(b"a").unwrap(), Some(height.clone()));
                        assert_eq!(state.get(b"z").unwrap(), Some(height));
                        assert!(state.height() >= seen);
                        seen = state.height();
                        if is_last {
                            return seen;
                        }
                    }
                })
            })
            .collect();
        begun.wait();
        for height in 2..300u64 {
            let mut block = store.begin_block();
            block.set(b"a", height.to_be_bytes().to_vec());
            block.set(b"z", height.to_be_bytes().to_vec());
            store.commit(store.prepare(block).unwrap(), height).unwrap();
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 299);
        }
    });
}

#[test]
fn unsynced_commits_are_kept_by_the_next_synced_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    for height in 1..=5 {
        let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
        match height {
            5 => store.commit(prepared, height).unwrap(),
            _ => store.commit_unsynced(prepared, height).unwrap(),
        }
    }
    let root = store.root();
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!((store.height(), store.root()), (5, root));
    common::assert_scripted(&store);
}
