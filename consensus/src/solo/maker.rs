//! The thread that makes blocks.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use crate::chain::execution::{Chain, txs_of};
use crate::command::Command;
use crate::mempool::Mempool;
use crate::rpc::context::Feed;

use super::{BlockPolicy, Clock, SoloError};

/// The thread that makes blocks.
pub(super) struct BlockMaker {
    pub(super) chain: Chain,
    pub(super) mempool: Arc<Mempool>,
    pub(super) feed: Arc<Feed>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: BlockPolicy,
    pub(super) commands: Receiver<Command>,
    pub(super) last_block: Option<Instant>,
}

impl BlockMaker {
    /// Makes blocks until it is told to stop.
    ///
    /// # Errors
    /// Any [`SoloError`] of a block.
    pub(super) fn run(mut self) -> Result<(), SoloError> {
        while self.wait_for_work() {
            self.make_block()?;
            self.last_block = Some(Instant::now());
        }
        Ok(())
    }

    /// Waits until a block is due. Returns `false` if it must stop instead.
    fn wait_for_work(&self) -> bool {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Wake) => {}
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                    Err(TryRecvError::Empty) => break,
                }
            }
            let next = match self.due_in() {
                Some(Duration::ZERO) => return true,
                Some(wait) => self.commands.recv_timeout(wait),
                None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Command::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Returns the time until the next block is due, as far as is known now.
    fn due_in(&self) -> Option<Duration> {
        let work = self.chain.needs_proof_block() || !self.mempool.is_empty();
        let interval =
            if work { Some(self.policy.min_interval) } else { self.policy.empty_interval };
        let passed = self.last_block.map_or(Duration::MAX, |last| last.elapsed());
        interval.map(|interval| interval.saturating_sub(passed))
    }

    fn make_block(&mut self) -> Result<(), SoloError> {
        let started = Instant::now();
        let candidates = self.mempool.reap();
        let proposal = self.chain.propose(candidates.clone(), self.clock.now())?;
        if txs_of(&proposal.block).is_empty() {
            // The application took none into an empty block, so it never will.
            self.mempool.reject(&candidates);
        }
        self.chain.save(&proposal)?;
        let (block_id, seen) = (proposal.block_id(), proposal.seen.clone());
        let block = proposal.block;
        let results = self.chain.finalize(&block, &block_id)?;
        self.chain.record(&block, &results)?;
        let closed = self.mempool.close();
        self.chain.commit(&block, block_id.clone(), &results)?;
        let tip = self.chain.tip();
        self.mempool.update(&closed, txs_of(&block), &results.tx_results, &tip.params);
        drop(closed);
        tracing::debug!(
            height = tip.height,
            txs = results.tx_results.len(),
            app_hash = hex::encode(&tip.app_hash),
            ms = started.elapsed().as_millis(),
            "block"
        );
        self.feed.publish(block, block_id, results, seen);
        Ok(())
    }
}
