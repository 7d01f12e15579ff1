//! Errors between a client and its node.

use std::time::Duration;

use capstan_proto::{CODESPACE, ErrorCode};

use crate::{BundleError, KeyError, ProofError};

/// Reason why a call failed. Each variant says what can be done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not that of a node.
    #[error("{url:?} is not a node's URL: {why}; write http://HOST:PORT")]
    Url {
        /// Text that was given.
        url: String,
        /// Description of the mistake.
        why: &'static str,
    },
    /// The arguments of a call have no JSON.
    #[error("{method} cannot be called: its arguments are not JSON: {why}")]
    Request {
        /// Method that was to be called.
        method: String,
        /// Description of the mistake.
        why: String,
    },
    /// Nothing answers at the node's address.
    #[error("no node answers at {addr}: {why}; is `capstan dev` running?")]
    Unreachable {
        /// Address of the node, `HOST:PORT`.
        addr: String,
        /// Error of the operating system.
        why: String,
    },
    /// The answer is not that of a node.
    #[error("the answer of {addr} to {method} is not that of a node: {why}")]
    Malformed {
        /// Address of the node, `HOST:PORT`.
        addr: String,
        /// Method that was called.
        method: String,
        /// Description of the mistake in the answer.
        why: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method} failed: {message}: {data}")]
    Rpc {
        /// Method that was called.
        method: String,
        /// JSON-RPC's code, such as -32603.
        code: i64,
        /// JSON-RPC's name for the code.
        message: String,
        /// Message of the node about the cause.
        data: String,
    },
    /// The application answered a query with an error.
    #[error("query {path}: {log} ({codespace} code {code})")]
    Query {
        /// Path of the query.
        path: String,
        /// Codespace that gives the code its meaning.
        codespace: String,
        /// The application's code, not 0.
        code: u32,
        /// Message of the application about the cause.
        log: String,
    },
    /// The application refused the transaction. It is in no block and cost nothing.
    #[error("the transaction is refused: {log} ({codespace} code {code})")]
    Refused {
        /// Codespace that gives the code its meaning.
        codespace: String,
        /// The application's code, not 0.
        code: u32,
        /// Message of the application about the cause.
        log: String,
    },
    /// The transaction failed in its block.
    #[error("transaction {hash} failed in block {height}: {log} ({codespace} code {code})")]
    Failed {
        /// Hash of the transaction.
        hash: tendermint::Hash,
        /// Height of the block.
        height: u64,
        /// Codespace that gives the code its meaning.
        codespace: String,
        /// The application's code, not 0.
        code: u32,
        /// Message of the application about the cause.
        log: String,
    },
    /// The node accepted the transaction while it lagged behind the others. Another transaction of the account, which
    /// the node did not know, had used the sequence already.
    #[error(
        "transaction {hash} is in no block, but its sequence {sequence} is used: the account has sent another through another node; see what it did before you send this one again"
    )]
    Displaced {
        /// Hash of the transaction.
        hash: tendermint::Hash,
        /// Sequence of the transaction.
        sequence: u64,
    },
    /// The deadline passed. The awaited event may still happen.
    #[error("{what} did not come within {waited:?}")]
    Timeout {
        /// Description of the awaited event.
        what: String,
        /// Time spent waiting.
        waited: Duration,
    },
    /// The node closed the connection for events.
    #[error("the event connection to {addr} ended: {why}")]
    Closed {
        /// Address of the node, `HOST:PORT`.
        addr: String,
        /// Reason why the connection ended.
        why: String,
    },
    /// A transaction cannot be built or signed, or its responses cannot be decoded.
    #[error("{0}")]
    Tx(String),
    /// A node's answer is not proved: see [`ProofError`].
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A key cannot be read or created: see [`KeyError`].
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A bundle cannot be read: see [`BundleError`].
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The chain does not allow a bundle of this size.
    #[error("the bundle has {size} bytes; the chain allows {limit} (max_bundle_bytes)")]
    BundleTooLarge {
        /// Size of the bundle, in bytes.
        size: u64,
        /// Limit of the chain, in bytes.
        limit: u64,
    },
    /// The vat was not created, or the answer is not that of the chain's factory.
    #[error("creating the vat gave {status}: {value}")]
    NotCreated {
        /// Status of the result promise.
        status: String,
        /// Value to which it was settled.
        value: String,
    },
}

impl ClientError {
    /// Returns whether the same call may succeed once the node or the connection is back.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            // A subscription that was cancelled, a full mempool, or a node that has just begun.
            | Self::Rpc { .. } => true,
            // A proxy's answer while the node behind it is away, or half an answer. What the application itself
            // answered, by the path of its query, stays as it is.
            Self::Malformed { method, .. } => !method.starts_with('/'),
            Self::Query { codespace, code, .. } | Self::Refused { codespace, code, .. } => {
                let codes = [ErrorCode::Unavailable, ErrorCode::Node, ErrorCode::QueueFull];
                codespace == CODESPACE && codes.iter().any(|known| known.number() == *code)
            }
            _ => false,
        }
    }
}
