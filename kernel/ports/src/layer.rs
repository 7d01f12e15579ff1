//! Layers over a vat host, or over the kernel's answers to syscalls. A layer forwards every call that it does not
//! override.
//!
//! ```
//! use capstan_kernel_ports::{VatId, host::VatHost, layer::HostLayer};
//!
//! /// Counts how many workers were stopped.
//! struct Counting<H> {
//!     host: H,
//!     stopped: u64,
//! }
//!
//! impl<H: VatHost> HostLayer for Counting<H> {
//!     type Host = H;
//!
//!     fn host(&self) -> &H {
//!         &self.host
//!     }
//!
//!     fn host_mut(&mut self) -> &mut H {
//!         &mut self.host
//!     }
//!
//!     fn stop(&mut self, vat: VatId) {
//!         self.stopped += 1;
//!         self.host.stop(vat);
//!     }
//! }
//!
//! /// A layer is a host itself.
//! fn is_running<H: VatHost>(counting: &Counting<H>, vat: VatId) -> bool {
//!     VatHost::is_running(counting, vat)
//! }
//! ```

use capstan_abi::{Delivery, Syscall, SyscallResult};

use crate::{
    Computrons, Hash, VatId,
    ahead::{Ahead, AheadPlan, Errand, Turn},
    host::{
        Delivered, HeapImage, HostFault, Start, StartVerdict, Syscalls, VatHost, WorkerOptions,
        WorkerSource,
    },
};

/// A [`VatHost`] over another one. Every method but the first two forwards the call unless the layer overrides it.
pub trait HostLayer {
    /// The type of the host below.
    type Host: VatHost;

    /// Returns the host below.
    fn host(&self) -> &Self::Host;

    /// Returns the host below, for calls that change it.
    fn host_mut(&mut self) -> &mut Self::Host;

    /// Forwards [`VatHost::engine`].
    fn engine(&self) -> Hash {
        self.host().engine()
    }

    /// Forwards [`VatHost::validate`].
    fn validate(&self, module: &[u8]) -> StartVerdict {
        self.host().validate(module)
    }

    /// Forwards [`VatHost::start`].
    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.host_mut().start(vat, source, options)
    }

    /// Forwards [`VatHost::deliver`].
    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        self.host_mut().deliver(vat, delivery, limit, syscalls)
    }

    /// Returns [`AheadPlan::NONE`]: a layer that changes deliveries would not see those that are run ahead. A layer that
    /// handles [`HostLayer::take_turn`] may forward this.
    fn ahead_plan(&self) -> AheadPlan {
        AheadPlan::NONE
    }

    /// Forwards [`VatHost::run_ahead`].
    fn run_ahead(&mut self, ahead: Ahead) {
        self.host_mut().run_ahead(ahead);
    }

    /// Forwards [`VatHost::take_turn`].
    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        self.host_mut().take_turn(vat, delivery, limit, syscalls)
    }

    /// Forwards [`VatHost::prepare`].
    fn prepare(&mut self, vat: VatId, errand: Errand) {
        self.host_mut().prepare(vat, errand);
    }

    /// Forwards [`VatHost::take_prepared`].
    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        self.host_mut().take_prepared(vat)
    }

    /// Forwards [`VatHost::load_ahead`].
    fn load_ahead(&mut self, errand: Errand) -> bool {
        self.host_mut().load_ahead(errand)
    }

    /// Forwards [`VatHost::is_running`].
    fn is_running(&self, vat: VatId) -> bool {
        self.host().is_running(vat)
    }

    /// Forwards [`VatHost::stop`].
    fn stop(&mut self, vat: VatId) {
        self.host_mut().stop(vat);
    }

    /// Forwards [`VatHost::memory_bytes`].
    fn memory_bytes(&self, vat: VatId) -> u64 {
        self.host().memory_bytes(vat)
    }

    /// Forwards [`VatHost::heap`].
    fn heap(&self, vat: VatId) -> Option<(Hash, u64)> {
        self.host().heap(vat)
    }

    /// Forwards [`VatHost::takes_snapshots`].
    fn takes_snapshots(&self, vat: VatId) -> bool {
        self.host().takes_snapshots(vat)
    }

    /// Forwards [`VatHost::heap_image`].
    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        self.host_mut().heap_image(vat)
    }

    /// Forwards [`VatHost::heap_page`].
    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        self.host().heap_page(vat, number)
    }

    /// Forwards [`VatHost::restore`].
    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.host_mut().restore(vat, source, options, image, page)
    }
}

impl<L: HostLayer> VatHost for L {
    fn engine(&self) -> Hash {
        HostLayer::engine(self)
    }

    fn validate(&self, module: &[u8]) -> StartVerdict {
        HostLayer::validate(self, module)
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        HostLayer::start(self, vat, source, options)
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        HostLayer::deliver(self, vat, delivery, limit, syscalls)
    }

    fn ahead_plan(&self) -> AheadPlan {
        HostLayer::ahead_plan(self)
    }

    fn run_ahead(&mut self, ahead: Ahead) {
        HostLayer::run_ahead(self, ahead);
    }

    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        HostLayer::take_turn(self, vat, delivery, limit, syscalls)
    }

    fn prepare(&mut self, vat: VatId, errand: Errand) {
        HostLayer::prepare(self, vat, errand);
    }

    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        HostLayer::take_prepared(self, vat)
    }

    fn load_ahead(&mut self, errand: Errand) -> bool {
        HostLayer::load_ahead(self, errand)
    }

    fn is_running(&self, vat: VatId) -> bool {
        HostLayer::is_running(self, vat)
    }

    fn stop(&mut self, vat: VatId) {
        HostLayer::stop(self, vat);
    }

    fn memory_bytes(&self, vat: VatId) -> u64 {
        HostLayer::memory_bytes(self, vat)
    }

    fn heap(&self, vat: VatId) -> Option<(Hash, u64)> {
        HostLayer::heap(self, vat)
    }

    fn takes_snapshots(&self, vat: VatId) -> bool {
        HostLayer::takes_snapshots(self, vat)
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        HostLayer::heap_image(self, vat)
    }

    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        HostLayer::heap_page(self, vat, number)
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        HostLayer::restore(self, vat, source, options, image, page)
    }
}

/// An implementation of [`Syscalls`] over another one. Every method but the first forwards the call unless the
/// layer overrides it.
pub trait SyscallsLayer {
    /// Returns the implementation below.
    fn syscalls(&mut self) -> &mut dyn Syscalls;

    /// Forwards [`Syscalls::syscall`].
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        self.syscalls().syscall(syscall)
    }

    /// Forwards [`Syscalls::malformed`].
    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.syscalls().malformed(problem)
    }

    /// Forwards [`Syscalls::console`].
    fn console(&mut self, source: &str, level: &str, text: &str) {
        self.syscalls().console(source, level, text);
    }
}

impl<L: SyscallsLayer> Syscalls for L {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        SyscallsLayer::syscall(self, syscall)
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        SyscallsLayer::malformed(self, problem)
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        SyscallsLayer::console(self, source, level, text);
    }
}
