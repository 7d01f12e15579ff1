use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};
use capstan_kernel_ports::host::{Delivered, HostFault, Syscalls, VatHost as _};
use capstan_kernel_ports::layer::{HostLayer, SyscallsLayer};
use capstan_kernel_ports::{Computrons, Hash, VatId};
use capstan_vat_host::WasmHost;

/// A host that does one delivery otherwise than all others would.
#[derive(Debug)]
pub struct WrongHost {
    /// The host that does the deliveries.
    pub host: WasmHost,
    /// What is wrong with the one delivery.
    pub wrong: Wrong,
    /// The delivery that goes wrong, counted from 0 over all vats. `None` if none does.
    pub at: Option<u64>,
    deliveries: u64,
}

/// A way in which a [`WrongHost`] goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It counts one computron more.
    Computrons,
    /// It reports an error.
    Result,
    /// The first write to the vat's store has another value.
    Syscall,
    /// The vat does nothing at all.
    Missing,
    /// It makes one syscall more, at the end.
    Extra,
    /// The heap has another hash, from that delivery on.
    Heap,
}

/// Passes syscalls on, the first write to the vat's store with another value.
struct Forging<'a> {
    inner: &'a mut dyn Syscalls,
    done: bool,
}

impl SyscallsLayer for Forging<'_> {
    fn syscalls(&mut self) -> &mut dyn Syscalls {
        self.inner
    }

    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        match syscall {
            Syscall::VatstoreSet { key, .. } if !self.done => {
                self.done = true;
                self.inner.syscall(Syscall::VatstoreSet { key, value: "forged".into() })
            }
            other => self.inner.syscall(other),
        }
    }
}

impl WrongHost {
    /// Wraps a host that has done nothing yet.
    pub fn new(host: WasmHost, wrong: Wrong, at: Option<u64>) -> Self {
        Self { host, wrong, at, deliveries: 0 }
    }

    fn forge(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        inner: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut forging = Forging { inner, done: false };
        let delivered = self.host.deliver(vat, delivery, limit, &mut forging)?;
        assert!(forging.done, "delivery {:?} writes nothing", self.at);
        Ok(delivered)
    }
}

impl HostLayer for WrongHost {
    type Host = WasmHost;

    fn host(&self) -> &WasmHost {
        &self.host
    }

    fn host_mut(&mut self) -> &mut WasmHost {
        &mut self.host
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let is_wrong = self.at == Some(self.deliveries);
        self.deliveries += 1;
        match self.wrong {
            Wrong::Syscall if is_wrong => return self.forge(vat, delivery, limit, syscalls),
            Wrong::Missing if is_wrong => {
                let result = DeliveryResult::Ok;
                return Ok(Delivered { result, computrons: None, test_log: vec![] });
            }
            _ => {}
        }
        let mut delivered = self.host.deliver(vat, delivery, limit, syscalls)?;
        match self.wrong {
            Wrong::Computrons if is_wrong => {
                delivered.computrons = delivered.computrons.map(|spent| Computrons(spent.0 + 1));
            }
            Wrong::Result if is_wrong => {
                delivered.result = DeliveryResult::Error("patched".into());
            }
            Wrong::Extra if is_wrong => {
                let _ = syscalls.syscall(Syscall::VatstoreGet { key: "no".into() });
            }
            _ => {}
        }
        Ok(delivered)
    }

    fn heap(&self, vat: VatId) -> Option<(Hash, u64)> {
        let (hash, bytes) = self.host.heap(vat)?;
        let is_wrong = self.wrong == Wrong::Heap && self.at.is_some_and(|at| self.deliveries > at);
        Some((if is_wrong { Hash([9; 32]) } else { hash }, bytes))
    }
}
