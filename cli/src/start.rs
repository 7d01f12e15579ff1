//! `capstan start`: runs one node of a network, on CometBFT.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context as _, bail};
use capstan_consensus::comet::{
    self, AbciAddr, AbciServer, CometConfig, CometError, CometHome, CometNode, NotAnAbciAddr,
};
use capstan_gateway::{Usage, over_http};
use capstan_node::config::Config;
use capstan_node::home::Home;
use serde_json::json;

use crate::Common;
use crate::failure::{flag, usage};
use crate::home::path;
use crate::output::{self, Output};
use crate::process::{Stop, init_logs, listen_addr, log_filter, on_signal_from_now};
use crate::progress::Progress;

/// Hexadecimal digits of a node id.
const NODE_ID_DIGITS: usize = 40;

/// Arguments of `capstan start`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example, a chain of one validator:\n  \
    capstan init --home ./node --validator\n  capstan start --home ./node\n\n\
    Runs until Ctrl-C or SIGTERM, with CometBFT as a child process. If one of the two ends, the other ends too. CometBFT's files, \
    its config.toml and its log are under comet/ in the home.")]
pub(crate) struct Start {
    /// Address of CometBFT's JSON-RPC.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:26657")]
    rpc: String,
    /// Address of gRPC, off or auto [default: grpc.listen in config.toml, auto: port 9090 beside port 26657].
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// Address of REST, off or auto [default: rest.listen in config.toml, auto: port 1317 beside port 26657].
    #[arg(long, value_name = "ADDR")]
    rest: Option<String>,
    /// Address for peers.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:26656")]
    p2p: String,
    /// Peers to stay connected to, as ID@IP:PORT, separated by commas.
    #[arg(long, value_name = "PEERS", value_delimiter = ',')]
    peers: Vec<String>,
    /// Name that the node tells its peers.
    #[arg(long, value_name = "NAME", default_value = "capstan")]
    moniker: String,
    /// The cometbft program [default: $CAPSTAN_COMETBFT, or the one that `make setup` installs].
    #[arg(long, value_name = "FILE")]
    cometbft: Option<PathBuf>,
    /// Serve only ABCI on this address, for a CometBFT that runs elsewhere: unix:///PATH or tcp://IP:PORT.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["rpc", "grpc", "rest", "p2p", "peers", "moniker", "cometbft"])]
    abci: Option<String>,
    /// Begin with a snapshot of the peers instead of the first block, if the node has no blocks. The other options may be in
    /// config.toml, in the section state_sync.
    #[arg(long, conflicts_with = "abci")]
    state_sync: bool,
    /// JSON-RPC of at least two other nodes, from which headers are taken, separated by commas [default:
    /// state_sync.rpc_servers].
    #[arg(long, value_name = "ADDRS", requires = "state_sync")]
    sync_rpc: Option<String>,
    /// Height of a block that you trust [default: state_sync.trust_height].
    #[arg(long, value_name = "HEIGHT", requires = "state_sync")]
    trust_height: Option<u64>,
    /// Hash of that block [default: state_sync.trust_hash].
    #[arg(long, value_name = "HASH", requires = "state_sync")]
    trust_hash: Option<String>,
    /// Log level (error, warn, info, debug, trace) or filters such as capstan_app=debug [default: log.level in
    /// config.toml, warn].
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Start {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let tell = on_signal_from_now()?;
        let progress = Progress::new("opening the home");
        let home = Home::open(path(common)?)?;
        let mut config = Config::load(&home.path)?;
        for (given, option) in
            [(&self.grpc, &mut config.grpc.listen), (&self.rest, &mut config.rest.listen)]
        {
            if let Some(given) = given {
                option.clone_from(given);
            }
        }
        self.set_state_sync(&mut config)?;
        init_logs(log_filter(self.log.as_deref(), &config)?, &home.path, &config.log)?;
        match &self.abci {
            Some(addr) => {
                let addr: AbciAddr = addr
                    .parse()
                    .map_err(|error: NotAnAbciAddr| usage(format!("--abci {error}")))?;
                serve(&home, &config, &addr, output, progress, &tell)
            }
            None => self.run_comet(&home, &config, output, progress, &tell),
        }
    }

    /// Takes over the options of state sync that were given.
    fn set_state_sync(&self, config: &mut Config) -> anyhow::Result<()> {
        let sync = &mut config.state_sync;
        sync.enable |= self.state_sync;
        if let Some(servers) = &self.sync_rpc {
            sync.rpc_servers.clone_from(servers);
        }
        if let Some(height) = self.trust_height {
            sync.trust_height = height;
        }
        if let Some(hash) = &self.trust_hash {
            sync.trust_hash.clone_from(hash);
        }
        config.validate().map_err(|error| usage(error.to_string()))
    }

