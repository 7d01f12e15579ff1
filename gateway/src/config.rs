//! The configuration of the gateway.

use std::net::SocketAddr;
use std::time::Duration;

/// The addresses of a [`Gateway`](crate::Gateway), and its bounds.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Address of gRPC. Port 0 takes a free one. `None` serves none.
    pub grpc: Option<SocketAddr>,
    /// Address of REST. Port 0 takes a free one. `None` serves none.
    pub rest: Option<SocketAddr>,
    /// Whether web pages of any origin may call REST.
    pub cors: bool,
    /// The bounds.
    pub limits: GatewayLimits,
}

/// The bounds of a [`Gateway`](crate::Gateway). gRPC and REST share them, except that each has its own connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Maximum size of a request that carries a transaction, in bytes. Other requests have at most 64 KiB.
    pub max_request_bytes: usize,
    /// Maximum size of an answer, in bytes.
    pub max_answer_bytes: usize,
    /// Maximum size of all requests and answers together that are in memory, in bytes. What comes on top is refused.
    pub max_pending_bytes: usize,
    /// Maximum number of open connections of gRPC, and of REST. For a further one, the one that is idle longest is
    /// closed.
    pub max_connections: usize,
    /// The part of the connections and of the memory for requests and answers that one address may have, in percent.
    pub max_address_percent: u8,
    /// Time in which the first request of a connection must begin.
    pub first_request_timeout: Duration,
    /// Maximum number of calls of one gRPC connection at a time.
    pub max_streams: u32,
    /// Maximum number of calls that are executed at a time. Further ones wait.
    pub max_calls: usize,
    /// Maximum number of searches for transactions among them.
    pub max_searches: usize,
    /// Time for which a connection may be of no use before it is closed. A request and an answer have so long, and a
    /// second more for each 64 KiB.
    pub idle_timeout: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            max_request_bytes: 6 << 20,
            max_answer_bytes: 32 << 20,
            max_pending_bytes: 128 << 20,
            max_connections: 100,
            max_address_percent: 50,
            first_request_timeout: Duration::from_secs(10),
            max_streams: 32,
            max_calls: 8,
            max_searches: 2,
            idle_timeout: Duration::from_secs(60),
        }
    }
}
