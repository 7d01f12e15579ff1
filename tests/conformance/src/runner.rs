//! Runs a scenario's steps on a kernel and compares.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use capstan_kernel::{Kernel, NodeOptions, ids::KRef, view};
use capstan_kernel_ports::{host::VatHost, memory::MemoryState, store::Overlay};
use serde_json::Value;

use crate::{
    compare,
    outside::Outside,
    recorder::Recording,
    scenario::{Bundles, Scenario},
    setup::kernel_config,
};

/// The outcome of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first difference; none if all is equal.
    pub difference: Option<String>,
    /// The intended deviations of Capstan that the scenario met.
    pub deviations: BTreeSet<String>,
}

/// A scenario in progress.
pub struct Run<H> {
    pub(crate) kernel: Kernel<H>,
    /// Its bottom level is the last commit.
    pub(crate) state: MemoryState,
    recording: Recording,
    pub(crate) bundles: Bundles,
    pub(crate) results: BTreeMap<String, KRef>,
    pub(crate) slots: BTreeMap<String, Vec<String>>,
    pub(crate) outside: Outside,
}

impl<H> std::fmt::Debug for Run<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("results", &self.results).finish_non_exhaustive()
    }
}

/// A vat host that can be told that its vats went back to the last commit.
pub trait ScenarioHost: VatHost {
    /// All that was done so far is committed.
    fn commit(&mut self);

    /// What was done since the last commit is undone.
    fn roll_back(&mut self);
}

impl<H: ScenarioHost> Run<H> {
    /// Runs all steps and compares.
    pub fn scenario(host: H, scenario: &Scenario, bundles: Bundles) -> Result<Outcome> {
        let mut deviations = BTreeSet::new();
        let difference = Self::compare(host, scenario, bundles, &mut deviations)?;
        if compare::lacks_admin_data(&scenario.expected.to_string()) {
            deviations.insert(compare::ADMIN_DATA.to_owned());
        }
        Ok(Outcome { difference, deviations })
    }

    fn compare(
        host: H,
        scenario: &Scenario,
        bundles: Bundles,
        deviations: &mut BTreeSet<String>,
    ) -> Result<Option<String>> {
        let mut run = Self::start(host, scenario, bundles)?;
        run.commit();
        let expected = scenario.expected["steps"].as_array().cloned().unwrap_or_default();
        let cranks = scenario.expected["cranks"].as_array().cloned().unwrap_or_default();
        for (index, step) in scenario.steps.iter().enumerate() {
            let recorded = expected.get(index).unwrap_or(&Value::Null);
            let got = run.step(step, recorded)?;
            // SwingSet's host commits what a run did, unless the kernel panicked.
            if got["threw"].is_null() {
                run.commit();
            }
            let place = |difference| Some(format!("step {index} ({}): {difference}", step["op"]));
            if let (Some(threw), false) = (got["threw"].as_str(), recorded["threw"].is_string()) {
                return Ok(place(format!("threw {threw}")));
            }
            let made = run.recording.cranks();
            if let Some(difference) =
                compare::cranks(&cranks[..cranks.len().min(made.len())], &made)
            {
                return Ok(Some(difference));
            }
            if let Some(difference) =
                expected.get(index).and_then(|want| compare_step(want, &got, deviations))
            {
                return Ok(place(difference));
            }
        }
        if let Some(difference) = compare::cranks(&cranks, &run.recording.cranks()) {
            return Ok(Some(difference));
        }
        let dump = view::dump(&run.state)?;
        let expected = &scenario.expected["final"]["dump"];
        if expected["kernelTable"].is_null() {
            deviations.insert(compare::DUMP_OF_DEAD_VAT.to_owned());
            return Ok(None);
        }
        Ok(compare::dump(expected, &dump, deviations).map(|d| format!("final dump: {d}")))
    }

    /// Keeps what was done so far, whatever comes.
    fn commit(&mut self) {
        self.state.settle();
        self.state.push();
        self.kernel.host_mut().commit();
    }

    /// Starts the machine again from the last commit.
    pub(crate) fn restart(&mut self) {
        self.kernel.restart();
        self.state.rollback();
        self.state.push();
        self.kernel.host_mut().roll_back();
    }

    fn start(host: H, scenario: &Scenario, bundles: Bundles) -> Result<Self> {
        let mut kernel = Kernel::new(host, NodeOptions::default());
        let recording = Recording::default();
        kernel.set_slog(Box::new(recording.clone()));
        let outside = Outside::new(scenario);
        kernel.set_application(Box::new(outside.clone()));
        let mut state = MemoryState::default();
        let config = kernel_config(scenario, &bundles)?;
        let boot = kernel.initialize(&mut state, &config)?;
        let results = boot.map(|boot| ("boot".to_owned(), boot)).into_iter().collect();
        Ok(Self { kernel, state, recording, bundles, results, slots: BTreeMap::new(), outside })
    }
}

fn compare_step(
    expected: &Value,
    got: &Value,
    deviations: &mut BTreeSet<String>,
) -> Option<String> {
    if expected["threw"].is_string() && !got["dump"].is_null() {
        deviations.insert(compare::DUMP_OF_DEAD_VAT.to_owned());
        return None;
    }
    let fields = [
        "cranks", "threw", "kpid", "kref", "status", "data", "pos", "vats", "answer", "mailbox",
        "outbound",
    ];
    let known = fields.iter().filter(|name| !expected[**name].is_null());
    let differs = |name: &&str| match *name {
        "threw" => compare::thrown(&expected["threw"], &got["threw"]),
        _ => compare::field(name, &expected[*name], &got[*name]),
    };
    let difference = known.into_iter().find_map(differs);
    difference.or_else(|| match expected["dump"].is_null() {
        true => None,
        false => compare::dump(&expected["dump"], &got["dump"], deviations),
    })
}
