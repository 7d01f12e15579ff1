use capstan_abi::Delivery;
use capstan_kernel_ports::host::{Delivered, HeapImage, HostFault, Syscalls, VatHost};
use capstan_kernel_ports::layer::HostLayer;
use capstan_kernel_ports::{Computrons, VatId};

/// Calls a function before each delivery of a host.
pub struct HookedHost<H> {
    host: H,
    before: Box<dyn FnMut(&Delivery) + Send + Sync>,
    has_heaps: bool,
}

impl<H: VatHost> HookedHost<H> {
    /// Wraps `host`.
    pub fn new(host: H, before: impl FnMut(&Delivery) + Send + Sync + 'static) -> Self {
        Self { host, before: Box::new(before), has_heaps: true }
    }

    /// Returns no heaps from now on, so that vats come back by replay.
    pub fn without_heaps(mut self) -> Self {
        self.has_heaps = false;
        self
    }
}

impl<H: VatHost> HostLayer for HookedHost<H> {
    type Host = H;

    fn host(&self) -> &H {
        &self.host
    }

    fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        (self.before)(delivery);
        self.host.deliver(vat, delivery, limit, syscalls)
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        if self.has_heaps { self.host.heap_image(vat) } else { Ok(None) }
    }
}

impl<H: std::fmt::Debug> std::fmt::Debug for HookedHost<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookedHost").field("host", &self.host).finish_non_exhaustive()
    }
}
