//! The JavaScript engines that the vats of a state run on.

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, VatId, store::Read};

use crate::{
    error::Result,
    ids::BundleKind,
    state::{
        handle::get_record,
        keys,
        vat::{VatConfig, VatState, VatStatus, all_vats},
    },
};

/// Returns the JavaScript engines that running vats need, each with the first vat that needs it.
///
/// # Errors
/// Returns a [`KernelPanic`](crate::KernelPanic) if the state cannot be read.
pub fn engines(state: &(impl Read + ?Sized)) -> Result<BTreeMap<Hash, VatId>> {
    let mut engines = BTreeMap::new();
    for vat in all_vats(state)? {
        let record: Option<VatState> = get_record(state, &keys::vat_state(vat))?;
        let config: Option<VatConfig> = get_record(state, &keys::vat_config(vat))?;
        if let (Some(record), Some(config)) = (record, config)
            && record.status == VatStatus::Running
            && BundleKind::from_id(&config.bundle_id) != Some(BundleKind::Wasm)
        {
            engines.entry(config.engine).or_insert(vat);
        }
    }
    Ok(engines)
}
