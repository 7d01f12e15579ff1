//! What the JSON-RPC sees of the engine: the application for reads, the store, the mempool, the
//! head of the chain and the stream of committed blocks.

use std::sync::{Arc, OnceLock};

use tendermint_proto::v0_38::abci::ResponseFinalizeBlock;
use tendermint_proto::v0_38::types::{Block, BlockId};
use tokio::sync::{broadcast, watch};

use super::RpcLimits;
use super::events::{self, BusEvent};
use crate::chain::Genesis;
use crate::chain::abci::Abci;
use crate::chain::block_store::Store;
use crate::chain::execution::Validator;
use crate::mempool::{Mempool, Submitter};
use crate::metrics::Metrics;

/// How many blocks a slow subscriber may lag behind before its subscriptions are ended.
const BUS_BLOCKS: usize = 256;

/// Shared by all RPC handlers.
pub(crate) struct Node {
    pub(crate) app: Arc<dyn Abci>,
    pub(crate) store: Arc<Store>,
    pub(crate) mempool: Arc<Mempool>,
    pub(crate) submitter: Submitter,
    pub(crate) genesis: Genesis,
    pub(crate) validator: Validator,
    pub(crate) limits: RpcLimits,
    pub(crate) rpc_addr: String,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Option<Metrics>,
}

/// Where the engine tells of every committed block.
pub(crate) struct Feed {
    head: watch::Sender<Head>,
    blocks: broadcast::Sender<Arc<Committed>>,
}

/// The last committed block. What the store has beyond it is not yet to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its height; one below the initial height if there is none.
    pub(crate) height: i64,
    /// The app hash after it.
    pub(crate) app_hash: Vec<u8>,
}

/// A block and what running it gave.
pub(crate) struct Committed {
    pub(crate) block: Block,
    pub(crate) block_id: BlockId,
    pub(crate) results: ResponseFinalizeBlock,
    events: OnceLock<Vec<BusEvent>>,
}

impl Feed {
    /// A feed of a chain that ends at `head`.
    pub(crate) fn new(head: Head) -> Self {
        Self { head: watch::Sender::new(head), blocks: broadcast::Sender::new(BUS_BLOCKS) }
    }

    /// Tells of a block that was committed.
    pub(crate) fn publish(&self, block: Block, block_id: BlockId, results: ResponseFinalizeBlock) {
        let height = block.header.as_ref().map_or(0, |header| header.height);
        let head = Head { height, app_hash: results.app_hash.to_vec() };
        let committed = Committed { block, block_id, results, events: OnceLock::new() };
        // An error only says that nobody listens.
        let _ = self.blocks.send(Arc::new(committed));
        self.head.send_replace(head);
    }

    /// The last committed block.
    pub(crate) fn head(&self) -> Head {
        self.head.borrow().clone()
    }

    /// Wakes its holder at every new head.
    pub(crate) fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Every block committed from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.blocks.subscribe()
    }
}

impl Committed {
    /// The block's events as subscribers get them, made once however many there are.
    pub(crate) fn events(&self) -> &[BusEvent] {
        self.events.get_or_init(|| events::of(self))
    }
}
