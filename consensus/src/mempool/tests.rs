//! Transactions that the mempool accepts, refuses, offers to blocks and drops after them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use futures_util::FutureExt as _;
use prost::bytes::Bytes;
use tendermint_proto::v0_38::abci::ExecTxResult;
use tendermint_proto::v0_38::types::{BlockParams, ConsensusParams};

use super::{BYTES_AT_ONCE, Mempool, MempoolError, MempoolLimits};
use crate::chain::abci::{Abci, Shared};
use crate::chain::params;
use crate::command::Command;
use crate::test_app::TestApp;

fn mempool(limits: MempoolLimits, block: BlockParams) -> (Mempool, Receiver<Command>) {
    let dir = tempfile::tempdir().unwrap();
    let app: Arc<dyn Abci> = Arc::new(Shared::new(TestApp::open(dir.path())));
    let (sender, receiver) = channel();
    let params = ConsensusParams { block: Some(block), ..params::defaults() };
    (Mempool::new(app, limits, params, sender), receiver)
}

fn usual() -> (Mempool, Receiver<Command>) {
    mempool(MempoolLimits::default(), BlockParams { max_bytes: 22_020_096, max_gas: -1 })
}

fn tx(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn ok(text: &str) -> (Vec<u8>, ExecTxResult) {
    (text.as_bytes().to_vec(), ExecTxResult::default())
}

#[test]
fn transactions_leave_in_the_order_they_came() {
    let (mempool, wakes) = usual();
    let sent: Vec<Bytes> = (0..50).map(|n| tx(&format!("k{n}=v"))).collect();
    for tx in &sent {
        assert_eq!(mempool.add(tx.clone()).unwrap().code, 0);
    }
    assert_eq!(mempool.reap(), sent);
    assert_eq!(wakes.try_iter().count(), 50);
}

#[test]
fn a_duplicate_is_refused_until_it_failed() {
    let (mempool, _wakes) = usual();
    mempool.add(tx("a=1")).unwrap();
    assert_eq!(mempool.add(tx("a=1")), Err(MempoolError::Known));
    // Refused by CheckTx: not remembered.
    assert_eq!(mempool.add(tx("bad=1")).unwrap().code, 7);
    assert_eq!(mempool.add(tx("bad=1")).unwrap().code, 7);
    // Committed with success: remembered. Failed in its block: may come again.
    mempool.add(tx("fail=1")).unwrap();
    let failed = ExecTxResult { code: 5, ..ExecTxResult::default() };
    let closed = mempool.close();
    let txs = [ok("a=1").0, ok("fail=1").0];
    mempool.update(&closed, &txs, &[ExecTxResult::default(), failed], &params::defaults());
    drop(closed);
    assert!(mempool.is_empty());
    assert_eq!(mempool.add(tx("a=1")), Err(MempoolError::Known));
    assert_eq!(mempool.add(tx("fail=1")).unwrap().code, 0);
}

#[test]
fn transactions_that_nobody_waits_for_are_bounded_by_their_bytes() {
    let (mempool, _wakes) = usual();
    let mempool = Arc::new(mempool);
    let (submitter, thread) = mempool.start().unwrap();
    let closed = mempool.close();
    let large = |number| Bytes::from(vec![number; 8 << 20]);
    let taken = (0..100).take_while(|number| submitter.submit(large(*number)).is_ok()).count();
    assert_eq!(taken, 4);
    assert_eq!(submitter.submit(tx("a=1")), Err(MempoolError::Busy));
    drop(closed);
    // Once they were checked, there is room again.
    while submitter.submit(tx("a=1")).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(submitter);
    thread.join().unwrap();
    let (_, waiting, _) = mempool.peek(0);
    assert_eq!(waiting, 5);
}

#[test]
fn every_limit_holds() {
    let limits =
        MempoolLimits { max_txs: 3, max_tx_bytes: 100, max_total_bytes: 150, cache_size: 100 };
    let (mempool, _wakes) = mempool(limits, BlockParams { max_bytes: 22_020_096, max_gas: 10 });
    let long = "x".repeat(101);
    assert_eq!(mempool.add(tx(&long)), Err(MempoolError::TooLarge { max: 100, bytes: 101 }));
    assert_eq!(mempool.add(tx("gas=11")), Err(MempoolError::TooMuchGas { wanted: 11, max: 10 }));
    mempool.add(tx(&long[..100])).unwrap();
    assert!(matches!(
        mempool.add(tx(&long[..99])),
        Err(MempoolError::Full { txs: 1, bytes: 100, .. })
    ));
    mempool.add(tx("a=1")).unwrap();
    mempool.add(tx("b=1")).unwrap();
    assert!(matches!(mempool.add(tx("c=1")), Err(MempoolError::Full { txs: 3, .. })));
}

#[test]
fn a_block_takes_what_its_bytes_and_gas_allow() {
    let overhead = 11 + 626 + 94 + 109;
    let (bytes, _wakes) =
        mempool(MempoolLimits::default(), BlockParams { max_bytes: overhead + 25, max_gas: -1 });
    for n in 0..5 {
        bytes.add(tx(&format!("key{n}=value"))).unwrap();
    }
    assert_eq!(bytes.reap().len(), 2, "two of 12 bytes each fit into 25");
    assert!(matches!(bytes.add(tx(&"x".repeat(24))), Err(MempoolError::TooLarge { .. })));
    let (gas, _wakes) =
        mempool(MempoolLimits::default(), BlockParams { max_bytes: -1, max_gas: 10 });
    for wanted in ["gas=4", "gas=6", "gas=1"] {
        gas.add(tx(wanted)).unwrap();
    }
    assert_eq!(gas.reap().len(), 2);
}

#[test]
fn what_a_block_made_impossible_is_dropped_and_may_come_again() {
    let (mempool, _wakes) = usual();
    mempool.add(tx("gas=40")).unwrap();
    mempool.add(tx("a=1")).unwrap();
    let tight = ConsensusParams {
        block: Some(BlockParams { max_bytes: -1, max_gas: 30 }),
        ..params::defaults()
    };
    let closed = mempool.close();
    mempool.update(&closed, &[], &[], &tight);
    drop(closed);
    assert_eq!(mempool.reap(), [tx("a=1")]);
    assert_eq!(mempool.add(tx("gas=40")), Err(MempoolError::TooMuchGas { wanted: 40, max: 30 }));
}

#[test]
fn the_cache_forgets_the_oldest() {
    let limits = MempoolLimits { cache_size: 2, ..MempoolLimits::default() };
    let (mempool, _wakes) = mempool(limits, BlockParams { max_bytes: -1, max_gas: -1 });
    let txs = ["a=1", "b=1", "c=1"].map(tx);
    for tx in &txs {
        mempool.add(tx.clone()).unwrap();
    }
    // What waits is known, whatever the cache has forgotten.
    for tx in &txs {
        assert_eq!(mempool.add(tx.clone()), Err(MempoolError::Known));
    }
    let closed = mempool.close();
    let txs = txs.map(|tx| tx.to_vec());
    mempool.update(&closed, &txs, &vec![ExecTxResult::default(); 3], &params::defaults());
    drop(closed);
    assert_eq!(mempool.add(tx("c=1")), Err(MempoolError::Known));
    assert!(mempool.add(tx("a=1")).is_ok());
}

#[test]
fn a_flood_of_refused_transactions_leaves_nothing_behind() {
    let (mempool, wakes) = usual();
    for n in 0..20_000 {
        assert_eq!(mempool.add(tx(&format!("bad={n}"))).unwrap().code, 7);
    }
    assert_eq!(mempool.peek(10), (vec![], 0, 0));
    assert_eq!(wakes.try_iter().count(), 0);
}

#[test]
fn a_small_transaction_is_checked_at_once_unless_others_wait() {
    let (mempool, _wakes) = usual();
    let mempool = Arc::new(mempool);
    let (submitter, thread) = mempool.start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // On this thread, without waiting for another one.
    assert_eq!(submitter.check(tx("a=1")).now_or_never().unwrap().unwrap().code, 0);
    assert_eq!(submitter.check(tx("a=1")).now_or_never(), Some(Err(MempoolError::Known)));
    // Not while the mempool is closed, and not while one waits that was sent before.
    let closed = mempool.close();
    submitter.submit(tx("b=1")).unwrap();
    let (mut later, mut last) =
        (Box::pin(submitter.check(tx("c=1"))), Box::pin(submitter.check(tx("d=1"))));
    assert!((&mut later).now_or_never().is_none() && (&mut last).now_or_never().is_none());
    assert_eq!(mempool.reap(), [tx("a=1")]);
    drop(closed);
    assert_eq!(runtime.block_on(later).unwrap().code, 0);
    assert_eq!(runtime.block_on(last).unwrap().code, 0);
    // A large one goes the other way, to the same place.
    let large = tx(&format!("e={}", "v".repeat(BYTES_AT_ONCE)));
    assert_eq!(runtime.block_on(submitter.check(large.clone())).unwrap().code, 0);
    assert_eq!(mempool.reap(), [tx("a=1"), tx("b=1"), tx("c=1"), tx("d=1"), large]);
    drop(submitter);
    thread.join().unwrap();
}
