//! Proofs verify for true statements only.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, store::Overlay};
use capstan_store::{Proof, ProofError, StateView, Store, verify};
use common::{Random, commit};
use sha2::{Digest, Sha256};

/// Returns a state after several blocks, and its entries.
fn state(random: &mut Random, keys: u64) -> (StateView, BTreeMap<Vec<u8>, Hash>) {
    let store = Store::in_memory().unwrap();
    let mut entries = BTreeMap::new();
    for _ in 0..5 {
        commit(&store, |block| {
            for _ in 0..keys {
                let key = key(random);
                if random.one_in(4) {
                    block.delete(&key);
                    entries.remove(&key);
                } else {
                    let value = random.bytes(7);
                    entries.insert(key.clone(), Hash(Sha256::digest(&value).into()));
                    block.set(&key, value);
                }
            }
        });
    }
    (store.reader(), entries)
}

fn key(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => vec![b'k'; 250 + random.below(300) as usize],
        _ => format!("k{}", random.below(500)).into_bytes(),
    }
}

#[test]
fn show_the_value_or_the_absence_of_every_key() {
    let mut random = Random::seeded(5);
    for keys in [0, 1, 2, 3, 60, 400] {
        let (state, entries) = state(&mut random, keys);
        let root = state.root();
        let others: Vec<_> = (0..200).map(|_| key(&mut random)).collect();
        for key in entries.keys().chain(&others).chain([&vec![0], &vec![255; 9]]) {
            let bytes = state.prove(key).unwrap().to_bytes();
            let proof = Proof::from_bytes(&bytes).unwrap();
            assert_eq!(verify(&proof, &root, key), Ok(entries.get(key).copied()));
            assert!(verify(&proof, &Hash([7; 32]), key).is_err(), "another root");
        }
    }
}

#[test]
fn are_for_one_key_alone() {
    let mut random = Random::seeded(6);
    let (state, entries) = state(&mut random, 100);
    let keys: Vec<_> = entries.keys().cloned().chain((0..50).map(|_| key(&mut random))).collect();
    for key in &keys {
        let proof = state.prove(key).unwrap();
        for other in &keys {
            // An absence proof shows a gap, so it is valid for every key in the gap.
            if let Ok(value) = verify(&proof, &state.root(), other) {
                assert_eq!(value, entries.get(other).copied());
            }
        }
    }
}

#[test]
fn do_not_verify_wrongly_when_mutated() {
    let mut random = Random::seeded(7);
    let (state, entries) = state(&mut random, 300);
    let root = state.root();
    let keys: Vec<_> = entries.keys().cloned().chain((0..100).map(|_| key(&mut random))).collect();
    let proofs: Vec<_> = keys.iter().map(|key| state.prove(key).unwrap().to_bytes()).collect();
    let mut parsed = 0;
    for _ in 0..200_000 {
        let index = random.below(keys.len() as u64) as usize;
        let mut bytes = proofs[index].clone();
        mutate(&mut random, &mut bytes, &proofs);
        let Ok(proof) = Proof::from_bytes(&bytes) else {
            continue;
        };
        parsed += 1;
        for key in [&keys[index], random.choose(&keys)] {
            if let Ok(value) = verify(&proof, &root, key) {
                assert_eq!(value, entries.get(key).copied(), "key {}", key.escape_ascii());
            }
        }
    }
    assert!(parsed > 50_000, "only {parsed} mutations could be read");
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=random.below(3) {
        let length = bytes.len() as u64;
        let at = random.below(length) as usize;
        match random.below(8) {
            0 => bytes[at] = random.number() as u8,
            1..4 => bytes[at] ^= 1 << random.below(8),
            4 => {
                let to = random.below(length) as usize;
                bytes.swap(at, to);
            }
            5 => bytes.truncate(at.max(1)),
            6 => {
                let other = random.choose(others);
                let at = at.min(other.len());
                bytes.truncate(at.max(1));
                bytes.extend_from_slice(&other[at..]);
            }
            _ => {
                // The bytes of a hash's length at the same offset of another proof.
                let other = random.choose(others);
                let end = (at + 32).min(other.len()).min(bytes.len());
                if at < end {
                    bytes[at..end].copy_from_slice(&other[at..end]);
                }
            }
        }
    }
}

#[test]
fn that_are_no_proofs_are_refused() {
    let mut random = Random::seeded(8);
    let (state, _) = state(&mut random, 50);
    let proof = state.prove(b"k1").unwrap();
    let with_more = [proof.to_bytes(), vec![0]].concat();
    for bytes in [&b""[..], b"x", &with_more, &[0xFF; 64], &[1, 0xFF, 0xFF, 0xFF, 0xFF]] {
        let error = Proof::from_bytes(bytes).unwrap_err();
        assert!(matches!(error, ProofError::Malformed(_)), "{error}");
    }
    for _ in 0..10_000 {
        let length = random.below(200);
        let bytes = random.bytes(length);
        if let Ok(proof) = Proof::from_bytes(&bytes) {
            assert!(verify(&proof, &state.root(), b"k1").is_err());
        }
    }
    assert_eq!(verify(&proof, &state.root(), b"local.x"), Err(ProofError::Local));
}
