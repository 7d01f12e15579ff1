//! The server of the JSON-RPC: its threads, and the connections that it accepts.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::connection::Connection;
use super::context::RpcContext;
use super::usage::Counted;
use super::http;

/// Time for which running calls are waited for when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failure to accept a connection, which is the operating system's and may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server of the JSON-RPC.
pub(crate) struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves `node` on `listener`, on threads of its own.
    pub(crate) fn start(listener: TcpListener, node: RpcContext) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("solo-rpc")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("solo-rpc".to_owned())
            .spawn(move || serve(runtime, listener, Arc::new(node), stopped))?;
        Ok(Self { stop, thread })
    }

    /// Closes all connections and waits for the threads.
    pub(crate) fn stop(self) -> std::thread::Result<()> {
        // If nobody receives, the server has ended already.
        let _ = self.stop.send(());
        self.thread.join()
    }
}

fn serve(
    runtime: Runtime,
    listener: TcpListener,
    node: Arc<RpcContext>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async move {
        tokio::select! {
            ended = accept(listener, node) => if let Err(error) = ended {
                tracing::error!(%error, "the RPC server failed");
            },
            _ = stopped => {}
        }
    });
    runtime.shutdown_timeout(STOP_TIMEOUT);
}

/// Accepts connections, no more at a time than allowed. Further ones wait in the operating system's queue.
async fn accept(listener: TcpListener, node: Arc<RpcContext>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let most = node.limits.max_connections.min(Semaphore::MAX_PERMITS);
    let open = Arc::new(Semaphore::new(most));
    let router = http::router(Arc::clone(&node));
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), Arc::clone(&node), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the RPC was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection until it ends. A WebSocket takes the connection over, with its permit.
async fn converse(
    stream: TcpStream,
    router: Router,
    node: Arc<RpcContext>,
    permit: OwnedSemaphorePermit,
) {
    let idle = node.limits.idle_timeout;
    let counted = Counted::new(&node.usage.connections, 1);
    let stream = Connection::new(stream, idle, (permit, counted));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if served.is_err_and(|error| error.is_timeout() || timed_out(&error)) {
        node.usage.drop_client();
    }
}

/// Returns whether a connection failed because it was idle.
fn timed_out(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
