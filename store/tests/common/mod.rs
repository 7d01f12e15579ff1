//! What the tests of this crate share: a generator of pseudo-random numbers and small helpers.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, of which each file uses its part"
)]

use capstan_kernel_ports::{
    Hash,
    store::{Entry, Overlay, PROVEN, Read},
};
use capstan_store::{Block, Store};
pub use capstan_test_random::Random;

/// Commits the writes of `write` at the next height and returns the root.
pub fn commit(store: &Store, write: impl FnOnce(&mut Block)) -> Hash {
    let mut block = store.begin_block();
    write(&mut block);
    let prepared = store.prepare(block).expect("prepare");
    let root = prepared.root();
    store.commit(prepared, store.height() + 1).expect("commit");
    assert_eq!(store.root(), root);
    root
}

/// Commits `entries` at the next height and returns the root.
pub fn commit_entries(store: &Store, entries: &[(&[u8], &[u8])]) -> Hash {
    commit(store, |block| {
        for (key, value) in entries {
            block.set(key, value.to_vec());
        }
    })
}

/// Returns all entries of `state`, but for those of the proven tree.
pub fn all(state: &impl Read) -> Vec<Entry> {
    let mut entries = state.scan(b"").expect("scan");
    entries.retain(|entry| !entry.0.starts_with(PROVEN));
    entries
}

/// Returns the first entry of `state` after `after` that starts with `prefix`, but for those of the proven tree.
pub fn next_after(state: &impl Read, prefix: &[u8], after: &[u8]) -> Option<Entry> {
    let mut after = after.to_vec();
    loop {
        let found = state.next_after(prefix, &after).expect("next");
        match found {
            Some((key, _)) if key.starts_with(PROVEN) => after = key,
            found => return found,
        }
    }
}

/// Returns the writes of the block at `height`: sets and removals of shared keys, and node-local ones.
///
/// They depend on `height` only, so that a test knows the state at every height.
pub fn script(height: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut random = Random::from(height);
    let mut writes: Vec<_> = (0..60)
        .map(|_| {
            let key = format!("v{}.c.ko{}", random.below(9), random.below(40)).into_bytes();
            let length = random.below(200);
            let value = (!random.one_in(4)).then(|| random.bytes(length));
            (key, value)
        })
        .collect();
    writes.push((b"height".to_vec(), Some(height.to_be_bytes().to_vec())));
    writes.push((b"local.height".to_vec(), Some(height.to_be_bytes().to_vec())));
    writes
}

/// Returns the blob of the block at `height`.
pub fn script_blob(height: u64) -> Vec<u8> {
    Random::from(!height).bytes(5000)
}

/// Returns a block with the writes and the blob of `height`.
pub fn scripted_block(store: &Store, height: u64) -> Block {
    let mut block = store.begin_block();
    for (key, value) in script(height) {
        match value {
            Some(value) => block.set(&key, value),
            None => block.delete(&key),
        }
    }
    block.put_blob(script_blob(height));
    block
}

/// Checks that the store has exactly the state that the scripts up to its height produce.
pub fn assert_scripted(store: &Store) {
    let mut expected = std::collections::BTreeMap::new();
    for height in 1..=store.height() {
        for (key, value) in script(height) {
            match value {
                Some(value) => expected.insert(key, value),
                None => expected.remove(&key),
            };
        }
        let blob = script_blob(height);
        let hash = Hash(<sha2::Sha256 as sha2::Digest>::digest(&blob).into());
        assert_eq!(store.reader().blob(&hash).unwrap(), Some(blob));
    }
    let expected: Vec<Entry> = expected.into_iter().collect();
    assert_eq!(all(&store.reader()), expected, "at height {}", store.height());
    store.reader().check_integrity().expect("deep check");
}
