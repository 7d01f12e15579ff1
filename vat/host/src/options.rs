use std::path::PathBuf;

use crate::ModuleLimits;

/// Options of a [`WasmHost`](crate::WasmHost) on this node. Vats can observe only `limits`, which
/// are part of the chain's rules.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Directory in which compiled artifacts and the engine's base image are kept between runs.
    /// `None` keeps nothing.
    pub cache_dir: Option<PathBuf>,
    /// [`Compilers`] for the engine and for modules from users.
    pub compilers: Compilers,
    /// [`MemoryMode`] of all workers.
    pub memory: MemoryMode,
    /// [`ModuleLimits`] for modules from users.
    pub limits: ModuleLimits,
    /// Maximum size of the artifacts in `cache_dir`, in bytes. Those of modules that run are kept
    /// all the same.
    pub max_artifact_bytes: u64,
    /// Maximum size of the compiled modules that are kept in memory although no worker runs them,
    /// in bytes.
    pub max_idle_code_bytes: u64,
    /// Threads that run vats at a time, the caller's included. With fewer than two, all vats run on the caller's thread.
    pub threads: usize,
    /// For tests: the seed by which runs ahead are delayed, reordered and lost. No result shows it.
    pub chaos: Option<u64>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            compilers: Compilers::default(),
            memory: MemoryMode::default(),
            limits: ModuleLimits::user(),
            max_artifact_bytes: 1 << 30,
            max_idle_code_bytes: 256 << 20,
            threads: 1,
            chaos: None,
        }
    }
}

/// Storage of the workers' memory. Results, heap hashes and computrons are the same in both modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// Workers of one bundle share the pages that they have not written to. This needs Linux with
    /// pages of 4 KiB. A host opened elsewhere uses [`MemoryMode::Copies`] instead.
    CopyOnWrite,
    /// Every worker has a copy of its own, and pages are compared to find its changes. This runs on
    /// every Unix.
    Copies,
}

impl Default for MemoryMode {
    /// Returns [`MemoryMode::CopyOnWrite`], which falls back where the system lacks it.
    fn default() -> Self {
        Self::CopyOnWrite
    }
}

impl MemoryMode {
    /// Returns this mode if the system has what it needs, and [`MemoryMode::Copies`] otherwise.
    pub(crate) fn supported(self) -> Self {
        match cfg!(target_os = "linux") && region::page::size() == crate::PAGE_BYTES {
            true => self,
            false => Self::Copies,
        }
    }
}

/// The [`Compiler`] for each kind of module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compilers {
    /// [`Compiler`] for the JavaScript engine, which is compiled once and runs all the time.
    pub engine: Compiler,
    /// [`Compiler`] for modules from users. Its compile time must be linear in the module's size.
    pub modules: Compiler,
}

impl Default for Compilers {
    fn default() -> Self {
        Self { engine: Compiler::Cranelift, modules: Compiler::Singlepass }
    }
}

/// Compiler from wasm to machine code. All compilers give the same points, results and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Singlepass: linear compile time, slower code.
    Singlepass,
    /// Cranelift: optimized code, slower compilation.
    Cranelift,
}

impl Compiler {
    /// Returns the name of the [`Compiler`], as in cache keys and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Singlepass => "singlepass",
            Self::Cranelift => "cranelift",
        }
    }
}
