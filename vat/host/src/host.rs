mod errands;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use capstan_abi::{Delivery, Encoding};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    ahead::{Ahead, AheadPlan, Errand, Turn},
    host::{
        Delivered, HeapImage, HostFault, SourceRefused, Start, StartCost, StartVerdict, Syscalls,
        VatHost, WorkerOptions, WorkerSource,
    },
};

use crate::{
    HostError, HostOptions, Image, JsEngine, Usage,
    ahead::task::Back,
    ahead::turn::{Ended, Runs},
    cost,
    delivery::{self, Ran},
    engine::BootedEngine,
    memory::share::{Load, Loaded, Running, Shared},
    module::cache::Cache,
    module::compile::Modules,
    module::validate,
    worker::supervisor::{self, BundleDigest},
    worker::{End, StartError, Worker},
};

/// Points that a JavaScript worker may spend before its first delivery, to take its bundle.
const START_POINTS: u64 = 100_000_000 * cost::POINTS_PER_COMPUTRON;

/// Points that a wasm module may spend before its first delivery, to return the number of its ABI.
const ABI_POINTS: u64 = 100_000 * cost::POINTS_PER_COMPUTRON;

/// Points that loading a bundle may cost before its vat starts.
///
/// This is some five times the largest of Agoric's bundles. A bundle that exceeds it is loaded by each
/// of its vats for itself. Heap images are relative to what was loaded. So another value makes those of
/// bundles between the two values unusable.
const LOAD_POINTS: u64 = 50_000_000 * cost::POINTS_PER_COMPUTRON;

/// Host that runs vats as wasm instances under wasmer, and implements [`VatHost`].
///
/// Each vat has a store of its own. Modules from users get a stack counter. The JavaScript engine
/// is bounded by the stack in its own linear memory. If that goes below zero, or the engine calls
/// the import `fault`, the vat ends with `Stack meter exceeded`. The native stack is larger than
/// either can use. An overflow of it is a [`HostFault`].
///
/// The memory of a JavaScript vat is a copy-on-write view of an image of its engine with its bundle
/// loaded. That image is made once for all vats of the bundle.
///
/// A worker that ended in a fault or trap is removed: [`VatHost::is_running`] then returns false.
#[derive(Debug)]
pub struct WasmHost {
    options: HostOptions,
    cache: Arc<Cache>,
    modules: Arc<Modules>,
    /// Engines by hash. `current` is the hash of the one for new vats.
    engines: BTreeMap<Hash, Arc<BootedEngine>>,
    current: Hash,
    shared: Shared,
    /// Workers by vat. The mutex is there since even reading a worker's heap takes a mutable store.
    workers: Mutex<BTreeMap<VatId, Running>>,
    /// Workers that run ahead of their turn, or have run.
    runs: Runs,
    usage: Arc<Usage>,
}

impl WasmHost {
    /// Opens a host whose new JavaScript vats run on `engine`.
    ///
    /// Compiling and booting it takes some seconds if the cache does not have it. `progress`
    /// receives a message for each step. Fails with a [`HostError`] if the engine cannot be used.
    pub fn open(
        engine: JsEngine,
        options: HostOptions,
        progress: &dyn Fn(&str),
    ) -> Result<Self, HostError> {
        let usage = Arc::<Usage>::default();
        let bound = options.max_artifact_bytes;
        let cache = Cache::open(options.cache_dir.clone(), bound, Arc::clone(&usage))
            .map_err(|(path, source)| HostError::CacheDirectory { path, source })?;
        let cache = Arc::new(cache);
        let idle = options.max_idle_code_bytes;
        let modules = Modules::new(Arc::clone(&cache), options.memory, idle, Arc::clone(&usage))?;
        let modules = Arc::new(modules);
        let compiler = options.compilers.engine;
        let booted = BootedEngine::open(&engine, &modules, &cache, compiler, progress)?;
        let current = booted.hash;
        let runs = Runs::new(options.threads, options.chaos, Arc::clone(&usage));
        let engines = BTreeMap::from([(current, Arc::new(booted))]);
        Ok(Self {
            options,
            cache,
            modules,
            engines,
            current,
            shared: Shared::default(),
            workers: Mutex::default(),
            runs,
            usage,
        })
    }

