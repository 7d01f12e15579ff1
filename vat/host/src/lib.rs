//! Runs vats as WebAssembly under [wasmer](https://wasmer.io): validates, instruments, compiles,
//! meters, snapshots and restores them.
//!
//! ```
//! use capstan_kernel_ports::host::VatHost;
//! use capstan_vat_host::{HostError, HostOptions, JsEngine, WasmHost};
//!
//! /// Opens a host that keeps nothing on disk, and checks a module that somebody wants to install.
//! fn check(engine: JsEngine, module: &[u8]) -> Result<(), HostError> {
//!     let host = WasmHost::open(engine, HostOptions::default(), &|progress| println!("{progress}"))?;
//!     if let Err(refusal) = host.validate(module) {
//!         println!("this module cannot be a vat: {refusal}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! [`WasmHost`] implements the kernel's port [`VatHost`](capstan_kernel_ports::host::VatHost). What a
//! vat can observe is a function of its module, its deliveries and its syscalls' results: the same
//! under both compilers, on every machine, from a fresh start and from an image. This holds for these reasons:
//!
//! * The gate (`validate`) lets pass only what is deterministic and whose state is its memory
//!   and its mutable globals.
//! * Work is metered in points ([`cost`]) by inserted code, the stack by an inserted counter; host
//!   calls are charged too. NaNs are canonical.
//! * The worker of a JavaScript vat starts as a copy-on-write view of its bundle's image, or as a copy of it.
//! * Where singlepass and cranelift differ, inserted code makes them agree (module `instrument`); tests
//!   compare them over generated modules and over the JavaScript engine.
//! * Compiled artifacts and base images are cached by a key that holds all they depend on, and
//!   are hash-checked before use ([`HostOptions::cache_dir`]).
//!
//! Copy-on-write needs Linux with pages of 4 KiB: images are sealed memory files (`memfd_create`). Elsewhere every worker
//! has a plain copy, with the same results and hashes ([`MemoryMode`]).

#![deny(clippy::undocumented_unsafe_blocks)]

pub mod cost;
mod engine;
mod error;
mod heap;
mod host;
mod memory;
mod module;
mod options;
mod worker;

pub use engine::JsEngine;
pub use error::HostError;
pub use heap::image::{Image, PAGE_BYTES};
pub use host::WasmHost;
pub use module::limits::ModuleLimits;
pub use module::validate::Refusal;
pub use options::{Compiler, Compilers, HostOptions, MemoryMode};
