//! The port through which vats reach the application that runs the kernel.

use capstan_kernel_ports::store::Overlay;
use serde_json::Value;

use crate::error::Result;

/// The application that runs the kernel, as vats reach it through the bridge.
pub trait Application {
    /// Answers a call that a vat made through the bridge. It may read and write what is the
    /// application's in the overlay: an aborted crank takes it back. It must be a function of the
    /// state and the arguments alone. An error is thrown at the vat, its text goes to the log.
    ///
    /// Arguments and answer are plain JSON; big integers arrive as decimal strings, and none is the
    /// answer `undefined`.
    fn outbound(
        &mut self,
        over: &mut dyn Overlay,
        args: &[Value],
    ) -> Result<std::result::Result<Option<Value>, String>>;
}
