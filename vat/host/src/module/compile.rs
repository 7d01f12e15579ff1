//! Compilation of checked modules to machine code, through the artifact cache.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use sha2::{Digest, Sha256};
use wasmer::{
    Engine, Module,
    sys::{
        CompilerConfig, CpuFeature, Cranelift, EngineBuilder, Features, Singlepass, Target, Triple,
        vm::VERSION as WASMER_VERSION,
    },
};

use crate::{
    Compiler, HostError, MemoryMode, ModuleLimits, Refusal, Usage,
    cost::{self, Prices},
    module::cache::{ARTIFACT, Cache, Key},
    module::instrument,
    module::validate,
};

/// Module that can be instantiated, with the engine that owns its code.
#[derive(Debug)]
pub(crate) struct CompiledModule {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) stack_bytes: Option<u32>,
    /// [`MemoryMode`] of its workers.
    pub(crate) memory_mode: MemoryMode,
    /// Computrons for compiling it, whether this host had to or not.
    pub(crate) computrons: u64,
    key: Key,
    /// Size of the artifact in bytes, which is about that of the code in memory.
    bytes: u64,
}

/// Error of compiling a module. It is the module's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The compiler has refused the module by limits of its own. Its message depends on the
    /// compiler, so only the log has it.
    #[error("the compiler cannot translate the module")]
    Compiler,
}

/// Machine code with the engine that owns it, and the computrons for compiling it.
struct Code {
    engine: Engine,
    module: Module,
    computrons: u64,
}

/// Compiler of modules that keeps its results.
#[derive(Debug)]
pub(crate) struct Modules {
    cache: Arc<Cache>,
    target: Target,
    memory_mode: MemoryMode,
    /// Maximum size of the modules that are kept although no worker runs them, in bytes.
    max_idle_bytes: u64,
    usage: Arc<Usage>,
    recent: Mutex<VecDeque<Arc<CompiledModule>>>,
}

impl Modules {
    pub(crate) fn new(
        cache: Arc<Cache>,
        memory: MemoryMode,
        max_idle_bytes: u64,
        usage: Arc<Usage>,
    ) -> Result<Self, HostError> {
        let (target, memory_mode) = (target()?, memory.supported());
        Ok(Self { cache, target, memory_mode, max_idle_bytes, usage, recent: Mutex::default() })
    }

    /// Returns `module` in compiled form: from memory, from the cache, or new.
    pub(crate) fn get(
        &self,
        module: &[u8],
        compiler: Compiler,
        limits: &ModuleLimits,
        engine: bool,
    ) -> Result<Arc<CompiledModule>, CompileError> {
        let key = self.key(module, compiler, limits);
        if let Some(found) = self.recall(&key) {
            return Ok(found);
        }
        let (stack_bytes, memory_mode) = (limits.stack_bytes, self.memory_mode);
        let (Code { engine, module, computrons }, bytes, is_new) = match self.load(&key) {
            Some((code, bytes)) => (code, bytes, false),
            None => {
                let code = self.compile(module, compiler, limits, engine)?;
                let artifact = code.module.serialize().unwrap_or_default();
                if !artifact.is_empty() {
                    let price = code.computrons.to_le_bytes();
                    self.cache.write(ARTIFACT, &key, &[&artifact[..], &price].concat());
                }
                (code, artifact.len().max(module.len()) as u64, true)
            }
        };
        let compiled =
            CompiledModule { engine, module, stack_bytes, memory_mode, computrons, key, bytes };
        let compiled = Arc::new(compiled);
        self.remember(&compiled);
        if is_new {
            self.cache.trim(|key| self.is_in_use(key));
        }
        Ok(compiled)
    }

    /// Returns the key of an artifact, which covers everything that the artifact depends on.
    fn key(&self, module: &[u8], compiler: Compiler, limits: &ModuleLimits) -> Key {
        let about = format!(
            "capstan artifact\n{}\nwasmer {WASMER_VERSION}\n{}\n{:?}\ncost {}\ninstrument {}\n{limits:?}\n",
            compiler.name(),
            self.target.triple(),
            self.target.cpu_features(),
            cost::VERSION,
            instrument::VERSION,
        );
        Sha256::new().chain_update(about).chain_update(module).finalize().into()
    }

