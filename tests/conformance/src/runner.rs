//! Runs a scenario's steps on a kernel and compares.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail};
use capstan_abi::CapData;
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, KernelPanic, NodeOptions, OptionChanges, StaticVat,
    VAT_ADMIN,
    capdata::KernelData,
    ids::KRef,
    policy::{CrankCount, Forever},
    promise::{PromiseState, ResultPolicy},
    vat::{ReapThreshold, Threshold},
    view,
};
use capstan_kernel_ports::{VatId, host::VatHost, memory::MemoryState};
use serde_json::{Value, json};

use crate::{
    compare,
    recorder::Recording,
    scenario::{Bundles, Scenario, VatSetup},
};

/// Computrons of a crank: a chain's default.
const CRANK_LIMIT: u64 = 200_000_000;

/// The outcome of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first difference; none if all is equal.
    pub difference: Option<String>,
    /// The intended deviations of Capstan that the scenario met.
    pub deviations: BTreeSet<&'static str>,
}

/// A scenario in progress.
pub struct Run<H> {
    kernel: Kernel<H>,
    state: MemoryState,
    recording: Recording,
    bundles: Bundles,
    results: BTreeMap<String, KRef>,
    slots: BTreeMap<String, Vec<String>>,
}

impl<H> std::fmt::Debug for Run<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("results", &self.results).finish_non_exhaustive()
    }
}

impl<H: VatHost> Run<H> {
    /// Runs all steps and compares.
    pub fn scenario(host: H, scenario: &Scenario, bundles: Bundles) -> Result<Outcome> {
        let mut deviations = BTreeSet::new();
        let difference = Self::compare(host, scenario, bundles, &mut deviations)?;
        if compare::lacks_admin_data(&scenario.expected.to_string()) {
            deviations.insert(compare::ADMIN_DATA);
        }
        Ok(Outcome { difference, deviations })
    }

    fn compare(
        host: H,
        scenario: &Scenario,
        bundles: Bundles,
        deviations: &mut BTreeSet<&'static str>,
    ) -> Result<Option<String>> {
        let mut run = Self::start(host, scenario, bundles)?;
        let expected = scenario.expected["steps"].as_array().cloned().unwrap_or_default();
        let cranks = scenario.expected["cranks"].as_array().cloned().unwrap_or_default();
        for (index, step) in scenario.steps.iter().enumerate() {
            let got = run.step(step)?;
            let made = run.recording.cranks();
            if let Some(difference) =
                compare::cranks(&cranks[..cranks.len().min(made.len())], &made)
            {
                return Ok(Some(difference));
            }
            let place = |difference| Some(format!("step {index} ({}): {difference}", step["op"]));
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
            deviations.insert(compare::DUMP_OF_DEAD_VAT);
            return Ok(None);
        }
        Ok(compare::dump(expected, &dump, deviations).map(|d| format!("final dump: {d}")))
    }

    fn start(host: H, scenario: &Scenario, bundles: Bundles) -> Result<Self> {
        let mut kernel = Kernel::new(host, NodeOptions::default());
        let recording = Recording::default();
        kernel.set_slog(Box::new(recording.clone()));
        let mut state = MemoryState::default();
        let config = kernel_config(scenario, &bundles)?;
        let boot = kernel.initialize(&mut state, &config)?;
        let results = boot.map(|boot| ("boot".to_owned(), boot)).into_iter().collect();
        Ok(Self { kernel, state, recording, bundles, results, slots: BTreeMap::new() })
    }

