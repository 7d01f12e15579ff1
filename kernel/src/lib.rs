//! The SwingSet kernel: c-lists, promises, queues, garbage collection, the life and end of vats.
//!
//! The kernel is a pure state machine. It reads no clock, file, environment variable, socket or random number, and
//! iterates over nothing that is not ordered. All it knows comes in through the overlay of the block in progress
//! ([`store`](capstan_kernel_ports::store)), the vat host ([`host`](capstan_kernel_ports::host)) and its
//! arguments.
//!
//! [`Kernel`] is the entry point. [`view`] reads a committed state, and [`replay`] repeats a vat's transcript. The
//! rooms of the source, lowest first:
//!
//! | folder | content |
//! |---|---|
//! | `state` | the records of the state and their methods; `keys.rs` draws the layout of their keys |
//! | `device` | synchronous services that vats call |
//! | `subcluster` | vats that are launched and ended together |
//! | `service` | objects that the kernel or the application answers for |
//! | `vats` | workers, transcripts, heap snapshots, and the translation of deliveries and syscalls |
//! | `crank` | one crank, from the selection of an event to the end of its changes |
//! | `view` | reading without running |
//! | `control` | the [`Kernel`] and what the application asks of it |
//!
//! # Example
//!
//! A kernel over a state in memory, with a host whose vats accept every delivery and do nothing:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use capstan_abi::{Delivery, DeliveryResult};
//! use capstan_kernel::{Kernel, KernelConfig, KernelOptions, NodeOptions, StaticVat, VAT_ADMIN};
//! use capstan_kernel::{billing::Billing, limits::SystemGuard, policy::Forever, vat::ReapThreshold};
//! use capstan_kernel_ports::{
//!     Computrons, Hash, VatId,
//!     host::{Delivered, HostFault, Start, StartVerdict, Syscalls, VatHost, WorkerOptions, WorkerSource},
//!     memory::MemoryState,
//! };
//!
//! #[derive(Default)]
//! struct IdleHost(Vec<VatId>);
//!
//! impl VatHost for IdleHost {
//!     fn start(
//!         &mut self,
//!         vat: VatId,
//!         _source: &WorkerSource,
//!         _options: &WorkerOptions,
//!     ) -> Result<Start, HostFault> {
//!         self.0.push(vat);
//!         Ok(Start::free(Ok(())))
//!     }
//!
//!     fn deliver(
//!         &mut self,
//!         _vat: VatId,
//!         _delivery: &Delivery,
//!         _limit: Computrons,
//!         _syscalls: &mut dyn Syscalls,
//!     ) -> Result<Delivered, HostFault> {
//!         let computrons = Some(Computrons(100));
//!         Ok(Delivered { result: DeliveryResult::Ok, computrons, test_log: vec![] })
//!     }
//!
//!     // …
//! #     fn engine(&self) -> Hash { Hash::default() }
//! #     fn validate(&self, _module: &[u8]) -> StartVerdict { Ok(()) }
//! #     fn is_running(&self, vat: VatId) -> bool { self.0.contains(&vat) }
//! #     fn stop(&mut self, vat: VatId) { self.0.retain(|other| *other != vat); }
//! #     fn heap(&self, _vat: VatId) -> Option<(Hash, u64)> { None }
//! }
//!
//! let config = KernelConfig {
//!     vats: BTreeMap::from([(VAT_ADMIN.to_owned(), StaticVat::new("w1-idle"))]),
//!     bundles: BTreeMap::from([("w1-idle".to_owned(), b"a module".to_vec())]),
//!     // …
//! #     bootstrap: None,
//! #     pin_bootstrap_root: false,
//! #     provisioner: None,
//! #     parameter_roots: BTreeMap::new(),
//! #     devices: BTreeMap::new(),
//! #     services: BTreeMap::new(),
//! #     named_bundles: BTreeMap::new(),
//! #     options: KernelOptions {
//! #         reap: ReapThreshold::default(),
//! #         relax_durability_rules: false,
//! #         snapshot_initial: 3,
//! #         snapshot_interval: 200,
//! #         snapshot_debt: u64::MAX,
//! #         collect_leaks: true,
//! #         crank_limit: 1_000_000,
//! #         guard: SystemGuard::NONE,
//! #         billing: Billing::SWINGSET,
//! #     },
//! };
//! let mut state = MemoryState::default();
//! let mut kernel = Kernel::new(IdleHost::default(), NodeOptions::default());
//! kernel.initialize(&mut state, &config)?;
//! let report = kernel.run(&mut state, &mut Forever)?;
//! assert!(report.idle && report.computrons >= 100);
//! # Ok::<(), capstan_kernel::KernelPanic>(())
//! ```

#![forbid(unsafe_code)]

mod application;
pub mod billing;
pub mod capdata;
mod control;
mod crank;
pub mod device;
mod error;
pub mod ids;
pub mod limits;
pub mod service;
mod state;
pub mod subcluster;
pub mod sync;
mod vats;
pub mod view;

pub use application::{
    Application, BridgeAnswer, DeviceAnswer, DeviceCall, DeviceSyscalls, Rest, ServiceAnswer,
    ServiceCall,
};
pub use control::{
    genesis::KernelConfig,
    kernel::{Kernel, NodeOptions, RunReport},
    options::{BadOptions, OptionChanges},
};
pub use crank::policy;
pub use device::VAT_ADMIN;
pub use error::KernelPanic;
pub use state::{
    bundle, clist,
    handle::{KernelOptions, SCHEMA_VERSION},
    meter, object, promise, queue, rejection, remote, revocation, slog,
    static_vat::StaticVat,
    stats, vat,
};
pub use vats::{replay, transcript};
pub use view::changes;
