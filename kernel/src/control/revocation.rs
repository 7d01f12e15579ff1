//! Revocation, as the host decides on it.

use capstan_kernel_ports::{host::VatHost, store::Overlay};

use crate::{
    control::kernel::Kernel,
    state::revocation::{Revocable, RevocationError, parse_object},
};

impl<H: VatHost> Kernel<H> {
    /// Revokes an object, named by its kref, as in `ko20`. From then on every message to it is rejected. This is for
    /// good, and changes nothing else.
    ///
    /// # Errors
    /// Returns a [`RevocationError`] if there is no such object, or it is not among those that may be revoked.
    pub fn revoke(
        &mut self,
        over: &mut dyn Overlay,
        kref: &str,
        revocable: Revocable,
    ) -> Result<(), RevocationError> {
        self.between_cranks(over, |state| state.revoke(parse_object(kref)?, revocable))
    }

    /// Returns true if the object of this kref was revoked.
    ///
    /// # Errors
    /// Returns a [`RevocationError`] if there is no such object.
    pub fn is_revoked(
        &mut self,
        over: &mut dyn Overlay,
        kref: &str,
    ) -> Result<bool, RevocationError> {
        self.between_cranks(over, |state| state.is_revoked(parse_object(kref)?, Revocable::System))
    }
}
