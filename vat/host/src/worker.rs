//! A running worker: a wasmer store with one instance of a compiled module.

mod answerer;
mod error;
pub(crate) mod exports;
pub(crate) mod imports;
pub(crate) mod supervisor;

use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use capstan_abi::{Encoding, Fault};
use capstan_kernel_ports::host::{HostFault, Printed, Syscalls};
use wasmer::{
    FunctionEnv, Global, Instance, InstantiationError, RuntimeError, Store, TypedFunction, Value,
    sys::NativeEngineExt,
};
use wasmer_types::TrapCode;

pub(crate) use error::{BootError, BundleError, GlobalsError, ReplyError, StartError};

use crate::{
    Image, cost,
    memory::linear::{MemoryPlan, MemoryState, WASM_PAGE, WorkerTunables},
    memory::{
        base::{BaseMemory, ShareError},
        own_pages,
    },
    module::compile::CompiledModule,
    worker::exports::{Exports, MovableStore, find_function, mutable_globals},
    worker::imports::{Env, Finished, Links, Stop, imports, write_log},
};

/// Number of bytes below its stack pointer that a function compiled by clang may write without
/// moving it.
const RED_ZONE_BYTES: i32 = 128;

/// Running worker: one instance of a [`CompiledModule`] in a store of its own.
pub(crate) struct Worker {
    store: MovableStore,
    instance: Instance,
    env: FunctionEnv<Env>,
    exports: Exports,
    /// Mutable globals by index.
    globals: Vec<(u32, Global)>,
    memory_state: Arc<MemoryState>,
    encoding: Encoding,
    /// Image that the memory is a view of, if there is one.
    base: Option<Arc<BaseMemory>>,
    /// Module of the instance. This reference keeps its code alive, and in the list of compiled
    /// modules.
    module: Arc<CompiledModule>,
}

/// Outcome of a [`Run`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The worker became quiescent. It holds the result that the worker reported.
    Done(Vec<u8>),
    /// The worker exhausted a resource.
    Fault(Fault),
    /// The worker trapped or broke the ABI.
    Broken(String),
}

/// Result of a call into a worker: a value, or the worker's [`End`].
type CallVerdict<T> = Result<T, End>;

/// Run of a worker, from its input to its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) end: End,
    /// Points that were spent, if the worker became quiescent.
    pub(crate) points: u64,
    pub(crate) test_log: Vec<String>,
    /// Lines that nobody took while the worker ran.
    pub(crate) printed: Vec<Printed>,
}

/// Returns the reason for which a worker that says `number` is refused where `encoding` is spoken.
///
/// Only the JavaScript engine speaks JSON. The host's memory for JSON is many times its length, and
/// a module from a user could write it so that this is most.
fn wrong_abi(number: i32, encoding: Encoding) -> String {
    match (encoding, Encoding::from_number(number)) {
        (Encoding::Json, _) => format!("capstan_abi() is {number}: the engine's must be 2 (JSON)"),
        (Encoding::Borsh, Some(Encoding::Json)) => {
            "capstan_abi() is 2 (JSON), which only the JavaScript engine speaks: a module's must be 1 (borsh)"
                .to_owned()
        }
        (Encoding::Borsh, _) => format!("capstan_abi() is {number}: a module's must be 1 (borsh)"),
    }
}

impl Worker {
    /// Starts a new worker, with at most `limit` points to return its ABI. It must speak `encoding`. Returns the
    /// points that it spent, and those for the memory that it starts with.
    pub(crate) fn start(
        module: &Arc<CompiledModule>,
        encoding: Encoding,
        limit: u64,
    ) -> Result<(Self, u64), StartError> {
        let mut worker = Self::instantiate(module, None, true)?;
        let memory = cost::USER_PAGE_POINTS * (worker.memory().len() / WASM_PAGE) as u64;
        worker.set_points(limit)?;
        let abi: TypedFunction<(), i32> = worker.function("capstan_abi")?;
        let result = abi.call(&mut worker.store.0);
        let number = match worker.conclude(result).map_err(|e| StartError::Host(e.text()))? {
            Ok(number) => number,
            Err(End::Fault(fault)) => return Err(StartError::Module(fault.text().to_owned())),
            Err(End::Broken(text)) => return Err(StartError::Module(text)),
            Err(End::Done(_)) => {
                return Err(StartError::Module("done outside of a delivery".to_owned()));
            }
        };
        if number != encoding as i32 {
            return Err(StartError::Module(wrong_abi(number, encoding)));
        }
        worker.set_encoding(encoding);
        let points = limit.saturating_sub(worker.points_left().max(0) as u64);
        Ok((worker, memory.saturating_add(points)))
    }

