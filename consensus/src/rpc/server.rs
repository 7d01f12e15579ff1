//! The server of the JSON-RPC, on threads of its own.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::context::RpcContext;
use super::http;
use crate::listen::{self, Bounds, Protocol};

/// Time for which running calls are waited for when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server of the JSON-RPC.
pub(crate) struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves `node` on `listener`, on threads of its own.
    pub(crate) fn start(listener: TcpListener, node: Arc<RpcContext>) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("solo-rpc")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("solo-rpc".to_owned())
            .spawn(move || serve(runtime, listener, node, stopped))?;
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
    let bounds = Bounds {
        most: node.limits.max_connections,
        address_percent: node.limits.max_address_percent,
        first: node.limits.first_request_timeout,
        budget: node.budget.clone(),
        idle: node.limits.idle_timeout,
        open: Arc::clone(&node.usage.connections),
        dropped: Arc::clone(&node.usage.dropped),
    };
    runtime.block_on(async move {
        tokio::select! {
            ended = listen::accept(listener, http::router(node), bounds, Protocol::Http1) => if let Err(error) = ended {
                tracing::error!(%error, "the RPC server failed");
            },
            _ = stopped => {}
        }
    });
    runtime.shutdown_timeout(STOP_TIMEOUT);
}
