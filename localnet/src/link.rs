//! The links between nodes: proxies that can be cut.
//!
//! Each pair of nodes has one link, which the node with the greater number dials. While a link is cut, connections stay
//! open and bytes under way wait, as when packets are lost and sent again. Proxies need no privileges and work on every
//! machine, unlike network namespaces.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const BUFFER_BYTES: usize = 64 << 10;

/// A proxy in front of one node for one other node. It ends with the process.
#[derive(Clone, Debug)]
pub struct Link {
    addr: SocketAddr,
    gate: Arc<Gate>,
}

/// A gate that is open or shut. Connections wait while it is shut.
#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

impl Link {
    /// Starts to forward connections to `target`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let link = Self { addr: listener.local_addr()?, gate: Arc::default() };
        let gate = Arc::clone(&link.gate);
        std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            for near in listener.incoming().flatten() {
                let gate = Arc::clone(&gate);
                // Without a thread the connection is dropped and dialled again.
                let _ = std::thread::Builder::new().spawn(move || pass(&near, target, &gate));
            }
        })?;
        Ok(link)
    }

    /// Returns the address that the other node dials.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts or restores the link.
    pub fn set_cut(&self, cut: bool) {
        *self.gate.lock() = cut;
        self.gate.changed.notify_all();
    }

    /// Returns whether the link is cut.
    pub fn is_cut(&self) -> bool {
        *self.gate.lock()
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until_open(&self) {
        let shut = self.lock();
        drop(self.changed.wait_while(shut, |shut| *shut).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Forwards bytes both ways until either side closes.
fn pass(near: &TcpStream, target: SocketAddr, gate: &Arc<Gate>) {
    gate.wait_until_open();
    let Ok(far) = TcpStream::connect(target) else { return };
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let back = Arc::clone(gate);
    // Without a thread both ends are closed when this function returns.
    let Ok(backwards) = std::thread::Builder::new().spawn(move || copy(far_too, near_too, &back))
    else {
        return;
    };
    if let (Ok(from), Ok(to)) = (near.try_clone(), far.try_clone()) {
        copy(from, to, gate);
    }
    // A panic there was printed, and the connection is over either way.
    let _ = backwards.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count) = from.read(&mut buffer) {
        gate.wait_until_open();
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // One that is closed already needs no closing.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that gives back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                    let _ = io::copy(&mut from, &mut to);
                });
            }
        });
        addr
    }

    #[test]
    fn what_is_sent_through_a_cut_link_arrives_when_it_is_mended() {
        let link = Link::start(echo()).unwrap();
        let mut stream = TcpStream::connect(link.addr()).unwrap();
        let mut answer = [0; 3];
        stream.write_all(b"one").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"one");

        link.set_cut(true);
        stream.write_all(b"two").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.read_exact(&mut answer).is_err(), "got through a cut link");
        let mut late = TcpStream::connect(link.addr()).unwrap();
        late.write_all(b"new").unwrap();

        link.set_cut(false);
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"two");
        late.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"new");
    }

    #[test]
    fn a_closed_connection_is_closed_on_the_other_side() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link::start(listener.local_addr().unwrap()).unwrap();
        let near = TcpStream::connect(link.addr()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
    }
}
