//! The kernel: cranks, one after the other, each whole or not at all.

use std::collections::BTreeSet;

use capstan_kernel_ports::{
    host::VatHost,
    store::{Overlay, Read},
};

use crate::{
    application::Application,
    control::{
        ahead::Outlook,
        genesis::{KernelConfig, initialize},
    },
    crank::{
        deliver::Crank,
        execute::{Closing, close},
        policy::{CrankOutcome, KernelWork, RunPolicy},
    },
    error::{KernelPanic, Result},
    ids::KRef,
    state::{
        handle::{State, encode, get_record},
        held::Held,
        keys,
        queue::TakenOut,
        slog::Slog,
        stats::Stats,
        subcluster::Notice,
    },
    vats::online::Online,
};

/// Choices of this node alone, which the state does not show.
#[derive(Clone, Copy, Debug)]
pub struct NodeOptions {
    /// The most vats that may be in memory at once, at least 1.
    pub max_vats_online: usize,
    /// The most memory that all of them may have together, in bytes. The vat that runs is in memory whatever it takes.
    pub max_online_bytes: u64,
    /// Keeps the transcripts that no replay needs any more: from before the last snapshot, of earlier
    /// incarnations, and of vats that ended.
    pub archive: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { max_vats_online: 50, max_online_bytes: 2 << 30, archive: false }
    }
}

/// A kernel: a vat host, and what this node keeps in memory.
///
/// All else is in the store. Every call takes it as the [`Overlay`] of the block in progress. After an error
/// of type [`KernelPanic`] the block must be discarded, and the kernel repeats the same error from then on.
pub struct Kernel<H> {
    pub(crate) host: H,
    pub(crate) online: Online,
    pub(crate) outlook: Outlook,
    archive: bool,
    slog: Option<Box<dyn Slog + Send>>,
    application: Option<Box<dyn Application + Send>>,
    pub(crate) panic: Option<KernelPanic>,
    pub(crate) taken_out: BTreeSet<TakenOut>,
    pub(crate) notices: Vec<Notice>,
    /// Records that are held between two cranks of one run.
    held: Held,
}

impl<H: std::fmt::Debug> std::fmt::Debug for Kernel<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("host", &self.host).field("panic", &self.panic).finish()
    }
}

/// The counts of one [`Kernel::run`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Cranks that were executed.
    pub cranks: u64,
    /// Computrons that they spent.
    pub computrons: u64,
    /// True if the queues are empty.
    pub idle: bool,
}

impl<H: VatHost> Kernel<H> {
    /// Returns a kernel over an empty host. Vats are brought back from the store when they are needed.
    pub fn new(host: H, options: NodeOptions) -> Self {
        let NodeOptions { max_vats_online, max_online_bytes, archive } = options;
        let online = Online::new(max_vats_online, max_online_bytes);
        Self {
            host,
            online,
            outlook: Outlook::default(),
            archive,
            slog: None,
            application: None,
            panic: None,
            taken_out: BTreeSet::new(),
            notices: vec![],
            held: Held::default(),
        }
    }

    /// Connects the [`Application`] to the other end of the bridge device.
    pub fn set_application(&mut self, application: Box<dyn Application + Send>) {
        self.application = Some(application);
    }

    /// Sends [`Event`](crate::slog::Event)s to `slog` from now on.
    pub fn set_slog(&mut self, slog: Box<dyn Slog + Send>) {
        self.slog = Some(slog);
    }

    /// Forgets the [`KernelPanic`] that stopped the kernel, and the vats in memory. The caller has put the
    /// state back to the last commit, as a restart of the node does.
    pub fn restart(&mut self) {
        self.evict_all();
        self.forget_panic();
    }

    /// Returns the vat host for changes.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// Returns the vat host.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Writes the state of a new kernel from a [`KernelConfig`]: static vats to be started, devices, the
    /// bootstrap message. Returns the promise for the result of `bootstrap`.
    pub fn initialize(
        &mut self,
        over: &mut dyn Overlay,
        config: &KernelConfig,
    ) -> Result<Option<KRef>> {
        let engine = self.host.engine();
        over.push();
        let outcome = initialize(over, config, engine);
        if outcome.is_ok() {
            over.merge();
        } else {
            over.rollback()
        }
        outcome
    }

    /// Executes cranks until the [`RunPolicy`] says stop or nothing is left to do.
    pub fn run(&mut self, over: &mut dyn Overlay, policy: &mut dyn RunPolicy) -> Result<RunReport> {
        self.insist_sound()?;
        // Others may have changed the state since.
        self.held = Held::default();
        let mut stats = load_stats(over)?;
        let mut report = RunReport::default();
        self.look_anew(over);
        loop {
            self.look_ahead(over);
            let Some((outcome, work)) = self.crank(over, &mut stats, policy)? else {
                report.idle = true;
                break;
            };
            report.cranks += 1;
            report.computrons = report.computrons.saturating_add(work.computrons);
            if !policy.crank_done(&outcome, &work) {
                break;
            }
        }
        if report.cranks > 0 {
            save_stats(over, &stats)?;
        }
        Ok(report)
    }

