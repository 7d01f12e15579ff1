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
/// | `capstan_rpc_dropped_total` | connections closed because they were idle or their client read too slowly |
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) websockets: Arc<AtomicUsize>,
    pub(crate) subscriptions: Arc<AtomicUsize>,
    pub(crate) backlog: Arc<AtomicUsize>,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
    answer_max: AtomicUsize,
}

/// A number that is part of one or two counters until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    counters: [Option<Arc<AtomicUsize>>; 2],
    amount: usize,
}

impl Counted {
    /// Adds `amount` to `counter`.
    pub(crate) fn new(counter: &Arc<AtomicUsize>, amount: usize) -> Self {
        counter.fetch_add(amount, Ordering::Relaxed);
        Self { counters: [Some(Arc::clone(counter)), None], amount }
    }

    /// Adds the amount to a second counter too.
    pub(crate) fn and(mut self, counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(self.amount, Ordering::Relaxed);
        self.counters[1] = Some(Arc::clone(counter));
        self
    }

    /// Changes what is counted.
    pub(crate) fn set(&mut self, amount: usize) {
        for counter in self.counters.iter().flatten() {
            counter.fetch_add(amount, Ordering::Relaxed);
            counter.fetch_sub(self.amount, Ordering::Relaxed);
        }
        self.amount = amount;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
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
            ("refused", "Requests refused because of a bound", &self.refused),
            ("dropped", "Connections closed because of their clients", &self.dropped),
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
            let value = value.load(Ordering::Relaxed);
            let _ = write!(
                text,
                "# HELP capstan_rpc_{name} {help}.\n# TYPE capstan_rpc_{name} counter\ncapstan_rpc_{name}_total {value}\n"
            );
        }
        text
    }
}
