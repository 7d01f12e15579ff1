//! gRPC, REST and metrics of a node.

use std::sync::Arc;

use capstan_app::App;
use capstan_consensus::metrics::{Metrics, MetricsServer};
use capstan_gateway::{Gateway, GatewayConfig, Rpc, Usage};
use capstan_vat_host::WasmHost;

use crate::NodeError;
use crate::config::Config;

/// Serves gRPC and REST over the application and over the node's JSON-RPC, which `rpc` calls.
///
/// # Errors
/// [`NodeError::Gateway`].
pub fn serve_gateway(
    app: &App<WasmHost>,
    config: &GatewayConfig,
    rpc: Rpc,
    usage: Arc<Usage>,
) -> Result<Gateway, NodeError> {
    let app = app.clone();
    let query = Arc::new(move |request| app.answer_query(&request));
    Ok(Gateway::start(config, query, rpc, usage)?)
}

/// Serves the metrics of `app`, and those of its gateway, at the address that `metrics.listen` names. Returns `None` if
/// it names none.
///
/// # Errors
/// [`NodeError::Metrics`] if the address cannot be listened on.
pub fn serve_metrics(
    app: &App<WasmHost>,
    config: &Config,
    usage: &Arc<Usage>,
) -> Result<Option<MetricsServer>, NodeError> {
    let Some(addr) = config.metrics_addr() else { return Ok(None) };
    let server = MetricsServer::start(addr, metrics(app, usage));
    server.map(Some).map_err(|source| NodeError::Metrics { addr, source })
}

/// Returns the metrics of an application and of its gateway, as servers take them.
pub(crate) fn metrics(app: &App<WasmHost>, usage: &Arc<Usage>) -> Metrics {
    let (app, usage) = (app.clone(), Arc::clone(usage));
    Arc::new(move || {
        let text = app.metrics_text()?;
        let text = text.trim_end().trim_end_matches("# EOF");
        Ok(format!("{text}{}# EOF\n", usage.text()))
    })
}
