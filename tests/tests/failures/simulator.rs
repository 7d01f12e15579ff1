//! Validators on disks that crash, in one process, by one seed: nothing that was committed is lost, and all app hashes
//! agree at every height.
//!
//! `CAPSTAN_TEST_SEED=N` repeats a run, `CAPSTAN_SIM_CRASHES=N` makes a longer one.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

use std::collections::BTreeSet;

use capstan_genesis::GenesisDevice;
use capstan_kernel_ports::store::Read;
use capstan_tests::sim::{Counts, Decided, Disk, Network, Validator, store_on};
use capstan_tests::{Account, Options, Random, raw_genesis};
use sha2::{Digest, Sha256};
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::RequestQuery;

/// Minimum number of crashes of all networks together.
const CRASHES: u64 = 1_000;

/// Numbers of validators of the networks.
const SIZES: [usize; 5] = [4, 1, 3, 4, 7];

#[test]
fn no_crash_of_any_validator_loses_a_block_or_changes_a_hash() {
    let mut random = Random::seeded(0x5eed);
    let crashes: u64 = match std::env::var("CAPSTAN_SIM_CRASHES") {
        Ok(text) => text.parse().expect("CAPSTAN_SIM_CRASHES is a number"),
        Err(_) => CRASHES,
    };
    let mut all = Counts::default();
    for size in SIZES {
        let random = Random::from(random.number());
        // With a timer, time is part of the state.
        let timed = raw_genesis(|g| g.app_state.kernel.devices.extend([GenesisDevice::Timer]));
        let mut network = Network::new(size, timed, random);
        while network.counts().crashes < crashes.div_ceil(SIZES.len() as u64) {
            network.event();
        }
        network.settle();
        let counts = network.counts();
        println!("{size} validators, {} blocks, {counts:?}", network.decided().len());
        assert_nothing_is_lost(&network);
        assert_one_state(&network);
        let times: Vec<u64> = network.decided().iter().map(|block| block.time_ms).collect();
        assert!(times.is_sorted() && times.last() > times.first(), "{times:?}");
        all = all + counts;
    }
    // The faults fell where they should.
    println!("{all:?}");
    assert!(all.crashes >= crashes);
    assert!(all.in_operation > crashes / 20 && all.at_start > crashes / 50, "{all:?}");
    assert!(all.unacknowledged > 0 && all.accepted > crashes / 10, "{all:?}");
    assert!(all.dishonest > crashes / 20, "{all:?}");
}

/// Every accepted transaction is in exactly one block as a success, and every node knows what became of it.
fn assert_nothing_is_lost(network: &Network) {
    let mut done = BTreeSet::new();
    for block in network.decided() {
        for (tx, code) in block.txs.iter().zip(&block.codes) {
            if *code == 0 {
                assert!(done.insert(tx.clone()), "a transaction took effect twice");
            }
            // Whatever the messages did: whoever signed has paid.
            assert!(
                *code == 0 || *code >= 40,
                "a block holds a transaction refused by code {code}"
            );
        }
    }
    let accepted = network.counts().accepted;
    let all: BTreeSet<_> = network.decided().iter().flat_map(|block| &block.txs).collect();
    assert_eq!(all.len() as u64, accepted, "accepted transactions are in blocks");
    let mut settled = 0;
    for tx in &done {
        let hash = hex::encode_upper(Sha256::digest(tx));
        for validator in network.validators() {
            let request = RequestQuery { path: format!("txs/{hash}/0"), ..RequestQuery::default() };
            let answer = validator.app().unwrap().query(request);
            // A bundle's installation has no result to ask for.
            if answer.code == 0 {
                let result: serde_json::Value = serde_json::from_slice(&answer.value).unwrap();
                assert_ne!(result["status"], "pending", "{hash}");
                settled += 1;
            }
        }
    }
    let nodes = network.validators().len();
    assert!(settled > done.len() / 2 * nodes, "{settled} results of {} transactions", done.len());
}

/// The stores are whole, and equal in all that is not one node's own.
fn assert_one_state(network: &Network) {
    let last = network.decided().last().and_then(|block| block.app_hash.clone()).unwrap();
    let mut first = None;
    for validator in network.validators() {
        let store = store_on(&validator.disk().copy()).unwrap();
        assert_eq!(store.app_hash().0.to_vec(), last);
        let state = store.reader();
        state.check_integrity().unwrap();
        let derived: Vec<_> = state.scan(b"local.k.").unwrap();
        assert_eq!(*first.get_or_insert_with(|| derived.clone()), derived);
    }
}

/// The blocks of the sweep: an installation, work that stays over, a vat that dies, and a block without transactions.
fn story() -> Vec<Vec<Vec<u8>>> {
    let mut accounts: Vec<Account> = (0..3).map(Account::dev).collect();
    let mut call = |account: usize, methods: &[&str]| {
        let tx = accounts[account].calls(methods);
        accounts[account].tx(tx)
    };
    vec![
        vec![],
        vec![call(0, &["grow", "forward"]), call(1, &["increment", "work", "work"])],
        vec![call(0, &["die", "increment"]), call(2, &["forward", "erase"])],
        vec![],
        vec![call(1, &["increment"])],
    ]
}

/// A validator on a copy of the disk, started.
fn on(disk: &Disk, blocks: &[Decided], validator: &mut Validator) {
    validator.replace_disk(disk.copy());
    validator.start(blocks, &raw_genesis(|_| {})).unwrap();
}

#[test]
fn a_crash_at_any_operation_of_the_disk_between_one_block_and_the_next() {
    let mut random = Random::seeded(0x2b10c);
    let genesis = raw_genesis(|_| {});
    let mut blocks: Vec<Decided> =
        story().into_iter().map(|txs| Decided { txs, ..Decided::default() }).collect();
    let mut reference = Validator::new(Options::raw());
    reference.start(&blocks, &genesis).unwrap();
    let (mut points, mut old, mut new) = (0, 0, 0);
    for index in 0..blocks.len() {
        let before = reference.disk().copy();
        let height = reference.height();
        let block = blocks[index].clone();
        reference.step(&block).unwrap();
        blocks[index].app_hash = reference.finalized().map(|results| results.app_hash.to_vec());
        reference.step(&block).unwrap();
        if height == 0 {
            // Nothing is on disk before the first commit: the sweep begins with the second block.
            continue;
        }
        let mut validator = Validator::at(height, Options::raw());
        for limit in 0.. {
            on(&before, &blocks, &mut validator);
            validator.disk().fail_after(limit);
            let done = validator.step(&block).and_then(|_| validator.step(&block));
            let unharmed = !validator.disk().has_failed();
            validator.crash(&mut random);
            points += 1;
            // Checks that the height is the old one or the new one, and the hash the right one.
            validator.start(&blocks, &genesis).unwrap();
            match validator.height() == height {
                true => old += 1,
                false => new += 1,
            }
            while validator.height() == height {
                validator.step(&block).unwrap();
                let hash = validator.finalized().map(|results| results.app_hash.to_vec());
                assert!(hash.is_none() || hash == blocks[index].app_hash, "limit {limit}");
            }
            validator.crash(&mut random);
            validator.forget(height);
            if done.is_ok() && unharmed {
                break;
            }
        }
    }
    println!("{points} crash points, {old} found the old block and {new} the new one");
    assert!(points > 40 && old > 20 && new >= 4, "{points} points, {old} old, {new} new");
}