    fn step(&mut self, step: &Value) -> Result<Value> {
        let text =
            |name: &str| step[name].as_str().with_context(|| format!("step {step} lacks {name}"));
        Ok(match step["op"].as_str() {
            Some("run") => self.run(step["cranks"].as_u64()),
            Some("step") => self.run(Some(step["n"].as_u64().unwrap_or(1))),
            Some("send") => self.send(text("vat")?, step)?,
            Some("sendTo") => self.send_to(text("target")?, step)?,
            Some("result") => self.result(text("of")?)?,
            Some("dump") => {
                self.state.settle();
                json!({"dump": view::dump(&self.state)?})
            }
            Some("restart") => {
                self.kernel.evict_all();
                json!({})
            }
            Some("pinRoot") => match self.kernel.pin_vat_root(&mut self.state, text("vat")?)? {
                Some(kref) => json!({"kref": kref.to_string()}),
                None => no_such_vat(),
            },
            Some("installBundle") => {
                let name = text("as")?;
                let (id, bytes) = self.bundles.get(name).cloned().context("no such bundle")?;
                self.kernel.install_bundle(&mut self.state, &id, bytes)?;
                json!({})
            }
            Some("upgradeStatic") => self.upgrade_static(step)?,
            Some("terminateVat") => {
                let vat: VatId = text("vat")?.parse()?;
                let body = format!("#{}", step["reason"]);
                let reason = CapData { body, slots: vec![] };
                self.kernel.terminate_vat(&mut self.state, vat, &reason)?;
                json!({})
            }
            Some("reapAll") => {
                let positions = self.kernel.reap_all_vats(&mut self.state, &BTreeMap::new())?;
                let row = |(vat, position): (&VatId, &u64)| (vat.to_string(), json!(position));
                json!({"pos": positions.iter().map(row).collect::<serde_json::Map<_, _>>()})
            }
            Some("snapshotAll") => {
                let vats = self.kernel.snapshot_all_vats(&mut self.state)?;
                json!({"vats": vats.iter().map(ToString::to_string).collect::<Vec<_>>()})
            }
            Some("kernelOptions") => match OptionChanges::from_json(&step["options"]) {
                Ok(changes) => {
                    self.kernel.change_options(&mut self.state, changes)?;
                    json!({})
                }
                Err(bad) => json!({"threw": bad.to_string()}),
            },
            Some("commit" | "status") => json!({}),
            other => bail!("step {other:?} is not known to this runner"),
        })
    }

    fn run(&mut self, cranks: Option<u64>) -> Value {
        let report = match cranks {
            None => self.kernel.run(&mut self.state, &mut Forever),
            Some(left) => self.kernel.run(&mut self.state, &mut CrankCount { left }),
        };
        match report {
            Ok(report) => json!({"cranks": report.cranks}),
            // SwingSet throws what the vat ended with, and does not say which vat it was.
            Err(KernelPanic::CriticalVat { info, .. }) => json!({"threw": info}),
            Err(panic) => json!({"threw": panic.to_string()}),
        }
    }

    fn methargs(&self, step: &Value) -> Result<KernelData> {
        let args = step["args"].as_array().cloned().unwrap_or_default();
        let args: Vec<Value> = args.into_iter().map(|arg| self.name_bundle(arg)).collect();
        let mut methargs = json!([step["method"], args]);
        methargs.sort_all_objects(); // as SwingSet marshals what its host sends
        let body = format!("#{methargs}");
        let slots = step["slots"].as_array().into_iter().flatten();
        let slots = slots.map(|slot| self.slot(slot.as_str().unwrap_or_default()));
        Ok(CapData { body, slots: slots.collect::<Result<_>>()? })
    }

    /// A string `bundle:NAME` stands for the bundle's id.
    fn name_bundle(&self, arg: Value) -> Value {
        let name = arg.as_str().and_then(|text| text.strip_prefix("bundle:"));
        match name.and_then(|name| self.bundles.get(name)) {
            Some((id, _)) => json!(id),
            None => arg,
        }
    }

    /// A kref, or `RESULT.i`: slot i of a result already read.
    fn slot(&self, text: &str) -> Result<KRef> {
        if let Some(kref) = KRef::parse(text) {
            return Ok(kref);
        }
        let (name, index) = text.split_once('.').with_context(|| format!("odd slot {text}"))?;
        let slots = self.slots.get(name).with_context(|| format!("result {name} was not read"))?;
        let kref = slots.get(index.parse::<usize>()?).and_then(|slot| KRef::parse(slot));
        kref.with_context(|| format!("result {name} has no slot {index}"))
    }

