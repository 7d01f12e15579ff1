//! Counters of what the gateway uses and refuses, for operators.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters of one protocol.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) dropped: Arc<AtomicU64>,
    calls: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

/// The counters of a [`Gateway`](crate::Gateway), with the label `protocol`, which is `grpc` or `rest`.
///
/// | metric | what it is |
/// |---|---|
/// | `capstan_gateway_connections` | open connections |
/// | `capstan_gateway_dropped_total` | connections closed because they were of no use, made room, or had no right to it |
/// | `capstan_gateway_calls_total` | calls |
/// | `capstan_gateway_failed_total` | calls that were answered by an error |
/// | `capstan_gateway_refused_total` | calls refused because a bound was reached |
#[derive(Debug, Default)]
pub struct Usage {
    pub(crate) grpc: Counters,
    pub(crate) rest: Counters,
}

impl Counters {
    /// Counts a call by its outcome.
    pub(crate) fn called(&self, outcome: Result<(), tonic::Code>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(code) = outcome {
            self.failed.fetch_add(1, Ordering::Relaxed);
            if code == tonic::Code::ResourceExhausted {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Usage {
    /// Returns the metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let open = |c: &Counters| c.connections.load(Ordering::Relaxed) as u64;
        self.metric(&mut text, "connections", "gauge", "Open connections", open);
        let rows: [(&str, &str, fn(&Counters) -> &AtomicU64); 4] = [
            ("dropped", "Connections closed because they were of no use", |c| &c.dropped),
            ("calls", "Calls", |c| &c.calls),
            ("failed", "Calls answered by an error", |c| &c.failed),
            ("refused", "Calls refused because of a bound", |c| &c.refused),
        ];
        for (name, help, counter) in rows {
            self.metric(&mut text, name, "counter", help, |c| counter(c).load(Ordering::Relaxed));
        }
        text
    }

    fn metric(
        &self,
        text: &mut String,
        name: &str,
        kind: &str,
        help: &str,
        value: impl Fn(&Counters) -> u64,
    ) {
        let total = if kind == "counter" { "_total" } else { "" };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "# HELP capstan_gateway_{name} {help}.\n# TYPE capstan_gateway_{name} {kind}"
        );
        for (protocol, counters) in [("grpc", &self.grpc), ("rest", &self.rest)] {
            let value = value(counters);
            let _ =
                writeln!(text, "capstan_gateway_{name}{total}{{protocol=\"{protocol}\"}} {value}");
        }
    }
}
