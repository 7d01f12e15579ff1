//! Compilation of checked modules to machine code, through the artifact cache.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
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
    Compiler, HostError, MemoryMode, ModuleLimits, Refusal, cost,
    module::cache::{Cache, Key},
    module::instrument,
    module::validate,
};

/// Number of compiled modules that are kept although no worker runs them.
const RECENT: usize = 16;

/// Module that can be instantiated, with the engine that owns its code.
#[derive(Debug)]
pub(crate) struct CompiledModule {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
    pub(crate) stack_bytes: Option<u32>,
    /// [`MemoryMode`] of its workers.
    pub(crate) memory_mode: MemoryMode,
    key: Key,
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

/// Compiler of modules that keeps its results.
#[derive(Debug)]
pub(crate) struct Modules {
    cache: Arc<Cache>,
    target: Target,
    memory_mode: MemoryMode,
    recent: Mutex<VecDeque<Arc<CompiledModule>>>,
}

impl Modules {
    pub(crate) fn new(cache: Arc<Cache>, memory: MemoryMode) -> Result<Self, HostError> {
        let memory_mode = memory.supported();
        Ok(Self { cache, target: target()?, memory_mode, recent: Mutex::default() })
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
        let (engine, module) = match self.load(&key) {
            Some(loaded) => loaded,
            None => {
                let compiled = self.compile(module, compiler, limits, engine)?;
                if let Ok(artifact) = compiled.1.serialize() {
                    self.cache.write("artifact", &key, &artifact);
                }
                compiled
            }
        };
        let (stack_bytes, memory_mode) = (limits.stack_bytes, self.memory_mode);
        let compiled = Arc::new(CompiledModule { engine, module, stack_bytes, memory_mode, key });
        self.remember(&compiled);
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
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(Arc::clone(module));
        let idle = |m: &Arc<CompiledModule>| Arc::strong_count(m) == 1;
        while recent.iter().filter(|m| idle(m)).count() > RECENT {
            match recent.iter().position(idle) {
                Some(oldest) => drop(recent.remove(oldest)),
                None => break,
            }
        }
    }

    fn load(&self, key: &Key) -> Option<(Engine, Module)> {
        let artifact = self.cache.read("artifact", key)?;
        let engine: Engine = EngineBuilder::headless().engine().into();
        // SAFETY: the cache's hash says that these are the bytes which this program once got from
        // `serialize`, for this very module, compiler and target.
        match unsafe { Module::deserialize(&engine, artifact) } {
            Ok(module) => Some((engine, module)),
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
    ) -> Result<(Engine, Module), CompileError> {
        let checked = validate::check(module, limits, engine)?;
        let price = if engine { cost::engine_points } else { cost::user_points };
        let module = instrument::instrument(module, &checked, limits.stack_bytes, price)
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
        Ok((engine, module))
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
