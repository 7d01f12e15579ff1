//! What commands that go on running share: the log, the addresses, and how they are told to stop.

use std::net::SocketAddr;
use std::process::exit;

use capstan_node::config::{Config, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure;

/// The exit code after a second signal, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Sets up the log on standard error, as the configuration says.
pub(crate) fn init_logs(config: &Config) -> anyhow::Result<()> {
    let level = &config.log.level;
    let filter = EnvFilter::try_new(level).map_err(|error| {
        failure::usage(format!("log level {level}: {error}; try warn, info or debug"))
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => logs.with_ansi(false).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

pub(crate) fn listen_addr(text: &str) -> anyhow::Result<SocketAddr> {
    let text = text.trim_start_matches("tcp://").trim_start_matches("http://");
    text.parse().map_err(|_| {
        failure::usage(format!(
            "--rpc {text:?} is no address; write IP:PORT, as in 127.0.0.1:26657"
        ))
    })
}

/// Calls `stop` at the first signal to end; a second one ends the process at once, which is safe too.
pub(crate) fn on_signal(stop: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut next = || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            })
        };
        next();
        stop();
        next();
        exit(INTERRUPTED);
    })?;
    Ok(())
}
