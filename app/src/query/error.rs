use capstan_kernel::KernelPanic;
use capstan_kernel_ports::store::StoreFault;
use capstan_proto::{ErrorCode, Method, v1::QUERY_METHODS};

use crate::fault::NodeFault;

/// Reason why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The path is that of no query.
    #[error(
        "unknown query path {0:?}; try {paths}, store with a key as data, or /capstan.v1.Query/NAME with a protobuf request",
        paths = paths()
    )]
    UnknownPath(String),
    /// The path is known, but a name in it or the data is malformed.
    #[error("malformed query: {0}")]
    Malformed(String),
    /// The thing that the query names does not exist.
    #[error("there is no {what} {name}")]
    NotFound {
        /// Kind of the thing, such as a vat.
        what: &'static str,
        /// Name of the thing, as the query gave it.
        name: String,
    },
    /// The query is for a height that this node does not have, or does not have any more.
    #[error("height {asked} is not available, only {first} to {height}; ask without a height")]
    Height {
        /// Height that was requested.
        asked: i64,
        /// First height that is available to such a query.
        first: i64,
        /// Height of the last commit.
        height: i64,
    },
    /// The query asks for a proof, but its answer is not a proven record.
    #[error(
        "this query has no proof; the paths with one are accounts/ADDRESS, balances/ADDRESS, bundles/ID, outbox/ADDRESS/NUMBER, txs/HASH/INDEX, vats/ID/stats and params, and /store/capstan/key with one of these as data"
    )]
    NoProof,
    /// This node failed to read its state.
    #[error("this node cannot answer: {0}")]
    Node(String),
}

impl QueryError {
    /// Returns the [`ErrorCode`] of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownPath(_) => ErrorCode::UnknownPath,
            Self::Malformed(_) => ErrorCode::MalformedQuery,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Height { .. } => ErrorCode::Height,
            Self::NoProof => ErrorCode::NoProof,
            Self::Node(_) => ErrorCode::Node,
        }
    }

    /// Returns the code and the text that the Cosmos SDK gives to such an error. Clients search the text for the name of
    /// the status of gRPC.
    pub(super) fn for_cosmos(&self) -> (u32, String) {
        let text = match self {
            Self::NotFound { what, name } => format!("{what} {name} not found"),
            Self::UnknownPath(path) => {
                format!("unknown query path {path}: this chain has no such query")
            }
            other => other.to_string(),
        };
        let (code, status, kind) = match self {
            Self::UnknownPath(_) => (6, "Unimplemented", "unknown request"),
            Self::Malformed(_) | Self::NoProof => (18, "InvalidArgument", "invalid request"),
            Self::NotFound { .. } => (22, "NotFound", "key not found"),
            // As in the Cosmos SDK: the code says whether the height is still to come, or no longer there.
            Self::Height { asked, height, .. } if asked > height => {
                (26, "InvalidArgument", "invalid height")
            }
            Self::Height { .. } => (18, "InvalidArgument", "invalid request"),
            Self::Node(_) => (35, "Internal", "internal logic error"),
        };
        (code, format!("rpc error: code = {status} desc = {text}: {kind}"))
    }

    pub(super) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }
}

impl From<NodeFault> for QueryError {
    fn from(fault: NodeFault) -> Self {
        Self::Node(fault.to_string())
    }
}

impl From<KernelPanic> for QueryError {
    fn from(panic: KernelPanic) -> Self {
        Self::Node(panic.to_string())
    }
}

impl From<StoreFault> for QueryError {
    fn from(fault: StoreFault) -> Self {
        Self::Node(fault.to_string())
    }
}

/// Lists the paths of the JSON forms, with the names of their variables in capitals.
fn paths() -> String {
    let path = |method: &Method| {
        let segment = |segment: &str| match segment.strip_prefix('{') {
            Some(variable) => variable.trim_end_matches('}').to_uppercase(),
            None => segment.to_owned(),
        };
        method.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    };
    QUERY_METHODS.iter().map(path).collect::<Vec<_>>().join(", ")
}