    /// Returns the sizes of the host's caches, as they change.
    pub fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// Adds an older [`JsEngine`], for vats whose incarnation began on it.
    ///
    /// Returns the hash by which [`WorkerSource::JavaScript`] names it.
    pub fn add_engine(
        &mut self,
        engine: &JsEngine,
        progress: &dyn Fn(&str),
    ) -> Result<Hash, HostError> {
        let compiler = self.options.compilers.engine;
        let booted = BootedEngine::open(engine, &self.modules, &self.cache, compiler, progress)?;
        let hash = booted.hash;
        self.engines.insert(hash, Arc::new(booted));
        Ok(hash)
    }

    /// Returns the heap of the worker of `vat` as an [`Image`]. Returns `None` if no such worker is
    /// in memory.
    pub fn image(&self, vat: VatId) -> Option<Image> {
        self.workers().get_mut(&vat).map(|running| running.worker.image())
    }

    fn workers(&self) -> std::sync::MutexGuard<'_, BTreeMap<VatId, Running>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn booted(&self, hash: &Hash) -> Result<Arc<BootedEngine>, HostFault> {
        self.engines.get(hash).cloned().ok_or_else(|| {
            HostFault::Missing(format!(
                "JavaScript engine {hash} is not on this node; it has {}",
                self.engines.keys().map(Hash::to_string).collect::<Vec<_>>().join(", "),
            ))
        })
    }

    /// Returns the result of loading a bundle, which is made once for all workers of the source.
    fn load(
        &mut self,
        booted: &BootedEngine,
        bundle: (&str, BundleDigest, &[u8]),
        options: &WorkerOptions,
    ) -> Result<Load, HostFault> {
        let (bundle_id, digest, zip) = bundle;
        let key = ((booted.hash, bundle_id.to_owned()), options.clone());
        self.shared.loads.get_or_load(key, || {
            load(booted, &supervisor::write_set_bundle(None, digest, zip, options))
        })
    }

    /// Returns a JavaScript worker that has been given its bundle.
    ///
    /// The bundle is loaded before the vat has a name. The result is the same for all its vats and
    /// is kept. Some bundles cannot be loaded so early: their modules fail, make syscalls or take
    /// too long. These are loaded by `startVat`, as part of that delivery. Which case applies
    /// depends on the bundle alone.
    fn start_javascript(
        &mut self,
        vat: VatId,
        engine: &Hash,
        bundle_id: &str,
        zip: &[u8],
        options: &WorkerOptions,
    ) -> Result<(StartVerdict<Running>, StartCost), HostFault> {
        let digest = match BundleDigest::from_id(bundle_id) {
            Ok(digest) => digest,
            Err(error) => {
                return Ok((Err(SourceRefused(error.to_string())), StartCost::default()));
            }
        };
        let booted = self.booted(engine)?;
        let loaded = self.load(&booted, (bundle_id, digest, zip), options)?;
        let origin = Arc::clone(loaded.origin(&booted.memory));
        let Load { points, loaded, .. } = loaded;
        let load = Computrons(cost::computrons(points));
        let cost = |points| StartCost {
            load,
            own: Computrons(cost::computrons(cost::START_POINTS + points)),
        };
        let (started, command) = match loaded {
            Some(loaded) => {
                let Loaded { memory, globals } = loaded.as_ref();
                let started = Worker::fork(&booted.module, Encoding::Json, globals, memory);
                (started, supervisor::write_set_vat_id(vat))
            }
            None => {
                let command = supervisor::write_set_bundle(Some(vat), digest, zip, options);
                (booted.worker(), command)
            }
        };
        let mut worker = match started {
            Ok(worker) => worker,
            Err(error) => return Ok((refused(error)?, cost(0))),
        };
        let run = worker.run(&command, START_POINTS, None)?;
        Ok(match run.end {
            End::Done(reply) => {
                let taken = supervisor::read_set_bundle_reply(&reply);
                let bundle = (*engine, bundle_id.to_owned());
                let taken = taken.map(|()| Running::new(worker, Some((bundle, origin))));
                (taken.map_err(|error| SourceRefused(error.to_string())), cost(run.points))
            }
            End::Fault(fault) => (Err(SourceRefused(fault.text().to_owned())), cost(START_POINTS)),
            End::Broken(text) => (Err(SourceRefused(text)), cost(START_POINTS)),
        })
    }

    /// Keeps the worker after a delivery, if it can take another one.
    fn settle(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        mut running: Running,
        ran: Ran,
    ) -> Result<Delivered, HostFault> {
        if ran.rests {
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.after(&mut running, delivery, workers.values())?;
            if running.worker.encoding() == Encoding::Json {
                self.shared.used(&mut running, workers.values_mut())?;
            }
            workers.insert(vat, running);
        }
        Ok(ran.delivered)
    }

    fn start_wasm(&self, bytes: &[u8]) -> Result<(StartVerdict<Running>, StartCost), HostFault> {
        let HostOptions { compilers, limits, .. } = &self.options;
        let module = match self.modules.get(bytes, compilers.modules, limits, false) {
            Ok(module) => module,
            Err(error) => {
                let load = Computrons(cost::compile_computrons(bytes.len(), 0));
                let cost = StartCost { load, own: Computrons(0) };
                return Ok((Err(SourceRefused(error.to_string())), cost));
            }
        };
        let load = Computrons(module.computrons);
        let cost = |points| StartCost { load, own: Computrons(cost::computrons(points)) };
        Ok(match Worker::start(&module, Encoding::Borsh, ABI_POINTS) {
            Ok((worker, points)) => (Ok(Running::new(worker, None)), cost(points)),
            Err(error) => (refused(error)?, cost(ABI_POINTS)),
        })
    }

    fn restore_javascript(
        &mut self,
        source: (&Hash, &str, &[u8]),
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<Running, HostFault> {
        let (engine, bundle_id, zip) = source;
        let booted = self.booted(engine)?;
        let digest = BundleDigest::from_id(bundle_id).map_err(|e| engine_fault(&e))?;
        let loaded = self.load(&booted, (bundle_id, digest, zip), options)?;
        let origin = Arc::clone(loaded.origin(&booted.memory));
        let bundle = (*engine, bundle_id.to_owned());
        let base = self.shared.base_of(&bundle).unwrap_or_else(|| Arc::clone(&origin));
        let worker = Worker::restore(&booted.module, image, Some(&origin), Some(&base), page)?;
        Ok(Running::restored(worker, Some((bundle, origin))))
    }

    fn restore_wasm(
        &self,
        module: &[u8],
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<Running, HostFault> {
        let HostOptions { compilers, limits, .. } = &self.options;
        let module = self.modules.get(module, compilers.modules, limits, false);
        let module = module.map_err(|e| engine_fault(&e))?;
        let worker = Worker::restore(&module, image, None, None, page)?;
        match worker.encoding() {
            Encoding::Borsh => Ok(Running::restored(worker, None)),
            Encoding::Json => Err(engine_fault(&"the heap of a module says that it speaks JSON")),
        }
    }
}

impl VatHost for WasmHost {
    fn engine(&self) -> Hash {
        self.current
    }

    fn validate(&self, module: &[u8]) -> StartVerdict {
        let checked = validate::check(module, &self.options.limits, false);
        checked.map(|_| ()).map_err(|refusal| SourceRefused(refusal.to_string()))
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.stop(vat);
        let (started, cost) = match source {
            WorkerSource::JavaScript { engine, bundle_id, zip } => {
                self.start_javascript(vat, engine, bundle_id, zip, options)?
            }
            WorkerSource::Wasm { module } => self.start_wasm(module)?,
        };
        let verdict = started.map(|running| {
            self.workers().insert(vat, running);
        });
        let printed = match source {
            WorkerSource::JavaScript { engine, bundle_id, .. } => {
                let key = ((*engine, bundle_id.clone()), options.clone());
                self.shared.loads.get(&key).map(|load| load.printed.to_vec())
            }
            WorkerSource::Wasm { .. } => None,
        };
        Ok(Start { verdict, cost, printed: printed.unwrap_or_default() })
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut running = self.workers().remove(&vat).ok_or_else(|| {
            HostFault::Missing(format!("there is no worker for {vat}: start it first"))
        })?;
        running.forget_snapshot();
        let ran = delivery::run(&mut running.worker, delivery, limit, syscalls)?;
        self.settle(vat, delivery, running, ran)
    }

    fn ahead_plan(&self) -> AheadPlan {
        self.runs.plan()
    }

    fn run_ahead(&mut self, ahead: Ahead) {
        let vat = ahead.vat;
        if self.runs.plan().capacity == 0 {
            return;
        }
        let Some(mut running) = self.workers().remove(&vat) else { return };
        running.forget_snapshot();
        if let Some(running) = self.runs.begin(ahead, running) {
            self.workers().insert(vat, running);
        }
    }

    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        match self.runs.take_turn(vat, delivery, limit, syscalls) {
            None => Turn::NotAhead,
            Some(Ended::Untouched(running)) => {
                self.workers().insert(vat, running);
                Turn::NotAhead
            }
            Some(Ended::Counts(Some(running), ran)) => {
                Turn::Done(self.settle(vat, delivery, running, ran))
            }
            Some(Ended::Counts(None, ran)) => Turn::Done(Ok(ran.delivered)),
            Some(Ended::Unwound) => {
                Turn::Done(Err(HostFault::Engine("a syscall could not be done".to_owned())))
            }
            Some(Ended::Lost(made)) => Turn::Lost(made),
        }
    }

    fn prepare(&mut self, vat: VatId, errand: Errand) {
        if self.runs.plan().capacity > 0 {
            let work = self.work(errand, Some(vat));
            self.runs.prepare(vat, work);
        }
    }

    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        let Back { mut running, number } = self.runs.take_prepared(vat)?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker that cannot go on is brought back once more.
        self.shared.adopted(&mut running, workers.values()).ok()?;
        workers.insert(vat, running);
        Some(number)
    }

    fn load_ahead(&mut self, errand: Errand) -> bool {
        if self.runs.plan().capacity == 0 {
            return false;
        }
        let work = self.work(errand, None);
        self.runs.load_ahead(work)
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.workers().contains_key(&vat) || self.runs.contains(vat)
    }

    fn stop(&mut self, vat: VatId) {
        self.runs.drop_run(vat);
        let stopped = self.workers().remove(&vat);
        if stopped.is_some() {
            drop(stopped);
            self.modules.tidy();
        }
    }

    fn memory_bytes(&self, vat: VatId) -> u64 {
        let resting = self.workers().get(&vat).map(|running| running.worker.memory().len() as u64);
        resting.or_else(|| self.runs.memory_bytes(vat)).unwrap_or(0)
    }

    fn heap(&self, vat: VatId) -> Option<(Hash, u64)> {
        self.workers().get_mut(&vat).map(|running| running.worker.heap())
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        let mut workers = self.workers();
        let Some(running) = workers.get_mut(&vat) else { return Ok(None) };
        running.heap_image().map(Some)
    }

    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        self.workers().get(&vat)?.worker.heap_page(number)
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.stop(vat);
        let restored = match source {
            WorkerSource::JavaScript { engine, bundle_id, zip } => {
                self.restore_javascript((engine, bundle_id, zip), options, image, page)
            }
            WorkerSource::Wasm { module } => self.restore_wasm(module, image, page),
        };
        let mut running =
            restored.map_err(|e| e.in_context(&format!("cannot bring back {vat}: ")))?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.restored(&mut running, workers.values())?;
        workers.insert(vat, running);
        Ok(())
    }
}

