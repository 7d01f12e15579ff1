//! The failures of upgrades, which are kept for whoever asked for them: a vat is told no cause.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::VatId;

use crate::{
    error::Result,
    limits,
    state::{handle::State, keys, slog::Event},
};

/// An upgrade that failed and was undone.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FailedUpgrade {
    /// The crank in which it failed.
    pub crank: u64,
    /// The id of the bundle that was to be the vat's.
    pub bundle_id: String,
    /// The reason of the failure, for people. It is truncated.
    pub cause: String,
}

/// Upper bound of a [`FailedUpgrade::cause`], in bytes.
const MAX_CAUSE_BYTES: usize = 1_024;

impl State<'_> {
    /// Records the last failure of an upgrade.
    pub(crate) fn note_failed_upgrade(
        &mut self,
        vat: VatId,
        bundle_id: String,
        cause: &str,
    ) -> Result<()> {
        let cause = limits::cut_to(MAX_CAUSE_BYTES, cause.into()).legible().into_owned();
        self.log(Event::UpgradeFailed { vat, cause: &cause });
        let crank = self.globals().crank;
        self.put(&keys::failed_upgrade(vat), &FailedUpgrade { crank, bundle_id, cause })
    }

    /// Forgets the last failure of an upgrade, if there is one.
    pub(crate) fn forget_failed_upgrade(&mut self, vat: VatId) -> Result<()> {
        let key = keys::failed_upgrade(vat);
        if self.over.get(&key)?.is_some() {
            self.over.delete(&key);
        }
        Ok(())
    }
}
