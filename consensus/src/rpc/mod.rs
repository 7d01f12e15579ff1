//! The JSON-RPC, compatible with CometBFT 0.38: JSON over POST (single and batch), URIs over GET,
//! WebSocket at `/websocket`. Field names, encodings and error codes are CometBFT's.

mod blocks;
mod call;
pub(crate) mod context;
pub(crate) mod events;
mod http;
mod info;
pub(crate) mod json;
mod limits;
mod params;
mod quotes;
mod txs;
mod websocket;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub use limits::RpcLimits;

use context::RpcContext;

/// Time for which running calls are waited for when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

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
        let served = async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(quotes::Listener(listener), http::router(node)).await
        };
        tokio::select! {
            ended = served => if let Err(error) = ended { tracing::error!(%error, "the RPC server failed") },
            _ = stopped => {}
        }
    });
    runtime.shutdown_timeout(STOP_TIMEOUT);
}

#[cfg(test)]
mod recorded_tests;
