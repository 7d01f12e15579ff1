use capstan_abi::{JsString, json::Malformed};

use super::End;

/// Error of starting a worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The node failed.
    #[error("{0}")]
    Host(String),
    /// The module failed, which is the same on every node.
    #[error("{0}")]
    Module(String),
}

/// Error of a boot script.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The worker cannot run it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The node failed while it ran.
    #[error("{0}")]
    Host(String),
    /// The script threw. The engine has logged what.
    #[error("capstan_boot returned {0}; the node's log has the reason")]
    Threw(i32),
    /// The script did not return.
    #[error("{0:?}")]
    Ended(End),
}

/// The difference between the mutable globals that a worker was given and those that its module has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobalsError {
    /// There are more or fewer.
    #[error("another number of globals")]
    Number,
    /// Their indices are different.
    #[error("other globals")]
    Index,
    /// One has a type that is no number.
    #[error("a global of another type")]
    Type,
    /// wasmer refused a value.
    #[error("{0}")]
    Refused(String),
}

/// Error for a worker's reply to a delivery.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    /// It is no borsh of a [`DeliveryResult`](capstan_abi::DeliveryResult).
    #[error("{0}")]
    Borsh(borsh::io::Error),
    /// It is no JSON of a [`DeliveryResult`](capstan_abi::DeliveryResult).
    #[error(transparent)]
    Json(#[from] Malformed),
}

/// The reason why a worker did not take its bundle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BundleError {
    /// The supervisor failed.
    #[error("{0}")]
    Supervisor(JsString),
    /// The supervisor refused the bundle.
    #[error("{0}")]
    Refused(String),
    /// The reply is no JSON array.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The reply is none that a supervisor gives.
    #[error("the JavaScript engine did not take the bundle")]
    Unknown,
}
