use std::path::PathBuf;

/// Error of opening a [`WasmHost`](crate::WasmHost). It is a fault of this node or of its engine,
/// never of a vat.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The processor lacks instructions that all artifacts use.
    #[error("this processor lacks {0}: Capstan needs x86-64-v3 (Intel since 2013, AMD since 2015)")]
    Processor(String),
    /// The directory [`HostOptions::cache_dir`](crate::HostOptions::cache_dir) cannot be created.
    #[error("cannot create the cache directory {path}: {source}")]
    CacheDirectory {
        /// Path of the directory.
        path: PathBuf,
        /// Error from the operating system.
        source: std::io::Error,
    },
    /// The module of the [`JsEngine`](crate::JsEngine) is not a worker.
    #[error("the JavaScript engine's module is not usable: {0}")]
    Engine(String),
    /// A boot script of the [`JsEngine`](crate::JsEngine) failed.
    #[error("boot script {name} of the JavaScript engine failed: {reason}")]
    Boot {
        /// Name of the script.
        name: String,
        /// Description of the failure.
        reason: String,
    },
    /// Memory or another resource of this node ran out.
    #[error("vat host: {0}")]
    Node(String),
}