/// Loads a bundle into a new worker by `command`.
fn load(engine: &BootedEngine, command: &[u8]) -> Result<Load, HostFault> {
    let mut worker = engine.worker().map_err(|e| engine_fault(&e))?;
    let run = worker.run(command, LOAD_POINTS, None)?;
    match run.end {
        End::Done(reply) if supervisor::read_set_bundle_reply(&reply).is_ok() => {
            let memory = worker.new_base().map_err(|e| engine_fault(&e))?;
            let loaded = Arc::new(Loaded { memory, globals: worker.global_bits() });
            Ok(Load { points: run.points, loaded: Some(loaded), printed: run.printed.into() })
        }
        // The start of each vat loads the bundle again, and prints what it prints.
        End::Done(_) => Ok(Load { points: run.points, ..Load::default() }),
        End::Fault(_) | End::Broken(_) => Ok(Load { points: LOAD_POINTS, ..Load::default() }),
    }
}

fn engine_fault(error: &dyn std::fmt::Display) -> HostFault {
    HostFault::Engine(error.to_string())
}

fn refused<T>(error: StartError) -> Result<StartVerdict<T>, HostFault> {
    match error {
        StartError::Module(text) => Ok(Err(SourceRefused(text))),
        StartError::Host(text) => Err(HostFault::Engine(text)),
    }
}
