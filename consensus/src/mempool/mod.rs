//! The mempool: transactions that passed `CheckTx`, in the order they came.

mod limits;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::bytes::Bytes;
use tendermint_proto::v0_38::abci::{CheckTxType, ExecTxResult, RequestCheckTx, ResponseCheckTx};
use tendermint_proto::v0_38::types::ConsensusParams;
use tokio::sync::{mpsc, oneshot};

pub use limits::MempoolLimits;

use crate::chain::abci::Abci;
use crate::chain::merkle::{Hash, sha256};
use crate::chain::params;
use crate::command::Command;
use crate::listen::Counted;

/// Maximum number of transactions that wait for `CheckTx`.
const SUBMISSIONS: usize = 1_024;
/// Maximum size of a transaction that is checked at once, on the thread of the request, if no other waits. The check of a larger
/// one would keep the thread from other requests.
const BYTES_AT_ONCE: usize = 4 << 10;
/// Maximum size of those together whose clients do not wait, in bytes. One alone may have more.
const SUBMISSION_BYTES: usize = 32 << 20;

/// Reason why a transaction is refused before or after `CheckTx`. The texts are those of CometBFT where it has one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MempoolError {
    #[error("tx already exists in cache")]
    Known,
    #[error("Tx too large. Max size is {max}, but got {bytes}")]
    TooLarge { max: usize, bytes: usize },
    #[error(
        "mempool is full: number of txs {txs} (max: {max_txs}), total txs bytes {bytes} (max: {max_bytes})"
    )]
    Full { txs: usize, max_txs: usize, bytes: usize, max_bytes: usize },
    #[error("gas wanted {wanted} is greater than max gas {max}")]
    TooMuchGas { wanted: i64, max: i64 },
    #[error("too many transactions wait for CheckTx; try again later")]
    Busy,
    #[error("the node is shutting down")]
    Closed,
}

/// A function that checks a transaction and leaves no trace.
pub type CheckOnly = Arc<dyn Fn(&[u8]) -> ResponseCheckTx + Send + Sync>;

/// The transactions that wait for a block.
pub(crate) struct Mempool {
    app: Arc<dyn Abci>,
    limits: MempoolLimits,
    /// Held while a transaction is checked and added, so that the order of `CheckTx` is the order of the mempool. Also
    /// held during `Commit` and the recheck after it, when ABCI forbids other checks.
    gate: Mutex<()>,
    pool: Mutex<Pool>,
    wake: Sender<Command>,
    /// What checks a transaction that is not to be kept.
    check: Option<CheckOnly>,
}

/// Proof that no transaction is being checked.
pub(crate) struct Closed<'a>(#[allow(dead_code)] MutexGuard<'a, ()>);

/// A handle to the thread of the mempool.
#[derive(Clone)]
pub(crate) struct Submitter {
    sender: mpsc::Sender<Submission>,
    mempool: Arc<Mempool>,
    /// Number of submissions that are not checked yet.
    waiting: Arc<AtomicUsize>,
    /// Bytes of the transactions whose clients do not wait for an answer.
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Submission {
    tx: Bytes,
    /// The part of the bytes that nobody waits for. A client that waits holds its request, which is counted there.
    counted: Option<Counted>,
    /// Its part of the submissions that are not checked yet.
    waits: Counted,
    reply: oneshot::Sender<Result<ResponseCheckTx, MempoolError>>,
}

struct Pool {
    waiting: VecDeque<Waiting>,
    /// Their hashes. It is only looked up.
    hashes: HashSet<Hash>,
    bytes: usize,
    cache: Cache,
    params: ConsensusParams,
}

struct Waiting {
    tx: Bytes,
    hash: Hash,
    gas_wanted: i64,
}

impl Mempool {
    /// Makes an empty mempool for a chain with `params`. Sends [`Command::Wake`] when a transaction comes.
    pub(crate) fn new(
        app: Arc<dyn Abci>,
        limits: MempoolLimits,
        params: ConsensusParams,
        wake: Sender<Command>,
    ) -> Self {
        let cache =
            Cache { size: limits.cache_size, known: HashSet::new(), order: VecDeque::new() };
        let pool = Mutex::new(Pool {
            waiting: VecDeque::new(),
            hashes: HashSet::new(),
            bytes: 0,
            cache,
            params,
        });
        Self { app, limits, gate: Mutex::new(()), pool, wake, check: None }
    }

    /// Sets what checks a transaction that is not to be kept.
    pub(crate) fn checking_by(self, check: Option<CheckOnly>) -> Self {
        Self { check, ..self }
    }

    /// Starts the thread that checks transactions in the order of their submission. It ends when the last [`Submitter`]
    /// is dropped.
    pub(crate) fn start(
        self: &Arc<Self>,
    ) -> std::io::Result<(Submitter, std::thread::JoinHandle<()>)> {
        let (sender, mut receiver) = mpsc::channel::<Submission>(SUBMISSIONS);
        let mempool = Arc::clone(self);
        let thread =
            std::thread::Builder::new().name("solo-mempool".to_owned()).spawn(move || {
                while let Some(Submission { tx, reply, counted, waits }) = receiver.blocking_recv()
                {
                    let answer = mempool.add(tx);
                    drop((counted, waits));
                    // The client may have gone away. The transaction stays.
                    let _ = reply.send(answer);
                }
            })?;
        let mempool = Arc::clone(self);
        Ok((Submitter { sender, mempool, waiting: Arc::default(), bytes: Arc::default() }, thread))
    }

