//! Vat host: runs vats as WebAssembly under [wasmer](https://wasmer.io).
//!
//! It validates modules, instruments and compiles them, meters their work, and takes and restores
//! snapshots.
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
//! [`WasmHost`] implements the kernel's port [`VatHost`](capstan_kernel_ports::host::VatHost).
//! Everything that a vat can observe is a function of its module, its deliveries and the results of
//! its syscalls. This holds under both compilers, on every machine, from a fresh start and from an
//! image, for these reasons:
//!
//! * The gate (`validate`) accepts only deterministic modules whose state is their memory and their
//!   mutable globals.
//! * Inserted code meters work in points ([`cost`]) and counts the depth of the stack. Host calls
//!   are charged too. NaNs are canonical.
//! * A JavaScript worker starts as a copy-on-write view of its bundle's image, or as a copy of it.
//! * Inserted code makes singlepass and cranelift agree where they differ (module `instrument`).
//!   Tests compare them over generated modules and over the JavaScript engine.
//! * Compiled artifacts and base images are cached by a key that covers everything they depend on.
//!   Their hash is checked before use ([`HostOptions::cache_dir`]).
//!
//! Copy-on-write needs Linux with pages of 4 KiB, since images are sealed memory files
//! (`memfd_create`). Elsewhere every worker has a plain copy, with the same results and hashes
//! ([`MemoryMode`]).

#![deny(clippy::undocumented_unsafe_blocks)]

mod ahead;
pub mod cost;
mod delivery;
mod engine;
mod error;
mod heap;
mod host;
mod memory;
mod module;
mod options;
mod usage;
mod worker;

pub use engine::JsEngine;
pub use error::HostError;
pub use heap::image::{Image, PAGE_BYTES};
pub use host::WasmHost;
pub use memory::disable_huge_pages;
pub use module::limits::ModuleLimits;
pub use module::validate::Refusal;
pub use options::{Compiler, Compilers, HostOptions, MemoryMode};
pub use usage::Usage;
