//! Base image of the JavaScript engine, which is booted once. Every JavaScript vat starts from it.

use std::sync::Arc;

use capstan_abi::Encoding;
use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

use crate::{
    Compiler, HostError, Image, ModuleLimits, cost,
    memory::base::BaseMemory,
    module::cache::{Cache, Key},
    module::compile::{CompiledModule, Modules},
    module::instrument,
    worker::Worker,
};

/// JavaScript engine, as the `vat/js` crate provides it. A [`WasmHost`](crate::WasmHost) boots it
/// once.
#[derive(Clone)]
pub struct JsEngine {
    /// Module of the engine, a worker that also exports `capstan_boot`.
    pub worker_wasm: Vec<u8>,
    /// Scripts that are evaluated in the base image, in order. Each has a name for messages and a
    /// source.
    pub boot_scripts: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for JsEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.boot_scripts.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("JsEngine")
            .field("worker_wasm_bytes", &self.worker_wasm.len())
            .field("boot_scripts", &names)
            .finish()
    }
}

/// [`JsEngine`] that has been compiled and booted.
#[derive(Debug)]
pub(crate) struct BootedEngine {
    pub(crate) hash: Hash,
    pub(crate) module: Arc<CompiledModule>,
    pub(crate) memory: Arc<BaseMemory>,
    globals: Vec<(u32, u64)>,
}

impl BootedEngine {
    /// Compiles and boots `engine`, or takes both from the cache.
    pub(crate) fn open(
        engine: &JsEngine,
        modules: &Modules,
        cache: &Cache,
        compiler: Compiler,
        progress: &dyn Fn(&str),
    ) -> Result<Self, HostError> {
        progress("loading the JavaScript engine (compiling takes a few seconds, the first time)");
        let module = modules
            .get(&engine.worker_wasm, compiler, &ModuleLimits::engine(), true)
            .map_err(|e| HostError::Engine(e.to_string()))?;
        let key = boot_key(engine);
        let cached = cache.read("image", &key).and_then(|bytes| borsh::from_slice(&bytes).ok());
        let image: Image = match cached {
            Some(image) => image,
            None => {
                progress("booting the JavaScript engine");
                let image = boot(&module, engine)?;
                if let Ok(bytes) = borsh::to_vec(&image) {
                    cache.write("image", &key, &bytes);
                }
                image
            }
        };
        let memory = BaseMemory::new(image.memory(), module.memory_mode).map_err(|e| {
            HostError::Node(format!("cannot keep the JavaScript engine's image in memory: {e}"))
        })?;
        let hash = engine_hash(&engine.worker_wasm, &image);
        Ok(Self { hash, module, memory: Arc::new(memory), globals: image.globals().to_vec() })
    }

    /// Returns a worker on the base image. It shares each page until it writes to it.
    pub(crate) fn worker(&self) -> Result<Worker, crate::worker::StartError> {
        Worker::fork(&self.module, Encoding::Json, &self.globals, &self.memory)
    }
}

/// Returns the engine's identity: `sha256("capstan.engine.1" ‖ sha256(module) ‖ heap hash of the
/// image)`.
fn engine_hash(module: &[u8], image: &Image) -> Hash {
    let hash = Sha256::new()
        .chain_update("capstan.engine.1")
        .chain_update(Sha256::digest(module))
        .chain_update(image.hash().0);
    Hash(hash.finalize().into())
}

/// Returns the key of the base image. It covers everything that the image depends on, but not the
/// compiler.
fn boot_key(engine: &JsEngine) -> Key {
    let about =
        format!("capstan image\ncost {}\ninstrument {}\n", cost::VERSION, instrument::VERSION);
    let mut hash =
        Sha256::new().chain_update(about).chain_update(Sha256::digest(&engine.worker_wasm));
    for (_, source) in &engine.boot_scripts {
        hash.update(Sha256::digest(source));
    }
    hash.finalize().into()
}

fn boot(module: &Arc<CompiledModule>, engine: &JsEngine) -> Result<Image, HostError> {
    let unusable = |e: crate::worker::StartError| HostError::Engine(e.to_string());
    let started = Worker::start(module, Encoding::Json, i64::MAX as u64);
    let (mut worker, _) = started.map_err(unusable)?;
    for (name, source) in &engine.boot_scripts {
        let booted = worker.boot(source);
        booted.map_err(|e| HostError::Boot { name: name.clone(), reason: e.to_string() })?;
    }
    Ok(worker.image())
}
