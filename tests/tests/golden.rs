//! The golden chains: recorded sequences of blocks whose app hashes are pinned, so that no change of consensus goes
//! unnoticed.
//!
//! If a change is intended, `CAPSTAN_UPDATE_GOLDEN=1 cargo test --workspace --test golden` writes the new hashes to
//! `tests/golden/`; the commit then says why every chain that runs must be upgraded.
#![allow(clippy::unwrap_used)] // tests

use std::fmt::Write as _;
use std::path::Path;

use capstan_client::proto::{CapData, MsgCreateVat, MsgTerminateVat};
use capstan_client::{Bundle, TxBuilder};
use capstan_genesis::Genesis;
use capstan_tests::{Account, BareApp, Options, bundle, example, genesis, raw_genesis};
use capstan_vat_host::MemoryMode;
use sha2::{Digest, Sha256};

/// The one thing in a block that is refused.
const GARBAGE: &[u8] = b"no transaction";

/// The block of a golden chain: what it holds, by its hash, and the app hash after it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    height: i64,
    txs: usize,
    txs_hash: String,
    results_hash: String,
    app_hash: String,
}

/// Runs a chain block by block and notes what it comes to.
struct Recorder {
    app: BareApp,
    lines: Vec<Line>,
}

impl Recorder {
    fn start(genesis: &Genesis, options: &Options) -> Self {
        Self { app: BareApp::start(genesis, options), lines: Vec::new() }
    }

    /// A block, and blocks without transactions until the chain is idle.
    fn block(&mut self, txs: Vec<Vec<u8>>) {
        self.one(txs);
        for _ in 0..50 {
            let [.., before, last] = self.lines.as_slice() else { return };
            if before.app_hash == last.app_hash {
                return;
            }
            self.one(vec![]);
        }
        panic!("the chain is not idle after 50 blocks");
    }

    fn one(&mut self, txs: Vec<Vec<u8>>) {
        let height = i64::try_from(self.lines.len() + 1).unwrap();
        let results = self.app.block_results(height, &txs);
        for (tx, result) in txs.iter().zip(&results.tx_results) {
            assert!(result.code == 0 || tx == GARBAGE, "block {height}: {}", result.log);
        }
        let mut hash = Sha256::new();
        for result in &results.tx_results {
            // What consensus covers of a result: CometBFT's LastResultsHash takes code, data and gas.
            hash.update(result.code.to_be_bytes());
            hash.update((result.data.len() as u64).to_be_bytes());
            hash.update(&result.data);
            hash.update(result.gas_wanted.to_be_bytes());
            hash.update(result.gas_used.to_be_bytes());
        }
        let mut all = Sha256::new();
        txs.iter().for_each(|tx| all.update(Sha256::digest(tx)));
        self.lines.push(Line {
            height,
            txs: txs.len(),
            txs_hash: hex::encode(&all.finalize()[..8]),
            results_hash: hex::encode(&hash.finalize()[..8]),
            app_hash: hex::encode(&results.app_hash),
        });
    }

