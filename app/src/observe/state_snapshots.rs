//! Metrics of the snapshots of the state, which peers fetch.

use std::time::Instant;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The metrics of snapshots.
#[derive(Debug)]
pub(crate) struct StateSnapshots {
    written: Counter,
    skipped: Counter,
    height: Gauge,
    bytes: Gauge,
    seconds: Histogram,
    served: Counter,
    refused: Counter,
}

impl StateSnapshots {
    /// Registers metrics that begin at 0.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        // The buckets span a tenth of a second to an hour.
        let buckets = (0..16).map(|power: i32| 0.1 * 2f64.powi(power));
        let metrics = Self {
            written: Counter::default(),
            skipped: Counter::default(),
            height: Gauge::default(),
            bytes: Gauge::default(),
            seconds: Histogram::new(buckets.collect::<Vec<_>>()),
            served: Counter::default(),
            refused: Counter::default(),
        };
        let Self { written, skipped, height, bytes, seconds, served, refused } = &metrics;
        registry.register("state_snapshots", "Snapshots of the state written", written.clone());
        registry.register(
            "state_snapshots_skipped",
            "Snapshots of the state that were due and not written",
            skipped.clone(),
        );
        registry.register("state_snapshot_height", "Height of the last snapshot", height.clone());
        registry.register("state_snapshot_bytes", "Bytes of the last snapshot", bytes.clone());
        registry.register(
            "state_snapshot_seconds",
            "Seconds that writing a snapshot took, while blocks went on",
            seconds.clone(),
        );
        registry.register(
            "state_chunks_served",
            "Chunks of snapshots that were given to peers",
            served.clone(),
        );
        registry.register(
            "state_chunks_refused",
            "Chunks of peers that were not those of their snapshot",
            refused.clone(),
        );
        metrics
    }

    /// Counts a snapshot that was written.
    pub(crate) fn written(&self, height: u64, bytes: u64) {
        self.written.inc();
        self.height.set(i64::try_from(height).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a chunk that a peer was given.
    pub(crate) fn served(&self) {
        self.served.inc();
    }

    /// Counts a chunk that was refused, and whose sender was named.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// Counts a snapshot that was due and was not written.
    pub(crate) fn skipped(&self) {
        self.skipped.inc();
    }

    /// Writes a snapshot by `work` and records the duration.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.seconds.observe(began.elapsed().as_secs_f64());
        result
    }
}
