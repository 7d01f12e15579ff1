//! Figures of each vat for operators, outside the root hash. They are its work in the last block in which it ran, and
//! the size of its heap.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel::view;
use capstan_kernel_ports::{
    VatId,
    store::{Overlay, Read},
};

use crate::{fault::NodeFault, records::record};

/// Figures of a vat's last block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Activity {
    /// Height of the block.
    pub(crate) height: u64,
    /// Computrons that the vat spent in the block.
    pub(crate) computrons: u64,
    /// Size of the heap, in bytes, at the end of the last block with a snapshot, or 0 if this node saw no snapshot.
    pub(crate) heap_bytes: u64,
}

/// Returns the [`Activity`] of a vat, or `None` if it never ran.
pub(crate) fn get(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<Activity>, NodeFault> {
    record::get(state, &key(vat))
}

/// Records a vat's [`Activity`] between two states, if it had a delivery or a snapshot.
pub(crate) fn note(
    before: &impl Read,
    over: &mut dyn Overlay,
    vat: VatId,
    height: u64,
) -> Result<(), NodeFault> {
    let Some(now) = view::vat_state(over, vat)? else { return Ok(()) };
    let then = view::vat_state(before, vat)?;
    let (computrons, deliveries, snapshot) =
        then.map_or((0, 0, None), |then| (then.computrons, then.deliveries, then.snapshot));
    if (now.deliveries, now.snapshot) == (deliveries, snapshot) {
        return Ok(());
    }
    let mut activity = get(over, vat)?.unwrap_or_default();
    activity.height = height;
    activity.computrons = now.computrons.saturating_sub(computrons);
    if now.snapshot != snapshot
        && let Some(bytes) = view::heap_bytes(over, vat)?
    {
        activity.heap_bytes = bytes;
    }
    record::set(over, &key(vat), &activity)
}

/// Returns the key of a vat's [`Activity`], outside the root hash. The records follow from the blocks, and no rule
/// depends on them.
fn key(vat: VatId) -> Vec<u8> {
    format!("local.a.activity.{vat}").into_bytes()
}
