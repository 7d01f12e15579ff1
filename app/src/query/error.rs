use capstan_kernel::KernelPanic;
use capstan_kernel_ports::store::StoreFault;
use capstan_proto::{ErrorCode, Method, v1::QUERY_METHODS};

use crate::fault::NodeFault;

/// Reason why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No query has this path.
    #[error(
        "unknown query path {0:?}; try {paths}, store with a key as data, or /capstan.v1.Query/NAME with a protobuf request",
        paths = paths()
    )]
    UnknownPath(String),
    /// The path is known, but what it names or its data is not of the right form.
    #[error("malformed query: {0}")]
    Malformed(String),
    /// The thing that the query names does not exist.
    #[error("there is no {what} {name}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Name of the thing.
        name: String,
    },
    /// Only the last committed height can be asked.
    #[error("height {asked} is not available, only the last one: {height}; ask without a height")]
    Height {
        /// Height that was requested.
        asked: i64,
        /// Height of the last commit.
        height: i64,
    },
    /// The answer is not about one key, so there is no proof of it.
    #[error(
        "this query has no proof: its answer is not about one key; ask for the keys that it is made of, by the path store"
    )]
    NoProof,
    /// This node failed to read its state.
    #[error("this node cannot answer: {0}")]
    Node(String),
}

impl QueryError {
    /// Returns the error's code.
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
