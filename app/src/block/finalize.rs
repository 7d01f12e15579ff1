//! Executing blocks: genesis, FinalizeBlock, Commit.

use capstan_abi::Delivery;
use capstan_genesis::{AppState, Params};
use capstan_kernel::{
    RunReport, changes,
    device::{DeviceError, TIMER},
    ids::RemoteId,
    policy::{BlockPolicy, CleanupBudget},
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{Hash, VatId, host::VatHost, store::Overlay};
use capstan_store::{Block, StateView};
use tendermint_proto::v0_38::abci::{Event, ExecTxResult, Misbehavior, ValidatorUpdate};

use crate::{
    app::{Consensus, Stage},
    block::{
        activity,
        events::event,
        execute::{self, Executor},
        expiry, genesis, validators,
    },
    fault::{Failure, NodeFault},
    observe::{
        cause::{self, Cause},
        fatal::FatalReport,
        running::Step,
        trace::{BlockTrace, Written},
        ways::Trouble,
    },
    records::{
        account,
        chain::{self, Chain, ChainRecord},
        keys::KERNEL_KEYS,
        record,
        results::{self, Settled},
    },
    tx::{TxError, TxHash},
};

/// What a block came to.
pub(crate) struct Executed {
    pub(crate) events: Vec<Event>,
    pub(crate) results: Vec<ExecTxResult>,
    pub(crate) validator_updates: Vec<ValidatorUpdate>,
    pub(crate) root: Hash,
}

/// What the genesis document says beside the app's own state.
#[derive(Debug)]
pub(crate) struct EngineGenesis {
    /// The first validators.
    pub(crate) validators: Vec<ValidatorUpdate>,
    /// The most gas in a block, if it is bounded.
    pub(crate) max_gas: Option<u64>,
    /// When the chain begins, in seconds since 1970.
    pub(crate) time: Option<u64>,
}

impl<H: VatHost> Consensus<H> {
    /// Writes the chain's first state, without committing it. Returns its root. The inner error: the
    /// genesis document is wrong.
    pub(crate) fn init_chain(
        &mut self,
        chain: &ChainRecord,
        app_state: &AppState,
        engine: &EngineGenesis,
    ) -> Result<Result<Hash, String>, NodeFault> {
        self.reset();
        if let Some(slog) = &self.slog {
            slog.bootstrap(engine.time);
        }
        let mut block = self.store.begin_block();
        if let Err(problem) = self.write_first_state(&mut block, chain, app_state, engine)? {
            return Ok(Err(problem));
        }
        // The root is needed before the first block, whose writes come on top: so it is computed from
        // one copy and the block goes on from another.
        let prepared = self.store.prepare(block)?;
        let root = prepared.root();
        self.store.discard(prepared);
        let mut block = self.store.begin_block();
        if let Err(problem) = self.write_first_state(&mut block, chain, app_state, engine)? {
            return Ok(Err(problem));
        }
        self.stage = Stage::Genesis(Box::new(block));
        if let Some(slog) = &self.slog {
            slog.bootstrapped(engine.time);
        }
        Ok(Ok(root))
    }

    /// Executes a block on top of what is committed (or of genesis). Nothing is written. `time` is the
    /// block's, in seconds since 1970.
    pub(crate) fn finalize(
        &mut self,
        height: u64,
        time: Option<u64>,
        txs: &[impl AsRef<[u8]>],
        misbehavior: &[Misbehavior],
    ) -> Result<Executed, NodeFault> {
        let mut block = self.open_block();
        let over: &mut dyn Overlay = &mut block;
        let chain = self.next_chain(over, height)?;
        if let Some(slog) = &self.slog {
            slog.begin_block(height, time);
        }
        let agreed = self.overrides.get(&height);
        let with = agreed.map(|agreed| agreed.sha256());
        let chained = || view::kernel_status(over).map(|status| status.crank_chain);
        self.watch.begin_block(height, with, txs, chained)?;
        self.watch.caused_by(Cause::block("what the block itself does"));
        let mut events = Vec::new();
        if let Some(agreed) = agreed {
            self.watch.caused_by(Cause::block("an agreed override"));
            events.push(agreed.apply(&mut self.kernel, over, self.store.root(), txs)?);
            self.watch.caused_by(Cause::block("what the block itself does"));
            tracing::warn!(height, sha256 = agreed.sha256(), "an agreed override was applied");
        }
        let skipped = agreed.map(|agreed| agreed.skip_transactions.clone()).unwrap_or_default();
        events.extend(expiry::expire(over, height)?);
        events.extend(validators::punish(over, misbehavior)?);
        let mut policy = block_policy(&chain.params);
        let has_work = !txs.is_empty() || view::is_busy(over)?;
        let mut report = self.run(over, &mut policy)?;
        if self.poll_timer(over, time, has_work)? {
            add(&mut report, &self.run(over, &mut policy)?);
        }
        let mut results = Vec::with_capacity(txs.len());
        for (index, tx) in txs.iter().enumerate() {
            if skipped.contains(&TxHash::of(tx.as_ref())) {
                results.push(execute::refused(&TxError::Skipped));
                continue;
            }
            self.watch.step(Step::Transaction(index as u32));
            let kernel = &mut self.kernel;
            let (verified, watch) = (&*self.verified, &self.watch);
            let mut executor = Executor { kernel, over, chain: &chain, height, verified, watch };
            results.push(executor.deliver(tx.as_ref())?);
        }
        add(&mut report, &self.run(over, &mut policy)?);
        self.watch.step(Step::Root);
        if let Some(agreed) = self.overrides.get(&height) {
            agreed.finish(&mut self.kernel, over)?;
        }
        events.extend(self.note_changes(over, height)?);
        let validator_updates = validators::take_updates(over)?;
        if report.cranks > 0 {
            events.push(run_event(&report));
        }
        if let Some(slog) = &self.slog {
            slog.end_block(height, report.cranks, report.computrons);
        }
        let (txs, cranks, computrons) = (txs.len(), report.cranks, report.computrons);
        tracing::info!(height, txs, cranks, computrons, idle = report.idle, "block executed");
        let app_writes = self.app_writes(over);
        let prepared = self.watch.root(|| self.store.prepare(block))?;
        let root = prepared.root();
        self.keep_trace(app_writes, Some(root));
        let codes = results.iter().map(|result| result.code).collect();
        self.stage = Stage::Finalized { height, codes, prepared: Box::new(prepared) };
        Ok(Executed { events, results, validator_updates, root })
    }

    /// Tells the kernel's timer, if it has one, the time of the block. An idle block writes no time, so
    /// that an idle chain's state does not change. True if vats were woken.
    fn poll_timer(
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
            // Block times never run backwards; if they did, the timer would stand still meanwhile.
            Err(DeviceError::TimeRanBackwards { .. }) => Ok(false),
            Err(DeviceError::Panic(panic)) => Err(panic.into()),
            Err(error) => Err(NodeFault::Damaged(error.to_string())),
        }
    }

    /// The block to execute next, over what is committed or on top of genesis.
    fn open_block(&mut self) -> Block {
        match std::mem::replace(&mut self.stage, Stage::Committed) {
            Stage::Genesis(block) => *block,
            Stage::Committed => self.store.begin_block(),
            Stage::Finalized { prepared, .. } => {
                // The engine executes the block again: what the vats in memory have seen never was.
                self.store.discard(*prepared);
                self.kernel.evict_all();
                self.watch.forget();
                self.store.begin_block()
            }
        }
    }

    /// The chain, of which the next block must be the one at `height`.
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

    /// Commits the block that was executed. Returns the state to show from now on, and the codes of the block's
    /// transactions.
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
                tracing::info!(height, app_hash = %self.store.root(), "block committed");
                Ok((self.store.reader(), codes))
            }
            stage => {
                self.stage = stage;
                Err(NodeFault::Damaged("Commit without FinalizeBlock".to_owned()))
            }
        }
    }

    /// Forgets what is not committed.
    fn reset(&mut self) {
        if let Stage::Finalized { prepared, .. } =
            std::mem::replace(&mut self.stage, Stage::Committed)
        {
            self.store.discard(*prepared);
        }
        self.kernel.evict_all();
        self.watch.forget();
    }

    /// Why the node stops. What the block did until then is kept as its trace.
    pub(crate) fn report(&mut self, during: &'static str, fault: &NodeFault) -> FatalReport {
        let mut report = FatalReport::new(during, self.store.height(), fault);
        if during == "FinalizeBlock" {
            report.last = self.watch.last();
            self.tell_ways_on(&mut report);
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
            // A vat that the block itself made has no name in what is committed.
            let config = view::vat_config(&self.store.reader(), *vat).ok().flatten();
            *name = config.and_then(|config| config.name).unwrap_or_default();
        }
        report
    }

    /// Says in a report what led to the last crank, and how the chain can go on.
    fn tell_ways_on(&self, report: &mut FatalReport) {
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
        let trouble = Trouble {
            home: &operator.home,
            in_force: self.overrides.get(&last.height),
            step: &Step::Crank(Box::new(last.clone())),
            txs: &self.watch.executed(),
            critical: report.critical_vat.as_ref().map(|(vat, _)| *vat),
            vat: None,
        };
        report.ways_on = trouble.ways_on();
    }

    /// What the app itself wrote in the block.
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

    /// Writes what the genesis document says, over nothing or over the state that it goes on from.
    fn write_first_state(
        &mut self,
        block: &mut Block,
        chain: &ChainRecord,
        app_state: &AppState,
        engine: &EngineGenesis,
    ) -> Result<Result<(), String>, NodeFault> {
        let Some(from) = &app_state.from_state else {
            return self.write_genesis(block, chain, app_state, engine);
        };
        let (height, root) = (self.store.height(), self.store.root().to_string());
        if (height, &root) != (from.height, &from.root) {
            return Ok(Err(format!(
                "app_state.from_state is the state {} at height {}; this node has {root} at height {height}",
                from.root, from.height
            )));
        }
        chain::write(block, chain, &app_state.params, engine.max_gas)?;
        if let Err(problem) = validators::init(block, &app_state.params, &engine.validators)? {
            return Ok(Err(problem));
        }
        for name in &from.uncritical {
            let vat: Result<VatId, _> = name.parse();
            let known = match &vat {
                Ok(vat) => self.kernel.set_critical(block, *vat, false)?,
                Err(_) => false,
            };
            if !known {
                return Ok(Err(format!("app_state.from_state.uncritical: there is no vat {name}")));
            }
        }
        Ok(Ok(()))
    }

    fn write_genesis(
        &mut self,
        block: &mut Block,
        chain: &ChainRecord,
        app_state: &AppState,
        engine: &EngineGenesis,
    ) -> Result<Result<(), String>, NodeFault> {
        chain::write(block, chain, &app_state.params, engine.max_gas)?;
        if let Err(problem) = validators::init(block, &app_state.params, &engine.validators)? {
            return Ok(Err(problem));
        }
        for entry in &app_state.accounts {
            match account::credit(block, entry.address, entry.balance) {
                Ok(_) => {}
                Err(Failure::Tx(error)) => return Ok(Err(error.to_string())),
                Err(Failure::Node(fault)) => return Err(fault),
            }
        }
        match genesis::kernel_config(app_state, self.kernel.host()) {
            Ok(config) => {
                self.kernel.initialize(block, &config)?;
                self.poll_timer(block, engine.time, true)?;
                Ok(Ok(()))
            }
            Err(problem) => Ok(Err(problem)),
        }
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

    /// Notes what the block did to vats and outboxes. Returns the events.
    fn note_changes(&self, over: &mut dyn Overlay, height: u64) -> Result<Vec<Event>, NodeFault> {
        let changes = changes::of(over);
        let before = self.store.reader();
        let mut events = Vec::new();
        for vat in changes.vats {
            events.extend(vat_events(&before, over, vat)?);
            activity::note(&before, over, vat, height)?;
        }
        for (remote, number) in changes.posted {
            events.extend(outbox_events(over, remote, number, height)?);
        }
        Ok(events)
    }
}

