//! A vat host that measures the computing time of vats, for this node's metrics.

use std::time::{Duration, Instant};

use capstan_abi::{Delivery, Syscall, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HeapImage, HostFault, StartVerdict, Syscalls, VatHost, WorkerOptions,
        WorkerSource,
    },
};

use crate::observe::metrics::Metrics;

/// A [`VatHost`] that records the computing time of an inner one in [`Metrics`]. It counts deliveries, and the start
/// and restoration of workers. The time of syscalls is the kernel's and does not count.
pub(crate) struct TimedHost<H> {
    host: H,
    metrics: Metrics,
}

impl<H> TimedHost<H> {
    pub(crate) fn new(host: H, metrics: Metrics) -> Self {
        Self { host, metrics }
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut H) -> T) -> T {
        let began = Instant::now();
        let result = work(&mut self.host);
        self.metrics.vat_ran(began.elapsed());
        result
    }
}

/// Syscalls of a delivery, and their total duration.
struct TimedSyscalls<'a> {
    syscalls: &'a mut dyn Syscalls,
    spent: Duration,
}

impl TimedSyscalls<'_> {
    fn timed<T>(&mut self, work: impl FnOnce(&mut dyn Syscalls) -> T) -> T {
        let began = Instant::now();
        let result = work(self.syscalls);
        self.spent += began.elapsed();
        result
    }
}

impl Syscalls for TimedSyscalls<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        self.timed(|syscalls| syscalls.syscall(syscall))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.timed(|syscalls| syscalls.malformed(problem))
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        self.timed(|syscalls| syscalls.console(source, level, text));
    }
}

impl<H: VatHost> VatHost for TimedHost<H> {
    fn engine(&self) -> Hash {
        self.host.engine()
    }

    fn validate(&self, module: &[u8]) -> StartVerdict {
        self.host.validate(module)
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<StartVerdict, HostFault> {
        self.timed(|host| host.start(vat, source, options))
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut syscalls = TimedSyscalls { syscalls, spent: Duration::ZERO };
        let began = Instant::now();
        let delivered = self.host.deliver(vat, delivery, limit, &mut syscalls);
        self.metrics.vat_ran(began.elapsed().saturating_sub(syscalls.spent));
        delivered
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.host.is_running(vat)
    }

    fn stop(&mut self, vat: VatId) {
        self.host.stop(vat);
    }

    fn heap(&self, vat: VatId) -> Option<(Hash, u64)> {
        self.host.heap(vat)
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        self.host.heap_image(vat)
    }

    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        self.host.heap_page(vat, number)
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.timed(|host| host.restore(vat, source, image, page))
    }
}
