//! Vats: their configurations, states and heaps.

use capstan_kernel_ports::{VatId, host::HeapImage, store::Read};

use crate::{
    error::Result,
    state::{
        handle::get_record,
        keys,
        vat::{VatConfig, VatCounts, VatState},
    },
    vats::heap,
};

/// The live static vat of that name.
pub fn vat_by_name(state: &(impl Read + ?Sized), name: &str) -> Result<Option<VatId>> {
    get_record(state, &keys::static_name(name))
}

/// What a vat is.
pub fn vat_config(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatConfig>> {
    get_record(state, &keys::vat_config(vat))
}

/// What a vat has come to.
pub fn vat_state(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatState>> {
    get_record(state, &keys::vat_state(vat))
}

/// The heap of the vat's last snapshot; none if none was taken or this node does not have it.
pub fn heap_image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    heap::image(state, vat)
}

/// The size in bytes of the vat's heap at its last snapshot; none as for [`heap_image`].
pub fn heap_bytes(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<u64>> {
    heap::size_bytes(state, vat)
}

/// Returns SwingSet's counts of a vat, or `None` if it never was.
pub fn vat_counts(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatCounts>> {
    Ok(vat_state(state, vat)?.map(|vat| vat.counts()))
}
