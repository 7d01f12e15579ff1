//! A kernel over a store, with nothing else around it: no blocks, no accounts, no fees.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use capstan_kernel::capdata::KernelData;
use capstan_kernel::ids::KRef;
use capstan_kernel::policy::CrankCount;
use capstan_kernel::{Kernel, RunReport, view};
use capstan_kernel_ports::VatId;
use capstan_kernel_ports::store::{Overlay as _, Read};
use capstan_store::{Block, Options, StateView, Store};
use capstan_vat_host::{Compilers, WasmHost};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::Timer;
use super::parameters::Parameters;
use super::setup::{Setup, kernel_config};
use super::sources::BOOTSTRAP;
use super::watch::{Unhandled, Watch};
use crate::failure::usage;
use crate::passable;
use crate::progress::Progress;
use capstan_node::home::cache_dir;
use capstan_node::{Settlement, open_host, settlement};

/// Cranks between two commits.
const BATCH: u64 = 100;

/// Key of the base directory's own record, next to the state of the kernel.
const RECORD: &[u8] = b"basedir";

/// The subdirectory of a home that is used.
const SUBDIRECTORY: &str = "basedir";

/// The vats of a base directory, running or waiting to run.
pub(crate) struct Basedir {
    bare: capstan_node::Machine,
    record: Record,
    watch: Watch,
}

/// The record that the next start needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Bundle ids by the names of the vats.
    vats: BTreeMap<String, String>,
    /// Ids of the bundles that are only named.
    bundles: BTreeMap<String, String>,
    /// Parameters by the names of the vats that have any.
    parameters: BTreeMap<String, Parameters>,
    argv: Vec<String>,
    /// The promise for what bootstrap answers, if there is a bootstrap vat.
    bootstrap: Option<String>,
    /// `true` if there is a shell.
    shell: bool,
    /// The kind of the timer, if there is one.
    timer: Option<Timer>,
}

/// The end of a run of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nothing is left to do now.
    Idle,
    /// Nothing is left to do, and no wakeup of a real timer will come.
    Quiet,
    /// A promise is settled, or the same as for [`Until::Quiet`].
    Settled(KRef),
}

/// The state of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The promise is not settled.
    Pending,
    /// A value, as the command line writes it.
    Fulfilled(Value),
    /// The promise is rejected with this reason.
    Rejected(Value),
}

/// A vat that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Id of the vat, and its name if it has one.
    pub(crate) vat: String,
    /// `true` if the vat ended by a failure.
    pub(crate) failure: bool,
    /// The reason for the end.
    pub(crate) reason: String,
}

/// The vat that evaluates what is typed.
pub(crate) const SHELL: &str = "shell";

impl Record {
    fn of(setup: &Setup) -> Self {
        let vats = setup.loaded.vats.iter();
        let bundles = setup.loaded.bundles.iter();
        let parameters = vats.clone().filter_map(|(name, vat)| {
            vat.parameters.clone().map(|parameters| (name.clone(), parameters))
        });
        Self {
            parameters: parameters.collect(),
            vats: vats.map(|(name, vat)| (name.clone(), vat.bundle.id.to_string())).collect(),
            bundles: bundles.map(|(name, bundle)| (name.clone(), bundle.id.to_string())).collect(),
            argv: setup.argv.clone(),
            bootstrap: None,
            shell: setup.shell,
            timer: setup.timer,
        }
    }
}

