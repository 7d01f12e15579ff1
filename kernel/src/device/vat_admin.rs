//! The vatAdmin device: bundles, meters, and the making, upgrading and ending of vats. A raw device:
//! its arguments may hold any device node, since parameters of vats are handed on unread.

use capstan_abi::JsString;
use capstan_kernel_ports::VatId;

use super::{
    Answer, CallResult, DeviceFailure, Invocation, ROOT, later, revocation, subclusters, thrown,
};
use crate::{
    capdata::{Json, KernelData, Parsed, unescape},
    ids::MeterId,
    limits::{self, MAX_LABEL_BYTES},
    state::{
        handle::State,
        keys,
        queue::RunQueueEvent,
        vat::{DynamicOptions, EndKind, Threshold},
    },
};

/// The name of the device that administers vats.
pub const VAT_ADMIN: &str = "vatAdmin";

impl State<'_> {
    pub(super) fn call_vat_admin(&mut self, call: &mut Invocation<'_>) -> CallResult {
        if call.node == ROOT && call.method == later::DEFER_RESULT {
            return self.defer_result(call);
        }
        if call.node == ROOT && call.method == subclusters::LAUNCH {
            return self.launch_system(call);
        }
        let call = &*call;
        let elements = call.elements()?;
        if call.node != ROOT {
            return self.call_bundlecap(call);
        }
        match call.method {
            "createMeter"
            | "createUnlimitedMeter"
            | "addMeterRemaining"
            | "setMeterThreshold"
            | "giveBackMeter"
            | "getMeter" => self.call_meters(call),
            "createByBundle" => {
                let id = self.install_inline(elements.first())?;
                self.create_by_id(&id, elements.get(1), &call.args)
            }
            "createByBundleID" => {
                self.create_by_id(&call.text(0, "bundleID")?, elements.get(1), &call.args)
            }
            "upgradeVat" | "upgradeVatKeepingParameters" => self.call_upgrade(call),
            "terminateWithFailure" => {
                let vat = vat_of_two(call)?;
                let Some(reason) = call.args.reserialize(&elements[1]) else {
                    return thrown("terminateWithFailure() reason cannot be read");
                };
                self.terminate(vat, EndKind::Terminated, &reason)?;
                Ok(Answer::Undefined)
            }
            "changeOptions" => {
                let vat = vat_of_two(call)?;
                let options_json = options_json(&elements[1])?;
                self.accept(RunQueueEvent::ChangeVatOptions { vat, options_json })?;
                Ok(Answer::Undefined)
            }
            "getBundleCap" | "getNamedBundleCap" | "getBundleIDByName" => self.find_bundle(call),
            later::SETTLE_RESULT => self.settle_result(call),
            method if revocation::METHODS.contains(&method) => self.call_revocation(call),
            "getVatStats" => self.vat_stats(&call.text(0, "vatID")?),
            _ => self.call_subclusters(call),
        }
    }

    fn call_meters(&mut self, call: &Invocation<'_>) -> CallResult {
        match call.method {
            "createMeter" => {
                let (remaining, threshold) =
                    (bigint(call, 0, "remaining")?, bigint(call, 1, "threshold")?);
                let owner = match call.elements()?.get(2) {
                    Some(owner) => Some(label("owner", owner)?),
                    None => None,
                };
                Ok(Answer::Text(self.add_meter(Some(remaining), threshold, owner)?.to_string()))
            }
            "createUnlimitedMeter" => Ok(Answer::Text(self.add_meter(None, 0, None)?.to_string())),
            "giveBackMeter" => {
                let id = call.text(0, "meterID")?;
                let Some(meter) = MeterId::parse(&id) else {
                    return thrown(format!("{id} is not a meter id"));
                };
                self.give_back_rest(meter)?;
                Ok(Answer::Undefined)
            }
            "addMeterRemaining" => {
                let (id, delta) = (call.text(0, "meterID")?, bigint(call, 1, "delta")?);
                self.change_meter(&id, |meter| {
                    meter.remaining = meter.remaining.map(|old| old.saturating_add(delta));
                })
            }
            "setMeterThreshold" => {
                let (id, threshold) = (call.text(0, "meterID")?, bigint(call, 1, "threshold")?);
                self.change_meter(&id, |meter| meter.threshold = threshold)
            }
            _ => self.get_meter(&call.text(0, "meterID")?),
        }
    }

    /// Queues an upgrade: `upgradeVat(vatID, bundleID, vatParameters, upgradeMessage)`, or
    /// `upgradeVatKeepingParameters(vatID, bundleID, upgradeMessage)`, which SwingSet does not have.
    fn call_upgrade(&mut self, call: &Invocation<'_>) -> CallResult {
        let gives_parameters = call.method == "upgradeVat";
        check_arity(call, if gives_parameters { 4 } else { 3 })?;
        let (vat, bundle_id) = (call.text(0, "vatID")?, call.text(1, "bundleID")?);
        let elements = call.elements()?;
        let Some(message) = elements.last().and_then(Json::as_text) else {
            return thrown(format!("{}() upgradeMessage must be a string", call.method));
        };
        let parameters = match gives_parameters {
            true => match call.args.reserialize(&elements[2]) {
                None => return thrown("vatParameters cannot be read"),
                given => given,
            },
            false => None,
        };
        self.upgrade(&vat, bundle_id, parameters, message)
    }

    fn change_meter(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut crate::state::meter::Meter),
    ) -> CallResult {
        let Some(id) = MeterId::parse(id) else { return thrown(format!("{id} is not a meter id")) };
        match self.update_meter(id, change)? {
            true => Ok(Answer::Undefined),
            false => thrown(format!("there is no meter {id}")),
        }
    }

    fn get_meter(&mut self, id: &str) -> CallResult {
        let Some(id) = MeterId::parse(id) else { return thrown(format!("{id} is not a meter id")) };
        let Some(meter) = self.meter(id)? else { return thrown(format!("there is no meter {id}")) };
        let bigint = |n: u128| Json::Text(format!("+{n}"));
        let remaining = meter.remaining.map_or(Json::Text("unlimited".to_owned()), bigint);
        Ok(Answer::Value(Json::Object(vec![
            ("remaining".to_owned(), remaining),
            ("threshold".to_owned(), bigint(meter.threshold)),
        ])))
    }

    /// Installs the bundle that a vat hands over as a record, without telling anyone. Returns its id.
    fn install_inline(
        &mut self,
        record: Option<&Json>,
    ) -> std::result::Result<String, DeviceFailure> {
        let field = |name: &str| record.and_then(|record| record.field(name)?.as_unicode());
        let json = serde_json::json!({
            "moduleFormat": field("moduleFormat"),
            "endoZipBase64": field("endoZipBase64"),
            "endoZipBase64Sha512": field("endoZipBase64Sha512"),
        });
        let bundle = capstan_bundle::verify_json(json.to_string().as_bytes());
        let bundle = bundle.map_or_else(|error| thrown(error.to_string()), Ok)?;
        let id = bundle.id().to_string();
        if self.over.get(&keys::bundle(&id))?.is_none() {
            self.put_bundle(&id, bundle.into_zip())?;
        }
        Ok(id)
    }

    fn create_by_id(
        &mut self,
        bundle_id: &str,
        options: Option<&Json>,
        args: &Parsed,
    ) -> CallResult {
        if self.over.get(&keys::bundle(bundle_id))?.is_none() {
            return thrown(format!("bundle {bundle_id} is not installed"));
        }
        let Some(record @ Json::Object(_)) = options else {
            return thrown("options must be a record");
        };
        let undefined = Json::undefined();
        let parameters = record.field("vatParameters").unwrap_or(&undefined);
        let Some(parameters) = args.reserialize(parameters) else {
            return thrown("vatParameters cannot be read");
        };
        let options = dynamic_options(record)?;
        self.increment_all(&parameters.slots)?;
        let vat = self.allocate_vat();
        self.accept(RunQueueEvent::CreateVat {
            vat,
            bundle_id: bundle_id.to_owned(),
            parameters,
            options,
        })?;
        Ok(Answer::Text(vat.to_string()))
    }

    fn upgrade(
        &mut self,
        vat: &str,
        bundle_id: String,
        parameters: Option<KernelData>,
        upgrade_message: JsString,
    ) -> CallResult {
        let vat = parse_vat(vat)?;
        let upgrade_message = limits::cut(upgrade_message);
        if let Some(given) = &parameters {
            self.increment_all(&given.slots)?;
        }
        let upgrade = self.globals().next_upgrade;
        self.globals_mut().next_upgrade += 1;
        let event =
            RunQueueEvent::UpgradeVat { vat, upgrade, bundle_id, parameters, upgrade_message };
        self.accept(event)?;
        Ok(Answer::Text(format!("up{upgrade}")))
    }

    fn vat_stats(&mut self, vat: &str) -> CallResult {
        let vat = parse_vat(vat)?;
        let Some(record) = self.find_vat(vat)? else {
            return thrown(format!("there is no vat {vat}"));
        };
        let stats = record.counts();
        let count = |name: &str, n: u64| (name.to_owned(), Json::Scalar(n.to_string()));
        Ok(Answer::Value(Json::Object(vec![
            count("deviceCount", stats.device_count),
            count("deviceImportsTotal", stats.device_imports_total),
            count("objectCount", stats.object_count),
            count("objectImportsTotal", stats.object_imports_total),
            count("promiseCount", stats.promise_count),
            count("promiseImportsTotal", stats.promise_imports_total),
            count("transcriptCount", stats.transcript_count),
        ])))
    }
}

