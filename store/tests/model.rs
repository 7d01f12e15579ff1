//! The store behaves like an ordered map across levels, commits, discards and reopening.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, ops::Bound};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Overlay, Read},
};
use capstan_store::{Block, Options, Store};
use common::Random;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const ROUNDS: u64 = 600;

#[test]
fn agrees_with_an_ordered_map() {
    let mut random = Random::seeded(1);
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), options(&mut random)).unwrap();
    let mut committed = Map::new();
    let mut height = 0;
    for round in 0..ROUNDS {
        let mut block = store.begin_block();
        let mut levels = vec![committed.clone()];
        let mut blobs = vec![Vec::new()];
        for _ in 0..random.below(80) {
            step(&mut random, &mut block, &mut levels, &mut blobs);
        }
        while levels.len() > 1 {
            close_level(&mut random, &mut block, &mut levels, &mut blobs);
        }
        assert_same(&mut random, &block, &levels[0], round);
        let old = (store.height(), store.root());
        let prepared = store.prepare(block).unwrap();
        let root = prepared.root();
        if random.one_in(4) {
            match random.one_in(2) {
                true => store.discard(prepared),
                false => drop(prepared),
            }
            assert_eq!((store.height(), store.root()), old, "round {round}");
        } else {
            height += 1 + random.below(3);
            store.commit(prepared, height).unwrap();
            committed = levels.remove(0);
            assert_eq!((store.height(), store.root()), (height, root), "round {round}");
            for (hash, bytes) in &blobs[0] {
                assert_eq!(store.reader().blob(hash).unwrap().as_ref(), Some(bytes));
            }
        }
        assert_same(&mut random, &store.reader(), &committed, round);
        if random.one_in(8) {
            let before = (store.height(), store.root());
            drop(store);
            store = Store::open(dir.path(), options(&mut random)).unwrap();
            assert_eq!((store.height(), store.root()), before, "reopened, round {round}");
        }
    }
    assert!(committed.len() > 300, "only {} keys: the test has become too small", committed.len());
}

fn options(random: &mut Random) -> Options {
    Options {
        cache_bytes: 1 << 20,
        tree_nodes: *random.choose(&[0, 1, 20, 300, 100_000]),
        journal_bytes: *random.choose(&[0, 1_000, 100_000, 3_000_000]),
        left_bytes: *random.choose(&[0, 20_000, 3_000_000]),
        retain_heights: 5,
        background: random.one_in(2),
        check_integrity: random.one_in(5),
    }
}

/// Applies one random operation to both the block and the model.
fn step(
    random: &mut Random,
    block: &mut Block,
    levels: &mut Vec<Map>,
    blobs: &mut Vec<Vec<(Hash, Vec<u8>)>>,
) {
    let top = levels.len() - 1;
    match random.below(20) {
        0..8 => {
            let (key, length) = (key(random), random.below(40));
            let value = random.bytes(length);
            block.set(&key, value.clone());
            levels[top].insert(key, value);
        }
        8..11 => {
            let key = key(random);
            block.delete(&key);
            levels[top].remove(&key);
        }
        11 if random.one_in(12) => {
            // A run of removals, so that iteration passes many tombstones.
            let from = key(random);
            let removed: Vec<_> =
                levels[top].range(from..).take(30).map(|(k, _)| k.clone()).collect();
            for key in removed {
                block.delete(&key);
                levels[top].remove(&key);
            }
        }
        12 => {
            let length = 16 + random.below(300);
            let bytes = random.bytes(length);
            let hash = block.put_blob(bytes.clone());
            assert_eq!(block.blob(&hash).unwrap(), Some(bytes.clone()));
            blobs[top].push((hash, bytes));
        }
        13..15 => {
            assert_eq!(block.push(), levels.len() + 1);
            levels.push(levels[top].clone());
            blobs.push(Vec::new());
        }
        15 if top > 0 => close_level(random, block, levels, blobs),
        _ => probe(random, block, &levels[top]),
    }
}

fn close_level(
    random: &mut Random,
    block: &mut Block,
    levels: &mut Vec<Map>,
    blobs: &mut Vec<Vec<(Hash, Vec<u8>)>>,
) {
    let (map, put) = (levels.pop().unwrap(), blobs.pop().unwrap());
    let top = levels.len() - 1;
    if random.one_in(3) {
        block.rollback();
        for (hash, _) in put {
            let kept = blobs.iter().flatten().any(|(known, _)| *known == hash);
            assert_eq!(block.blob(&hash).unwrap().is_some(), kept, "a blob after rollback");
        }
    } else {
        block.merge();
        levels[top] = map;
        blobs[top].extend(put);
    }
}

/// Returns a random key. Keys share prefixes, some are node-local, and some are too long for the tree.
fn key(random: &mut Random) -> Vec<u8> {
    let number = random.below(3000);
    match random.below(10) {
        0..4 => format!("v{}.c.ko{number}", number % 7).into_bytes(),
        4..7 => format!("v{}.vs.vom.{number}", number % 5).into_bytes(),
        7 => format!("local.t.{number}").into_bytes(),
        8 => format!("k{}{}", "x".repeat(250 + number as usize % 8), number % 3).into_bytes(),
        _ => vec![number as u8; 1 + number as usize % 3],
    }
}

fn probe(random: &mut Random, state: &impl Read, model: &Map) {
    let key = key(random);
    assert_eq!(state.value_len(&key).unwrap(), model.get(&key).map(Vec::len));
    assert_eq!(state.get(&key).unwrap(), model.get(&key).cloned());
    let prefixes: [&[u8]; 6] = [b"", b"v", b"v1.c.", b"v2.vs.", b"local.", b"zzz"];
    let prefix = random.choose(&prefixes);
    let mut after = match random.one_in(3) {
        true => prefix.to_vec(),
        false => key,
    };
    for _ in 0..random.below(6) {
        let found = common::next_after(state, prefix, &after);
        assert_eq!(found, model_next(model, prefix, &after), "next after {after:?}");
        match found {
            Some((key, _)) => after = key,
            None => break,
        }
    }
}

fn model_next(model: &Map, prefix: &[u8], after: &[u8]) -> Option<Entry> {
    model
        .range::<[u8], _>((Bound::Excluded(after), Bound::Unbounded))
        .find(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()))
}

fn assert_same(random: &mut Random, state: &impl Read, model: &Map, round: u64) {
    for _ in 0..10 {
        probe(random, state, model);
    }
    if round.is_multiple_of(20) {
        let expected: Vec<Entry> = model.clone().into_iter().collect();
        assert_eq!(common::all(state), expected, "round {round}");
    }
}
