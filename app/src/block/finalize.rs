//! Execution and commit of a block.

use capstan_genesis::Params;
use capstan_kernel::{
    RunReport,
    device::{DeviceError, TIMER},
    policy::BlockPolicy,
    view,
};
use capstan_kernel_ports::{Hash, host::VatHost, store::Overlay};
use capstan_store::{Block, StateView};
use tendermint_proto::v0_38::abci::{Event, ExecTxResult, Misbehavior, ValidatorUpdate};

use crate::{
    admission::{ahead, proposal::transaction_budget},
    block::{
        block_policy,
        bridge::Bridge,
        changes,
        consensus::{Consensus, Stage},
        execute::Executor,
        expiry, proven,
        services::Moment,
        tx_result, validators,
    },
    fault::NodeFault,
    observe::{
        AbciMethod,
        cause::{self, Cause},
        fatal::FatalReport,
        progress::Step,
        remedy::Incident,
        trace::{BlockTrace, Written},
    },
    records::{chain::Chain, keys::KERNEL_KEYS},
    tx::{Tx, TxError, TxHash},
};

/// The result of a block's execution.
pub(crate) struct Executed {
    pub(crate) events: Vec<Event>,
    pub(crate) results: Vec<ExecTxResult>,
    pub(crate) validator_updates: Vec<ValidatorUpdate>,
    pub(crate) root: Hash,
}

impl<H: VatHost> Consensus<H> {
    /// Executes a block on top of the committed state, or of genesis. Nothing is written to the store. `time` is the
    /// block's, in seconds since 1970.
    pub(crate) fn finalize(
        &mut self,
        height: u64,
        time: Option<u64>,
        txs: &[impl AsRef<[u8]> + Sync],
        misbehavior: &[Misbehavior],
    ) -> Result<Executed, NodeFault> {
        self.kernel.set_application(Box::new(Bridge { moment: Moment { height, time } }));
        let mut block = self.open_block();
        let over: &mut dyn Overlay = &mut block;
        let chain = self.next_chain(over, height)?;
        ahead::verify(&self.store.reader(), &chain, &self.signatures, txs);
        if let Some(slog) = &self.slog {
            slog.begin_block(height, time);
        }
        self.vat_log.begin_block(height);
        let with = self.overrides.get(&height).map(|agreed| agreed.sha256());
        let chained = || view::kernel_status(over).map(|status| status.crank_chain);
        self.watch.begin_block(height, with, txs, chained)?;
        self.watch.caused_by(Cause::block("what the block itself does"));
        let mut events = Vec::new();
        events.extend(self.apply_override(over, height, txs)?);
        events.extend(expiry::expire(over, height)?);
        events.extend(validators::punish(over, misbehavior)?);
        let mut policy = block_policy(&chain.params);
        let spared = count_transactions(&mut policy, &chain.params, txs);
        let has_work = !txs.is_empty() || view::is_busy(over)?;
        let mut report = self.run(over, &mut policy)?;
        if self.poll_timer(over, time, has_work)? {
            add(&mut report, &self.run(over, &mut policy)?);
        }
        let (results, counted) = self.deliver_all(over, &chain, height, txs)?;
        policy.count(counted, spared);
        add(&mut report, &self.run(over, &mut policy)?);
        self.go_on_cleaning_up(over, &mut policy, &chain.params, &mut report)?;
        self.watch.step(Step::Root);
        if let Some(agreed) = self.overrides.get(&height) {
            agreed.finish(&mut self.kernel, over)?;
        }
        events.extend(changes::note(&self.store.reader(), over, height)?);
        events.extend(self.kernel.take_notices().into_iter().map(changes::subcluster_event));
        let validator_updates = validators::take_updates(over)?;
        if report.cranks > 0 {
            events.push(changes::run_event(&report));
        }
        self.log_executed(height, txs.len(), &report);
        proven::note(&self.store.reader(), &mut block, height)?;
        let over: &mut dyn Overlay = &mut block;
        let app_writes = self.app_writes(over);
        let prepared = self.watch.root(|| self.store.prepare(block))?;
        self.watch.executed_block(policy.computrons_spent, prepared.changes());
        let root = prepared.app_hash();
        self.keep_trace(app_writes, Some(root));
        let codes = results.iter().map(|result| result.code).collect();
        self.stage = Stage::Finalized { height, codes, prepared: Box::new(prepared) };
        Ok(Executed { events, results, validator_updates, root })
    }

    /// Applies the agreed override of this height, and returns its event. Returns `None` if there is no override.
    fn apply_override(
        &mut self,
        over: &mut dyn Overlay,
        height: u64,
        txs: &[impl AsRef<[u8]>],
    ) -> Result<Option<Event>, NodeFault> {
        let Some(agreed) = self.overrides.get(&height) else { return Ok(None) };
        self.watch.caused_by(Cause::block("an agreed override"));
        let event = agreed.apply(&mut self.kernel, over, self.store.app_hash(), txs)?;
        self.watch.caused_by(Cause::block("what the block itself does"));
        tracing::warn!(height, sha256 = agreed.sha256(), "an agreed override was applied");
        Ok(Some(event))
    }