    fn run_comet(
        self,
        home: &Home,
        config: &Config,
        output: Output,
        progress: Progress,
        tell: &Sender<Stop>,
    ) -> anyhow::Result<()> {
        let program =
            comet::find(self.cometbft.as_deref()).with_context(|| match &self.cometbft {
                Some(program) => flag("--cometbft", program),
                None => "CometBFT cannot be started".to_owned(),
            })?;
        let (genesis, _) = home.genesis()?;
        if genesis.validators.is_empty() {
            bail!(
                "the chain of {} has no validators, so CometBFT cannot run it; make a home by `capstan init --validator`, or \
                 run it by `capstan dev`",
                home.path.display()
            );
        }
        let comet = CometConfig {
            program,
            home: CometHome::make(&home.path, genesis.app_state.params.max_tx_bytes)?,
            moniker: self.moniker,
            rpc: listen_addr("--rpc", &self.rpc)?,
            p2p: listen_addr("--p2p", &self.p2p)?,
            cors: config.rpc_cors(false),
            empty_interval: Some(capstan_node::network_empty_interval(config, &genesis)),
            peers: peers(self.peers)?,
            state_sync: config.comet_state_sync(),
        };
        if comet.state_sync.is_some() && !comet.home.has_state_sync_options() {
            bail!(
                "state_sync.enable is true, but {}/config/config.toml lacks options that it needs; add\n\n{}",
                comet.home.path.display(),
                comet::STATE_SYNC
            );
        }
        if comet.cors && !comet.home.has_cors_option() {
            bail!(
                "rpc.cors is on, but {}/config/config.toml has no line `cors_allowed_origins = []` in its section [rpc]; \
                 add it",
                comet.home.path.display()
            );
        }
        let (rpc, p2p) = (comet.rpc, comet.p2p);
        let node_id = comet.home.node_id()?;
        let app = capstan_node::open_app(home, config, &|step| progress.step(step))?;
        let usage = Arc::<Usage>::default();
        let _metrics = capstan_node::serve_metrics(&app, config, &usage)?;
        let gateway = config.gateway(rpc, false)?;
        let gateway = capstan_node::serve_gateway(&app, &gateway, over_http(rpc), usage)?;
        progress.step("starting CometBFT");
        let node = CometNode::start(app.clone(), comet)?;
        let (stopper, stopped) = (node.stopper(), app.clone());
        let stop = move || {
            stopped.stopping();
            stopper.stop();
        };
        // It fails only if the process ends by a signal.
        let _ = tell.send(Box::new(stop));
        drop(progress);
        let ready = json!({
            "chain_id": genesis.chain_id,
            "rpc": format!("http://{rpc}"),
            "p2p": format!("{node_id}@{p2p}"),
            "grpc": gateway.grpc_addr(),
            "rest": gateway.rest_addr().map(|addr| format!("http://{addr}")),
            "home": home.path,
            "cometbft_pid": node.pid(),
        });
        output.record(&ready);
        let ended = node.wait();
        // CometBFT ended, by itself or as it was told to: a block in progress has nothing to do with it.
        app.stopping();
        match (ended, app.why_state_sync_ended()) {
            (Err(error @ CometError::StateSync { .. }), Some(why)) => {
                Err(anyhow::Error::new(error).context(why))
            }
            (ended, _) => Ok(ended?),
        }
    }
}

/// Checks that peers are written as `ID@IP:PORT`. Empty ones are left out.
fn peers(given: Vec<String>) -> anyhow::Result<Vec<String>> {
    let peers: Vec<String> = given.into_iter().filter(|peer| !peer.is_empty()).collect();
    let is_peer = |text: &String| {
        let Some((id, addr)) = text.split_once('@') else { return false };
        let hex = id.len() == NODE_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex && addr.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    };
    match peers.iter().find(|peer| !is_peer(peer)) {
        Some(wrong) => Err(usage(format!(
            "--peers {wrong:?} is no peer; write ID@IP:PORT, where ID is the {NODE_ID_DIGITS} hex digits of its node id"
        ))),
        None => Ok(peers),
    }
}

/// Answers ABCI until a signal.
fn serve(
    home: &Home,
    config: &Config,
    addr: &AbciAddr,
    output: Output,
    progress: Progress,
    tell: &Sender<Stop>,
) -> anyhow::Result<()> {
    let app = capstan_node::open_app(home, config, &|step| progress.step(step))?;
    let _metrics = capstan_node::serve_metrics(&app, config, &Arc::default())?;
    let server =
        AbciServer::start(app.clone(), addr).with_context(|| format!("cannot listen on {addr}"))?;
    drop(progress);
    if let AbciAddr::Tcp(_) = addr {
        output::warn(&format!(
            "warning: whoever reaches {addr} can drive this node; ABCI has no passwords"
        ));
    }
    output.record(&json!({"abci": server.addr().to_string(), "home": home.path}));
    let (end, ended) = channel();
    let stop = move || {
        app.stopping();
        end.send(()).unwrap_or_default();
    };
    // It fails only if the process ends by a signal.
    let _ = tell.send(Box::new(stop));
    // The sender lives in the signal's thread: this waits for the signal.
    Ok(ended.recv()?)
}
