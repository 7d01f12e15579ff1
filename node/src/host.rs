use std::path::PathBuf;

use capstan_vat_host::{Compilers, HostError, HostOptions, JsEngine, WasmHost};

/// Returns the JavaScript engine of every node, as the vat host takes it.
pub fn js_engine() -> JsEngine {
    let scripts = capstan_vat_js::boot_scripts();
    JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: scripts.map(|(name, source)| (name.to_owned(), source.to_vec())).into(),
    }
}

/// Opens the vat host of a node, which keeps compiled code in the directory `cache`. `on_step` is told what takes
/// long.
///
/// # Errors
/// [`HostError`] if the JavaScript engine does not compile or boot.
pub fn open_host(
    cache: PathBuf,
    compilers: Compilers,
    on_step: &dyn Fn(&str),
) -> Result<WasmHost, HostError> {
    open_host_with(
        HostOptions { cache_dir: Some(cache), compilers, ..HostOptions::default() },
        on_step,
    )
}

/// Opens the vat host of a node with these options.
///
/// # Errors
/// As [`open_host`].
pub fn open_host_with(options: HostOptions, on_step: &dyn Fn(&str)) -> Result<WasmHost, HostError> {
    WasmHost::open(js_engine(), options, on_step)
}
