use std::path::PathBuf;

use crate::ModuleLimits;

/// The options of a [`WasmHost`](crate::WasmHost) on this node. Vats can observe none of them but `limits`, which are part of
/// the chain's rules.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Directory in which compiled artifacts and the engine's base image are kept between runs. `None` keeps
    /// nothing.
    pub cache_dir: Option<PathBuf>,
    /// The [`Compilers`] for the engine and for modules from users.
    pub compilers: Compilers,
    /// The way in which workers hold their memory.
    pub memory: MemoryMode,
    /// The bounds of modules from users.
    pub limits: ModuleLimits,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            compilers: Compilers::default(),
            memory: MemoryMode::default(),
            limits: ModuleLimits::user(),
        }
    }
}

/// A way in which workers hold their memory. Results, heap hashes and computrons are the same under both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// Workers of one bundle share the pages that they have not written to. Needs Linux with pages of 4 KiB: a host opened
    /// elsewhere takes [`MemoryMode::Copies`] instead.
    CopyOnWrite,
    /// Every worker has a copy of its own, and pages are compared to find what it changed. Runs on every Unix.
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
    /// For the JavaScript engine: compiled once, run all the time.
    pub engine: Compiler,
    /// For modules from users: compile time must be linear in the module's size.
    pub modules: Compiler,
}

impl Default for Compilers {
    fn default() -> Self {
        Self { engine: Compiler::Cranelift, modules: Compiler::Singlepass }
    }
}

/// A compiler from wasm to machine code. All give the same points, results and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Linear compile time, slower code.
    Singlepass,
    /// Optimising.
    Cranelift,
}

impl Compiler {
    /// The compiler's name, as in cache keys and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Singlepass => "singlepass",
            Self::Cranelift => "cranelift",
        }
    }
}
