//! Descriptors of the process: enough are left for the node's own files, however many connections there are.

use capstan_consensus::solo::RpcLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Number of descriptors that no connection takes. Store, logs, reports and the memory of vats need them.
const RESERVED: u64 = 256;

/// Number of connections that are allowed however few descriptors there are.
const FEWEST: usize = 16;

/// Raises the soft limit of descriptors to the hard one, and returns the limits of the JSON-RPC with no more
/// connections than the rest has room for, besides `others`.
pub(crate) fn fit(limits: RpcLimits, others: usize) -> RpcLimits {
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => current = maximum,
            Err(error) => tracing::debug!(%error, "the limit of descriptors stays as it is"),
        }
    }
    let left = current.map(|current| current.saturating_sub(others as u64));
    let connections = room(left, limits.max_connections);
    if connections < limits.max_connections {
        tracing::warn!(
            "rpc.max_connections is {}, but with {} descriptors only {connections} connections are allowed: raise the limit (ulimit -n)",
            limits.max_connections,
            current.unwrap_or(u64::MAX),
        );
    }
    // If WebSockets took all connections, nobody could call the node.
    let max_websockets = limits.max_websockets.min(connections.saturating_sub(FEWEST / 2));
    if max_websockets < limits.max_websockets {
        tracing::warn!(
            "rpc.max_websockets is {}, but with {connections} connections only {max_websockets} are allowed: raise rpc.max_connections, and the limit of descriptors (ulimit -n)",
            limits.max_websockets,
        );
    }
    RpcLimits { max_connections: connections, max_websockets, ..limits }
}

/// Returns the number of connections, of `wanted` ones, if the process may have so many descriptors.
fn room(descriptors: Option<u64>, wanted: usize) -> usize {
    let rest = descriptors.map_or(u64::MAX, |descriptors| descriptors.saturating_sub(RESERVED));
    wanted.min(usize::try_from(rest).unwrap_or(usize::MAX).max(FEWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files() {
        assert_eq!(room(None, 500), 500);
        assert_eq!(room(Some(1024), 500), 500);
        assert_eq!(room(Some(756), 500), 500);
        assert_eq!(room(Some(755), 500), 499);
        assert_eq!(room(Some(300), 500), 44);
        assert_eq!((room(Some(100), 500), room(Some(100), 7)), (FEWEST, 7));
    }
}
