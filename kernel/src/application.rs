//! The port through which vats reach the application that runs the kernel.

use capstan_abi::CapData;
use capstan_kernel_ports::store::Overlay;
use capstan_passable::Passable;
use serde_json::Value;

use crate::{
    capdata::KernelData,
    error::{DeviceError, KernelPanic},
    ids::KRef,
};

/// The application that runs the kernel, as vats reach it through the bridge and through its services.
pub trait Application {
    /// Answers a call that a vat made through the bridge.
    ///
    /// The implementation may read and write the application's own keys in the overlay. An aborted crank takes
    /// that back. The answer must be a function of the state and the arguments alone.
    ///
    /// Arguments are plain JSON, in which big integers arrive as decimal strings.
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] for a fault of the node, such as a [`StoreFault`](KernelPanic::Store). The
    /// block is then dropped.
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<BridgeAnswer, KernelPanic>;

    /// Returns the names of a service's methods. An application without services has none.
    fn service_methods(&self, _service: &str) -> &'static [&'static str] {
        &[]
    }

    /// Answers a call of a service of the application, by one of its [methods](Self::service_methods).
    ///
    /// The same holds as for [`outbound`](Self::outbound). A call that is answered by [`ServiceAnswer::Thrown`]
    /// has changed nothing.
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] for a fault of the node.
    fn serve(
        &mut self,
        _over: &mut dyn Overlay,
        call: &ServiceCall<'_>,
    ) -> Result<ServiceAnswer, KernelPanic> {
        Ok(ServiceAnswer::Thrown(format!("the application has no service {:?}", call.service)))
    }

    /// Takes back the computrons that are left in a meter whose vats have all ended, for the meter's owner. Returns false if
    /// they stay in the meter.
    ///
    /// The same holds as for [`outbound`](Self::outbound).
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] for a fault of the node.
    fn take_back(
        &mut self,
        _over: &mut dyn Overlay,
        _rest: &Rest<'_>,
    ) -> Result<bool, KernelPanic> {
        Ok(false)
    }

    /// Answers a call of a [device](crate::device::DeviceKind::Application) whose code the application has.
    ///
    /// The same holds as for [`outbound`](Self::outbound). What the device has to remember is in its part of the
    /// store, which `syscalls` reads and writes.
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] for a fault of the node.
    fn call_device(
        &mut self,
        _syscalls: &mut dyn DeviceSyscalls,
        call: &DeviceCall<'_>,
    ) -> Result<DeviceAnswer, KernelPanic> {
        Ok(DeviceAnswer::Thrown(format!("the application has no device {:?}", call.device)))
    }
}

/// The computrons that are left in a meter.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// The meter's owner, by the name that was given when the meter was made.
    pub owner: &'a str,
    /// The number of computrons.
    pub computrons: u128,
    /// Computrons of this meter that were taken back earlier. With it an application can round prices once for each
    /// meter.
    pub before: u128,
}

/// A call of a device of the application, with the device's own references: `d+N` for its nodes, `o-N` for objects.
#[derive(Clone, Copy, Debug)]
pub struct DeviceCall<'a> {
    /// The device's name.
    pub device: &'a str,
    /// The node that is called: `d+0` is the root.
    pub node: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// The arguments.
    pub args: &'a CapData,
}

/// The [`Application`]'s answer to a call of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// A value. A node `d+N` in it comes into being by being named.
    Returned(CapData),
    /// An error that the calling vat can catch, with this text.
    Failed(String),
    /// An error that the calling vat can catch, with a fixed text. This one goes to the log.
    Thrown(String),
}

/// The kernel, as a device of the application sees it. [`DeviceError::Refused`] says what was wrong with an argument.
/// [`DeviceError::Panic`] is a fault of the node, and has to be passed on.
pub trait DeviceSyscalls {
    /// Sends a message to an object, for whose result nobody waits.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if an argument is refused, and for a fault of the node.
    fn send_only(&mut self, target: &str, methargs: &CapData) -> Result<(), DeviceError>;

    /// Returns a value of the device's store, or `None` if it is absent or empty.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the key is refused, and for a fault of the node.
    fn vatstore_get(&mut self, key: &str) -> Result<Option<String>, DeviceError>;

    /// Writes a value to the device's store, or deletes the key if it is `None`.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if an argument is refused, and for a fault of the node.
    fn vatstore_set(&mut self, key: &str, value: Option<&str>) -> Result<(), DeviceError>;

    /// Translates the device's references to the kernel's.
    ///
    /// # Errors
    /// Returns a [`DeviceError`] if the data are refused, and for a fault of the node.
    fn to_kernel(&mut self, data: &CapData) -> Result<KernelData, DeviceError>;

    /// Translates the kernel's references to the device's, which holds them for good.
    ///
    /// # Errors
    /// Returns a [`KernelPanic`] for a fault of the node.
    fn to_device(&mut self, data: &KernelData) -> Result<CapData, KernelPanic>;
}

/// A call of a service of the application.
#[derive(Clone, Copy, Debug)]
pub struct ServiceCall<'a> {
    /// The service's name.
    pub service: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// The arguments.
    pub args: &'a [Passable<KRef>],
}

/// The [`Application`]'s answer to a call of a service.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceAnswer {
    /// A value.
    Returned(Passable<KRef>),
    /// The text with which the call is rejected, after `[KERNEL:DELIVERY_FAILED] `.
    Thrown(String),
}

/// The [`Application`]'s answer to a call through the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum BridgeAnswer {
    /// A value as plain JSON, or JavaScript's `undefined` for `None`.
    Returned(Option<Value>),
    /// An error that the calling vat can catch. The vat sees a fixed text, and this one goes to the log.
    Thrown(String),
}
