//! Iteration through a block's levels agrees with an ordered map, and stays fast across many removed keys.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, ops::Bound};

use capstan_kernel_ports::store::{Entry, Overlay, Read};
use capstan_store::{Block, Store};
use common::Random;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[test]
fn agrees_with_an_ordered_map_through_runs_of_removals() {
    let mut random = Random::seeded(31);
    for round in 0..60 {
        let store = Store::in_memory().unwrap();
        let mut map = Map::new();
        common::commit(&store, |block| {
            for _ in 0..random.below(400) {
                let key = key(&mut random);
                block.set(&key, b"committed".to_vec());
                map.insert(key, b"committed".to_vec());
            }
        });
        let mut block = store.begin_block();
        let mut levels = vec![map];
        for _ in 0..600 {
            step(&mut random, &mut block, &mut levels);
        }
        while levels.len() > 1 {
            block.merge();
            levels.remove(levels.len() - 2);
        }
        let expected: Vec<Entry> = levels.remove(0).into_iter().collect();
        assert_eq!(common::all(&block), expected, "round {round}");
    }
}

fn key(random: &mut Random) -> Vec<u8> {
    format!("{}{}", random.choose(&["a.", "b.", "b.c.", "d"]), random.below(150)).into_bytes()
}

fn step(random: &mut Random, block: &mut Block, levels: &mut Vec<Map>) {
    let top = levels.len() - 1;
    match random.below(12) {
        0..2 => {
            let key = key(random);
            block.set(&key, b"written".to_vec());
            levels[top].insert(key, b"written".to_vec());
        }
        2 => {
            let key = key(random);
            block.delete(&key);
            levels[top].remove(&key);
        }
        3 => empty(random, block, &mut levels[top]),
        4 => {
            block.push();
            levels.push(levels[top].clone());
        }
        5 if top > 0 => {
            block.rollback();
            levels.pop();
        }
        6 if top > 0 => {
            block.merge();
            levels.remove(top - 1);
        }
        _ => {
            let after = key(random);
            check(random, block, &levels[top], after);
        }
    }
}

/// Removes the keys one after the other, and always searches from the same position.
fn empty(random: &mut Random, block: &mut Block, map: &mut Map) {
    let after = key(random);
    for _ in 0..random.below(25) {
        match check(random, block, map, after.clone()) {
            Some((key, _)) => {
                block.delete(&key);
                map.remove(&key);
            }
            None => break,
        }
    }
}

fn check(random: &mut Random, block: &Block, map: &Map, after: Vec<u8>) -> Option<Entry> {
    let prefix = *random.choose(&[&b""[..], b"a.", b"b.", b"b.c", b"d", b"b.c.1"]);
    let found = common::next_after(block, prefix, &after);
    let expected = map
        .range::<[u8], _>((Bound::Excluded(after.as_slice()), Bound::Unbounded))
        .find(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.clone()));
    assert_eq!(found, expected, "{} after {}", prefix.escape_ascii(), after.escape_ascii());
    found
}

#[test]
fn emptying_a_large_range_does_not_go_through_what_is_gone_again_and_again() {
    const KEYS: u32 = 60_000;
    let store = Store::in_memory().unwrap();
    let key = |i: u32| [&b"v7.vs."[..], &i.to_be_bytes()].concat();
    common::commit(&store, |block| (0..KEYS).for_each(|i| block.set(&key(i), vec![1])));
    let mut block = store.begin_block();
    let mut removed = 0;
    // Quadratic, this would take 1.8 billion steps: minutes instead of a fraction of a second.
    while let Some((key, _)) = block.next_after(b"v7.vs.", b"v7.vs.").unwrap() {
        block.push();
        block.delete(&key);
        block.merge();
        removed += 1;
    }
    assert_eq!(removed, KEYS);
    store.commit(store.prepare(block).unwrap(), 2).unwrap();
    assert_eq!(common::all(&store.reader()), []);
}