    /// Executes the transactions in their order, but for those that an agreed override skips. Returns their results, and the
    /// computrons that they count besides those for their sizes.
    fn deliver_all(
        &mut self,
        over: &mut dyn Overlay,
        chain: &Chain,
        height: u64,
        txs: &[impl AsRef<[u8]>],
    ) -> Result<(Vec<ExecTxResult>, u64), NodeFault> {
        let agreed = self.overrides.get(&height);
        let mut counted = 0;
        let mut results = Vec::with_capacity(txs.len());
        for (index, tx) in txs.iter().enumerate() {
            let hash = TxHash::digest(tx.as_ref());
            if agreed.is_some_and(|agreed| agreed.skip_transactions.contains(&hash)) {
                results.push(tx_result::refused(&TxError::Skipped));
                continue;
            }
            self.watch.step(Step::Transaction(index as u32));
            let kernel = &mut self.kernel;
            let (signatures, watch) = (&*self.signatures, &self.watch);
            let verified = Vec::new();
            let mut executor =
                Executor { kernel, over, chain, height, signatures, watch, verified, counted };
            results.push(executor.deliver(tx.as_ref())?);
            counted = executor.counted;
        }
        Ok((results, counted))
    }

    fn log_executed(&self, height: u64, txs: usize, report: &RunReport) {
        let RunReport { cranks, computrons, idle, .. } = *report;
        if let Some(slog) = &self.slog {
            slog.end_block(height, cranks, computrons);
        }
        tracing::info!(height, txs, cranks, computrons, idle, "block executed");
    }

    /// Tells the kernel's timer, if it has one, the time of the block. Returns whether vats were woken. An idle block
    /// writes no time, so that an idle chain's state does not change.
    pub(super) fn poll_timer(
        &mut self,
        over: &mut dyn Overlay,
        time: Option<u64>,
        has_work: bool,
    ) -> Result<bool, NodeFault> {
        let Some(time) = time else { return Ok(false) };
        let due = view::next_wakeup(over)?.is_some_and(|next| next <= u128::from(time));
        if !(due || has_work) || !view::has_device(over, TIMER)? {
            return Ok(false);
        }
        self.watch.caused_by(Cause::block("the timer, by the block's time"));
        match self.kernel.poll_timer(over, time) {
            Ok(woken) => Ok(woken),
            // Block times never run backwards. If they did, the timer would stand still meanwhile.
            Err(DeviceError::TimeRanBackwards { .. }) => Ok(false),
            Err(DeviceError::Panic(panic)) => Err(panic.into()),
            Err(error) => Err(NodeFault::Damaged(error.to_string())),
        }
    }

    /// Returns the [`Block`] to execute next, over the committed state or on top of genesis.
    fn open_block(&mut self) -> Block {
        match std::mem::replace(&mut self.stage, Stage::Committed) {
            Stage::Genesis(block) => *block,
            Stage::Committed => self.store.begin_block(),
            Stage::Finalized { prepared, .. } => {
                // CometBFT has the block executed again, so the vats in memory have seen uncommitted deliveries.
                self.store.discard(*prepared);
                self.kernel.evict_all();
                self.kernel.take_notices();
                self.watch.forget();
                self.store.begin_block()
            }
        }
    }

    /// Loads the [`Chain`], and checks that its next block is the one at `height`.
    fn next_chain(&self, over: &dyn Overlay, height: u64) -> Result<Chain, NodeFault> {
        let missing =
            || NodeFault::Damaged("there is no chain: InitChain was never called".to_owned());
        let chain = Chain::load(over)?.ok_or_else(missing)?;
        let expected = match self.store.height() {
            0 => chain.initial_height,
            committed => committed + 1,
        };
        if height != expected {
            let problem = format!("the engine asks for block {height}, the next one is {expected}");
            return Err(NodeFault::Damaged(problem));
        }
        Ok(chain)
    }

    /// Commits the executed block. Returns the new [`StateView`] and the result codes of the block's transactions.
    pub(crate) fn commit(&mut self) -> Result<(StateView, Vec<u32>), NodeFault> {
        match std::mem::replace(&mut self.stage, Stage::Committed) {
            Stage::Finalized { height, codes, prepared } => {
                if let Some(slog) = &self.slog {
                    slog.commit(height);
                }
                self.watch.step(Step::Committing);
                self.store.commit(*prepared, height)?;
                if let Some(slog) = &self.slog {
                    slog.committed(height);
                }
                tracing::info!(height, app_hash = %self.store.app_hash(), "block committed");
                Ok((self.store.reader(), codes))
            }
            stage => {
                self.stage = stage;
                Err(NodeFault::Damaged("Commit without FinalizeBlock".to_owned()))
            }
        }
    }

