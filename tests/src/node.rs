use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use capstan_app::{App, AppOptions, FatalHandler, NodeFault};
use capstan_client::{Client, ClientError, Key, Params, Wallet};
use capstan_consensus::solo::{self, ManualClock, Solo, SoloConfig};
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_vat_host::{Compilers, HostOptions, MemoryMode, WasmHost};

use crate::{CHAIN_ID, raw, soon};

/// Interval at which an idle chain with a clock of its own makes a block.
const EMPTY_INTERVAL: Duration = Duration::from_millis(20);

/// Choices of a node that no other node may notice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Directory in which compiled engines are kept. `None` keeps none.
    pub cache_dir: Option<PathBuf>,
    /// The compilers that translate vats.
    pub compilers: Compilers,
    /// The way in which workers hold their memory.
    pub memory: MemoryMode,
    /// Maximum number of vats in memory. `None` takes the default.
    pub max_vats_online: Option<usize>,
    /// Threads that run vats before their turn. With fewer than two there are none.
    pub threads: usize,
    /// The seed by which runs before their turn are delayed, reordered and lost.
    pub chaos: Option<u64>,
    /// Keeps all transcripts if `true`.
    pub archive: bool,
    /// The engine that JavaScript vats run on. It is part of the state, so all nodes of a chain have the same.
    pub engine: Engine,
}

/// Engines for JavaScript vats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The project's own.
    #[default]
    JavaScript,
    /// One that runs nothing, for chains without JavaScript vats.
    Idle,
}

/// A chain of one validator in this process.
#[derive(Debug)]
pub struct Node {
    home: tempfile::TempDir,
    solo: Option<Solo>,
    client: Client,
    genesis: Genesis,
    clock: Option<ManualClock>,
}

impl Options {
    /// The usual choices: the engine comes from the tests' own cache.
    pub fn usual() -> Self {
        Self { cache_dir: Some(crate::cache_dir()), ..Self::default() }
    }

    /// For chains whose vats are all wasm modules.
    pub fn raw() -> Self {
        Self { engine: Engine::Idle, ..Self::default() }
    }

    /// The application over the store in this directory.
    pub fn app_at(&self, state: &Path) -> App<WasmHost> {
        let store = Store::open(state, capstan_store::Options::default()).unwrap();
        self.app_over(store).unwrap()
    }

    /// The application over a store. Whatever stops it is a panic: a node that stops must fail its test, not end the
    /// process.
    pub fn app_over(&self, store: Store) -> Result<App<WasmHost>, NodeFault> {
        let mut options =
            AppOptions { on_fatal: FatalHandler::call_back(|_| {}), ..AppOptions::default() };
        options.kernel.archive = self.archive;
        if let Some(limit) = self.max_vats_online {
            options.kernel.max_vats_online = limit;
        }
        App::new(store, host(self), options)
    }
}

impl Node {
    /// A new chain with these parameters; ready when this returns.
    pub fn start(change: impl FnOnce(&mut Params)) -> Self {
        Self::of(genesis(change), None)
    }

    /// A new chain with a timer, whose blocks come all the time and have the time of `clock`.
    pub fn start_timed(clock: ManualClock) -> Self {
        Self::of(genesis_with_timer(|_| {}), Some(clock))
    }

    /// A new chain with this genesis document.
    pub fn start_from(genesis: Genesis) -> Self {
        Self::of(genesis, None)
    }

    fn of(genesis: Genesis, clock: Option<ManualClock>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let solo = run(&home, &genesis, clock.clone());
        let client = connect(&solo);
        Self { home, solo: Some(solo), client, genesis, clock }
    }

    /// Stops the node and starts it again on the same home.
    pub fn restart(&mut self) {
        if let Some(solo) = self.solo.take() {
            solo.shutdown().unwrap();
        }
        let solo = run(&self.home, &self.genesis, self.clock.clone());
        self.client = connect(&solo);
        self.solo = Some(solo);
    }

    /// A client of the node. After [`Node::restart`] it is another one.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A wallet for development account `index`.
    pub fn wallet(&self, index: u32) -> Wallet {
        Wallet::new(&self.client, Key::dev(index))
    }

    /// The chain's genesis document.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Waits until the kernel has nothing left to do and no block is due.
    pub fn wait_idle(&self) {
        let mut last = 0;
        let settled = || {
            let kernel = self.client.kernel_stats()?;
            let height = self.client.status()?.height;
            let idle = kernel.run_queue_length == 0
                && kernel.acceptance_queue_length == 0
                && height == last;
            last = height;
            Ok::<_, ClientError>(idle.then_some(()))
        };
        soon().poll("the end of all work", settled).unwrap();
    }
}

/// A genesis document with the development accounts and the system's vats.
pub fn genesis(change: impl FnOnce(&mut Params)) -> Genesis {
    capstan_node::dev_genesis_at(CHAIN_ID, "2026-01-01T00:00:00Z", change).unwrap()
}

/// The same with a timer.
pub fn genesis_with_timer(change: impl FnOnce(&mut Params)) -> Genesis {
    let mut genesis = genesis(change);
    capstan_node::add_timer(&mut genesis).unwrap();
    genesis
}

/// A vat host with the engine that the options name.
pub fn host(options: &Options) -> WasmHost {
    let engine = match options.engine {
        Engine::JavaScript => capstan_node::js_engine(),
        Engine::Idle => raw::idle_engine(),
    };
    let Options { cache_dir, compilers, memory, threads, chaos, .. } = options.clone();
    let options =
        HostOptions { cache_dir, compilers, memory, threads, chaos, ..HostOptions::default() };
    WasmHost::open(engine, options, &|_| {}).unwrap()
}

fn run(home: &tempfile::TempDir, genesis: &Genesis, clock: Option<ManualClock>) -> Solo {
    let app = Options::usual().app_at(&home.path().join("state"));
    let genesis = solo::GenesisDoc::from_json(genesis.to_json().unwrap().as_bytes()).unwrap();
    let mut config = SoloConfig::new(home.path(), "127.0.0.1:0".parse().unwrap(), genesis);
    if let Some(clock) = clock {
        config.clock = Arc::new(clock);
        config.policy.empty_interval = Some(EMPTY_INTERVAL);
    }
    Solo::start(app, config).unwrap()
}

fn connect(solo: &Solo) -> Client {
    let client = Client::new(&format!("http://{}", solo.rpc_addr())).unwrap();
    client.wait_ready(soon()).unwrap();
    client
}