impl Basedir {
    /// Starts the vats, or goes on with them where `home` holds them. Without a home nothing is kept. Nothing has run
    /// when a new one is there: the start of the vats and `bootstrap(argv, vats)` wait in its queue.
    ///
    /// # Errors
    /// The home holds other vats or other arguments, cannot be used, or a bundle is not sound.
    pub(crate) fn open(
        setup: Setup,
        home: Option<&Path>,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let dir = home.map(|home| home.join(SUBDIRECTORY));
        let cache = cache_dir(home.unwrap_or(&std::env::temp_dir()));
        let host = open_host(cache, Compilers::default(), &|step| progress.step(step))?;
        progress.step("starting the vats");
        let store = match &dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)
                    .with_context(|| format!("cannot make {}", dir.display()))?;
                Store::open(dir, Options::default())?
            }
            None => Store::in_memory()?,
        };
        let mut bare = capstan_node::Machine::new(host, store);
        let watch = Watch::default();
        bare.kernel.set_slog(Box::new(watch.clone()));
        let mut basedir = Self { bare, record: Record::of(&setup), watch };
        match basedir.state().get(RECORD)? {
            Some(found) => basedir.resume(&found)?,
            None => basedir.begin(setup)?,
        }
        Ok(basedir)
    }

    /// Runs at most `limit` cranks, and returns the [`RunReport`]. Stops early as [`Until`] says. A real timer is
    /// followed meanwhile.
    pub(crate) fn run(&mut self, limit: u64, until: Until) -> anyhow::Result<RunReport> {
        let mut total = RunReport::default();
        let stop = if let Until::Settled(promise) = until { Some(promise) } else { None };
        while total.cranks < limit {
            self.follow_clock()?;
            // What a promise waits for is looked at after each crank.
            let batch = if stop.is_some() { 1 } else { BATCH.min(limit - total.cranks) };
            let (report, done) = self.change(|kernel, block| {
                let report = kernel.run(block, &mut CrankCount { left: batch })?;
                let settlement = stop.map(|stop| settlement(block, stop)).transpose()?;
                Ok((report, settlement.flatten().is_some()))
            })?;
            total.cranks += report.cranks;
            total.computrons += report.computrons;
            total.idle = report.idle;
            let is_over = report.idle && (until == Until::Idle || !self.wait_for_wakeup()?);
            if done || is_over {
                break;
            }
        }
        Ok(total)
    }

    /// Sends a message to the root of a static vat. Returns the [`KRef`] of the result promise.
    pub(crate) fn send(&mut self, vat: &str, method: &str, args: Value) -> anyhow::Result<KRef> {
        let methargs = call(method, args)?;
        self.change(|kernel, block| {
            let sent = kernel.queue_to_vat_root(block, vat, methargs, Default::default())?;
            sent.with_context(|| format!("there is no vat {vat}"))
        })
    }

    /// Returns the state of a promise that [`Basedir::send`] returned. A settled promise is released.
    pub(crate) fn take(&mut self, promise: KRef) -> anyhow::Result<Outcome> {
        let outcome = self.outcome(promise)?;
        if outcome != Outcome::Pending {
            self.change(|kernel, block| Ok(kernel.take_resolution(block, promise)?))?;
        }
        Ok(outcome)
    }

    /// Returns the [`Outcome`] of `bootstrap`.
    pub(crate) fn bootstrapped(&self) -> anyhow::Result<Outcome> {
        self.outcome(self.bootstrap()?)
    }

    /// Returns what `bootstrap` was fulfilled with, as people write it. Returns `None` if it was not.
    pub(crate) fn bootstrap_answer(&self) -> anyhow::Result<Option<String>> {
        Ok(match self.bare.settlement(self.bootstrap()?)? {
            Some(Settlement::Fulfilled(KernelData { body, slots })) => {
                let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
                Some(passable::text(&body, &slots))
            }
            _ => None,
        })
    }

    fn bootstrap(&self) -> anyhow::Result<KRef> {
        let promise = self.record.bootstrap.as_deref().and_then(KRef::parse);
        promise.context("the record of the bootstrap message is damaged")
    }

    /// Returns the kind of the timer, if there is one.
    pub(super) fn timer(&self) -> Option<Timer> {
        self.record.timer
    }

    /// Returns what was seen while the vats ran.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns the current [`StateView`].
    pub(crate) fn state(&self) -> StateView {
        self.bare.state()
    }

    /// Returns the [`VatId`]s of the vats, with their names.
    pub(crate) fn vats(&self) -> anyhow::Result<Vec<(VatId, String)>> {
        named_vats(&self.state())
    }

    /// Returns the vats that ended, as [`Ended`].
    pub(crate) fn ended(&self) -> anyhow::Result<Vec<Ended>> {
        let state = self.state();
        let mut ended = Vec::new();
        for (vat, name) in self.vats()? {
            let record = view::vat_state(&state, vat)?;
            if let Some(ending) = record.as_ref().and_then(|record| record.status.ending()) {
                let vat = if name.is_empty() { vat.to_string() } else { format!("{vat} ({name})") };
                let (failure, reason) = (ending.is_failure(), ending.reason());
                ended.push(Ended { vat, failure, reason });
            }
        }
        Ok(ended)
    }

    /// Returns the number of rejections that nothing handled, and the vats and texts of the first.
    pub(crate) fn unhandled(&self) -> anyhow::Result<(u64, Vec<(String, String)>)> {
        let Unhandled { count, first } = self.watch.unhandled();
        let vats = self.vats()?;
        let name = |id: VatId| match vats.iter().find(|(vat, _)| *vat == id) {
            Some((_, name)) if !name.is_empty() => format!("{id} ({name})"),
            _ => id.to_string(),
        };
        Ok((count, first.into_iter().map(|(vat, reason)| (name(vat), reason)).collect()))
    }

    fn begin(&mut self, setup: Setup) -> anyhow::Result<()> {
        let (timer, time) = (setup.timer, setup.time);
        let config = kernel_config(setup)?;
        let mut record = self.record.clone();
        self.record = self.change(|kernel, block| {
            kernel.initialize(block, &config)?;
            if record.shell {
                // Nobody holds it but whoever types.
                kernel.pin_vat_root(block, SHELL)?;
                kernel.introduce_vats(block, SHELL, "introduce", &record.argv, &[])?;
                let ids = named_vats(block)?.into_iter().map(|(vat, name)| (name, vat.to_string()));
                let ids: Map<String, Value> = ids
                    .filter(|(name, _)| record.vats.contains_key(name))
                    .map(|(name, id)| (name, id.into()))
                    .collect();
                kernel.queue_to_vat_root(
                    block,
                    SHELL,
                    call("identify", json!([ids]))?,
                    Default::default(),
                )?;
            }
            let argv = &record.argv;
            let promise = kernel.introduce_vats(block, BOOTSTRAP, BOOTSTRAP, argv, &[SHELL])?;
            record.bootstrap = promise.map(|promise| promise.to_string());
            block.set(RECORD, serde_json::to_vec(&record)?);
            Ok(record)
        })?;
        if timer == Some(Timer::Fake) { self.set_time(time) } else { Ok(()) }
    }

    fn resume(&mut self, found: &[u8]) -> anyhow::Result<()> {
        let found: Record = serde_json::from_slice(found).context("the home is damaged")?;
        let other = "use another directory with --home, or remove it to begin anew";
        if found.shell != self.record.shell {
            let (was, is) = if found.shell { ("shell", "run") } else { ("run", "shell") };
            bail!("the home was made by capstan {was} and cannot be used by capstan {is}; {other}");
        }
        if found.vats != self.record.vats {
            let changed =
                self.record.vats.iter().filter(|(name, id)| found.vats.get(*name) != Some(id));
            let gone = found.vats.iter().filter(|(name, _)| !self.record.vats.contains_key(*name));
            let names: Vec<&str> = changed.chain(gone).map(|(name, _)| name.as_str()).collect();
            bail!("the home holds other sources of vat {}; {other}", names.join(", "));
        }
        if found.bundles != self.record.bundles {
            bail!("the home's vats were started with other --bundle; {other}");
        }
        if found.parameters != self.record.parameters {
            bail!("the home's vats were started with other --params; {other}");
        }
        if found.timer != self.record.timer {
            bail!("the home's vats were started with another --timer; {other}");
        }
        if found.argv != self.record.argv && !self.record.argv.is_empty() {
            bail!("bootstrap was called already, with the arguments {:?}; {other}", found.argv);
        }
        self.record = found;
        Ok(())
    }

    fn outcome(&self, promise: KRef) -> anyhow::Result<Outcome> {
        let decode = |data: KernelData| {
            let slots: Vec<String> = data.slots.iter().map(ToString::to_string).collect();
            passable::decode(&data.body, &slots)
        };
        Ok(match self.bare.settlement(promise)? {
            None => Outcome::Pending,
            Some(Settlement::Fulfilled(value)) => Outcome::Fulfilled(decode(value)),
            Some(Settlement::Rejected(reason)) => Outcome::Rejected(decode(reason)),
        })
    }

    /// Changes the state, and keeps the change if `work` succeeds.
    pub(super) fn change<T>(
        &mut self,
        work: impl FnOnce(&mut Kernel<WasmHost>, &mut Block) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.bare.change(work)
    }
}

/// Returns the vats of a state, with their names.
fn named_vats(state: &impl Read) -> anyhow::Result<Vec<(VatId, String)>> {
    let vats = view::vats(state)?;
    vats.into_iter()
        .map(|vat| {
            let name = view::vat_config(state, vat)?.and_then(|config| config.name);
            Ok((vat, name.unwrap_or_default()))
        })
        .collect()
}

/// Encodes a call without references.
fn call(method: &str, args: Value) -> anyhow::Result<KernelData> {
    let data = passable::encode(&Value::Array(vec![method.into(), args]));
    let body = data.map_err(|error| usage(error.to_string()))?.body;
    Ok(KernelData { body, slots: vec![] })
}
