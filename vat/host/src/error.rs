use std::path::PathBuf;

/// A failure to open a [`WasmHost`](crate::WasmHost): a fault of this node or of the engine that it was given, never
/// of a vat.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The processor lacks instructions that all artifacts use.
    #[error("this processor lacks {0}: Capstan needs x86-64-v3 (Intel since 2013, AMD since 2015)")]
    Processor(String),
    /// The directory for cached artifacts cannot be made.
    #[error("cannot create the cache directory {path}: {source}")]
    CacheDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The JavaScript engine's module is not a worker.
    #[error("the JavaScript engine's module is not usable: {0}")]
    Engine(String),
    /// A boot script of the JavaScript engine failed.
    #[error("boot script {name} of the JavaScript engine failed: {reason}")]
    Boot {
        /// The script.
        name: String,
        /// What happened.
        reason: String,
    },
    /// Memory or another resource of this node ran out.
    #[error("vat host: {0}")]
    Node(String),
}
