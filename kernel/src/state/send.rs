//! Messages of the kernel's own.

use capstan_abi::Message;
use capstan_kernel_ports::VatId;

use crate::{
    capdata::KernelData,
    error::{Refusal, Result, inconsistent, no_limit},
    ids::{Endpoint, KRef},
    state::{clist::Use, handle::State, promise::ResultPolicy, queue::Payer},
};

impl State<'_> {
    /// Sends a message of the kernel's own to the vatAdmin vat, if there is one.
    pub(crate) fn tell_vat_admin(&mut self, methargs: KernelData) -> Result<()> {
        match self.globals().vat_admin_root {
            Some(root) => {
                self.send_from_kernel(root, methargs, ResultPolicy::LogFailure).map(|_| ())
            }
            None => Ok(()),
        }
    }

    /// Sends a message of the kernel's own. Returns the promise for its result.
    pub(crate) fn send_from_kernel(
        &mut self,
        target: KRef,
        methargs: KernelData,
        policy: ResultPolicy,
    ) -> Result<KRef> {
        let result = self.add_promise(None, policy)?;
        self.stats.syscalls += 1;
        self.stats.syscall_send += 1;
        self.send(target, Message { methargs, result: Some(result) }, Payer::Nobody)?;
        Ok(result)
    }

    /// Sends a message of the kernel's own without a promise for the result.
    pub(crate) fn send_without_result(&mut self, target: KRef, methargs: KernelData) -> Result<()> {
        self.stats.syscalls += 1;
        self.stats.syscall_send += 1;
        self.send(target, Message { methargs, result: None }, Payer::Nobody)
    }

    /// The kernel's reference for a vat's root object.
    pub(crate) fn export_root(&mut self, vat: VatId) -> Result<KRef> {
        self.to_kernel(Endpoint::Vat(vat), "o+0", Use::Mention).map_err(|refusal| match refusal {
            Refusal::Panic(panic) => panic,
            Refusal::Exhausted => no_limit(),
            Refusal::VatFatal(why) => inconsistent(format!("root of {vat}: {why}")),
        })
    }
}
