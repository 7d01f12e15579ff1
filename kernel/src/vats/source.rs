//! Sources and options from which workers start.

use capstan_kernel_ports::{
    Hash,
    host::{WorkerOptions, WorkerSource},
    store::Read,
};

use crate::{
    error::{Result, inconsistent},
    ids::BundleKind,
    state::{
        bundle::InstalledBundle,
        handle::{get_record, read_globals},
        keys,
        vat::VatConfig,
    },
};

/// Returns the options of the vat's workers.
pub(crate) fn worker_options(
    state: &(impl Read + ?Sized),
    config: &VatConfig,
) -> Result<WorkerOptions> {
    Ok(WorkerOptions {
        enable_disavow: config.enable_disavow,
        relax_durability_rules: read_globals(state)?.options.relax_durability_rules,
        enable_vatstore: config.enable_vatstore,
        enable_setup: config.enable_setup,
        is_new: !config.is_upgraded && !config.is_raw(),
    })
}

/// The bundle, and the engine that runs it if it is JavaScript.
pub(crate) fn worker_source(
    state: &(impl Read + ?Sized),
    bundle_id: &str,
    engine: Hash,
) -> Result<WorkerSource> {
    let missing = || inconsistent(format!("bundle {bundle_id} is missing"));
    let bundle: InstalledBundle =
        get_record(state, &keys::bundle(bundle_id))?.ok_or_else(missing)?;
    let bytes = state.blob(&bundle.hash)?.ok_or_else(missing)?;
    Ok(match BundleKind::from_id(bundle_id) {
        Some(BundleKind::Wasm) => WorkerSource::Wasm { module: bytes },
        _ => WorkerSource::JavaScript { engine, bundle_id: bundle_id.to_owned(), zip: bytes },
    })
}
