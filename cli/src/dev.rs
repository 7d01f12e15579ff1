//! `capstan dev`: a chain for development, until it is told to stop.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use capstan_client::{Client, DENOM, DEV_MNEMONIC, DEV_NAMES, Deadline, Key};
use capstan_consensus::solo::Solo;
use capstan_gateway::Gateway;
use capstan_genesis::Genesis;
use capstan_node::config::{Config, LogFormat};
use capstan_node::dev_genesis;
use capstan_node::home::Home;
use serde_json::{Value, json};

use crate::Common;
use crate::devices::Devices;
use crate::disk;
use crate::failure::{flag, usage};
use crate::home::path;
use crate::init::{DEFAULT_CHAIN_ID, new_genesis};
use crate::output::{self, Output};
use crate::process::{init_logs, listen_addr, log_filter, on_signal_from_now};
use crate::progress::Progress;

/// Time in which the first block must come. It starts the system's vats.
const FIRST_BLOCK: Duration = Duration::from_secs(120);

/// Arguments of `capstan dev`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  capstan dev --timer\n  capstan dev --home ./chain --rpc 127.0.0.1:26657\n\n\
    Runs until Ctrl-C or SIGTERM, and says then how to go on. A later start on the same home continues the chain.\n\
    With --json it prints one line when the node is ready, which is when a block can be queried: {\"ready\":true,\"chain_id\":…,\"rpc\":…,\"grpc\":…,\"rest\":…,\"accounts\":[…]}.\n\
    Logs go to standard error."
)]
pub(crate) struct Dev {
    /// Address of the JSON-RPC. Port 0 takes a free one [default: rpc.listen in config.toml, 127.0.0.1:26657].
    #[arg(long, value_name = "ADDR")]
    rpc: Option<String>,
    /// Address of gRPC, off or auto [default: grpc.listen in config.toml, auto: port 9090 beside port 26657].
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// Address of REST, off or auto [default: rest.listen in config.toml, auto: port 1317 beside port 26657].
    #[arg(long, value_name = "ADDR")]
    rest: Option<String>,
    /// Log level (error, warn, info, debug, trace) or filters such as capstan_app=debug [default: log.level in
    /// config.toml, warn].
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Format of the log [default: log.format in config.toml, text].
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormatArg>,
    /// File for one line of JSON about each step of the kernel. A relative path starts where you stand, and that in
    /// config.toml in the home [default: log.slog in config.toml, none].
    #[arg(long, value_name = "FILE")]
    slog: Option<String>,
    /// Keep transcripts that no restart needs any more, so that `capstan vat replay` can replay the whole history of a
    /// vat [default: vats.archive in config.toml, no].
    #[arg(long)]
    archive: bool,
    /// Maximum number of vats in memory. The others are restored when something is sent to them [default:
    /// vats.max_online in config.toml, 50].
    #[arg(long, value_name = "N")]
    max_vats_online: Option<usize>,
    #[command(flatten)]
    devices: Devices,
}

/// The values of `--log-format`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormatArg {
    /// Plain lines of text.
    Text,
    /// One JSON object per line.
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}