    fn recall(&self, key: &Key) -> Option<Arc<CompiledModule>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.iter().position(|module| module.key == *key)?;
        let found = recent.remove(at)?;
        recent.push_back(Arc::clone(&found));
        Some(found)
    }

    /// Keeps a module. Modules in use are kept as well, so that a second worker of one shares its
    /// code.
    fn remember(&self, module: &Arc<CompiledModule>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push_back(Arc::clone(module));
        self.tidy();
    }

    /// Drops the modules that no worker runs and that were used least recently, until the rest is
    /// within the bound.
    pub(crate) fn tidy(&self) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |m: &Arc<CompiledModule>| Arc::strong_count(m) == 1;
        let mut bytes: u64 = recent.iter().filter(|m| idle(m)).map(|m| m.bytes).sum();
        while bytes > self.max_idle_bytes
            && let Some(oldest) = recent.iter().position(idle)
        {
            bytes -= recent.remove(oldest).map_or(0, |module| module.bytes);
        }
        self.usage.idle_code_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns true if a worker runs the module with this key.
    fn is_in_use(&self, key: &Key) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().any(|module| module.key == *key && Arc::strong_count(module) > 1)
    }

    /// Returns the code in the cache with the artifact's size. The price of compiling it follows the artifact.
    fn load(&self, key: &Key) -> Option<(Code, u64)> {
        let mut artifact = self.cache.read(ARTIFACT, key)?;
        let (_, price) = artifact.split_last_chunk()?;
        let computrons = u64::from_le_bytes(*price);
        artifact.truncate(artifact.len() - size_of::<u64>());
        let bytes = artifact.len() as u64;
        let engine: Engine = EngineBuilder::headless().engine().into();
        // SAFETY: the cache's hash says that these are the bytes which this program once got from
        // `serialize`, for this very module, compiler and target.
        match unsafe { Module::deserialize(&engine, artifact) } {
            Ok(module) => Some((Code { engine, module, computrons }, bytes)),
            Err(error) => {
                tracing::warn!(%error, "a cached artifact does not load: compiling again");
                None
            }
        }
    }

    fn compile(
        &self,
        module: &[u8],
        compiler: Compiler,
        limits: &ModuleLimits,
        engine: bool,
    ) -> Result<Code, CompileError> {
        let checked = validate::check(module, limits, engine)?;
        let computrons = cost::compile_computrons(module.len(), checked.compile_units);
        let prices = match engine {
            true => Prices::Engine,
            false => Prices::user(checked.memory_max_pages, checked.code_bytes),
        };
        let module = instrument::instrument(module, &checked, limits.stack_bytes, prices)
            .map_err(Refusal::from)?;
        let engine = match compiler {
            Compiler::Singlepass => {
                let mut config = Singlepass::new();
                config.canonicalize_nans(true);
                self.engine(config)
            }
            Compiler::Cranelift => {
                let mut config = Cranelift::new();
                config.canonicalize_nans(true);
                self.engine(config)
            }
        };
        let module = Module::new(&engine, module).map_err(|error| {
            tracing::warn!(%error, compiler = compiler.name(), "a checked module does not compile");
            CompileError::Compiler
        })?;
        Ok(Code { engine, module, computrons })
    }

    fn engine(&self, config: impl CompilerConfig + 'static) -> Engine {
        let mut features = Features::none();
        // The feature of reference types accepts the overlong encoding of `call_indirect` that LLVM
        // emits. The gate has refused the proposal's operators.
        features.bulk_memory(true).reference_types(true);
        let config: Box<dyn CompilerConfig> = Box::new(config);
        EngineBuilder::new(config)
            .set_features(Some(features))
            .set_target(Some(self.target.clone()))
            .engine()
            .into()
    }
}

/// Returns the target of all artifacts. On x86-64 it is a fixed set of instructions, so that an
/// artifact runs wherever it is loaded.
///
/// Without AVX, singlepass (7.4.2) compiles floating point in another way, which is incorrect:
/// QuickJS fails to boot.
fn target() -> Result<Target, HostError> {
    if cfg!(not(target_arch = "x86_64")) {
        return Ok(Target::default());
    }
    let features = CpuFeature::SSE2
        | CpuFeature::SSE3
        | CpuFeature::SSSE3
        | CpuFeature::SSE41
        | CpuFeature::SSE42
        | CpuFeature::POPCNT
        | CpuFeature::AVX
        | CpuFeature::AVX2
        | CpuFeature::BMI1
        | CpuFeature::BMI2
        | CpuFeature::LZCNT;
    let missing = features.difference(CpuFeature::for_host());
    match missing.is_empty() {
        true => Ok(Target::new(Triple::host(), features)),
        false => Err(HostError::Processor(format!("{missing:?}"))),
    }
}
