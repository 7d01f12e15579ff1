//! `capstan dev`: a chain for development, until it is told to stop.

use std::net::{SocketAddr, TcpListener};
use std::process::exit;
use std::time::Duration;

use anyhow::Context as _;
use capstan_app::NodeOptions;
use capstan_client::{Client, DENOM, DEV_NAMES, Deadline, Key};
use capstan_genesis::Genesis;
use capstan_localnet::solo::{Solo, Stopper};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::home::{DEFAULT_CHAIN_ID, Home, path};
use crate::node;
use crate::output::Output;
use crate::progress::Progress;
use crate::{Common, failure};

/// How long the first block may take: it starts the system's vats.
const FIRST_BLOCK: Duration = Duration::from_secs(120);

/// The exit code after a second signal, as shells have it for SIGINT.
const INTERRUPTED: i32 = 130;

/// `capstan dev`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan dev --home ./chain --rpc 127.0.0.1:26657\n\n\
    Runs until Ctrl-C or SIGTERM. The chain goes on where it stopped when it is started on the same home again.\n\
    With --json one line is printed when the node is ready: {\"ready\":true,\"chain_id\":…,\"rpc\":…,\"accounts\":[…]}.\n\
    Logs go to standard error.")]
pub(crate) struct Dev {
    /// Where the JSON-RPC listens. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:26657")]
    rpc: String,
    /// What is logged: error, warn, info, debug, trace, or filters as in capstan_app=debug.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
    /// Keep transcripts that no restart needs any more, so that `capstan vat replay` can go back to a vat's beginning.
    #[arg(long)]
    archive: bool,
    /// How many vats are in memory at once; the others come back when something is sent to them.
    #[arg(long, value_name = "N", default_value_t = NodeOptions::default().max_vats_online)]
    max_vats_online: usize,
}

impl Dev {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        init_logs(&self.log)?;
        let rpc = listen_addr(&self.rpc)?;
        let progress = Progress::new("opening the home");
        let home = Home::open_or_make(path(common)?, DEFAULT_CHAIN_ID)?;
        // The engine finds out too, but only after everything else was started.
        TcpListener::bind(rpc).with_context(|| port_taken(rpc))?;
        let kernel = NodeOptions { max_vats_online: self.max_vats_online, archive: self.archive };
        let solo = node::start(&home, rpc, kernel, &progress)?;
        let (genesis, _) = home.genesis()?;
        stop_on_signals(solo.stopper())?;
        let url = format!("http://{}", solo.rpc_addr());
        progress.step("making the first block");
        wait_for_first_block(&solo, &url)?;
        drop(progress);
        let ready = ready(&genesis, &home, &url);
        output.either(&ready, &banner(&ready));
        if !rpc.ip().is_loopback() {
            eprintln!(
                "warning: {rpc} can be reached from other machines, and everybody knows the development keys"
            );
        }
        solo.wait()?;
        Ok(())
    }
}

fn init_logs(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        failure::usage(format!("--log {level}: {error}; try warn, info or debug"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    Ok(())
}

fn listen_addr(text: &str) -> anyhow::Result<SocketAddr> {
    let text = text.trim_start_matches("tcp://").trim_start_matches("http://");
    text.parse().map_err(|_| {
        failure::usage(format!(
            "--rpc {text:?} is no address; write IP:PORT, as in 127.0.0.1:26657"
        ))
    })
}

fn port_taken(rpc: SocketAddr) -> String {
    format!(
        "cannot listen on {rpc}; is another node running there? Choose another with --rpc IP:PORT (port 0: any)"
    )
}

/// Waits until the state can be queried.
fn wait_for_first_block(solo: &Solo, url: &str) -> anyhow::Result<()> {
    if solo.height() > 0 {
        return Ok(());
    }
    Client::new(url)?.wait_ready(Deadline::after(FIRST_BLOCK))?;
    Ok(())
}

/// Stops the engine at the first signal, after its running block; a second one ends the process at once, which is safe
/// too.
fn stop_on_signals(stopper: Stopper) -> anyhow::Result<()> {
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
        stopper.stop();
        next();
        exit(INTERRUPTED);
    })?;
    Ok(())
}

fn ready(genesis: &Genesis, home: &Home, url: &str) -> Value {
    let accounts: Vec<Value> = genesis
        .app_state
        .accounts
        .iter()
        .map(|account| json!({"name": account.name, "address": account.address, "balance": account.balance}))
        .collect();
    json!({
        "ready": true,
        "chain_id": genesis.chain_id,
        "rpc": url,
        "home": home.path,
        "denom": DENOM,
        "accounts": accounts,
    })
}

fn banner(ready: &Value) -> String {
    let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![
        format!("chain    {}", field("chain_id")),
        format!("RPC      {}", field("rpc")),
        format!("home     {}", field("home")),
    ];
    for account in ready["accounts"].as_array().into_iter().flatten() {
        let text = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
        let known = DEV_NAMES.iter().any(|name| {
            Key::dev_named(name).is_some_and(|key| key.address().to_string() == text("address"))
        });
        let whose = if known { "" } else { "  (no key built in)" };
        lines.push(format!(
            "{:<8} {}  {} {}{whose}",
            text("name"),
            text("address"),
            text("balance"),
            DENOM
        ));
    }
    lines.push("Anybody can sign for alice, bob and carol: this chain is for development. Ctrl-C stops it.".to_owned());
    lines.join("\n")
}
