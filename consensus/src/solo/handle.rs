//! The threads of solo consensus: one makes blocks, one checks transactions, one serves the JSON-RPC.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use tendermint_abci::Application;
use tokio::sync::Semaphore;

use super::maker::BlockMaker;
use super::{SoloConfig, SoloError};
use crate::chain::abci::{Abci, Shared};
use crate::chain::block_store::BlockStore;
use crate::chain::execution::Chain;
use crate::command::Command;
use crate::key::ValidatorKey;
use crate::listen::Budget;
use crate::mempool::Mempool;
use crate::rpc::context::{Author, CALLS_AT_A_TIME, Feed, Head, RpcContext, SEARCHES_AT_A_TIME};
use crate::rpc::usage::Usage;
use crate::rpc::{Caller, Server};

/// Running solo consensus. Dropping it stops it.
pub struct Solo {
    blocks: Option<JoinHandle<Result<(), SoloError>>>,
    mempool: Option<JoinHandle<()>>,
    server: Option<Server>,
    commands: Sender<Command>,
    feed: Arc<Feed>,
    rpc: Weak<RpcContext>,
    rpc_addr: SocketAddr,
}

/// Stops [`Solo`] from another thread, for example that of a signal handler.
#[derive(Clone, Debug)]
pub struct Stopper(Sender<Command>);

impl Stopper {
    /// Asks for the end after the running block. [`Solo::wait`] returns then.
    pub fn stop(&self) {
        // If nobody receives, it has ended already.
        let _ = self.0.send(Command::Stop);
    }
}

impl Solo {
    /// Opens the home, brings application and block store to the same height, and starts making blocks and answering
    /// RPC.
    ///
    /// # Errors
    /// Any [`SoloError`]. Nothing runs then.
    pub fn start(app: impl Application, config: SoloConfig) -> Result<Self, SoloError> {
        let app: Arc<dyn Abci> = Arc::new(Shared::new(app));
        let (store, key) = open_home(&config)?;
        let listener = listen(config.rpc_addr)?;
        let rpc_addr = listener.local_addr().map_err(SoloError::Runtime)?;
        let chain = Chain::open(Arc::clone(&app), Arc::clone(&store), config.genesis.clone(), key)?;
        let tip = chain.tip();
        let head = Head { height: tip.height, app_hash: tip.app_hash.clone() };
        let chain_id = config.genesis.chain_id().to_owned();
        let feed = Feed::new(head, Author { validator: chain.validator.clone(), chain_id });
        let feed = Arc::new(feed);
        let (commands, received) = channel();
        let mempool =
            Mempool::new(Arc::clone(&app), config.mempool, tip.params.clone(), commands.clone());
        let mempool = Arc::new(mempool.checking_by(config.check));
        let (submitter, mempool_thread) = mempool.start().map_err(SoloError::Runtime)?;
        let node = Arc::new(RpcContext {
            app,
            store,
            mempool: Arc::clone(&mempool),
            submitter,
            genesis: config.genesis,
            validator: chain.validator.clone(),
            limits: config.rpc,
            rpc_addr: format!("tcp://{rpc_addr}"),
            app_version: chain.tip().app_version,
            feed: Arc::clone(&feed),
            metrics: config.metrics,
            usage: Usage::default(),
            budget: Budget::new(config.rpc.budget()),
            running: Arc::new(Semaphore::new(CALLS_AT_A_TIME)),
            searching: Arc::new(Semaphore::new(SEARCHES_AT_A_TIME)),
            cors: config.cors,
        });
        let rpc = Arc::downgrade(&node);
        let server = Server::start(listener, node).map_err(SoloError::Runtime)?;
        let maker = BlockMaker {
            chain,
            mempool,
            feed: Arc::clone(&feed),
            clock: config.clock,
            policy: config.policy,
            commands: received,
            last_block: None,
        };
        let blocks = std::thread::Builder::new()
            .name("solo-blocks".to_owned())
            .spawn(move || maker.run())
            .map_err(SoloError::Runtime)?;
        Ok(Self {
            blocks: Some(blocks),
            mempool: Some(mempool_thread),
            server: Some(server),
            commands,
            feed,
            rpc,
            rpc_addr,
        })
    }

    /// Returns the address of the JSON-RPC.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_addr
    }

    /// Returns a handle that calls methods of the JSON-RPC in this process.
    pub fn caller(&self) -> Caller {
        Caller(Weak::clone(&self.rpc))
    }

    /// Returns the height of the last committed block. Before the first block, it is one less than the initial height.
    pub fn height(&self) -> i64 {
        self.feed.head().height
    }

    /// Returns whether it has ended, by a [`Stopper`] or by an error, so that [`Solo::wait`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.blocks.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Returns a handle that stops it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.commands.clone())
    }

    /// Waits for the end, by a [`Stopper`] or by an error.
    ///
    /// # Errors
    /// The [`SoloError`] that ended it.
    pub fn wait(mut self) -> Result<(), SoloError> {
        self.join()
    }

    /// Stops after the running block, closes the RPC and releases the home.
    ///
    /// # Errors
    /// The [`SoloError`] that had ended it before.
    pub fn shutdown(self) -> Result<(), SoloError> {
        self.stopper().stop();
        self.wait()
    }

    fn join(&mut self) -> Result<(), SoloError> {
        let ended = self.blocks.take().map_or(Ok(Ok(())), JoinHandle::join);
        // The server holds the last submitter, so the mempool's thread ends after it.
        let served = self.server.take().map_or(Ok(()), Server::stop);
        let checked = self.mempool.take().map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| SoloError::Panicked("block"))??;
        served.map_err(|_| SoloError::Panicked("RPC"))?;
        checked.map_err(|_| SoloError::Panicked("mempool"))
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        self.stopper().stop();
        if let Err(error) = self.join() {
            tracing::error!(%error, "solo consensus ended by an error");
        }
    }
}

impl std::fmt::Debug for Solo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solo")
            .field("rpc_addr", &self.rpc_addr)
            .field("height", &self.height())
            .finish_non_exhaustive()
    }
}

/// Opens the block store and the validator's key in the home.
fn open_home(config: &SoloConfig) -> Result<(Arc<BlockStore>, ValidatorKey), SoloError> {
    let path = config.home.join("solo");
    std::fs::create_dir_all(&path)
        .map_err(|source| SoloError::Home { path: path.clone(), source })?;
    let store = BlockStore::open(&path.join("blocks.redb"))?.keeping(config.history_bytes);
    let key = ValidatorKey::load_or_create(&path.join("priv_validator_key.json"))?;
    Ok((Arc::new(store), key))
}

fn listen(addr: SocketAddr) -> Result<TcpListener, SoloError> {
    let listener = TcpListener::bind(addr).map_err(|source| SoloError::Listen { addr, source })?;
    listener.set_nonblocking(true).map_err(|source| SoloError::Listen { addr, source })?;
    Ok(listener)
}