impl Dev {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        self.check_flags()?;
        let progress = Progress::new("opening the home");
        let home = Home::open_or_make(path(common)?, || {
            let mut genesis = new_genesis(DEFAULT_CHAIN_ID, dev_genesis)?;
            self.devices.add_to(&mut genesis)?;
            anyhow::Ok(genesis)
        })?;
        self.devices.insist(&home.genesis()?.0, &home.path)?;
        let config = self.config(&home)?;
        init_logs(log_filter(self.log.as_deref(), &config)?, &home.path, &config.log)?;
        let rpc = match &self.rpc {
            Some(text) => listen_addr("--rpc", text)?,
            None => listen_addr("rpc.listen", &config.rpc.listen)?,
        };
        // Consensus finds out too, but only after everything else was started.
        TcpListener::bind(rpc).with_context(|| port_taken(rpc))?;
        // The JSON-RPC answers before the node is complete. A signal then waits for the rest.
        let tell = on_signal_from_now()?;
        let node = capstan_node::start(&home, &config, rpc, &|step| progress.step(step))?;
        let solo = &node.solo;
        let (genesis, _) = home.genesis()?;
        let (stopper, app) = (solo.stopper(), node.app.clone());
        let stop = move || {
            app.stopping();
            stopper.stop();
        };
        // It fails only if the process ends by a signal.
        let _ = tell.send(Box::new(stop));
        let url = format!("http://{}", solo.rpc_addr());
        progress.step("making the first block");
        let has_begun = wait_for_first_block(solo, genesis.initial_height)?;
        drop(progress);
        if has_begun {
            let ready = ready(&genesis, &home, &url, &node.gateway)?;
            output.either(&ready, &banner(&ready));
        }
        if has_begun && !rpc.ip().is_loopback() {
            output::warn(&format!(
                "warning: {rpc} can be reached from other machines, and everybody knows the development keys"
            ));
        }
        node.solo.wait()?;
        if has_begun {
            output.note(
                "stopped",
                &format!(
                    "Stopped. `capstan dev --home {}` goes on from the last block.",
                    home.path.display()
                ),
            );
        }
        Ok(())
    }

    /// Refuses wrong values before a home is made.
    fn check_flags(&self) -> anyhow::Result<()> {
        if let Some(rpc) = &self.rpc {
            listen_addr("--rpc", rpc)?;
        }
        if self.log.is_some() {
            log_filter(self.log.as_deref(), &Config::default())?;
        }
        if self.max_vats_online == Some(0) {
            return Err(usage("--max-vats-online must be at least 1"));
        }
        Ok(())
    }

    /// The home's configuration, with what the command line says instead.
    fn config(&self, home: &Home) -> anyhow::Result<Config> {
        let mut config = Config::load(&home.path)?;
        let texts = [
            (&self.rpc, &mut config.rpc.listen),
            (&self.grpc, &mut config.grpc.listen),
            (&self.rest, &mut config.rest.listen),
            (&self.log, &mut config.log.level),
        ];
        for (given, option) in texts {
            if let Some(given) = given {
                option.clone_from(given);
            }
        }
        if let Some(slog) = &self.slog {
            let path = std::path::absolute(slog).with_context(|| flag("--slog", slog))?;
            config.log.slog = path.to_str().with_context(|| flag("--slog", slog))?.to_owned();
        }
        config.log.format = self.log_format.map_or(config.log.format, Into::into);
        config.vats.archive |= self.archive;
        config.vats.max_online = self.max_vats_online.unwrap_or(config.vats.max_online);
        Ok(config)
    }
}

fn port_taken(rpc: SocketAddr) -> String {
    format!(
        "cannot listen on {rpc}; is another node running there? Choose another with --rpc IP:PORT (port 0: any)"
    )
}

/// Waits for the first block, after which blocks and state can be queried. Returns false if the user or an error ended
/// the chain before.
fn wait_for_first_block(solo: &Solo, initial_height: i64) -> anyhow::Result<bool> {
    let made = || {
        // Asked first: a chain that ended later may have made the block.
        let has_ended = solo.is_finished();
        // A chain that goes on from a state begins far above height 1.
        let is_made = solo.height() >= initial_height;
        anyhow::Ok((is_made || has_ended).then_some(is_made))
    };
    Deadline::after(FIRST_BLOCK).poll("the first block", made)
}

/// Returns what is said once blocks can be queried. Balances are those of now, which are asked for as anybody would.
fn ready(genesis: &Genesis, home: &Home, url: &str, gateway: &Gateway) -> anyhow::Result<Value> {
    let client = Client::new(url)?;
    let mut accounts = Vec::new();
    for account in &genesis.app_state.accounts {
        let balance = client.account(&account.address)?.balance;
        accounts
            .push(json!({"name": account.name, "address": account.address, "balance": balance}));
    }
    Ok(json!({
        "ready": true,
        "chain_id": genesis.chain_id,
        "rpc": url,
        "grpc": gateway.grpc_addr(),
        "rest": gateway.rest_addr().map(|addr| format!("http://{addr}")),
        "home": home.path,
        "home_bytes": disk::total(&home.path)?,
        "denom": DENOM,
        "accounts": accounts,
    }))
}

fn banner(ready: &Value) -> String {
    let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![
        format!("chain    {}", field("chain_id")),
        format!("RPC      {}", field("rpc")),
        format!("gRPC     {}", field("grpc")),
        format!("REST     {}", field("rest")),
        format!(
            "home     {}  ({} on disk: capstan disk)",
            field("home"),
            disk::mib(&ready["home_bytes"])
        ),
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
    lines.push(format!("mnemonic {DEV_MNEMONIC}"));
    lines.push("Anybody can sign for alice, bob and carol: this chain is for development. Ctrl-C stops it.".to_owned());
    lines.join("\n")
}
