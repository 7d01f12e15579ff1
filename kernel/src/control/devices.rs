//! Input from outside that reaches vats through devices.

use capstan_kernel_ports::{host::VatHost, store::Overlay};
use serde_json::Value;

use crate::{application::DeviceSyscalls, control::kernel::Kernel, device::DeviceError};

impl<H: VatHost> Kernel<H> {
    /// Sets the timer device's time, in whole seconds since 1970. `now` is the time of the block, never a
    /// clock's. Queues the wakeups that are due, and returns true if there were any.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if there is no timer device, or time ran backwards.
    pub fn poll_timer(
        &mut self,
        over: &mut dyn Overlay,
        now: u64,
    ) -> std::result::Result<bool, DeviceError> {
        self.between_cranks(over, |state| state.poll_timer(now))
    }

    /// Hands over what came for the mailbox from a peer: numbered messages, and the number of the
    /// last message that the peer has taken. See [`crate::view::mailboxes`] for the other direction.
    pub fn mailbox_inbound(
        &mut self,
        over: &mut dyn Overlay,
        peer: &str,
        messages: &[(u64, String)],
        ack: u64,
    ) -> std::result::Result<(), DeviceError> {
        self.between_cranks(over, |state| state.mailbox_inbound(peer, messages, ack))
    }

    /// Calls the vat that registered with the bridge: `inbound(...args)`.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if there is no bridge, or no vat registered with it.
    pub fn bridge_inbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> std::result::Result<(), DeviceError> {
        self.between_cranks(over, |state| state.bridge_inbound(args))
    }

    /// Acts as a [device](crate::device::DeviceKind::Application) of the application, to which something happened
    /// outside.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if there is no such device, or if `act` fails. Nothing is changed then.
    pub fn act_as_device(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        act: impl FnOnce(&mut dyn DeviceSyscalls) -> std::result::Result<(), DeviceError>,
    ) -> std::result::Result<(), DeviceError> {
        self.between_cranks(over, |state| state.act_as_device(name, act))
    }
}