    /// Compares with the recording, or makes it.
    fn check(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
        let mut text =
            "# height, transactions, their hash, their results' hash, app hash\n".to_owned();
        for Line { height, txs, txs_hash, results_hash, app_hash } in &self.lines {
            writeln!(text, "{height} {txs} {txs_hash} {results_hash} {app_hash}").unwrap();
        }
        if std::env::var_os("CAPSTAN_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            return std::fs::write(&path, text).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap();
        for (found, expected) in text.lines().zip(recorded.lines()) {
            assert_eq!(
                found, expected,
                "{name}: a block comes to something else than was recorded. A node with this change would fall off a \
                 chain that runs. If it is intended: CAPSTAN_UPDATE_GOLDEN=1"
            );
        }
        assert_eq!(text.lines().count(), recorded.lines().count(), "{name}: the number of blocks");
    }
}

/// As on a machine without copy-on-write.
fn with_copies(options: Options) -> Options {
    Options { memory: MemoryMode::Copies, ..options }
}

/// As on a node whose vats run ahead on so many threads, late, reordered and partly in vain.
fn ahead(options: Options, threads: usize) -> Options {
    Options { threads, chaos: Some(threads as u64), ..options }
}

#[test]
fn a_chain_of_wasm_vats_that_run_ahead_comes_to_the_recorded_hashes() {
    [2, 7].into_iter().for_each(|threads| wasm_chain(&ahead(Options::raw(), threads)));
}

#[test]
fn a_chain_of_javascript_vats_that_run_ahead_comes_to_the_recorded_hashes() {
    [2, 7].into_iter().for_each(|threads| javascript_chain(&ahead(Options::usual(), threads)));
}

#[test]
fn a_chain_of_wasm_vats_comes_to_the_recorded_hashes() {
    wasm_chain(&Options::raw());
}

#[test]
fn a_chain_of_wasm_vats_with_copied_memories_comes_to_the_recorded_hashes() {
    wasm_chain(&with_copies(Options::raw()));
}

fn wasm_chain(options: &Options) {
    let mut chain = Recorder::start(&raw_genesis(|_| {}), options);
    let mut accounts: Vec<Account> = (0..6).map(Account::dev).collect();
    let mut call = |account: usize, methods: &[&str]| {
        let tx = accounts[account].calls(methods);
        accounts[account].tx(tx)
    };
    chain.block(vec![]);
    chain.block((0..6).map(|account| call(account, &["increment"])).collect());
    chain.block(vec![call(0, &["grow", "forward"]), call(1, &["forward", "refuse", "increment"])]);
    chain.block(vec![call(2, &["work", "work", "work", "increment"])]);
    chain.block(vec![call(3, &["grow", "erase"]), call(0, &["forward", "die", "increment"])]);
    chain.block(vec![call(1, &["grow", "x"]), call(2, &["forward", "forward", "forward"])]);
    chain.block(vec![GARBAGE.to_vec(), call(3, &["increment"])]);
    for _ in 0..10 {
        chain.block(vec![call(2, &["forward", "increment"]), call(3, &["increment", "grow"])]);
    }
    chain.check("wasm.txt");
}

#[test]
fn a_chain_of_javascript_vats_comes_to_the_recorded_hashes() {
    javascript_chain(&Options::usual());
}

#[test]
fn a_chain_of_javascript_vats_with_copied_memories_comes_to_the_recorded_hashes() {
    javascript_chain(&with_copies(Options::usual()));
}

fn javascript_chain(options: &Options) {
    let genesis = genesis(|params| params.crank_computrons = 60_000_000);
    let mut chain = Recorder::start(&genesis, options);
    let (mut alice, mut bob) = (Account::dev(0), Account::dev(1));
    let (counter, hostile) = (example("counter"), bundle("tests/vats/hostile.js"));
    chain.block(vec![]);
    let tx = install(&alice, &counter);
    let other = install(&bob, &hostile);
    chain.block(vec![alice.tx(tx), bob.tx(other)]);
    let tx = create(&alice, &counter, "{\"start\":5}");
    let other = create(&bob, &hostile, "{}");
    chain.block(vec![alice.tx(tx), bob.tx(other)]);
    // What the accounts were given, as `capstan tx create-vat` prints it.
    for _ in 0..3 {
        let tx = TxBuilder::new().message(&alice.message("ro-53", "increment", "[37]"));
        let other = TxBuilder::new().message(&bob.message("ro-53", "ping", "[]"));
        chain.block(vec![alice.tx(tx), bob.tx(other)]);
    }
    let tx = TxBuilder::new().message(&bob.message("ro-53", "loop", "[]"));
    chain.block(vec![bob.tx(tx)]);
    let message =
        MsgTerminateVat { sender: alice.address(), admin: "ro-52".to_owned(), reason: None };
    let tx = TxBuilder::new().message(&alice.message("ro-53", "read", "[]")).message(&message);
    chain.block(vec![alice.tx(tx)]);
    chain.check("javascript.txt");
}

fn install(account: &Account, bundle: &Bundle) -> TxBuilder {
    TxBuilder::new().message(&capstan_client::proto::MsgInstallBundle {
        submitter: account.address(),
        bundle: bundle.bytes.clone(),
        bundle_id: bundle.id.to_string(),
        ..Default::default()
    })
}

fn create(account: &Account, bundle: &Bundle, parameters: &str) -> TxBuilder {
    TxBuilder::new().message(&MsgCreateVat {
        owner: account.address(),
        bundle_id: bundle.id.to_string(),
        name: "vat".to_owned(),
        parameters: Some(CapData { body: parameters.to_owned(), slots: vec![] }),
        computrons: 500_000_000,
    })
}
