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
    store::{Entry, Overlay, Read},
};
use capstan_store::{Block, Store};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and equal on every machine.
pub struct Random(u64);

impl Random {
    /// Begins at the seed in the environment variable CAPSTAN_TEST_SEED, or at `default`; prints it,
    /// which the test harness shows if the test fails.
    pub fn seeded(default: u64) -> Self {
        let seed = match std::env::var("CAPSTAN_TEST_SEED") {
            Ok(text) => text.parse().expect("CAPSTAN_TEST_SEED is a number"),
            Err(_) => default,
        };
        println!("seed: CAPSTAN_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Commits what `write` writes as the next height; returns the root.
pub fn commit(store: &Store, write: impl FnOnce(&mut Block)) -> Hash {
    let mut block = store.begin_block();
    write(&mut block);
    let prepared = store.prepare(block).expect("prepare");
    let root = prepared.root();
    store.commit(prepared, store.height() + 1).expect("commit");
    assert_eq!(store.root(), root);
    root
}

/// Commits these entries.
pub fn commit_entries(store: &Store, entries: &[(&[u8], &[u8])]) -> Hash {
    commit(store, |block| {
        for (key, value) in entries {
            block.set(key, value.to_vec());
        }
    })
}

/// All entries.
pub fn all(state: &impl Read) -> Vec<Entry> {
    state.scan(b"").expect("scan")
}

/// The writes of the block at `height` in tests that must know the state at every height: sets and
/// removals of shared keys, and local ones.
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

/// The blob of the block at `height`.
pub fn script_blob(height: u64) -> Vec<u8> {
    Random::from(!height).bytes(5000)
}

/// A block with the script of `height`.
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

/// Checks that the store is, whole, what the scripts up to its height make of it.
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
