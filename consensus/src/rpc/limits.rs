//! The bounds of the JSON-RPC.

use std::time::Duration;

use crate::listen::BudgetBounds;

/// The bounds of the JSON-RPC of [`solo`](crate::solo).
#[derive(Clone, Copy, Debug)]
pub struct RpcLimits {
    /// Maximum size of the body of a request, in bytes. That of a WebSocket's message is no larger: see
    /// [`Self::websocket_message_bytes`].
    pub max_body_bytes: usize,
    /// Maximum number of calls in a batch.
    pub max_batch: usize,
    /// Time after which no further call of a batch is made.
    pub max_batch_time: Duration,
    /// Maximum size of an answer in bytes, that to a whole batch included. It must have room for the largest block in
    /// base64.
    pub max_answer_bytes: usize,
    /// Maximum size of all bodies and answers together that are in memory, in bytes. What comes on top is refused.
    pub max_pending_bytes: usize,
    /// Maximum number of open connections, WebSockets included. For a further one, the one that is idle longest is
    /// closed.
    pub max_connections: usize,
    /// The part of the connections, of the WebSockets and of the memory for bodies and answers that one address may
    /// have, in percent.
    pub max_address_percent: u8,
    /// Time in which the first request of a connection must begin.
    pub first_request_timeout: Duration,
    /// Time without a byte in either direction after which a connection is closed, and time for which the header of
    /// a request may take. A body and an answer have so long, and a second more for each 64 KiB that were moved. It must
    /// be longer than `commit_timeout`.
    pub idle_timeout: Duration,
    /// Maximum number of open WebSocket connections.
    pub max_websockets: usize,
    /// Maximum number of subscriptions of one WebSocket connection.
    pub max_subscriptions: usize,
    /// Size in bytes of the messages that wait for a WebSocket's client from which on it counts as behind. It is sent
    /// no further block then. If 16 blocks wait for it, the connection is closed.
    pub max_backlog_bytes: usize,
    /// Time for which `broadcast_tx_commit` waits for its block.
    pub commit_timeout: Duration,
}

impl RpcLimits {
    /// Returns the bounds of the memory for bodies and answers.
    pub(crate) fn budget(&self) -> BudgetBounds {
        BudgetBounds {
            bytes: self.max_pending_bytes,
            connections: self.max_connections,
            address_percent: self.max_address_percent,
        }
    }

    /// Returns the maximum size of a message from a WebSocket's client, in bytes. The library holds a message until it is
    /// complete, so the largest messages of all clients together have to fit into `max_pending_bytes`.
    pub fn websocket_message_bytes(&self) -> usize {
        self.max_body_bytes.min(self.max_pending_bytes / self.max_websockets.max(1))
    }
}

impl Default for RpcLimits {
    /// The defaults of CometBFT where it has such an option, with two exceptions, which are those of this program's
    /// networks: the body has room for the largest transaction in base64, and a batch has 20 calls.
    fn default() -> Self {
        Self {
            max_body_bytes: (8 << 20) / 3 * 4 + (64 << 10),
            max_batch: 20,
            max_batch_time: Duration::from_secs(10),
            max_answer_bytes: 32 << 20,
            max_pending_bytes: 256 << 20,
            max_connections: 500,
            max_address_percent: 50,
            first_request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_websockets: 100,
            max_subscriptions: 5,
            max_backlog_bytes: 4 << 20,
            commit_timeout: Duration::from_secs(10),
        }
    }
}
