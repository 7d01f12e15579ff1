//! Errors as JSON-RPC has them, with CometBFT's codes.

use crate::chain::BlockStoreError;
use crate::chain::block_index::SearchError;
use crate::chain::query::QueryError;
use crate::mempool::MempoolError;

/// An error as JSON-RPC has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: &'static str,
    /// What went wrong. It may be empty.
    pub(crate) data: String,
}

impl RpcError {
    /// Returns what went wrong.
    pub(crate) fn text(self) -> String {
        if self.data.is_empty() { self.message.to_owned() } else { self.data }
    }

    /// Returns whether the error says that a text is no request.
    pub(crate) fn is_parse_error(&self) -> bool {
        self.code == -32700
    }

    /// The error about a text that is no request.
    pub(crate) fn parse(why: &str) -> Self {
        let data = format!("error unmarshaling request: {why}");
        Self { code: -32700, message: "Parse error. Invalid JSON", data }
    }

    pub(crate) fn invalid_request(data: impl Into<String>) -> Self {
        Self { code: -32600, message: "Invalid Request", data: data.into() }
    }

    pub(crate) fn method_not_found() -> Self {
        Self { code: -32601, message: "Method not found", data: String::new() }
    }

    pub(crate) fn invalid_params(data: impl Into<String>) -> Self {
        Self { code: -32602, message: "Invalid params", data: data.into() }
    }

    pub(crate) fn internal(data: impl Into<String>) -> Self {
        Self { code: -32603, message: "Internal error", data: data.into() }
    }

    /// The error in place of an answer that is larger than `most` bytes.
    pub(crate) fn answer_too_large(most: usize) -> Self {
        Self::server(format!(
            "the answer has more than {most} bytes (max_answer_bytes): ask for less at a time"
        ))
    }

    /// The error in place of an answer for which the node has no memory left.
    pub(crate) fn busy(most: usize) -> Self {
        Self::server(format!(
            "requests and answers in memory have {most} bytes (max_pending_bytes): try again later"
        ))
    }

    pub(crate) fn server(data: impl Into<String>) -> Self {
        Self { code: -32000, message: "Server error", data: data.into() }
    }
}

impl From<BlockStoreError> for RpcError {
    fn from(error: BlockStoreError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<SearchError> for RpcError {
    fn from(error: SearchError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<QueryError> for RpcError {
    fn from(error: QueryError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<MempoolError> for RpcError {
    fn from(error: MempoolError) -> Self {
        Self::internal(error.to_string())
    }
}
