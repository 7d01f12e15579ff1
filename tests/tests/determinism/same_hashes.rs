//! One chain, many nodes: whatever a node does on its own, it comes to the same app hash at every height.
//!
//! A chain runs the story once on the engine. Its blocks are then executed again by nodes that are stopped between
//! blocks, that know no cache, that keep one vat in memory, or that compile otherwise.
#![allow(clippy::unwrap_used)] // tests

use std::sync::OnceLock;

use capstan_client::{Args, Client, CreateVat};
use capstan_genesis::Genesis;
use capstan_tests::{BareApp, Node, Options, bundle, example};
use capstan_vat_host::{Compiler, Compilers, MemoryMode};

/// The record of a chain.
struct Recording {
    genesis: Genesis,
    blocks: Vec<Block>,
}

struct Block {
    height: i64,
    txs: Vec<Vec<u8>>,
    /// After the block.
    app_hash: Vec<u8>,
}

/// A story in which vats are made, used, ended by their owner and by their own fault, and collect garbage.
fn recording() -> &'static Recording {
    static RECORDING: OnceLock<Recording> = OnceLock::new();
    RECORDING.get_or_init(|| {
        let node = Node::start(|params| params.crank_computrons = 60_000_000);
        let (alice, bob) = (node.wallet(0), node.wallet(1));
        let (counter, hostile) = (example("counter"), bundle("tests/vats/hostile.js"));
        alice.install_bundle(&counter).unwrap();
        bob.install_bundle(&hostile).unwrap();
        let one = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
        let two = bob.create_vat(&CreateVat::new(&hostile.id)).unwrap();
        for _ in 0..5 {
            alice.send(&one.root, "increment", &Args::json("[2]")).unwrap();
            bob.send(&two.root, "ping", &Args::default()).unwrap();
        }
        alice.drop_refs(std::slice::from_ref(&one.meter)).unwrap();
        bob.send(&two.root, "loop", &Args::default()).unwrap();
        alice.transfer(&bob.address(), capstan_client::Amount(7)).unwrap();
        let three = alice.create_vat(&CreateVat::new(&counter.id)).unwrap();
        alice.terminate_vat(&one.admin, None).unwrap();
        alice.send(&three.root, "increment", &Args::default()).unwrap();
        node.wait_idle();
        let blocks = (1..=node.client().status().unwrap().height)
            .map(|height| read_block(node.client(), height));
        Recording { genesis: node.genesis().clone(), blocks: blocks.collect() }
    })
}

fn read_block(client: &Client, height: u64) -> Block {
    let at = u32::try_from(height).unwrap();
    let block = client.block(at).unwrap().block;
    let results = client.block_results(at).unwrap();
    Block {
        height: height.try_into().unwrap(),
        txs: block.data,
        app_hash: results.app_hash.as_bytes().to_vec(),
    }
}

/// Executes the recording on a new node; `between` is called before every block.
fn replay(options: &Options, mut between: impl FnMut(&mut BareApp, &Block)) {
    let Recording { genesis, blocks } = recording();
    assert!(blocks.len() > 20, "the story has {} blocks", blocks.len());
    let mut app = BareApp::start(genesis, options);
    for block in blocks {
        between(&mut app, block);
        let hash = app.block(block.height, &block.txs);
        assert_eq!(
            hash,
            block.app_hash,
            "app hash after block {} with {} transactions",
            block.height,
            block.txs.len()
        );
    }
}

#[test]
fn a_node_that_is_stopped_between_any_two_blocks() {
    let options = Options::usual();
    replay(&options, |app, block| {
        // Before the first block nothing is committed: a node stopped there starts from genesis.
        if block.height > 1 {
            app.restart(&options);
        }
    });
}

#[test]
fn a_node_that_is_stopped_between_executing_and_committing() {
    let options = Options::usual();
    replay(&options, |app, block| {
        if block.height > 1 {
            assert_eq!(app.finalize(block.height, &block.txs), block.app_hash);
            app.restart(&options);
        }
    });
}

#[test]
fn a_node_that_keeps_one_vat_in_memory() {
    replay(&Options { max_vats_online: Some(1), ..Options::usual() }, |_, _| {});
}

#[test]
fn a_node_without_copy_on_write() {
    replay(&Options { memory: MemoryMode::Copies, ..Options::usual() }, |_, _| {});
}

#[test]
fn a_node_without_a_cache_and_with_another_compiler() {
    let compilers = Compilers { engine: Compiler::Singlepass, modules: Compiler::Cranelift };
    replay(&Options { cache_dir: None, compilers, ..Options::usual() }, |_, _| {});
}

#[test]
fn a_node_whose_vats_run_ahead() {
    for threads in [2, 7] {
        replay(&Options { threads, ..Options::usual() }, |_, _| {});
        replay(&Options { threads, chaos: Some(threads as u64), ..Options::usual() }, |_, _| {});
    }
}
