//! A node: store, vat host, application and the development engine, put together.

use std::net::SocketAddr;

use anyhow::Context as _;
use capstan_app::{App, AppOptions, FatalHandler, NodeOptions};
use capstan_localnet::solo::{Genesis, Solo, SoloConfig};
use capstan_store::Store;
use capstan_vat_host::{HostOptions, JsEngine, WasmHost};

use crate::home::{Home, cache_dir};
use crate::progress::Progress;

/// Starts the chain of `home`; its JSON-RPC listens on `rpc`.
///
/// # Errors
/// Whatever keeps the node from running, with what to do about it.
pub(crate) fn start(
    home: &Home,
    rpc: SocketAddr,
    kernel: NodeOptions,
    progress: &Progress,
) -> anyhow::Result<Solo> {
    let (_, genesis) = home.genesis()?;
    let genesis = Genesis::from_json(&genesis)?;
    let host = open_host(home, progress)?;
    progress.step("opening the chain's state");
    let store = Store::open(home.state(), capstan_store::Options::default())?;
    let on_fatal = FatalHandler::exit(Some(home.fatal_report()));
    let app = App::new(store, host, AppOptions { kernel, on_fatal, ..AppOptions::default() })
        .with_context(|| format!("the state in {} cannot be used", home.path.display()))?;
    progress.step("starting the chain");
    Ok(Solo::start(app, SoloConfig::new(&home.path, rpc, genesis))?)
}

pub(crate) fn open_host(home: &Home, progress: &Progress) -> anyhow::Result<WasmHost> {
    let engine = JsEngine {
        worker_wasm: capstan_vat_js::worker().to_vec(),
        boot_scripts: capstan_vat_js::boot_scripts()
            .map(|(name, source)| (name.to_owned(), source.to_vec()))
            .into(),
    };
    let options = HostOptions { cache_dir: Some(cache_dir(&home.path)), ..HostOptions::default() };
    Ok(WasmHost::open(engine, options, &|step| progress.step(step))?)
}