    /// Checks a transaction and adds it if `CheckTx` returns code 0.
    pub(crate) fn add(&self, tx: Bytes) -> Result<ResponseCheckTx, MempoolError> {
        let gate = self.lock_gate();
        self.add_next(&gate, tx)
    }

    /// Does the same, as long as no other check is in the way. Returns `None` if one is.
    fn add_at_once(&self, tx: &Bytes) -> Option<Result<ResponseCheckTx, MempoolError>> {
        let gate = self.gate.try_lock().ok()?;
        Some(self.add_next(&gate, tx.clone()))
    }

    fn add_next(&self, _: &MutexGuard<'_, ()>, tx: Bytes) -> Result<ResponseCheckTx, MempoolError> {
        let hash = sha256(&tx);
        self.pool().accept(&self.limits, &tx, hash)?;
        let response =
            self.app.check_tx(RequestCheckTx { tx: tx.clone(), r#type: CheckTxType::New.into() });
        let mut pool = self.pool();
        let too_much = params::max_gas(&pool.params).filter(|max| response.gas_wanted > *max);
        if response.code != 0 || too_much.is_some() {
            pool.cache.forget(&hash);
        }
        if response.code != 0 {
            return Ok(response);
        }
        if let Some(max) = too_much {
            return Err(MempoolError::TooMuchGas { wanted: response.gas_wanted, max });
        }
        pool.bytes += tx.len();
        pool.hashes.insert(hash);
        pool.waiting.push_back(Waiting { tx, hash, gas_wanted: response.gas_wanted });
        // If nobody receives, no more blocks are made, and the RPC ends too.
        let _ = self.wake.send(Command::Wake);
        Ok(response)
    }

    /// Refuses a transaction that would not be checked: it does not fit, or it is known.
    pub(crate) fn admits(&self, tx: &Bytes, hash: &Hash) -> Result<(), MempoolError> {
        let pool = self.pool();
        pool.fits(&self.limits, tx)?;
        if pool.cache.known.contains(hash) { Err(MempoolError::Known) } else { Ok(()) }
    }

    /// Asks the application about a transaction without keeping it.
    pub(crate) fn check_only(&self, tx: Bytes) -> ResponseCheckTx {
        match &self.check {
            Some(check) => check(&tx),
            None => self.app.check_tx(RequestCheckTx { tx, r#type: CheckTxType::New.into() }),
        }
    }

    /// Returns the transactions for the next block: the oldest, as far as bytes and gas allow.
    pub(crate) fn reap(&self) -> Vec<Bytes> {
        let pool = self.pool();
        let mut bytes = params::max_data_bytes(&pool.params);
        let mut gas = params::max_gas(&pool.params).unwrap_or(i64::MAX);
        let fitting = pool.waiting.iter().take_while(|waiting| {
            bytes -= params::tx_size_in_block(waiting.tx.len());
            gas = gas.saturating_sub(waiting.gas_wanted.max(0));
            bytes >= 0 && gas >= 0
        });
        fitting.map(|waiting| waiting.tx.clone()).collect()
    }

    /// Removes transactions that the application left out of a block that has room for them, so
    /// that an idle chain does not make block after block for them.
    pub(crate) fn reject(&self, txs: &[Bytes]) {
        let hashes: HashSet<Hash> = txs.iter().map(|tx| sha256(tx)).collect();
        self.pool().forget(&hashes);
    }

    /// Keeps new transactions out until the result is dropped.
    pub(crate) fn close(&self) -> Closed<'_> {
        Closed(self.lock_gate())
    }

    /// Removes the transactions of a committed block and checks the others again.
    pub(crate) fn update(
        &self,
        _: &Closed<'_>,
        txs: &[Vec<u8>],
        results: &[ExecTxResult],
        params: &ConsensusParams,
    ) {
        let waiting = {
            let mut pool = self.pool();
            pool.params = params.clone();
            let mut committed = HashSet::new();
            for (tx, result) in txs.iter().zip(results) {
                let hash = sha256(tx);
                committed.insert(hash);
                // A failed transaction may be sent again. One that succeeded stays known.
                if result.code == 0 {
                    pool.cache.remember(hash);
                } else {
                    pool.cache.forget(&hash);
                }
            }
            pool.retain(|waiting| !committed.contains(&waiting.hash));
            pool.waiting
                .iter()
                .map(|waiting| (waiting.hash, waiting.tx.clone()))
                .collect::<Vec<_>>()
        };
        // The application is asked without holding the pool, so that reads of the mempool do not
        // wait.
        let dropped: HashSet<Hash> = waiting
            .into_iter()
            .filter(|(_, tx)| !self.still_good(tx, params))
            .map(|w| w.0)
            .collect();
        if !dropped.is_empty() {
            self.pool().forget(&dropped);
        }
    }

    /// Returns whether no transaction waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.pool().waiting.is_empty()
    }

    /// Returns the oldest `limit` transactions, the number of all, and the bytes of all.
    pub(crate) fn peek(&self, limit: usize) -> (Vec<Bytes>, usize, usize) {
        let pool = self.pool();
        let txs = pool.waiting.iter().take(limit).map(|waiting| waiting.tx.clone()).collect();
        (txs, pool.waiting.len(), pool.bytes)
    }

    fn still_good(&self, tx: &Bytes, params: &ConsensusParams) -> bool {
        if params::tx_size_in_block(tx.len()) > params::max_data_bytes(params) {
            return false;
        }
        let response = self
            .app
            .check_tx(RequestCheckTx { tx: tx.clone(), r#type: CheckTxType::Recheck.into() });
        response.code == 0 && params::max_gas(params).is_none_or(|max| response.gas_wanted <= max)
    }

    // A lock is poisoned only by a panic while it is held, and what it guards is whole at every
    // such point.
    fn lock_gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Submitter {
    /// Submits a transaction and waits for the response of `CheckTx`.
    ///
    /// A small one is checked at once if no submission waits, so that it is not handed to another thread and back. What a client
    /// has submitted before stays before it.
    pub(crate) async fn check(&self, tx: Bytes) -> Result<ResponseCheckTx, MempoolError> {
        if tx.len() <= BYTES_AT_ONCE
            && self.waiting.load(Ordering::Acquire) == 0
            && let Some(answer) = self.mempool.add_at_once(&tx)
        {
            return answer;
        }
        let (reply, answer) = oneshot::channel();
        let waits = Counted::new(&self.waiting, 1);
        let submission = Submission { tx, reply, counted: None, waits };
        self.sender.send(submission).await.map_err(|_| MempoolError::Closed)?;
        answer.await.map_err(|_| MempoolError::Closed)?
    }

    /// Submits a transaction without waiting. Too many of them are refused, and too many bytes.
    pub(crate) fn submit(&self, tx: Bytes) -> Result<(), MempoolError> {
        let (reply, _) = oneshot::channel();
        let counted = Counted::new(&self.bytes, tx.len());
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting > SUBMISSION_BYTES && waiting > tx.len() {
            return Err(MempoolError::Busy);
        }
        let waits = Counted::new(&self.waiting, 1);
        let submission = Submission { tx, reply, counted: Some(counted), waits };
        self.sender.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => MempoolError::Busy,
            mpsc::error::TrySendError::Closed(_) => MempoolError::Closed,
        })
    }
}

impl Pool {
    /// Refuses a transaction that does not fit or is known. Remembers the others.
    fn accept(
        &mut self,
        limits: &MempoolLimits,
        tx: &Bytes,
        hash: Hash,
    ) -> Result<(), MempoolError> {
        self.fits(limits, tx)?;
        if !self.hashes.contains(&hash) && self.cache.remember(hash) {
            Ok(())
        } else {
            Err(MempoolError::Known)
        }
    }

    /// Refuses a transaction for which there is no room.
    fn fits(&self, limits: &MempoolLimits, tx: &Bytes) -> Result<(), MempoolError> {
        let block_bytes = params::max_data_bytes(&self.params);
        let max = limits.max_tx_bytes.min(usize::try_from(block_bytes).unwrap_or(usize::MAX));
        if tx.len() > limits.max_tx_bytes || params::tx_size_in_block(tx.len()) > block_bytes {
            return Err(MempoolError::TooLarge { max, bytes: tx.len() });
        }
        if self.waiting.len() >= limits.max_txs || self.bytes + tx.len() > limits.max_total_bytes {
            return Err(MempoolError::Full {
                txs: self.waiting.len(),
                max_txs: limits.max_txs,
                bytes: self.bytes,
                max_bytes: limits.max_total_bytes,
            });
        }
        Ok(())
    }

    /// Removes transactions, which may come again.
    fn forget(&mut self, hashes: &HashSet<Hash>) {
        self.retain(|waiting| !hashes.contains(&waiting.hash));
        hashes.iter().for_each(|hash| self.cache.forget(hash));
    }

    fn retain(&mut self, keep: impl Fn(&Waiting) -> bool) {
        let Self { waiting, hashes, .. } = self;
        waiting.retain(|waiting| {
            let stays = keep(waiting);
            if !stays {
                hashes.remove(&waiting.hash);
            }
            stays
        });
        self.bytes = self.waiting.iter().map(|waiting| waiting.tx.len()).sum();
    }
}

/// The hashes of the last transactions. The oldest are forgotten first.
struct Cache {
    size: usize,
    known: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl Cache {
    /// Adds a hash. Returns whether it is new.
    fn remember(&mut self, hash: Hash) -> bool {
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        while self.order.len() > self.size.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }

    fn forget(&mut self, hash: &Hash) {
        if self.known.remove(hash) {
            self.order.retain(|known| known != hash);
        }
    }
}