    /// Discards all uncommitted work.
    pub(super) fn reset(&mut self) {
        if let Stage::Finalized { prepared, .. } =
            std::mem::replace(&mut self.stage, Stage::Committed)
        {
            self.store.discard(*prepared);
        }
        self.kernel.evict_all();
        self.kernel.take_notices();
        self.watch.forget();
    }

    /// Returns the [`FatalReport`] about the node's end, and keeps the trace of the unfinished block.
    pub(crate) fn report(&mut self, during: AbciMethod, fault: &NodeFault) -> FatalReport {
        let mut report = FatalReport::new(during, self.store.height(), fault);
        if during == AbciMethod::FinalizeBlock {
            report.last = self.watch.last();
            self.tell_remedies(&mut report);
            self.keep_trace(Vec::new(), None);
            if let Some(slog) = &self.slog {
                slog.flush();
            }
            if let Some(traces) = &mut self.traces {
                // The process is about to end.
                traces.close();
            }
        }
        if let Some((vat, name)) = &mut report.critical_vat {
            // A vat that the block itself created has no name in the committed state.
            let config = view::vat_config(&self.store.reader(), *vat).ok().flatten();
            *name = config.and_then(|config| config.name).unwrap_or_default();
        }
        report
    }

    /// Completes a [`FatalReport`] with the cause of the last crank and the remedies.
    fn tell_remedies(&self, report: &mut FatalReport) {
        let (true, Some(operator), Some(last)) =
            (report.everywhere, &self.operator, &mut report.last)
        else {
            return;
        };
        if let Some(dir) = &self.trace_dir
            && let Err(error) = cause::resolve(dir, &mut last.cause, last.height)
        {
            tracing::warn!(%error, "the traces cannot be read");
        }
        let trouble = Incident {
            home: &operator.home,
            in_force: self.overrides.get(&last.height),
            step: &Step::Crank(Box::new(last.clone())),
            txs: &self.watch.executed(),
            critical: report.critical_vat.as_ref().map(|(vat, _)| *vat),
            vat: None,
        };
        report.remedies = trouble.remedies();
    }

    /// Returns the application's own writes in the block.
    fn app_writes(&self, over: &dyn Overlay) -> Vec<Written> {
        let mut writes = Vec::new();
        if self.watch.is_tracing() {
            over.top_writes(&mut |key, value| {
                if !key.starts_with(KERNEL_KEYS) {
                    writes.push(Written::new(key, value));
                }
            });
        }
        writes
    }

    fn keep_trace(&self, app_writes: Vec<Written>, app_hash: Option<Hash>) {
        let (Some(log), Some(trace)) = (&self.traces, self.watch.take_trace()) else { return };
        if !trace.links.is_empty() || !app_writes.is_empty() {
            log.put(BlockTrace { app_writes, app_hash, ..trace });
        }
    }

    /// Cleans up after dead vats with the computrons that the block has left, once nothing else is left to do. What
    /// vats leave would otherwise take blocks of its own, each with little in it.
    fn go_on_cleaning_up(
        &mut self,
        over: &mut dyn Overlay,
        policy: &mut BlockPolicy,
        params: &Params,
        report: &mut RunReport,
    ) -> Result<(), NodeFault> {
        while policy.computrons_left > 0 && view::has_dead(over)? {
            policy.cleanup = block_policy(params).cleanup;
            add(report, &self.run(over, policy)?);
        }
        Ok(())
    }

    /// Runs the kernel if there is work and the block's budget is not used up.
    fn run(
        &mut self,
        over: &mut dyn Overlay,
        policy: &mut BlockPolicy,
    ) -> Result<RunReport, NodeFault> {
        let busy = view::is_busy(over)?;
        if !busy || policy.computrons_left == 0 {
            return Ok(RunReport { idle: !busy, ..RunReport::default() });
        }
        Ok(self.kernel.run(over, policy)?)
    }
}

/// Counts the transactions of a block by their sizes. Returns the computrons that they leave to cranks at least.
fn count_transactions(policy: &mut BlockPolicy, params: &Params, txs: &[impl AsRef<[u8]>]) -> u64 {
    let counted = txs.iter().map(|tx| Tx::least_computrons(tx.as_ref(), params));
    let spared = policy.computrons_left.saturating_sub(transaction_budget(params));
    policy.count(counted.fold(0, u64::saturating_add), spared);
    spared
}

fn add(report: &mut RunReport, more: &RunReport) {
    report.cranks += more.cranks;
    report.computrons += more.computrons;
    report.idle = more.idle;
}
