//! The state that the JSON-RPC reads: application, store, mempool, last block and the stream of committed blocks.

use std::sync::{Arc, OnceLock};

use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;
use tendermint_proto::v0_38::types::{Block, BlockId, Commit};
use tokio::sync::{Semaphore, broadcast, watch};

use super::RpcLimits;
use super::events::{self, BusEvent};
use super::recent::Recent;
use super::usage::Usage;
use crate::chain::GenesisDoc;
use crate::chain::abci::Abci;
use crate::chain::block_store::BlockStore;
use crate::chain::execution::Validator;
use crate::listen::Budget;
use crate::mempool::{Mempool, Submitter};
use crate::metrics::Metrics;

/// Number of blocks that wait in memory until every session has taken them. A session that is behind by so many ends.
pub(crate) const BUS_BLOCKS: usize = 16;

/// Number of calls that are executed at a time.
pub(crate) const CALLS_AT_A_TIME: usize = 8;

/// Number of searches among them.
pub(crate) const SEARCHES_AT_A_TIME: usize = 2;

/// The state that all handlers of the JSON-RPC share.
pub(crate) struct RpcContext {
    pub(crate) app: Arc<dyn Abci>,
    pub(crate) store: Arc<BlockStore>,
    pub(crate) mempool: Arc<Mempool>,
    pub(crate) submitter: Submitter,
    pub(crate) genesis: GenesisDoc,
    pub(crate) validator: Validator,
    pub(crate) limits: RpcLimits,
    pub(crate) rpc_addr: String,
    /// The application's version when the node started.
    pub(crate) app_version: u64,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Option<Metrics>,
    /// Counters of what the server uses.
    pub(crate) usage: Usage,
    /// Memory for bodies and answers.
    pub(crate) budget: Budget,
    /// Permits of running calls. The work holds one to its end, also if its caller has left.
    pub(crate) running: Arc<Semaphore>,
    /// Permits of running searches, so that they leave turns to other calls.
    pub(crate) searching: Arc<Semaphore>,
    /// Whether web pages of any origin may call.
    pub(crate) cors: bool,
}

/// The channel on which every committed block is published.
pub(crate) struct Feed {
    head: watch::Sender<Head>,
    blocks: broadcast::Sender<Arc<Committed>>,
    recent: Recent,
    author: Arc<Author>,
}

/// The validator and the chain whose blocks it signs.
pub(crate) struct Author {
    pub(crate) validator: Validator,
    pub(crate) chain_id: String,
}

/// The last committed block. Blocks after it that are in the store must not be shown yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Height of the block. Before the first block, one less than the initial height.
    pub(crate) height: i64,
    /// The app hash after it.
    pub(crate) app_hash: Vec<u8>,
}

/// A committed block with its results.
pub(crate) struct Committed {
    pub(crate) block: Arc<Block>,
    pub(crate) block_id: BlockId,
    pub(crate) results: Arc<ResponseFinalizeBlock>,
    /// The vote for it.
    pub(crate) seen: Commit,
    pub(crate) author: Arc<Author>,
    events: OnceLock<Vec<BusEvent>>,
}

impl Feed {
    /// Makes the feed of a chain that ends at `head`.
    pub(crate) fn new(head: Head, author: Author) -> Self {
        let (head, blocks) = (watch::Sender::new(head), broadcast::Sender::new(BUS_BLOCKS));
        Self { head, blocks, recent: Recent::default(), author: Arc::new(author) }
    }

    /// Publishes a committed block with its results and the vote for it.
    pub(crate) fn publish(
        &self,
        block: Block,
        block_id: BlockId,
        results: ResponseFinalizeBlock,
        seen: Commit,
    ) {
        let height = block.header.as_ref().map_or(0, |header| header.height);
        let head = Head { height, app_hash: results.app_hash.to_vec() };
        let (author, events) = (Arc::clone(&self.author), OnceLock::new());
        let (block, results) = (Arc::new(block), Arc::new(results));
        let committed = Arc::new(Committed { block, block_id, results, seen, author, events });
        // An error only says that nobody listens.
        let _ = self.blocks.send(Arc::clone(&committed));
        self.head.send_replace(head);
        self.recent.add(&committed);
    }

    /// Returns the last committed block.
    pub(crate) fn head(&self) -> Head {
        self.head.borrow().clone()
    }

    /// Returns the transactions of the last blocks.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Returns a receiver that is woken by every new head.
    pub(crate) fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Returns a receiver of every block that is committed from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.blocks.subscribe()
    }
}

impl Committed {
    /// Returns the events of the block as subscribers get them. They are rendered once.
    pub(crate) fn events(&self) -> &[BusEvent] {
        self.events.get_or_init(|| events::render(self))
    }
}
