//! Counts of what ran ahead.

use super::Stage;

/// The deliveries that ran ahead: how many were begun, counted, were lost, were collections before a snapshot, and counted
/// behind another one of the same vat. The vats that came back ahead of their turn, and the bundles that were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) begun: u64,
    pub(super) counted: u64,
    pub(super) lost: u64,
    pub(super) snapshots: u64,
    pub(super) chained: u64,
    pub(super) prepared: u64,
    pub(super) loads: u64,
}

impl Counts {
    pub(super) fn of(stage: &Stage) -> Self {
        let usage = stage.kernel.host().usage();
        Self {
            begun: usage.ahead_begun(),
            counted: usage.ahead_counted(),
            lost: usage.ahead_lost(),
            snapshots: usage.ahead_snapshots(),
            chained: usage.ahead_chained(),
            prepared: usage.prepared_counted(),
            loads: usage.loads_ahead(),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        let Self { begun, counted, lost, snapshots, chained, prepared, loads } = other;
        self.begun += begun;
        self.counted += counted;
        self.lost += lost;
        self.snapshots += snapshots;
        self.chained += chained;
        self.prepared += prepared;
        self.loads += loads;
    }
}
