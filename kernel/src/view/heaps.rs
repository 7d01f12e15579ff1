//! A check of the heaps that a node keeps, with the host that would bring them back.

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, VatId, host::VatHost, store::Read};

use crate::{
    error::Result,
    state::{
        handle::get_record,
        keys,
        vat::{VatConfig, VatState, VatStatus, all_vats},
    },
    vats::{
        heap,
        source::{worker_options, worker_source},
    },
};

/// Brings the heap of each vat's last snapshot into memory, and drops it again.
///
/// The host compares each heap with the hash in the state. At most one is in memory at a time. Vats of one bundle follow
/// each other, so each bundle is loaded once.
///
/// # Errors
/// Returns [`KernelPanic::Host`](crate::KernelPanic::Host) for the first heap that is missing or is not what its hash says.
pub fn check_heaps<H: VatHost>(state: &(impl Read + ?Sized), host: &mut H) -> Result<()> {
    let mut by_source: BTreeMap<(Hash, String), Vec<(VatId, Hash)>> = BTreeMap::new();
    for vat in all_vats(state)? {
        let record: Option<VatState> = get_record(state, &keys::vat_state(vat))?;
        let config: Option<VatConfig> = get_record(state, &keys::vat_config(vat))?;
        if let (Some(record), Some(config)) = (record, config)
            && record.status == VatStatus::Running
            && let Some((heap, position)) = record.snapshot
            && position == record.kept_from
        {
            by_source.entry((config.engine, config.bundle_id)).or_default().push((vat, heap));
        }
    }
    for ((engine, bundle_id), vats) in by_source {
        let source = worker_source(state, &bundle_id, engine)?;
        for (vat, heap) in vats {
            let Some(config) = get_record(state, &keys::vat_config(vat))? else { continue };
            let options = worker_options(state, &config)?;
            heap::restore(state, host, vat, (&source, &options), heap)?;
            host.stop(vat);
        }
    }
    Ok(())
}