fn check_arity(call: &Invocation<'_>, count: usize) -> std::result::Result<(), DeviceFailure> {
    match call.elements()?.len() == count {
        true => Ok(()),
        false => thrown(format!("{}() takes {count} arguments", call.method)),
    }
}

/// Returns the vat of a call with two arguments, the first of which is its id.
fn vat_of_two(call: &Invocation<'_>) -> std::result::Result<VatId, DeviceFailure> {
    check_arity(call, 2)?;
    parse_vat(&call.text(0, "vatID")?)
}

fn bigint(
    call: &Invocation<'_>,
    index: usize,
    what: &str,
) -> std::result::Result<u128, DeviceFailure> {
    match call.arg(index)?.as_nat() {
        Some(number) => Ok(number),
        None => thrown(format!("{}() {what} must be a bigint from 0 to 2^128-1", call.method)),
    }
}

pub(super) fn parse_vat(text: &str) -> std::result::Result<VatId, DeviceFailure> {
    text.parse().or_else(|error: capstan_kernel_ports::NotAVatId| thrown(error.to_string()))
}

/// Reads the options of a new vat, without its parameters. Undefined fields count as missing.
fn dynamic_options(record: &Json) -> std::result::Result<DynamicOptions, DeviceFailure> {
    let Json::Object(fields) = record else { return thrown("options must be a record") };
    let mut options = DynamicOptions::default();
    for (name, _) in fields {
        let Some(value) = record.field(name) else { continue };
        let bad = || format!("option {name} has an unusable value");
        match name.as_str() {
            "vatParameters" => {}
            "name" => options.name = Some(label(name, value)?),
            "critical" => options.critical = boolean(value).map_or_else(|| thrown(bad()), Ok)?,
            "meterID" => {
                let id = value.as_unicode().and_then(|text| MeterId::parse(&text));
                options.meter = Some(id.map_or_else(|| thrown(bad()), Ok)?);
            }
            "managerType" => {
                options.manager_type = Some(label(name, value)?);
            }
            "enableSetup" => options.enable_setup = boolean(value),
            "enableVatstore" => options.enable_vatstore = boolean(value),
            "enablePipelining" => options.enable_pipelining = boolean(value),
            "useTranscript" => options.use_transcript = boolean(value),
            "reapInterval" => {
                options.reap_interval = threshold(value).map_or_else(|| thrown(bad()), Ok)?;
            }
            _ => return thrown(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

/// Reads a text that a vat's records keep, and that is read with each of its deliveries.
fn label(option: &str, value: &Json) -> std::result::Result<String, DeviceFailure> {
    match value.as_unicode() {
        None => thrown(format!("option {option} has an unusable value")),
        Some(text) if text.len() > MAX_LABEL_BYTES => thrown(format!(
            "option {option} has {} bytes, and at most {MAX_LABEL_BYTES} are allowed",
            text.len()
        )),
        Some(text) => Ok(text),
    }
}

fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Scalar(text) => text.parse().ok(),
        _ => None,
    }
}

fn threshold(value: &Json) -> Option<Threshold> {
    match value {
        Json::Text(text) if text == "never" => Some(Threshold::Never),
        Json::Text(_) => value.as_nat()?.try_into().ok().map(Threshold::At),
        Json::Scalar(text) => crate::ids::canonical_decimal(text).map(Threshold::At),
        _ => None,
    }
}

/// Options that change, as the JSON that the vat will be told.
fn options_json(value: &Json) -> std::result::Result<String, DeviceFailure> {
    let Json::Object(fields) = value else { return thrown("options must be a record") };
    let mut options = serde_json::Map::new();
    for (name, value) in fields {
        let plain = match value {
            Json::Scalar(text) => serde_json::from_str(text).ok(),
            Json::Text(_) => match value.as_nat() {
                Some(n) => u64::try_from(n).ok().map(serde_json::Value::from),
                None => value.as_unicode().map(serde_json::Value::from),
            },
            _ => None,
        };
        let told = unescape(name).and_then(|name| name.as_str().map(str::to_owned));
        let (Some(told), Some(plain)) = (told, plain) else {
            return thrown(format!("option {name} has an unusable value"));
        };
        options.insert(told, plain);
    }
    Ok(serde_json::Value::Object(options).to_string())
}
