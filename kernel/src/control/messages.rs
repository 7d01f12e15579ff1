//! Bundles and messages that the application brings in, and their results.

use std::collections::BTreeSet;

use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};

use crate::{
    capdata::{self, Builder, KernelData},
    control::kernel::Kernel,
    error::Result,
    ids::KRef,
    state::{keys, promise::ResultPolicy, queue::TakenOut},
};

impl<H: VatHost> Kernel<H> {
    /// Installs a bundle whose bytes were verified, and tells the vatAdmin vat. Returns false if it was
    /// installed already.
    pub fn install_bundle(
        &mut self,
        over: &mut dyn Overlay,
        id: &str,
        bytes: Vec<u8>,
    ) -> Result<bool> {
        if over.get(&keys::bundle(id))?.is_some() {
            return Ok(false);
        }
        self.between_cranks(over, |state| {
            state.put_bundle(id, bytes)?;
            let mut builder = Builder::default();
            let id = builder.text(id);
            state.tell_vat_admin(capdata::methargs(builder, "bundleInstalled", vec![id]))?;
            Ok(true)
        })
    }

    /// Sends a message to the root of a static vat. Returns the promise for its result, held for the caller
    /// until [`Self::take_resolution`].
    pub fn queue_to_vat_root(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        methargs: KernelData,
        policy: ResultPolicy,
    ) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let root = state.export_root(vat)?;
            let result = state.send_from_kernel(root, methargs, policy)?;
            state.increment(result)?;
            Ok(Some(result))
        })
    }

    /// Sends a message to an object or promise. Returns the promise for its result, held for the caller until
    /// [`Self::take_resolution`].
    pub fn queue_to_object(
        &mut self,
        over: &mut dyn Overlay,
        target: KRef,
        methargs: KernelData,
        policy: ResultPolicy,
    ) -> Result<KRef> {
        self.between_cranks(over, |state| {
            let result = state.send_from_kernel(target, methargs, policy)?;
            state.increment(result)?;
            Ok(result)
        })
    }

    /// Releases the caller's hold on a settled promise, and holds the references in its data instead.
    ///
    /// This works on a kernel that panicked, too, so that its results may be looked at.
    pub fn take_resolution(&mut self, over: &mut dyn Overlay, promise: KRef) -> Result<()> {
        let panic = self.panic.take();
        let taken = self.release_resolution(over, promise);
        self.panic = self.panic.take().or(panic);
        taken
    }

    fn release_resolution(&mut self, over: &mut dyn Overlay, promise: KRef) -> Result<()> {
        self.between_cranks(over, |state| {
            let data = state.settled_data(promise)?;
            if let Some(data) = data {
                state.decrement(promise)?;
                state.increment_all(&data.slots)?;
            }
            Ok(())
        })
    }

    /// Holds the root of a static vat for good. Returns `None` if there is no such vat.
    pub fn pin_vat_root(&mut self, over: &mut dyn Overlay, name: &str) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(None) };
            let root = state.export_root(vat)?;
            state.pin(root)?;
            Ok(Some(root))
        })
    }

    /// Sends a message without a result promise to the root of a static vat. Returns false if there is no
    /// such vat.
    pub fn post_to_vat_root(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        methargs: KernelData,
    ) -> Result<bool> {
        self.between_cranks(over, |state| {
            let Some(vat) = state.get::<VatId>(&keys::static_name(name))? else { return Ok(false) };
            let root = state.export_root(vat)?;
            state.send_without_result(root, methargs)?;
            Ok(true)
        })
    }

    /// Sends a message without a result promise to an object or promise.
    pub fn post_to_object(
        &mut self,
        over: &mut dyn Overlay,
        target: KRef,
        methargs: KernelData,
    ) -> Result<()> {
        self.between_cranks(over, |state| state.send_without_result(target, methargs))
    }

    /// Takes a message out of the queues, named by its result promise, and rejects that. Returns false if
    /// there is no such message.
    pub fn drop_message(&mut self, over: &mut dyn Overlay, result: KRef) -> Result<bool> {
        self.between_cranks(over, |state| state.drop_message(result))
    }

    /// Names events to be skipped when their cranks come, as if each had failed before any vat saw it.
    /// Replaces the names of an earlier call. See [`Self::not_taken_out`].
    pub fn take_out(&mut self, named: impl IntoIterator<Item = TakenOut>) {
        self.taken_out = named.into_iter().collect();
    }

    /// Returns and forgets the [`TakenOut`] names whose cranks have not come.
    pub fn not_taken_out(&mut self) -> BTreeSet<TakenOut> {
        std::mem::take(&mut self.taken_out)
    }
}
