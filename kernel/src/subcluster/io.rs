//! Io channels of subclusters: opened at the launch, closed at the end.

use std::collections::BTreeMap;

use crate::{
    error::Result,
    ids::{KRef, SubclusterId},
    state::{handle::State, io_channel::IoChannel},
    subcluster::launch::LaunchError,
};

impl State<'_> {
    /// Opens the declared channels. Returns the object of each, which `bootstrap` gets under the channel's name.
    pub(crate) fn open_io(
        &mut self,
        _id: SubclusterId,
        io: &BTreeMap<String, IoChannel>,
    ) -> std::result::Result<BTreeMap<String, KRef>, LaunchError> {
        match io.is_empty() {
            true => Ok(BTreeMap::new()),
            false => Err(LaunchError::NoIo),
        }
    }

    /// Closes the channels of a subcluster that ends.
    pub(crate) fn close_io(
        &mut self,
        _id: SubclusterId,
        _io: &BTreeMap<String, IoChannel>,
    ) -> Result<()> {
        Ok(())
    }
}
