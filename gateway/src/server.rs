//! The server of both protocols, on threads of its own.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use capstan_consensus::listen::{self, Bounds, Budget, BudgetBounds, Intake, Protocol};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::config::GatewayConfig;
use crate::error::GatewayError;
use crate::node::{Node, Query, Rpc};
use crate::shared::Shared;
use crate::usage::{Counters, Usage};
use crate::{descriptors, grpc, rest};

/// Time for which running calls are waited for when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A server of gRPC and REST. Dropping it stops it.
pub struct Gateway {
    grpc: Option<SocketAddr>,
    rest: Option<SocketAddr>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Serves the application that `query` asks, and the node whose JSON-RPC `rpc` calls. `usage` is counted up.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub fn start(
        config: &GatewayConfig,
        query: Query,
        rpc: Rpc,
        usage: Arc<Usage>,
    ) -> Result<Self, GatewayError> {
        let grpc = config.grpc.map(|addr| listen(addr, "gRPC", "grpc")).transpose()?;
        let rest = config.rest.map(|addr| listen(addr, "REST", "rest")).transpose()?;
        let addr_of = |listener: &Option<(TcpListener, SocketAddr)>| listener.as_ref().map(|l| l.1);
        let (grpc_addr, rest_addr) = (addr_of(&grpc), addr_of(&rest));
        let shared = Arc::new(shared(config, query, rpc, usage)?);
        let budget = budget(config);
        let mut servers = Vec::new();
        if let Some((listener, _)) = grpc {
            let router = grpc::router(Arc::clone(&shared))?;
            let protocol = Protocol::Http2 { streams: config.limits.max_streams };
            let bounds = bounds(config, &budget, &shared.usage.grpc);
            servers.push((listener, router, bounds, protocol));
        }
        if let Some((listener, _)) = rest {
            let router = rest::router(Arc::clone(&shared), config.cors);
            let bounds = bounds(config, &budget, &shared.usage.rest);
            servers.push((listener, router, bounds, Protocol::Http1));
        }
        let (stop, stopped) = watch::channel(());
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("gateway")
            .enable_all()
            .build()
            .map_err(GatewayError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || serve(runtime, servers, stopped))
            .map_err(GatewayError::Thread)?;
        Ok(Self { grpc: grpc_addr, rest: rest_addr, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the address of gRPC, or `None` if it is not served.
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// Returns the address of REST, or `None` if it is not served.
    pub fn rest_addr(&self) -> Option<SocketAddr> {
        self.rest
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("grpc", &self.grpc).field("rest", &self.rest).finish()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed, and nothing depends on it.
            let _ = thread.join();
        }
    }
}

fn shared(
    config: &GatewayConfig,
    query: Query,
    rpc: Rpc,
    usage: Arc<Usage>,
) -> Result<Shared, GatewayError> {
    let limits = config.limits;
    let permits = |most: usize| Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let (running, searching) = (permits(limits.max_calls), permits(limits.max_searches));
    let (pool, max_answer_bytes) = (descriptors::pool()?, limits.max_answer_bytes);
    let node = Node { query, rpc };
    let backend = Arc::new(Backend { node, pool, running, searching, max_answer_bytes });
    let intake = Intake { most: limits.max_request_bytes, idle: limits.idle_timeout };
    Ok(Shared { backend, intake, usage })
}

fn listen(
    addr: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let bind = || -> io::Result<_> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bind().map_err(|source| GatewayError::Listen { what, flag, addr, source })
}

/// Returns the memory that both protocols share.
fn budget(config: &GatewayConfig) -> Budget {
    let listeners = config.grpc.iter().chain(&config.rest).count();
    Budget::new(BudgetBounds {
        bytes: config.limits.max_pending_bytes,
        connections: config.limits.max_connections.max(1).saturating_mul(listeners),
        address_percent: config.limits.max_address_percent,
    })
}

fn bounds(config: &GatewayConfig, budget: &Budget, counters: &Counters) -> Bounds {
    Bounds {
        most: config.limits.max_connections.max(1),
        address_percent: config.limits.max_address_percent,
        first: config.limits.first_request_timeout,
        budget: budget.clone(),
        idle: config.limits.idle_timeout,
        open: Arc::clone(&counters.connections),
        dropped: Arc::clone(&counters.dropped),
    }
}

fn serve(
    runtime: Runtime,
    servers: Vec<(TcpListener, Router, Bounds, Protocol)>,
    mut stopped: watch::Receiver<()>,
) {
    runtime.block_on(async move {
        let mut running = JoinSet::new();
        for (listener, router, bounds, protocol) in servers {
            running.spawn(listen::accept(listener, router, bounds, protocol));
        }
        loop {
            tokio::select! {
                Some(ended) = running.join_next() => if let Ok(Err(error)) = ended {
                    tracing::error!(%error, "a server of the gateway failed");
                },
                // It fails when the sender is dropped, which is how the gateway stops.
                _ = stopped.changed() => break,
            }
        }
    });
    runtime.shutdown_timeout(STOP_TIMEOUT);
}
