//! Vats: their configurations, states and heaps.

use capstan_kernel_ports::{VatId, host::HeapImage, store::Read};

use crate::{
    capdata::KernelData,
    error::Result,
    ids::KRef,
    state::{
        handle::get_record,
        keys, parameters,
        vat::{FailedUpgrade, VatConfig, VatState},
    },
    vats::heap,
};

/// Returns the [`VatId`] of the live static vat of that name.
pub fn vat_by_name(state: &(impl Read + ?Sized), name: &str) -> Result<Option<VatId>> {
    get_record(state, &keys::static_name(name))
}

/// Returns the [`VatConfig`] of a vat, or `None` if it never was.
pub fn vat_config(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatConfig>> {
    get_record(state, &keys::vat_config(vat))
}

/// Returns the parameters that a vat was started or upgraded with, or `None` if there are none.
pub fn parameters_of(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<KernelData>> {
    let parameters = get_record::<KernelData>(state, &keys::vat_parameters(vat))?;
    Ok(parameters.filter(|parameters| !parameters.body.is_empty()))
}

/// Returns what the parameters of a vat refer to, which the vat's record holds.
pub fn vat_parameters(state: &(impl Read + ?Sized), vat: VatId) -> Result<Vec<KRef>> {
    parameters::held_by(state, vat)
}

/// Returns the [`VatState`] of a vat, or `None` if it never was.
pub fn vat_state(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatState>> {
    get_record(state, &keys::vat_state(vat))
}

/// Returns the [`FailedUpgrade`] of a vat. Returns `None` if its last upgrade succeeded, or there was none.
pub fn failed_upgrade(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<FailedUpgrade>> {
    get_record(state, &keys::failed_upgrade(vat))
}

/// Returns the [`HeapImage`] of the vat's last snapshot. Returns `None` if no snapshot was taken, or this
/// node does not have it.
pub fn heap_image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    heap::image(state, vat)
}

/// Returns the size in bytes of the vat's heap at its last snapshot. Returns `None` as [`heap_image`] does.
pub fn heap_bytes(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<u64>> {
    heap::size_bytes(state, vat)
}
