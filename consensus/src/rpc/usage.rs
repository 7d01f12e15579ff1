//! Counters of what the JSON-RPC uses and refuses, for operators.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters of a server.
///
/// | metric | what it is |
/// |---|---|
/// | `capstan_rpc_connections` | open connections |
/// | `capstan_rpc_websockets` | those of them that are WebSockets |
/// | `capstan_rpc_subscriptions` | subscriptions of all WebSockets |
/// | `capstan_rpc_backlog_bytes` | bytes that wait for clients of WebSockets; equal events are in memory once |
/// | `capstan_rpc_pending_bytes` | bytes of bodies and answers in memory |
/// | `capstan_rpc_answer_bytes_max` | bytes of the largest answer since the start |
/// | `capstan_rpc_refused_total` | requests refused because a bound was reached |
/// | `capstan_rpc_dropped_total` | connections closed because they were idle, made room, or their client read too slowly |
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) websockets: Arc<AtomicUsize>,
    pub(crate) subscriptions: Arc<AtomicUsize>,
    pub(crate) backlog: Arc<AtomicUsize>,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: Arc<AtomicU64>,
    answer_max: AtomicUsize,
}

impl Usage {
    /// Counts a request that was refused because a bound was reached.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed because of its client.
    pub(crate) fn drop_client(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the size of an answer.
    pub(crate) fn answered(&self, bytes: usize) {
        self.answer_max.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Returns the metrics as text. `pending` is the number of bytes of bodies and answers in memory.
    pub(crate) fn text(&self, pending: usize) -> String {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let gauges = [
            ("connections", "Open connections", read(&self.connections)),
            ("websockets", "Open WebSockets", read(&self.websockets)),
            ("subscriptions", "Subscriptions of all WebSockets", read(&self.subscriptions)),
            ("backlog_bytes", "Bytes that wait for clients of WebSockets", read(&self.backlog)),
            ("pending_bytes", "Bytes of bodies and answers in memory", pending),
            ("answer_bytes_max", "Bytes of the largest answer", read(&self.answer_max)),
        ];
        let counters = [
            (
                "refused",
                "Requests refused because of a bound",
                self.refused.load(Ordering::Relaxed),
            ),
            (
                "dropped",
                "Connections closed because of their clients",
                self.dropped.load(Ordering::Relaxed),
            ),
        ];
        let mut text = String::new();
        for (name, help, value) in gauges {
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "# HELP capstan_rpc_{name} {help}.\n# TYPE capstan_rpc_{name} gauge\ncapstan_rpc_{name} {value}\n"
            );
        }
        for (name, help, value) in counters {
            let _ = write!(
                text,
                "# HELP capstan_rpc_{name} {help}.\n# TYPE capstan_rpc_{name} counter\ncapstan_rpc_{name}_total {value}\n"
            );
        }
        text
    }
}
