//! How long a step's run goes on, and how much cleanup it allows: SwingSet's run policies.

use anyhow::{Context, Result, bail};
use capstan_kernel::policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy};
use serde_json::Value;

/// The cleanup that SwingSet's counters of cranks and computrons allow a crank.
const COUNTERS_CLEANUP: u64 = 100;

/// The policy of a `run` step.
#[derive(Debug)]
pub struct StepPolicy {
    /// Cranks that are left; no limit if none is given.
    cranks: Option<u64>,
    /// Computrons that are left; no limit if none is given.
    computrons: Option<u64>,
    /// The cleanup that a crank may do.
    cleanup: Option<CleanupCounts>,
    /// The cleanup is allowed to one crank alone.
    cleans_once: bool,
}

impl StepPolicy {
    /// The policy of `{op: "run", cranks?, computrons?, cleanup?, cleanupOnce?}`.
    pub fn of_run(step: &Value) -> Result<Self> {
        let (cranks, computrons) = (step["cranks"].as_u64(), step["computrons"].as_u64());
        let is_counter = cranks.is_some() || computrons.is_some();
        let cleanup = match &step["cleanup"] {
            Value::Null if is_counter => Some(CleanupCounts::uniform(COUNTERS_CLEANUP)),
            Value::Null | Value::Bool(true) => Some(CleanupCounts::UNLIMITED),
            Value::Bool(false) => None,
            budget => Some(counts(budget)?),
        };
        let cleans_once = step["cleanupOnce"].as_bool().unwrap_or(false);
        Ok(Self { cranks, computrons, cleanup, cleans_once })
    }

    /// The policy of `{op: "step", n}`: SwingSet's `controller.step()`, which has none.
    pub fn of_step(cranks: u64) -> Self {
        let cleanup = Some(CleanupCounts::UNLIMITED);
        Self { cranks: Some(cranks), computrons: None, cleanup, cleans_once: false }
    }
}

/// A budget: a number, or numbers by phase with a `default` for the others. `null` is no limit.
fn counts(budget: &Value) -> Result<CleanupCounts> {
    if let Some(limit) = budget.as_u64() {
        return Ok(CleanupCounts::uniform(limit));
    }
    let phases = budget.as_object().context("cleanup: a number, a boolean or a record")?;
    let known = ["default", "exports", "imports", "promises", "kv", "snapshots", "transcripts"];
    if let Some(odd) = phases.keys().find(|phase| !known.contains(&phase.as_str())) {
        bail!("cleanup: {odd} is none of {}", known.join(", "));
    }
    let number = |name: &str| phases.get(name).map(|n| n.as_u64().unwrap_or(u64::MAX));
    let default = number("default").unwrap_or(u64::MAX);
    let limit = |name: &str| number(name).unwrap_or(default);
    Ok(CleanupCounts {
        exports: limit("exports"),
        imports: limit("imports"),
        promises: limit("promises"),
        kv: limit("kv"),
        snapshots: limit("snapshots"),
        transcripts: limit("transcripts"),
    })
}

impl RunPolicy for StepPolicy {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        self.cleanup
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        if self.cleans_once && matches!(outcome, CrankOutcome::Cleanup { .. }) {
            self.cleanup = None;
        }
        if let Some(cranks) = &mut self.cranks {
            *cranks = cranks.saturating_sub(1);
        }
        if let Some(left) = &mut self.computrons {
            *left = left.saturating_sub(computrons(outcome));
        }
        self.cranks != Some(0) && self.computrons != Some(0)
    }
}

/// What SwingSet's counter of computrons counts for a crank.
fn computrons(outcome: &CrankOutcome) -> u64 {
    match outcome {
        CrankOutcome::Empty | CrankOutcome::Cleanup { .. } => 0,
        CrankOutcome::Delivery { computrons } => computrons.map_or(1_000_000, |spent| spent.0),
        CrankOutcome::VatCreated { .. } => 100_000,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_counter_allows_a_hundred_and_a_run_without_limit_everything() {
        let allowed = |step: Value| StepPolicy::of_run(&step).unwrap().allow_cleanup();
        assert_eq!(allowed(json!({"cranks": 3})), Some(CleanupCounts::uniform(100)));
        assert_eq!(allowed(json!({"computrons": 3})), Some(CleanupCounts::uniform(100)));
        assert_eq!(allowed(json!({})), Some(CleanupCounts::UNLIMITED));
        assert_eq!(allowed(json!({"cleanup": false})), None);
        assert_eq!(allowed(json!({"cleanup": 5})), Some(CleanupCounts::uniform(5)));
        let phases = CleanupCounts { kv: 7, exports: u64::MAX, ..CleanupCounts::uniform(2) };
        let step = json!({"cleanup": {"default": 2, "kv": 7, "exports": null}});
        assert_eq!(allowed(step), Some(phases));
        StepPolicy::of_run(&json!({"cleanup": {"vatstore": 1}})).unwrap_err();
    }

    #[test]
    fn a_budget_that_is_given_once_is_gone_after_one_cleanup() {
        let mut policy = StepPolicy::of_run(&json!({"cleanup": 5, "cleanupOnce": true})).unwrap();
        assert!(policy.crank_done(&CrankOutcome::Empty, &KernelWork::default()));
        assert_eq!(policy.allow_cleanup(), Some(CleanupCounts::uniform(5)));
        let work = CleanupCounts::default();
        assert!(policy.crank_done(&CrankOutcome::Cleanup { work }, &KernelWork::default()));
        assert_eq!(policy.allow_cleanup(), None);
    }
}
