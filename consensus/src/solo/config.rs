//! What can be chosen about the engine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Metrics;

use super::{Clock, SystemClock};
use crate::chain::Genesis;
use crate::mempool::MempoolLimits;
use crate::rpc::RpcLimits;

/// The engine's configuration.
#[derive(Clone)]
pub struct SoloConfig {
    /// Where blocks and the validator key are kept, in a subdirectory `solo`. Made if it is not
    /// there.
    pub home: PathBuf,
    /// Where the JSON-RPC listens. Port 0 takes a free one: ask [`super::Solo::rpc_addr`].
    pub rpc_addr: SocketAddr,
    /// The chain's genesis document. It must not change while the home lives.
    pub genesis: Genesis,
    /// When blocks are made.
    pub policy: BlockPolicy,
    /// What the mempool takes.
    pub mempool: MempoolLimits,
    /// What the JSON-RPC takes.
    pub rpc: RpcLimits,
    /// Where block times come from.
    pub clock: Arc<dyn Clock>,
    /// What `/metrics` answers, in the text format that Prometheus reads; none: there is no such path.
    pub metrics: Option<Metrics>,
}

impl SoloConfig {
    /// A configuration with defaults for everything that has one.
    pub fn new(home: impl Into<PathBuf>, rpc_addr: SocketAddr, genesis: Genesis) -> Self {
        Self {
            home: home.into(),
            rpc_addr,
            genesis,
            policy: BlockPolicy::default(),
            mempool: MempoolLimits::default(),
            rpc: RpcLimits::default(),
            clock: Arc::new(SystemClock),
            metrics: None,
        }
    }
}

impl std::fmt::Debug for SoloConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoloConfig")
            .field("home", &self.home)
            .field("rpc_addr", &self.rpc_addr)
            .field("chain_id", &self.genesis.chain_id())
            .field("policy", &self.policy)
            .field("mempool", &self.mempool)
            .field("rpc", &self.rpc)
            .finish_non_exhaustive()
    }
}

/// When blocks are made, besides "as soon as there is work".
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockPolicy {
    /// The least time from one block to the next. Zero (the default): none.
    pub min_interval: Duration,
    /// If set, an idle chain makes an empty block after this time (CometBFT's
    /// `create_empty_blocks_interval`).
    pub empty_interval: Option<Duration>,
}
