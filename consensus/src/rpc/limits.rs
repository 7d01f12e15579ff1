//! The bounds of the JSON-RPC.

use std::time::Duration;

/// The bounds of the JSON-RPC of [`solo`](crate::solo).
#[derive(Clone, Copy, Debug)]
pub struct RpcLimits {
    /// Maximum size of the body of a request or of a WebSocket message, in bytes.
    pub max_body_bytes: usize,
    /// Maximum number of calls in a batch.
    pub max_batch: usize,
    /// Maximum number of open WebSocket connections.
    pub max_websockets: usize,
    /// Maximum number of subscriptions of one WebSocket connection.
    pub max_subscriptions: usize,
    /// Time for which `broadcast_tx_commit` waits for its block.
    pub commit_timeout: Duration,
}

impl Default for RpcLimits {
    /// The defaults of CometBFT, with two exceptions: the body has room for the largest transaction in base64, and a
    /// connection may have 100 subscriptions.
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