    /// Returns a worker whose memory is a private view of `base`, with the given mutable globals.
    pub(crate) fn fork(
        module: &Arc<CompiledModule>,
        encoding: Encoding,
        globals: &[(u32, u64)],
        base: &Arc<BaseMemory>,
    ) -> Result<Self, StartError> {
        let mut worker = Self::instantiate(module, Some(base), false)?;
        worker.set_encoding(encoding);
        worker.set_globals(globals).map_err(|e| StartError::Host(e.to_string()))?;
        Ok(worker)
    }

    /// Returns a worker with a memory of `size` bytes, whole wasm pages, and the given mutable
    /// globals. The memory starts with the contents of `base`, which is no larger, and is zero
    /// beyond.
    pub(crate) fn with_memory(
        module: &Arc<CompiledModule>,
        encoding: Encoding,
        globals: &[(u32, u64)],
        base: Option<&Arc<BaseMemory>>,
        size: usize,
    ) -> Result<Self, StartError> {
        let mismatch = |what: &str| StartError::Host(format!("a heap of another module: {what}"));
        let mut worker = Self::instantiate(module, base, false)?;
        worker.set_encoding(encoding);
        worker.set_globals(globals).map_err(|e| mismatch(&e.to_string()))?;
        let missing =
            size.checked_sub(worker.memory().len()).ok_or_else(|| mismatch("too small"))?;
        // A wasm memory has at most 65,536 pages, or growing fails.
        let pages = u32::try_from(missing / WASM_PAGE).map_err(|_| mismatch("too large"))?;
        let memory = worker.exports.memory.clone();
        let grown = memory.grow(&mut worker.store.0, pages);
        grown.map_err(|e| StartError::Host(format!("cannot give a vat its memory: {e}")))?;
        Ok(worker)
    }

    fn instantiate(
        module: &Arc<CompiledModule>,
        base: Option<&Arc<BaseMemory>>,
        fresh: bool,
    ) -> Result<Self, StartError> {
        let memory_state = Arc::new(MemoryState::default());
        let write_segments = Arc::new(AtomicBool::new(fresh));
        let plan = MemoryPlan {
            base: base.cloned(),
            write_segments: Arc::clone(&write_segments),
            state: Arc::clone(&memory_state),
        };
        let mut engine = module.engine.clone();
        engine.set_tunables(WorkerTunables::new(plan));
        let mut store = Store::new(engine);
        let env = FunctionEnv::new(&mut store, Env::default());
        let imports = imports(&mut store, &env);
        let instance =
            Instance::new(&mut store, &module.module, &imports).map_err(instantiation)?;
        // From here on, only the worker's own `memory.init` writes segments.
        write_segments.store(true, Ordering::Relaxed);
        let exports = Exports::find(&instance, &store)?;
        env.as_mut(&mut store).link(Links {
            memory: exports.memory.clone(),
            points: exports.points.clone(),
            exhausted: exports.exhausted.clone(),
            state: Arc::clone(&memory_state),
        });
        let globals = mutable_globals(&instance);
        let (base, module) = (base.cloned(), Arc::clone(module));
        let encoding = Encoding::Borsh;
        let store = MovableStore(store);
        Ok(Self { store, instance, env, exports, globals, memory_state, encoding, base, module })
    }

    /// Returns what another thread can give up this worker's run by.
    pub(crate) fn memory_state(&self) -> Arc<MemoryState> {
        Arc::clone(&self.memory_state)
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
        self.env.as_mut(&mut self.store.0).set_encoding(encoding);
    }

