//! The ABCI server: the socket on which CometBFT calls the application.
//!
//! Each connection has a thread. CometBFT opens four: consensus, mempool, queries and snapshots. So a query or a
//! CheckTx waits for FinalizeBlock only if the application makes it wait.
//!
//! The server of `tendermint-abci` is not used for three reasons. It copies all of a partial message at each read,
//! which makes large blocks quadratic. It does not bound a message. It goes on without the thread whose application
//! panicked.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{Request, Response};

use super::dispatch;
use super::frame::{self, FrameError};
use super::socket::{AbciAddr, Listener, Stream};

/// Maximum number of connections: the four of CometBFT, and some for people who look.
const MAX_CONNECTIONS: usize = 16;

const BUFFER_BYTES: usize = 64 << 10;

/// A running ABCI server. Dropping it closes its socket and all connections.
#[derive(Debug)]
pub struct AbciServer {
    addr: AbciAddr,
    connections: Arc<Connections>,
    accepting: Option<JoinHandle<()>>,
}

/// The open connections by number.
#[derive(Debug, Default)]
struct Connections {
    stopping: AtomicBool,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Stream>>,
}

impl AbciServer {
    /// Serves `app` on `addr`. Port 0 takes a free one, and an abandoned socket is replaced. A panic of the application
    /// ends the process with exit code 101.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(app: impl Application, addr: &AbciAddr) -> io::Result<Self> {
        let (listener, addr) = Listener::bind(addr)?;
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        let accepting = std::thread::Builder::new()
            .name("abci".to_owned())
            .spawn(move || accept(&listener, &app, &shared))?;
        Ok(Self { addr, connections, accepting: Some(accepting) })
    }

    /// Returns the address of the server.
    pub fn addr(&self) -> &AbciAddr {
        &self.addr
    }
}

impl Drop for AbciServer {
    fn drop(&mut self) {
        self.connections.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. If it cannot be reached it has ended already.
        drop(Stream::connect(&self.addr));
        for stream in self.connections.lock().values() {
            // One that is closed already needs no closing.
            let _ = stream.shutdown();
        }
        if let Some(thread) = self.accepting.take() {
            // It has no result, and a panic in it was printed.
            let _ = thread.join();
        }
        if let AbciAddr::Unix(path) = &self.addr {
            // Whoever starts next replaces it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Stream>> {
        // Each change of the map is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in and numbers it.
    fn add(&self, stream: &Stream) -> io::Result<u64> {
        let mut open = self.lock();
        if open.len() >= MAX_CONNECTIONS {
            return Err(io::Error::other(format!(
                "{MAX_CONNECTIONS} connections are open already"
            )));
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        open.insert(number, stream.try_clone()?);
        Ok(number)
    }
}

fn accept<A: Application>(listener: &Listener, app: &A, connections: &Arc<Connections>) {
    loop {
        let stream = listener.accept();
        if connections.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = stream.and_then(|stream| serve(stream, app.clone(), connections)) {
            tracing::warn!(%error, "an ABCI connection was refused");
        }
    }
}

/// Gives the connection a thread.
fn serve<A: Application>(stream: Stream, app: A, connections: &Arc<Connections>) -> io::Result<()> {
    let number = connections.add(&stream)?;
    let shared = Arc::clone(connections);
    let thread = std::thread::Builder::new().name("abci-connection".to_owned()).spawn(move || {
        if let Err(error) = converse(stream, &app) {
            tracing::warn!(%error, "an ABCI connection was closed");
        }
        shared.lock().remove(&number);
    });
    thread.map(drop).inspect_err(|_| drop(connections.lock().remove(&number)))
}

/// Answers requests until the connection ends or sends something else than a request.
fn converse(stream: Stream, app: &impl Application) -> Result<(), FrameError> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, stream.try_clone()?);
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, stream);
    loop {
        // Answers are held back only while more requests have come already.
        if input.buffer().is_empty() {
            output.flush()?;
        }
        match frame::read::<Request>(&mut input) {
            Ok(Some(request)) => frame::write(&mut output, &dispatch::answer(app, request))?,
            Ok(None) => return Ok(output.flush()?),
            Err(error) => {
                let value = Some(dispatch::exception(error.to_string()));
                frame::write(&mut output, &Response { value })?;
                output.flush()?;
                return Err(error);
            }
        }
    }
}