    fn send(&mut self, vat: &str, step: &Value) -> Result<Value> {
        let methargs = self.methargs(step)?;
        if step["policy"] == "none" {
            let there = self.kernel.post_to_vat_root(&mut self.state, vat, methargs)?;
            return Ok(if there { json!({}) } else { no_such_vat() });
        }
        let policy = policy(step);
        let sent = self.kernel.queue_to_vat_root(&mut self.state, vat, methargs, policy)?;
        Ok(sent.map_or_else(no_such_vat, |sent| self.remember(step, sent)))
    }

    fn send_to(&mut self, target: &str, step: &Value) -> Result<Value> {
        let (target, methargs) = (self.slot(target)?, self.methargs(step)?);
        let sent = self.kernel.queue_to_object(&mut self.state, target, methargs, policy(step))?;
        Ok(self.remember(step, sent))
    }

    fn upgrade_static(&mut self, step: &Value) -> Result<Value> {
        let vat = step["vat"].as_str().unwrap_or_default();
        let name = step["bundle"].as_str().unwrap_or_default();
        let bundle = match self.bundles.get(name) {
            Some((id, _)) => id.clone(),
            None => name.to_owned(),
        };
        let pause = step["pause"].as_bool().unwrap_or(false);
        let mut options =
            if step["options"].is_object() { step["options"].clone() } else { json!({}) };
        options.sort_all_objects();
        let options = CapData { body: format!("#{options}"), slots: vec![] };
        let state = &mut self.state;
        let sent = self.kernel.upgrade_static_vat(state, vat, pause, &bundle, &options)?;
        Ok(sent.map_or_else(no_such_vat, |sent| self.remember(step, sent)))
    }

    fn remember(&mut self, step: &Value, promise: KRef) -> Value {
        if let Some(name) = step["as"].as_str() {
            self.results.insert(name.to_owned(), promise);
        }
        json!({"kpid": promise.to_string()})
    }

    /// Reads a promise as SwingSet's `kpResolution` does.
    fn result(&mut self, name: &str) -> Result<Value> {
        let kref = *self.results.get(name).with_context(|| format!("no result {name}"))?;
        let KRef::Promise(number) = kref else { bail!("{kref} is not a promise") };
        let promise =
            view::promise(&self.state, number)?.ok_or_else(|| anyhow!("{kref} is gone"))?;
        let status = match &promise.state {
            PromiseState::Unresolved(_) => "unresolved",
            PromiseState::Fulfilled(_) => "fulfilled",
            PromiseState::Rejected(_) => "rejected",
        };
        let Some(data) = promise.data() else {
            return Ok(json!({"kpid": kref.to_string(), "status": status}));
        };
        let slots = data.slots.iter().map(ToString::to_string).collect();
        self.slots.insert(name.to_owned(), slots);
        // A kernel that panicked changes nothing any more, but can be looked at.
        let _ = self.kernel.take_resolution(&mut self.state, kref);
        let data = capstan_abi::json::capdata_to_json(data);
        Ok(json!({"kpid": kref.to_string(), "status": status, "data": data}))
    }
}