    /// Evaluates a boot script.
    pub(crate) fn boot(&mut self, script: &[u8]) -> Result<(), BootError> {
        self.set_points(i64::MAX as u64)?;
        let boot: TypedFunction<(i32, i32), i32> = self.function("capstan_boot")?;
        let mut source = script.to_vec();
        source.push(0);
        let result = self.put(&source).and_then(|ptr| {
            // `put` has checked that the length is one of this memory's.
            boot.call(&mut self.store.0, ptr, script.len() as i32)
        });
        write_log(&self.env.as_mut(&mut self.store.0).finish().printed);
        match self.conclude(result).map_err(|e| BootError::Host(e.text()))? {
            Ok(0) => Ok(()),
            Ok(code) => Err(BootError::Threw(code)),
            Err(end) => Err(BootError::Ended(end)),
        }
    }

    /// Delivers `input` and runs the worker until it is quiescent or has spent `limit` points.
    /// After any end but [`End::Done`] the worker must not be used again.
    pub(crate) fn run(
        &mut self,
        input: &[u8],
        limit: u64,
        syscalls: Option<&mut dyn Syscalls>,
    ) -> Result<Run, HostFault> {
        self.set_points(limit).map_err(|e| HostFault::Engine(e.to_string()))?;
        let answerer = self.env.as_mut(&mut self.store.0).begin();
        let result = answerer.lend(syscalls, || {
            let ptr = self.put(input)?;
            let deliver = self.exports.deliver.clone();
            deliver.call(&mut self.store.0, ptr, input.len() as i32)
        });
        let Finished { done, test_log, printed } = self.env.as_mut(&mut self.store.0).finish();
        let end = match self.conclude(result)? {
            Ok(()) => match done {
                Some(reply) => End::Done(reply),
                None => End::Broken("the delivery ended without a result".to_owned()),
            },
            Err(end) => end,
        };
        let points = limit.saturating_sub(self.points_left().max(0) as u64);
        Ok(Run { end, points, test_log, printed })
    }

    /// Returns the heap, which is all that distinguishes this worker from a new one.
    pub(crate) fn image(&mut self) -> Image {
        let globals = self.global_bits();
        Image::new(self.encoding, globals, self.memory().to_vec())
    }

    /// Makes an image of the current memory, as the base of this worker and of others.
    pub(crate) fn new_base(&mut self) -> Result<Arc<BaseMemory>, ShareError> {
        let base = Arc::new(BaseMemory::new(self.memory(), self.module.memory_mode)?);
        self.rebase(&base)?;
        Ok(base)
    }

    /// Drops the worker's private copies of pages that equal its base again. A garbage collection
    /// writes to every object, mostly without changing it.
    pub(crate) fn trim(&mut self) -> Result<(), ShareError> {
        let start = self.memory_start();
        match &self.base {
            // SAFETY: `base` was placed at the start of this worker's memory, which does not move. `&mut self` excludes
            // other references to it.
            Some(base) => Ok(unsafe { base.trim(start) }?),
            None => Ok(()),
        }
    }

    /// Returns whether the worker's memory is a view of `base`.
    pub(crate) fn is_on(&self, base: &Arc<BaseMemory>) -> bool {
        self.base.as_ref().is_some_and(|own| Arc::ptr_eq(own, base))
    }

    /// Makes `base` the worker's base, without changing the contents of its memory. Equal pages are
    /// shared.
    pub(crate) fn rebase(&mut self, base: &Arc<BaseMemory>) -> Result<(), ShareError> {
        if self.is_on(base) {
            return self.trim();
        }
        if self.memory().len() >= base.bytes().len() {
            let start = self.memory_start();
            // SAFETY: a worker's memory is page-aligned, open for its whole length, in a region of its own, and a view of its
            // present base. `&mut self` excludes other references to it.
            unsafe { base.remap(start, self.base.as_deref()) }?;
            self.base = Some(Arc::clone(base));
        }
        Ok(())
    }

    /// Returns the image that the memory is based on. `None` if it started as zeros.
    pub(crate) fn base(&self) -> Option<&BaseMemory> {
        self.base.as_deref()
    }

