//! The port through which vats reach the application that runs the kernel.

use capstan_kernel_ports::store::Overlay;
use serde_json::Value;

use crate::error::KernelPanic;

/// The application that runs the kernel, as vats reach it through the bridge.
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
}

/// The [`Application`]'s answer to a call through the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum BridgeAnswer {
    /// A value as plain JSON, or JavaScript's `undefined` for `None`.
    Returned(Option<Value>),
    /// An error that the calling vat can catch. The vat sees a fixed text, and this one goes to the log.
    Thrown(String),
}
