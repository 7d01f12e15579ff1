//! The bounds of the JSON-RPC.

use std::time::Duration;

/// What the JSON-RPC takes.
#[derive(Clone, Copy, Debug)]
pub struct RpcLimits {
    /// How many bytes the body of a request, or a WebSocket message, has at most.
    pub max_body_bytes: usize,
    /// How many calls a batch has at most.
    pub max_batch: usize,
    /// How many WebSocket connections are open at most.
    pub max_websockets: usize,
    /// How many subscriptions a WebSocket connection has at most.
    pub max_subscriptions: usize,
    /// How long `broadcast_tx_commit` waits for its block.
    pub commit_timeout: Duration,
}

impl Default for RpcLimits {
    /// CometBFT's, except for the body's size, which has room for the largest transaction in
    /// base64, and for the subscriptions, 100 a connection.
    fn default() -> Self {
        Self {
            max_body_bytes: 12 << 20,
            max_batch: 100,
            max_websockets: 100,
            max_subscriptions: 100,
            commit_timeout: Duration::from_secs(10),
        }
    }
}
