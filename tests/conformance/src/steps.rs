//! The verbs of a scenario's steps.

use anyhow::{Context, Result, anyhow, bail};
use capstan_abi::CapData;
use capstan_kernel::{
    KernelPanic, OptionChanges,
    capdata::KernelData,
    ids::KRef,
    promise::{PromiseState, ResultPolicy},
    view,
};
use capstan_kernel_ports::VatId;
use serde_json::{Value, json};

use crate::{
    marshal,
    policy::StepPolicy,
    runner::{Run, ScenarioHost},
};

impl<H: ScenarioHost> Run<H> {
    /// Does one step and returns what SwingSet would have returned, or thrown.
    /// `expected` is the recording of the step.
    pub(crate) fn step(&mut self, step: &Value, expected: &Value) -> Result<Value> {
        let text =
            |name: &str| step[name].as_str().with_context(|| format!("step {step} lacks {name}"));
        Ok(match step["op"].as_str() {
            Some("run") => self.run(StepPolicy::of_run(step)?),
            Some("step") => self.run(StepPolicy::of_step(step["n"].as_u64().unwrap_or(1))),
            Some("send") => self.send(text("vat")?, step)?,
            Some("sendTo") => self.send_to(text("target")?, step)?,
            Some("result") => self.result(text("of")?)?,
            Some("dump") => json!({"dump": view::dump(&self.state)?}),
            Some("restart") => {
                self.restart();
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
            Some("terminateVat") => self.terminate_vat(text("vat")?, &step["reason"])?,
            Some("reapAll") => self.reap_all(&step["prev"])?,
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
            Some("bridgeInbound" | "deliverInbound" | "pollTimer") => self.from_outside(step)?,
            Some("callOutside") => self.call_outside(step, expected)?,
            Some("mailbox") => self.mailboxes()?,
            Some("outbound") => json!({"outbound": self.outside.calls()}),
            Some("commit" | "status") => json!({}),
            other => bail!("step {other:?} is not known to this runner"),
        })
    }

    fn run(&mut self, mut policy: StepPolicy) -> Value {
        match self.kernel.run(&mut self.state, &mut policy) {
            Ok(report) => json!({"cranks": report.cranks}),
            // SwingSet throws what the vat ended with, and does not say which vat it was.
            Err(KernelPanic::CriticalVat { info, .. }) => json!({"threw": info}),
            Err(panic) => json!({"threw": panic.to_string()}),
        }
    }

    fn methargs(&self, step: &Value) -> Result<KernelData> {
        let args = step["args"].as_array().cloned().unwrap_or_default();
        let args: Vec<Value> = args.into_iter().map(|arg| self.name_bundle(arg)).collect();
        let methargs = marshal::in_order(json!([step["method"], args]));
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
        if step["policy"] == "none" {
            self.kernel.post_to_object(&mut self.state, target, methargs)?;
            return Ok(json!({}));
        }
        let sent = self.kernel.queue_to_object(&mut self.state, target, methargs, policy(step))?;
        Ok(self.remember(step, sent))
    }

    /// Ends a vat that is named by its id, or a static one by its name.
    fn terminate_vat(&mut self, vat: &str, reason: &Value) -> Result<Value> {
        let Some(vat) = vat.parse().ok().or(view::vat_by_name(&self.state, vat)?) else {
            return Ok(no_such_vat());
        };
        let body = format!("#{}", marshal::in_order(reason.clone()));
        let reason = CapData { body, slots: vec![] };
        match self.kernel.terminate_vat(&mut self.state, vat, &reason) {
            // SwingSet's kernel panics too, but throws at the next run.
            Ok(()) | Err(KernelPanic::CriticalVat { .. }) => Ok(json!({})),
            Err(panic) => Err(panic.into()),
        }
    }

    /// Reaps vats with deliveries since the positions that an earlier call gave.
    fn reap_all(&mut self, previous: &Value) -> Result<Value> {
        let previous = previous.as_object().into_iter().flatten();
        let previous = previous.map(|(vat, position)| {
            let position = position.as_u64().with_context(|| format!("prev: {vat}: {position}"))?;
            Ok((vat.parse::<VatId>()?, position))
        });
        let previous = previous.collect::<Result<_>>()?;
        let positions = self.kernel.reap_all_vats(&mut self.state, &previous)?;
        let row = |(vat, position): (&VatId, &u64)| (vat.to_string(), json!(position));
        Ok(json!({"pos": positions.iter().map(row).collect::<serde_json::Map<_, _>>()}))
    }

    fn upgrade_static(&mut self, step: &Value) -> Result<Value> {
        let vat = step["vat"].as_str().unwrap_or_default();
        let name = step["bundle"].as_str().unwrap_or_default();
        let bundle = match self.bundles.get(name) {
            Some((id, _)) => id.clone(),
            None => name.to_owned(),
        };
        let pause = step["pause"].as_bool().unwrap_or(false);
        let options = match step["options"].is_object() {
            true => marshal::in_order(step["options"].clone()),
            false => json!({}),
        };
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
            PromiseState::Rejected(_) | PromiseState::RejectedByKernel { .. } => "rejected",
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