    /// Writes `bytes` to memory that the worker allocates, and returns their address.
    fn put(&mut self, bytes: &[u8]) -> Result<i32, RuntimeError> {
        let too_large = |_| Stop::Broken("a delivery is too large for the vat's memory".to_owned());
        let length = i32::try_from(bytes.len()).map_err(too_large)?;
        let alloc = self.exports.alloc.clone();
        let ptr = alloc.call(&mut self.store.0, length)?;
        let outside = |_| Stop::Broken("capstan_alloc gave room outside the memory".to_owned());
        let view = self.exports.memory.view(&self.store.0);
        view.write(u64::from(ptr as u32), bytes).map_err(outside)?;
        Ok(ptr)
    }

    /// Interprets the result of a call into the worker. The error is a fault of this node.
    fn conclude<T>(
        &mut self,
        result: Result<T, RuntimeError>,
    ) -> Result<CallVerdict<T>, HostFault> {
        if let Some(fault) = self.memory_state.fault() {
            return Err(HostFault::Engine(fault));
        }
        let error = match result {
            Ok(_) if self.memory_state.is_refused() => return Ok(Err(End::Fault(Fault::Allocate))),
            // What came after the last look at the points may have cost more than was left.
            Ok(_) if self.points_left() < 0 => return Ok(Err(End::Fault(Fault::Compute))),
            Ok(value) => return Ok(Ok(value)),
            Err(error) => error,
        };
        let stop = error.downcast_ref::<Stop>().cloned();
        match stop {
            Some(Stop::Host(text)) => Err(HostFault::Engine(text)),
            Some(Stop::Fault(fault)) => Ok(Err(End::Fault(fault))),
            Some(Stop::Broken(text)) => Ok(Err(End::Broken(text))),
            None => self.trap(error).map(Err),
        }
    }

    /// Determines why the worker trapped.
    fn trap(&mut self, error: RuntimeError) -> Result<End, HostFault> {
        if self.memory_state.is_refused() {
            return Ok(End::Fault(Fault::Allocate));
        }
        if self.get(&self.exports.exhausted.clone()) == Value::I32(1) {
            return Ok(End::Fault(Fault::Compute));
        }
        if self.is_stack_spent() {
            return Ok(End::Fault(Fault::Stack));
        }
        let message = error.message();
        match error.to_trap().and_then(trap_text) {
            Some(text) => Ok(End::Broken(format!("wasm trap: {text}"))),
            None => Err(HostFault::Engine(format!(
                "a worker stopped for a reason of this node: {message}"
            ))),
        }
    }

    /// Checks whether the stack counter exceeded its limit. In a module without a counter, checks
    /// whether the stack in linear memory went below zero.
    fn is_stack_spent(&mut self) -> bool {
        match (self.module.stack_bytes, &self.globals[..]) {
            (Some(limit), _) => {
                let depth = self.get(&self.exports.depth.clone());
                matches!(depth, Value::I32(depth) if depth as u32 > limit)
            }
            // clang's one mutable global is the stack pointer. A function that calls no other may use
            // a little below it.
            (None, [(_, pointer)]) => {
                let pointer = self.get(&pointer.clone());
                matches!(pointer, Value::I32(pointer) if pointer < RED_ZONE_BYTES)
            }
            (None, _) => false,
        }
    }

    fn set_points(&mut self, points: u64) -> Result<(), StartError> {
        let Exports { points: left, exhausted, depth, .. } = &self.exports;
        // More than fits an i64 is more than a machine can spend.
        let points = points.min(i64::MAX as u64) as i64;
        left.set(&mut self.store.0, Value::I64(points))
            .and_then(|()| exhausted.set(&mut self.store.0, Value::I32(0)))
            .and_then(|()| depth.set(&mut self.store.0, Value::I32(0)))
            .map_err(|e| StartError::Host(e.to_string()))
    }

    /// Returns the points that are left. They are negative if more was spent than there was.
    fn points_left(&mut self) -> i64 {
        match self.get(&self.exports.points.clone()) {
            Value::I64(points) => points,
            _ => 0,
        }
    }

