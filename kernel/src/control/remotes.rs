//! Operations on behalf of accounts.

use capstan_abi::{CapData, Resolution};
use capstan_kernel_ports::{host::VatHost, store::Overlay};

use crate::{
    control::kernel::Kernel,
    error::Result,
    ids::RemoteId,
    state::remote::{RemoteError, Sent},
};

impl<H: VatHost> Kernel<H> {
    /// Returns the [remote](crate::remote) of an account, and provisions it at the first call.
    pub fn provision(&mut self, over: &mut dyn Overlay, address: &str) -> Result<RemoteId> {
        self.between_cranks(over, |state| state.provision(address))
    }

    /// Sends a message as a remote.
    ///
    /// # Errors
    /// Returns a [`RemoteError`] if the remote does not hold what it names.
    pub fn remote_send(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        target: &str,
        methargs: CapData,
    ) -> std::result::Result<Sent, RemoteError> {
        self.between_cranks(over, |state| state.remote_send(remote, target, methargs))
    }

    /// Returns a remote's name for its [`Factory`](crate::remote::Factory) object, or for the promise of it.
    pub fn factory(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
    ) -> std::result::Result<String, RemoteError> {
        self.between_cranks(over, |state| state.factory(remote))
    }

    /// Settles promises as a remote.
    ///
    /// # Errors
    /// Returns a [`RemoteError`] for a promise that the remote does not decide.
    pub fn remote_resolve(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        resolutions: Vec<Resolution>,
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.remote_resolve(remote, resolutions))
    }

    /// Drops imports of a remote.
    ///
    /// # Errors
    /// Returns a [`RemoteError`] for a reference that is not an imported object.
    pub fn remote_drop(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        rrefs: &[String],
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.remote_drop(remote, rrefs))
    }

    /// Acknowledges a remote's outbox up to and including `sequence`.
    ///
    /// # Errors
    /// Returns a [`RemoteError`] for an entry that was never sent, or too many at once.
    pub fn remote_acknowledge(
        &mut self,
        over: &mut dyn Overlay,
        remote: RemoteId,
        sequence: u64,
    ) -> std::result::Result<(), RemoteError> {
        self.between_cranks(over, |state| state.acknowledge(remote, sequence))
    }
}
