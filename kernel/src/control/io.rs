//! The outer side of io channels.

use capstan_kernel_ports::{host::VatHost, store::Overlay};

use crate::{
    control::kernel::Kernel,
    state::io_channel::{IoError, IoName, IoState},
};

impl<H: VatHost> Kernel<H> {
    /// Writes lines to an io channel, and the end of them if `close` is true. Vats that wait get them at once.
    ///
    /// # Errors
    /// Returns an [`IoError`] if there is no such channel, or it does not take all of the lines. Then it takes none.
    pub fn write_io(
        &mut self,
        over: &mut dyn Overlay,
        name: &IoName,
        lines: Vec<String>,
        close: bool,
    ) -> std::result::Result<IoState, IoError> {
        self.between_cranks(over, |state| state.write_to_vats(name, lines, close))
    }

    /// Removes what vats wrote to an io channel, up to and including line `through`.
    ///
    /// # Errors
    /// Returns an [`IoError`] if there is no such channel, or no such line yet.
    pub fn acknowledge_io(
        &mut self,
        over: &mut dyn Overlay,
        name: &IoName,
        through: u64,
    ) -> std::result::Result<IoState, IoError> {
        self.between_cranks(over, |state| state.acknowledge_io(name, through))
    }
}
