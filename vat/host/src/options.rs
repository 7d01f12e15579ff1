use std::path::PathBuf;

use crate::ModuleLimits;

/// How a [`WasmHost`](crate::WasmHost) works on this node. But for `limits`, which are part of the
/// chain's rules, nothing here can be observed by a vat.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where compiled artifacts and the engine's base image are kept between runs; none to keep
    /// nothing.
    pub cache_dir: Option<PathBuf>,
    /// Which compiler translates what.
    pub compilers: Compilers,
    /// What modules from users may contain.
    pub limits: ModuleLimits,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { cache_dir: None, compilers: Compilers::default(), limits: ModuleLimits::user() }
    }
}

/// Which compiler translates the JavaScript engine and which the modules from users.
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
