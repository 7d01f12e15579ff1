//! Services that the host registers.

use capstan_kernel_ports::{host::VatHost, store::Overlay};

use crate::{
    control::kernel::Kernel,
    error::Result,
    ids::KRef,
    service::{NewService, ServiceError},
};

impl<H: VatHost> Kernel<H> {
    /// Registers a service. Returns its object, which is a new one.
    ///
    /// # Errors
    /// Returns a [`ServiceError`] if the name is taken or bad.
    pub fn register_service(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        service: NewService,
    ) -> std::result::Result<KRef, ServiceError> {
        self.between_cranks(over, |state| state.register_service(name, service))
    }

    /// Takes a service away from its name. Returns false if there is none of that name.
    pub fn unregister_service(&mut self, over: &mut dyn Overlay, name: &str) -> Result<bool> {
        self.between_cranks(over, |state| state.unregister_service(name))
    }
}
