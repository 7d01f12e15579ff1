use std::{num::NonZero, path::PathBuf, thread};

use capstan_vat_host::{Compilers, HostError, HostOptions, JsEngine, WasmHost};

/// The most threads that run vats if nobody chooses a number.
const MAX_THREADS: usize = 16;

/// Returns the number of threads that run vats for a number that was configured, of which 0 stands for the machine's
/// cores, up to 16.
pub fn vat_threads(configured: usize) -> usize {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    if configured == 0 { cores() } else { configured }
}

/// Returns the JavaScript engine of every node, as the vat host takes it.
pub fn js_engine() -> JsEngine {
    let scripts = capstan_vat_js::boot_scripts();
    JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: scripts.map(|(name, source)| (name.to_owned(), source.to_vec())).into(),
    }
}

/// Opens the vat host of a node, which keeps compiled code in the directory `cache` and runs vats on all cores. `on_step` is told what takes
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
        HostOptions {
            cache_dir: Some(cache),
            compilers,
            threads: vat_threads(0),
            ..HostOptions::default()
        },
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
