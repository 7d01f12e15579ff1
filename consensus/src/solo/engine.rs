//! The engine's threads: one makes blocks, one checks transactions, one serves the JSON-RPC.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tendermint_abci::Application;

use super::{BlockPolicy, Clock, SoloConfig, SoloError};
use crate::chain::abci::{Abci, Shared};
use crate::chain::block_store::Store;
use crate::chain::execution::{Chain, txs_of};
use crate::command::Command;
use crate::key::ValidatorKey;
use crate::mempool::Mempool;
use crate::rpc::Server;
use crate::rpc::node::{Feed, Head, Node};

/// A running engine. Dropping it stops it.
pub struct Solo {
    engine: Option<JoinHandle<Result<(), SoloError>>>,
    mempool: Option<JoinHandle<()>>,
    server: Option<Server>,
    commands: Sender<Command>,
    feed: Arc<Feed>,
    rpc_addr: SocketAddr,
}

/// Stops an engine from another thread, for example that of a signal handler.
#[derive(Clone, Debug)]
pub struct Stopper(Sender<Command>);

impl Stopper {
    /// Asks the engine to stop after the running block. [`Solo::wait`] returns when it has.
    pub fn stop(&self) {
        // If nobody receives, the engine has ended already.
        let _ = self.0.send(Command::Stop);
    }
}

impl Solo {
    /// Opens the home, brings application and block store to the same height, and starts making
    /// blocks and answering RPC.
    ///
    /// # Errors
    /// Any [`SoloError`]; nothing runs then.
    pub fn start(app: impl Application, config: SoloConfig) -> Result<Self, SoloError> {
        let app: Arc<dyn Abci> = Arc::new(Shared::new(app));
        let (store, key) = open_home(&config)?;
        let listener = listen(config.rpc_addr)?;
        let rpc_addr = listener.local_addr().map_err(SoloError::Runtime)?;
        let chain = Chain::open(Arc::clone(&app), Arc::clone(&store), config.genesis.clone(), key)?;
        let tip = chain.tip();
        let feed = Arc::new(Feed::new(Head { height: tip.height, app_hash: tip.app_hash.clone() }));
        let (commands, received) = channel();
        let mempool =
            Mempool::new(Arc::clone(&app), config.mempool, tip.params.clone(), commands.clone());
        let mempool = Arc::new(mempool);
        let (submitter, mempool_thread) = mempool.start().map_err(SoloError::Runtime)?;
        let node = Node {
            app,
            store,
            mempool: Arc::clone(&mempool),
            submitter,
            genesis: config.genesis,
            validator: chain.validator.clone(),
            limits: config.rpc,
            rpc_addr: format!("tcp://{rpc_addr}"),
            feed: Arc::clone(&feed),
            metrics: config.metrics,
        };
        let server = Server::start(listener, node).map_err(SoloError::Runtime)?;
        let maker = Maker {
            chain,
            mempool,
            feed: Arc::clone(&feed),
            clock: config.clock,
            policy: config.policy,
            commands: received,
            last_block: None,
        };
        let engine = std::thread::Builder::new()
            .name("solo-engine".to_owned())
            .spawn(move || maker.run())
            .map_err(SoloError::Runtime)?;
        Ok(Self {
            engine: Some(engine),
            mempool: Some(mempool_thread),
            server: Some(server),
            commands,
            feed,
            rpc_addr,
        })
    }

    /// Where the JSON-RPC listens.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_addr
    }

    /// The height of the last committed block; one below the initial height before the first.
    pub fn height(&self) -> i64 {
        self.feed.head().height
    }

    /// A handle that stops the engine from elsewhere.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.commands.clone())
    }

    /// Waits until the engine ends, by a [`Stopper`] or by an error.
    ///
    /// # Errors
    /// Why the engine ended, if not because it was told to.
    pub fn wait(mut self) -> Result<(), SoloError> {
        self.join()
    }

    /// Stops the engine after the running block, closes the RPC and releases the home.
    ///
    /// # Errors
    /// Why the engine had ended before, if by an error.
    pub fn shutdown(self) -> Result<(), SoloError> {
        self.stopper().stop();
        self.wait()
    }

    fn join(&mut self) -> Result<(), SoloError> {
        let ended = self.engine.take().map_or(Ok(Ok(())), JoinHandle::join);
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
            tracing::error!(%error, "the engine ended by an error");
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

/// The thread that makes blocks.
struct Maker {
    chain: Chain,
    mempool: Arc<Mempool>,
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
    policy: BlockPolicy,
    commands: Receiver<Command>,
    last_block: Option<Instant>,
}

impl Maker {
    fn run(mut self) -> Result<(), SoloError> {
        while self.wait_for_work() {
            self.make_block()?;
            self.last_block = Some(Instant::now());
        }
        Ok(())
    }

    /// Blocks until a block is due (true) or the engine must stop (false).
    fn wait_for_work(&self) -> bool {
        loop {
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Wake) => {}
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                    Err(TryRecvError::Empty) => break,
                }
            }
            let next = match self.due_in() {
                Some(Duration::ZERO) => return true,
                Some(wait) => self.commands.recv_timeout(wait),
                None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Command::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// How long until the next block is due, as far as is known now.
    fn due_in(&self) -> Option<Duration> {
        let work = self.chain.needs_proof_block() || !self.mempool.is_empty();
        let interval =
            if work { Some(self.policy.min_interval) } else { self.policy.empty_interval };
        let passed = self.last_block.map_or(Duration::MAX, |last| last.elapsed());
        interval.map(|interval| interval.saturating_sub(passed))
    }

    fn make_block(&mut self) -> Result<(), SoloError> {
        let started = Instant::now();
        let candidates = self.mempool.reap();
        let proposal = self.chain.propose(candidates.clone(), self.clock.now())?;
        if txs_of(&proposal.block).is_empty() {
            // The application took none into an empty block; it never will.
            self.mempool.reject(&candidates);
        }
        self.chain.save(&proposal)?;
        let block_id = proposal.block_id();
        let block = proposal.block;
        let results = self.chain.finalize(&block, &block_id)?;
        self.chain.record(&block, &results)?;
        let closed = self.mempool.close();
        self.chain.commit(&block, block_id.clone(), &results)?;
        let tip = self.chain.tip();
        self.mempool.update(&closed, txs_of(&block), &results.tx_results, &tip.params);
        drop(closed);
        tracing::debug!(
            height = tip.height,
            txs = results.tx_results.len(),
            app_hash = hex::encode(&tip.app_hash),
            ms = started.elapsed().as_millis(),
            "block"
        );
        self.feed.publish(block, block_id, results);
        Ok(())
    }
}

/// Opens the block store and the validator's key in the home.
fn open_home(config: &SoloConfig) -> Result<(Arc<Store>, ValidatorKey), SoloError> {
    let path = config.home.join("solo");
    std::fs::create_dir_all(&path)
        .map_err(|source| SoloError::Home { path: path.clone(), source })?;
    let store = Store::open(&path.join("blocks.redb"))?;
    let key = ValidatorKey::load_or_create(&path.join("priv_validator_key.json"))?;
    Ok((Arc::new(store), key))
}

fn listen(addr: SocketAddr) -> Result<TcpListener, SoloError> {
    let listener = TcpListener::bind(addr).map_err(|source| SoloError::Listen { addr, source })?;
    listener.set_nonblocking(true).map_err(|source| SoloError::Listen { addr, source })?;
    Ok(listener)
}