/// Compares what the recorded step returned, as far as it is meant to be compared.
fn compare_step(
    expected: &Value,
    got: &Value,
    deviations: &mut BTreeSet<&'static str>,
) -> Option<String> {
    if expected["threw"].is_string() && !got["dump"].is_null() {
        deviations.insert(compare::DUMP_OF_DEAD_VAT);
        return None;
    }
    let fields = ["cranks", "threw", "kpid", "kref", "status", "data", "pos", "vats"];
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

/// The text that SwingSet throws when a static vat is named that is not there.
fn no_such_vat() -> Value {
    json!({"threw": "vat name (a string) must exist, but doesn't"})
}

fn policy(step: &Value) -> ResultPolicy {
    match step["policy"].as_str() {
        Some("logAlways") => ResultPolicy::LogAlways,
        Some("logFailure") => ResultPolicy::LogFailure,
        Some("panic") => ResultPolicy::Panic,
        _ => ResultPolicy::Ignore,
    }
}

fn kernel_config(scenario: &Scenario, bundles: &Bundles) -> Result<KernelConfig> {
    let config = &scenario.config;
    let mut vats = BTreeMap::new();
    for (name, setup) in &config.vats {
        let bundle = setup.bundle_name.as_ref().unwrap_or(name);
        let (id, _) = bundles.get(bundle).with_context(|| format!("no bundle for vat {name}"))?;
        vats.insert(name.clone(), static_vat(id, setup)?);
    }
    let (admin, _) = bundles.get(VAT_ADMIN).context("no bundle for vatAdmin")?;
    vats.insert(VAT_ADMIN.to_owned(), StaticVat::new(admin));
    let threshold = |value: &Option<Value>, default: u64| {
        value.as_ref().and_then(Threshold::from_json).unwrap_or(Threshold::At(default))
    };
    let named = config.bundles.keys().map(|name| {
        let (id, _) = bundles.get(name).with_context(|| format!("no bundle {name}"))?;
        Ok((name.clone(), id.clone()))
    });
    let installed_later = |name: &str| {
        scenario.steps.iter().any(|step| step["op"] == "installBundle" && step["as"] == name)
    };
    let snapshots = scenario.worker != "local";
    let at_genesis = bundles.iter().filter(|(name, _)| !installed_later(name));
    Ok(KernelConfig {
        bootstrap: Some(config.bootstrap.clone()),
        pin_bootstrap_root: config.pin_bootstrap_root,
        provisioner: None,
        vats,
        devices: BTreeMap::new(),
        bundles: at_genesis.map(|(_, (id, bytes))| (id.clone(), bytes.clone())).collect(),
        named_bundles: named.collect::<Result<_>>()?,
        options: KernelOptions {
            reap: ReapThreshold {
                deliveries: threshold(&config.default_reap_interval, 1),
                gc_krefs: threshold(&config.default_reap_gc_krefs, 20),
                computrons: Threshold::Never,
                never: false,
            },
            relax_durability_rules: config.relax_durability_rules,
            // SwingSet's local worker cannot take snapshots.
            snapshot_initial: if snapshots {
                config.snapshot_initial.unwrap_or(3)
            } else {
                u64::MAX
            },
            snapshot_interval: if snapshots {
                config.snapshot_interval.unwrap_or(200)
            } else {
                u64::MAX
            },
            // SwingSet counts entries alone.
            snapshot_debt: u64::MAX,
            // SwingSet leaks what only the old heap held.
            collect_at_upgrade: false,
            crank_limit: CRANK_LIMIT,
            guard: capstan_kernel::limits::SystemGuard::NONE,
        },
    })
}

fn static_vat(bundle_id: &str, setup: &VatSetup) -> Result<StaticVat> {
    let options = &setup.creation_options;
    let flag = |name: &str| options.get(name).and_then(Value::as_bool);
    let threshold = |name: &str| match options.get(name) {
        None => Ok(Threshold::Default),
        Some(value) => Threshold::from_json(value).with_context(|| format!("option {name}")),
    };
    let mut vat = StaticVat::new(bundle_id);
    if let Some(parameters) = &setup.parameters {
        vat.parameters.body = format!("#{parameters}");
    }
    vat.critical = flag("critical").unwrap_or(false);
    vat.enable_pipelining = flag("enablePipelining").unwrap_or(false);
    vat.enable_disavow = flag("enableDisavow").unwrap_or(false);
    vat.enable_setup = flag("enableSetup").unwrap_or(false);
    vat.use_transcript = flag("useTranscript").unwrap_or(true);
    vat.reap = ReapThreshold {
        deliveries: threshold("reapInterval")?,
        gc_krefs: threshold("reapGCKrefs")?,
        computrons: Threshold::Default,
        never: flag("neverReap").unwrap_or(false),
    };
    Ok(vat)
}
