//! The port through which vats reach the application that runs the kernel.

use capstan_kernel_ports::store::Overlay;
use capstan_passable::Passable;
use serde_json::Value;

use crate::{error::KernelPanic, ids::KRef};

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