    fn get(&mut self, global: &Global) -> Value {
        global.get(&mut self.store.0)
    }

    fn function<A, R>(&self, name: &str) -> Result<TypedFunction<A, R>, StartError>
    where
        A: wasmer::WasmTypeList,
        R: wasmer::WasmTypeList,
    {
        find_function(&self.instance, &self.store.0, name)
    }

    /// Returns the mutable globals as pairs of index in the module and value, in index order.
    /// Floats are given by their bits.
    pub(crate) fn global_bits(&mut self) -> Vec<(u32, u64)> {
        let mut bits = Vec::with_capacity(self.globals.len());
        for (index, global) in &self.globals {
            let value = match global.get(&mut self.store.0) {
                Value::I32(value) => u64::from(value as u32),
                Value::I64(value) => value as u64,
                Value::F32(value) => u64::from(value.to_bits()),
                Value::F64(value) => value.to_bits(),
                // The gate accepts no other types.
                _ => 0,
            };
            bits.push((*index, value));
        }
        bits
    }

    fn set_globals(&mut self, bits: &[(u32, u64)]) -> Result<(), GlobalsError> {
        if bits.len() != self.globals.len() {
            return Err(GlobalsError::Number);
        }
        for ((index, global), (wanted, bits)) in self.globals.iter().zip(bits) {
            let value = match global.get(&mut self.store.0) {
                _ if index != wanted => return Err(GlobalsError::Index),
                Value::I32(_) => Value::I32(*bits as u32 as i32),
                Value::I64(_) => Value::I64(*bits as i64),
                Value::F32(_) => Value::F32(f32::from_bits(*bits as u32)),
                Value::F64(_) => Value::F64(f64::from_bits(*bits)),
                _ => return Err(GlobalsError::Type),
            };
            let set = global.set(&mut self.store.0, value);
            set.map_err(|e| GlobalsError::Refused(e.to_string()))?;
        }
        Ok(())
    }

    /// Returns the linear memory.
    pub(crate) fn memory(&self) -> &[u8] {
        let view = self.exports.memory.view(&self.store.0);
        // SAFETY: the memory belongs to this worker's store, which nobody can run or grow while it is
        // borrowed here.
        unsafe { std::slice::from_raw_parts(view.data_ptr(), view.data_size() as usize) }
    }

    /// Returns the address of the linear memory, which is fixed as long as the worker lives.
    fn memory_start(&mut self) -> NonNull<u8> {
        NonNull::from(self.memory_mut()).cast()
    }

    /// Returns for each page of the linear memory whether it may hold a private copy. Returns
    /// `None` if any page may.
    pub(crate) fn own_pages(&self) -> Option<Vec<bool>> {
        own_pages(self.memory(), self.module.memory_mode)
    }

    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        let view = self.exports.memory.view(&self.store.0);
        // SAFETY: as in `memory`. The store is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(view.data_ptr(), view.data_size() as usize) }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("memory_bytes", &self.memory().len()).finish_non_exhaustive()
    }
}

fn instantiation(error: InstantiationError) -> StartError {
    match error {
        // There is no start function, so only a segment that does not fit can trap.
        InstantiationError::Start(_) => {
            StartError::Module("a data or element segment does not fit".to_owned())
        }
        other => StartError::Host(other.to_string()),
    }
}

/// Returns the name of a trap, coarse enough to be the same under every compiler. Returns `None`
/// for traps that the worker did not cause.
fn trap_text(trap: TrapCode) -> Option<&'static str> {
    Some(match trap {
        TrapCode::HeapAccessOutOfBounds => "memory access out of bounds",
        TrapCode::TableAccessOutOfBounds
        | TrapCode::IndirectCallToNull
        | TrapCode::BadSignature => "indirect call without a matching function",
        TrapCode::IntegerOverflow
        | TrapCode::IntegerDivisionByZero
        | TrapCode::BadConversionToInteger => "integer operation without a result",
        TrapCode::UnreachableCodeReached => "unreachable code reached",
        _ => return None,
    })
}
