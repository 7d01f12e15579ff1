//! The object that a vat registers with a device for what comes from outside: at most one a device.

use super::{Answer, CallResult, DeviceError, Invocation, thrown};
use crate::{
    ids::{DeviceId, Endpoint, KRef},
    state::{handle::State, key::Key, keys},
};

impl State<'_> {
    /// Answers `registerInboundHandler(handler)`. Throws `taken` if there is a handler already.
    pub(super) fn register_inbound(&mut self, call: &Invocation<'_>, taken: &str) -> CallResult {
        let handler = call.object(0, "handler")?;
        if self.over.get(&handler_key(call.device))?.is_some() {
            return thrown(taken);
        }
        self.put(&handler_key(call.device), &handler)?;
        Ok(Answer::Undefined)
    }

    /// `unregisterInboundHandler()`.
    pub(super) fn unregister_inbound(&mut self, call: &Invocation<'_>) -> CallResult {
        self.over.delete(&handler_key(call.device));
        Ok(Answer::Undefined)
    }

    /// Returns the handler that is registered with the device of that name.
    pub(super) fn inbound_handler(
        &self,
        name: &'static str,
    ) -> std::result::Result<KRef, DeviceError> {
        let device = self.device_named(name)?;
        let handler: Option<KRef> = self.get(&handler_key(device))?;
        handler.ok_or(DeviceError::NoHandler(name))
    }
}

fn handler_key(device: DeviceId) -> Key {
    keys::vatstore(Endpoint::Device(device), "inboundHandler")
}
