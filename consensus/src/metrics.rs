//! A port for metrics, for nodes whose JSON-RPC belongs to another program or is open to others.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::listen::{self, Bounds, Budget, BudgetBounds, Protocol};

/// A function that returns metrics in the text format of OpenMetrics 1.0, or the reason why it cannot.
pub type Metrics = Arc<dyn Fn() -> Result<String, MetricsError> + Send + Sync>;

/// Reason why metrics cannot be read.
pub type MetricsError = Box<dyn std::error::Error + Send + Sync>;

/// The content type of [`Metrics`]: OpenMetrics 1.0, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Time for which running requests are waited for when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of connections to the port. Few programs read metrics.
const MAX_CONNECTIONS: usize = 16;

/// Time without a byte after which a connection is closed. Those who read metrics connect again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time in which the first request of a connection must begin.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

fn bounds() -> Bounds {
    let (open, dropped) = Default::default();
    // Answers are no part of the budget: the handler makes one at a time for each connection.
    let (most, first) = (MAX_CONNECTIONS, FIRST_REQUEST_TIMEOUT);
    let budget = Budget::new(BudgetBounds { bytes: 0, connections: most, address_percent: 100 });
    Bounds { most, address_percent: 100, first, idle: IDLE_TIMEOUT, budget, open, dropped }
}

/// A server of [`Metrics`] at `/metrics`. Dropping it stops it.
#[derive(Debug)]
pub struct MetricsServer {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Listens on `addr`. Port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be listened on, or the thread cannot be started.
    pub fn start(addr: SocketAddr, metrics: Metrics) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            runtime.block_on(async {
                let router = axum::Router::new().route("/metrics", get(read)).with_state(metrics);
                tokio::select! {
                    ended = listen::accept(listener, router, bounds(), Protocol::Http1) => if let Err(error) = ended {
                        tracing::error!(%error, "the metrics server failed");
                    },
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })?;
        Ok(Self { addr, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address of the server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed, and nothing depends on it.
            let _ = thread.join();
        }
    }
}

/// Answers a request for metrics. `more` is added before the end.
pub(crate) async fn answer(metrics: Metrics, more: &str) -> Response {
    // It reads the state: not on a thread that serves others.
    let text = tokio::task::spawn_blocking(move || metrics()).await;
    match text.unwrap_or_else(|error| Err(error.into())) {
        Ok(text) => {
            // OpenMetrics ends with a mark, after which nothing may follow.
            let text = format!("{}{more}# EOF\n", text.trim_end().trim_end_matches("# EOF"));
            (StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
        }
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()).into_response(),
    }
}

async fn read(State(metrics): State<Metrics>) -> Response {
    answer(metrics, "").await
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn metrics_are_served_at_their_path_alone_and_faults_are_told() {
        let addr = "127.0.0.1:0".parse().unwrap();
        let good = MetricsServer::start(addr, Arc::new(|| Ok("x 1\n# EOF\n".to_owned()))).unwrap();
        let answer = ask(good.addr(), "/metrics");
        assert!(answer.contains(" 200 ") && answer.ends_with("\r\n\r\nx 1\n# EOF\n"), "{answer}");
        assert!(ask(good.addr(), "/other").contains(" 404 "));
        let at = good.addr();
        drop(good);
        assert!(TcpStream::connect(at).is_err(), "it has stopped");
        let bad = MetricsServer::start(addr, Arc::new(|| Err("the disk".into()))).unwrap();
        let answer = ask(bad.addr(), "/metrics");
        assert!(answer.contains(" 500 ") && answer.contains("the disk"), "{answer}");
    }
}