fn add(report: &mut RunReport, more: &RunReport) {
    report.cranks += more.cranks;
    report.computrons += more.computrons;
    report.idle = more.idle;
}

/// What one block of a chain may spend.
pub fn block_policy(params: &Params) -> BlockPolicy {
    let budget = params.cleanup;
    BlockPolicy {
        computrons_left: params.block_computrons,
        computrons_spent: 0,
        vat_creation: params.vat_creation_computrons,
        crank: params.crank_overhead_computrons,
        write: params.write_computrons,
        write_byte: params.write_byte_computrons,
        snapshot: params.snapshot_computrons,
        fault: params.crank_computrons,
        cleanup: Some(CleanupBudget {
            exports: budget.exports,
            imports: budget.imports,
            promises: budget.promises,
            kv: budget.kv,
            snapshots: budget.snapshots,
            transcripts: budget.transcripts,
        }),
    }
}

fn run_event(report: &RunReport) -> Event {
    let attributes = [
        ("cranks", report.cranks.to_string()),
        ("computrons", report.computrons.to_string()),
        ("idle", report.idle.to_string()),
    ];
    event("block.run", &attributes)
}

/// What became of a vat between two states.
fn vat_events(
    before: &StateView,
    after: &dyn Overlay,
    vat: VatId,
) -> Result<Vec<Event>, NodeFault> {
    let (Some(config), Some(state)) = (view::vat_config(after, vat)?, view::vat_state(after, vat)?)
    else {
        return Ok(Vec::new());
    };
    let old = view::vat_state(before, vat)?;
    let id = ("vat_id", vat.to_string());
    let bundle = ("bundle_id", config.bundle_id);
    let mut events = Vec::new();
    match &old {
        None => {
            let name = ("name", config.name.unwrap_or_default());
            events.push(event("vat.created", &[id.clone(), name, bundle]));
        }
        Some(old) if old.incarnation != state.incarnation => {
            let incarnation = ("incarnation", state.incarnation.to_string());
            events.push(event("vat.upgraded", &[id.clone(), incarnation, bundle]));
        }
        Some(_) => {}
    }
    let ran = old.is_none_or(|old| old.status == VatStatus::Running);
    if let Some(ending) = state.status.ending().filter(|_| ran) {
        let attributes = [id, ("failure", ending.failure.to_string()), ("reason", ending.reason())];
        events.push(event("vat.terminated", &attributes));
    }
    Ok(events)
}

/// What an outbox entry tells: that promises were settled, or that something came.
fn outbox_events(
    over: &mut dyn Overlay,
    remote: RemoteId,
    number: u64,
    height: u64,
) -> Result<Vec<Event>, NodeFault> {
    let Some(endpoint) = view::remote(over, remote)? else { return Ok(Vec::new()) };
    let account = ("account", endpoint.address.clone());
    let mut events = vec![event("outbox.posted", &[account, ("number", number.to_string())])];
    let entry = record::get::<Delivery>(over, &view::outbox_key(remote, number))?;
    let Some(Delivery::Notify { resolutions }) = entry else { return Ok(events) };
    for resolution in resolutions {
        let settled = Settled { height, rejected: resolution.rejected };
        let Some((tx, index)) = results::settle(over, remote, &resolution.promise, settled)? else {
            continue;
        };
        let address = endpoint.address.clone();
        events.push(results::resolved(address, resolution.promise, settled, &tx, index));
    }
    Ok(events)
}
