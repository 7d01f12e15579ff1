//! Reasons why the gateway does not start.

use std::io;
use std::net::SocketAddr;

use prost_reflect::DescriptorError;

/// Reason why a [`Gateway`](crate::Gateway) does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {addr} for {what}: {source}; choose another address with --{flag}, or none with --{flag} off"
    )]
    Listen {
        /// Name of the protocol.
        what: &'static str,
        /// Name of the flag that sets the address.
        flag: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The threads cannot be started.
    #[error("cannot start the threads of gRPC and REST: {0}")]
    Thread(#[source] io::Error),
    /// The descriptors of the services are wrong, which is a bug.
    #[error("the descriptors of the services do not belong together: {0}")]
    Descriptors(#[from] DescriptorError),
    /// The reflection service refuses the descriptors, which is a bug.
    #[error("the descriptors of the services cannot be shown: {0}")]
    Reflection(String),
}
