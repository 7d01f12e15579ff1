//! What each vat spent in the last block in which it ran: for operators, outside the hash.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel::view;
use capstan_kernel_ports::{
    VatId,
    store::{Overlay, Read},
};

use crate::{fault::NodeFault, record};

/// What a vat spent in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Spending {
    /// The block's height.
    pub(crate) height: u64,
    /// What it spent in it.
    pub(crate) computrons: u64,
}

/// The last block's spending of a vat.
pub(crate) fn get(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<Spending>, NodeFault> {
    record::get(state, &key(vat))
}

/// Notes what a vat spent between two states, if it did.
pub(crate) fn note(
    before: &impl Read,
    over: &mut dyn Overlay,
    vat: VatId,
    height: u64,
) -> Result<(), NodeFault> {
    let Some(now) = view::vat_state(over, vat)? else { return Ok(()) };
    let then = view::vat_state(before, vat)?;
    let computrons = now.computrons.saturating_sub(then.as_ref().map_or(0, |vat| vat.computrons));
    if then.is_none_or(|then| then.deliveries != now.deliveries) {
        record::set(over, &key(vat), &Spending { height, computrons })?;
    }
    Ok(())
}

/// A key outside the root hash: the records follow from the blocks, and no rule depends on them.
fn key(vat: VatId) -> Vec<u8> {
    format!("local.a.spent.{vat}").into_bytes()
}
