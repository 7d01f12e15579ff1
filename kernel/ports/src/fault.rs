//! Faults of this node, by cause: a full disk, damaged data and an I/O error are different variants.
//!
//! ```
//! use capstan_kernel_ports::store::StoreFault;
//!
//! /// Tells an operator what helps.
//! fn advice(fault: &StoreFault) -> &'static str {
//!     match fault {
//!         StoreFault::DiskFull(_) => "free space and start the node again",
//!         StoreFault::Damaged(_) => "restore a backup or synchronize a new node",
//!         _ => "see the log",
//!     }
//! }
//!
//! let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
//! let fault = StoreFault::from(full);
//! assert_eq!(advice(&fault), "free space and start the node again");
//! ```

use std::{error::Error, fmt, io, sync::Arc};

/// Failure of the store: a fault of this node, never of a vat or a user.
///
/// Every variant holds the error of the implementation as its [source](Error::source).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The disk has no space left. The committed state is intact.
    #[error("store: {0}")]
    DiskFull(#[source] Cause),
    /// The disk or the file system failed for another reason.
    #[error("store: {0}")]
    Io(#[source] Cause),
    /// Stored data contradicts itself or its checksum.
    #[error("store: {0}")]
    Damaged(#[source] Cause),
    /// The caller broke a rule of the store, for example with a key that is too long.
    #[error("store: {0}")]
    Misuse(#[source] Cause),
    /// Any other failure of the implementation.
    #[error("store: {0}")]
    Other(#[source] Cause),
}

impl StoreFault {
    /// Returns a [`StoreFault::Other`] with this text.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(Cause::text(text))
    }

    /// Returns the error of the implementation.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::DiskFull(cause)
            | Self::Io(cause)
            | Self::Damaged(cause)
            | Self::Misuse(cause)
            | Self::Other(cause) => cause,
        }
    }
}

impl From<io::Error> for StoreFault {
    /// Returns [`StoreFault::DiskFull`] for [`io::ErrorKind::StorageFull`], and [`StoreFault::Io`] for all others.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull(Cause::new(error)),
            _ => Self::Io(Cause::new(error)),
        }
    }
}

/// Failure of the vat host: a fault of this node, never of a vat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// This node lacks something that the call needs: an engine, a running worker or a page of a heap.
    #[error("vat host: {0}")]
    Missing(String),
    /// A heap image does not have the hash by which it was asked for.
    #[error("vat host: {0}")]
    DamagedHeap(String),
    /// The engine failed, for example because the system refused memory.
    #[error("vat host: {0}")]
    Engine(String),
    /// The store failed while the host was reading a page of a heap.
    #[error("vat host: {context}{}", .source.cause())]
    Store {
        /// Text before the cause's.
        context: String,
        /// The failure of the store.
        source: StoreFault,
    },
}

impl HostFault {
    /// Returns the same fault with `context` in front of its text.
    pub fn in_context(self, context: &str) -> Self {
        match self {
            Self::Missing(text) => Self::Missing(format!("{context}{text}")),
            Self::DamagedHeap(text) => Self::DamagedHeap(format!("{context}{text}")),
            Self::Engine(text) => Self::Engine(format!("{context}{text}")),
            Self::Store { context: inner, source } => {
                Self::Store { context: format!("{context}{inner}"), source }
            }
        }
    }

    /// Returns the text without the words that say it is the host's.
    pub fn text(&self) -> String {
        match self {
            Self::Missing(text) | Self::DamagedHeap(text) | Self::Engine(text) => text.clone(),
            Self::Store { context, source } => format!("{context}{}", source.cause()),
        }
    }
}

impl From<StoreFault> for HostFault {
    fn from(source: StoreFault) -> Self {
        Self::Store { context: String::new(), source }
    }
}

/// The error below a fault, shared by its clones. Two causes are equal if their texts are.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// Wraps a text, where there is no error value.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn Error + Send + Sync>::from(text.into())))
    }

    /// Returns the wrapped error if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_keep_their_kind_in_context_and_their_text() {
        let full = StoreFault::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, StoreFault::DiskFull(_)));
        let text = full.cause().to_string();
        let fault = HostFault::from(full.clone()).in_context("cannot bring back v1: ");
        assert_eq!(fault.to_string(), format!("vat host: cannot bring back v1: {text}"));
        assert!(matches!(fault, HostFault::Store { source: StoreFault::DiskFull(_), .. }));
        assert!(full.cause().downcast_ref::<io::Error>().is_some());
    }
}
