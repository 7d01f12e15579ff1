//! Free ports for nodes that stop and start again.
//!
//! The operating system gives ports of its ephemeral range to outgoing connections. A node that lies in that range may
//! find its port taken when it comes back. So these ports are below it.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
};

/// Ports above those of well-known services, and below the ephemeral range of Linux (32768) and of macOS (49152).
const PORTS: Range<u16> = 10_000..32_768;

/// Returns `count` different loopback addresses on which nothing listens and that are not in `taken`. The search begins
/// at a random port, so that programs which search at the same time seldom meet.
///
/// # Errors
/// [`io::ErrorKind::AddrNotAvailable`] if there are not so many.
pub fn free_addrs(count: usize, taken: &BTreeSet<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let span = u64::from(PORTS.end - PORTS.start);
    let first = RandomState::new().hash_one(std::process::id()) % span;
    let ports = (0..span).filter_map(|step| u16::try_from((first + step) % span).ok());
    // All are held until the last is found, so that no other program takes one meanwhile.
    let held: Vec<TcpListener> = ports
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + port)))
        .filter(|addr| !taken.contains(addr))
        .filter_map(|addr| TcpListener::bind(addr).ok())
        .take(count)
        .collect();
    if held.len() < count {
        let text =
            format!("fewer than {count} ports from {} to {} are free", PORTS.start, PORTS.end);
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    held.iter().map(TcpListener::local_addr).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_addresses_differ_and_no_outgoing_connection_takes_them() {
        let found = free_addrs(20, &BTreeSet::new()).unwrap();
        let different: BTreeSet<SocketAddr> = found.iter().copied().collect();
        assert_eq!(different.len(), 20);
        assert!(found.iter().all(|addr| PORTS.contains(&addr.port())));
    }

    #[test]
    fn addresses_that_are_taken_are_passed_over() {
        let all: BTreeSet<SocketAddr> =
            PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let error = free_addrs(1, &all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