    /// Drops every vat from memory, as a restart of the node would.
    pub fn evict_all(&mut self) {
        while let Some(vat) = self.online.pop().or_else(|| self.online.preparations.take_last()) {
            self.host.stop(vat);
        }
        self.online.preparations.forget_loads();
    }

    /// Forgets the panic that stopped the kernel, whose state is about to be replaced.
    pub(crate) fn forget_panic(&mut self) {
        self.panic = None;
    }

    fn insist_sound(&self) -> Result<()> {
        match &self.panic {
            Some(panic) => Err(panic.clone()),
            None => Ok(()),
        }
    }
    /// Removes all of the kernel's records, whatever state they are in, and writes those of a new kernel as
    /// [`Self::initialize`] does. Bundles have to be given again.
    pub fn reset(&mut self, over: &mut dyn Overlay, config: &KernelConfig) -> Result<Option<KRef>> {
        self.evict_all();
        self.forget_panic();
        over.push();
        for prefix in [keys::ALL, keys::ALL_LOCAL] {
            while let Some((key, _)) = over.next_after(prefix, prefix)? {
                over.delete(&key);
            }
        }
        over.merge();
        self.initialize(over, config)
    }

    /// Opens the state for `work`, with the workers at hand.
    fn open<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        stats: &mut Stats,
        work: impl FnOnce(&mut Crank<'_, '_, H>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let slog = self.slog.as_mut().map(|slog| slog.as_mut() as &mut dyn Slog);
        let held = std::mem::take(&mut self.held);
        let mut state = State::open(over, stats, slog, held)?;
        state.archive = self.archive;
        state.engine = self.host.engine();
        state.application =
            self.application.as_mut().map(|app| app.as_mut() as &mut dyn Application);
        let outcome =
            work(&mut Crank { state: &mut state, host: &mut self.host, online: &mut self.online });
        if outcome.is_ok() {
            self.held = state.into_held();
        }
        outcome
    }

    /// Brings workers into memory, which the state does not show: whatever `work` writes is dropped.
    pub(crate) fn with_workers<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        work: impl FnOnce(&mut Crank<'_, '_, H>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        over.push();
        self.held = Held::default();
        let outcome = self.open(over, &mut stats, work);
        self.held = Held::default();
        over.rollback();
        outcome
    }

    /// Changes the state outside of cranks, whole or not at all.
    pub(crate) fn between_cranks<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        change: impl FnOnce(&mut State<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.between_cranks_with_workers(over, |crank| change(crank.state))
    }

    /// Changes the state outside of cranks, whole or not at all, with the workers at hand.
    pub(crate) fn between_cranks_with_workers<T, E: From<KernelPanic>>(
        &mut self,
        over: &mut dyn Overlay,
        change: impl FnOnce(&mut Crank<'_, '_, H>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.insist_sound()?;
        let mut stats = load_stats(over)?;
        over.push();
        self.held = Held::default();
        let outcome = self.open(over, &mut stats, |crank| {
            crank.state.leaves_cold = true;
            let value = change(crank)?;
            crank.state.settle_launches()?;
            crank.state.postpone_refcounts()?;
            Ok((value, close(crank.state, None)?))
        });
        match outcome {
            Ok((value, closing)) => {
                save_stats(over, &stats)?;
                over.merge();
                self.settle(closing);
                self.insist_sound()?;
                Ok(value)
            }
            Err(error) => {
                over.rollback();
                Err(error)
            }
        }
    }

    /// Executes one crank. Returns `None` if there is nothing to do.
    fn crank(
        &mut self,
        over: &mut dyn Overlay,
        stats: &mut Stats,
        policy: &mut dyn RunPolicy,
    ) -> Result<Option<(CrankOutcome, KernelWork)>> {
        over.push();
        let mut taken_out = std::mem::take(&mut self.taken_out);
        let outcome = self.open(over, stats, |crank| crank.execute(policy, &mut taken_out));
        self.taken_out = taken_out;
        let outcome = match outcome {
            Ok(Some((outcome, closing))) => {
                let work = KernelWork { entries: over.merge(), ..closing.work };
                self.settle(closing);
                Ok(Some((outcome, work)))
            }
            Ok(None) => {
                self.held = Held::default();
                over.rollback();
                Ok(None)
            }
            Err(panic) => {
                self.panic = Some(panic.clone());
                Err(panic)
            }
        };
        if self.panic.is_some() {
            save_stats(over, stats)?;
        }
        outcome.and_then(|outcome| self.insist_sound().map(|()| outcome))
    }

    /// Stops the workers that are to be stopped, and takes over why the kernel stops.
    fn settle(&mut self, closing: Closing) {
        self.panic = closing.panic;
        self.notices.extend(closing.notices);
        for vat in closing.stopped {
            self.host.stop(vat);
            self.online.forget(vat);
        }
    }
}

fn load_stats(from: &(impl Read + ?Sized)) -> Result<Stats> {
    Ok(get_record(from, keys::STATS)?.unwrap_or_default())
}

fn save_stats(over: &mut dyn Overlay, stats: &Stats) -> Result<()> {
    over.set(keys::STATS, encode(stats)?);
    Ok(())
}
