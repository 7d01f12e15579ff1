//! Reading a scenario and what SwingSet did on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use capstan_kernel::VAT_ADMIN;
use capstan_kernel_ports::VatId;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::upstream;

/// A scenario: a swarm of vats, what is done with it, and what SwingSet did.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// The directory of its vats' sources.
    pub folder: PathBuf,
    /// SwingSet's configuration.
    pub config: Config,
    /// `local` (garbage collection was not forced) or `xs-worker`.
    pub worker: String,
    /// The steps of the scenario, in order.
    pub steps: Vec<Value>,
    /// The recording of SwingSet.
    pub expected: Value,
}

/// The part of SwingSet's configuration that the scenarios use.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The bootstrap vat.
    pub bootstrap: String,
    /// The static vats.
    pub vats: BTreeMap<String, VatSetup>,
    /// Bundles that vats can ask for by name.
    #[serde(default)]
    pub bundles: BTreeMap<String, BundleSetup>,
    /// The devices, by the names under which bootstrap gets them.
    #[serde(default)]
    pub devices: BTreeMap<String, DeviceSetup>,
    /// Deliveries between two bringOutYourDead: a number or `never`.
    pub default_reap_interval: Option<Value>,
    /// References between two bringOutYourDead: a number or `never`.
    #[serde(rename = "defaultReapGCKrefs")]
    pub default_reap_gc_krefs: Option<Value>,
    /// Transcript entries before the first snapshot.
    pub snapshot_initial: Option<u64>,
    /// Transcript entries between snapshots.
    pub snapshot_interval: Option<u64>,
    /// Hold the bootstrap vat's root.
    #[serde(default)]
    pub pin_bootstrap_root: bool,
    /// Let durable kinds hold what is not durable.
    #[serde(default)]
    pub relax_durability_rules: bool,
    /// Add SwingSet's comms vat.
    #[serde(default)]
    pub add_comms: bool,
    /// Add SwingSet's vattp vat.
    #[serde(default)]
    pub add_vattp: bool,
    /// Add SwingSet's timer vat.
    #[serde(default)]
    pub add_timer: bool,
}

/// A static vat.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VatSetup {
    /// The source file.
    pub source_spec: Option<String>,
    /// The named bundle.
    pub bundle_name: Option<String>,
    /// Its parameters, JSON.
    pub parameters: Option<Value>,
    /// Its options.
    #[serde(default)]
    pub creation_options: serde_json::Map<String, Value>,
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceSetup {
    /// One of the kernel's own: `bridge`, `mailbox`, `timer` or `bundle`. Or `source`: code of its own.
    pub kind: String,
    /// The source of a device with code of its own, which the recording stands for.
    pub source_spec: Option<String>,
    /// The module that makes what the host gives to such a device.
    pub endowments_spec: Option<String>,
    /// The parameters of such a device.
    pub parameters: Option<Value>,
    /// The host's answers to calls through a bridge, in order: `{returns}` or `{throws}` each.
    #[serde(default)]
    pub answers: Vec<Value>,
}

/// A named bundle.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleSetup {
    /// The source file.
    pub source_spec: String,
}

/// The bundles of a scenario: normalised name, as in `b1-<spender>`, to id and bytes.
pub type Bundles = BTreeMap<String, (String, Vec<u8>)>;

impl Scenario {
    /// Reads a scenario's folder, and bundles each source once: `make` gives a bundle's id and bytes.
    /// In the recording each `b1-<name>` becomes the id.
    pub fn load(
        folder: &Path,
        make: &mut dyn FnMut(&Path) -> Result<(String, Vec<u8>)>,
    ) -> Result<(Self, Bundles)> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let scenario = parse(&read(folder, "scenario.json")?, "scenario.json")?;
        let mut loaded = Self {
            name,
            folder: folder.to_owned(),
            config: serde_json::from_value(scenario["config"].clone()).context("config")?,
            worker: scenario["worker"].as_str().unwrap_or("local").to_owned(),
            steps: scenario["steps"].as_array().cloned().unwrap_or_default(),
            expected: Value::Null,
        };
        upstream::add_vats(&mut loaded.config);
        let mut made: BTreeMap<PathBuf, (String, Vec<u8>)> = BTreeMap::new();
        let mut bundles = Bundles::new();
        for (name, source) in loaded.sources() {
            let bundle = match made.get(&source) {
                Some(bundle) => bundle.clone(),
                None => make(&source)?,
            };
            // A recording may name a bundle after its file, vat-NAME.js.
            let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let alias = stem.strip_prefix("vat-").unwrap_or(&stem).to_owned();
            made.insert(source, bundle.clone());
            bundles.entry(alias).or_insert_with(|| bundle.clone());
            bundles.insert(name, bundle);
        }
        bundles.insert(VAT_ADMIN.to_owned(), make(Path::new(VAT_ADMIN))?);
        let recorded = name_bundles(&read(folder, "expected.json")?, &bundles);
        loaded.expected = parse(&recorded, "expected.json")?;
        Ok((loaded, bundles))
    }

    /// The vats that ran on SwingSet's local worker, which forces no garbage collection and has no snapshots.
    pub fn local_vats(&self) -> BTreeSet<VatId> {
        self.vats_with("managerType", |option| option.as_str().unwrap_or(&self.worker) == "local")
    }

    /// The vats without liveslots.
    pub fn raw_vats(&self) -> BTreeSet<VatId> {
        self.vats_with("enableSetup", |option| option == true)
    }

    /// The vats that keep no transcript.
    pub fn vats_without_transcript(&self) -> BTreeSet<VatId> {
        self.vats_with("useTranscript", |option| option == false)
    }

    /// The vats for whose option, or for its absence, `holds` is true.
    fn vats_with(&self, option: &str, holds: impl Fn(&Value) -> bool) -> BTreeSet<VatId> {
        let statics = self.static_vats().into_iter().zip(1..);
        let statics = statics.filter(|(name, _)| {
            let options = self.config.vats.get(*name).map(|setup| &setup.creation_options);
            holds(options.and_then(|options| options.get(option)).unwrap_or(&Value::Null))
        });
        let cranks = self.expected["cranks"].as_array().into_iter().flatten();
        let made = cranks.map(|crank| &crank["message"]).filter(|m| m["type"] == "create-vat");
        let made = made.filter(|message| holds(&message["dynamicOptions"][option]));
        let made = made.filter_map(|message| message["vatID"].as_str()?.parse().ok());
        statics.map(|(_, number)| VatId(number)).chain(made).collect()
    }

    /// The static vats in the order of their ids: SwingSet's.
    fn static_vats(&self) -> Vec<&str> {
        let first = [self.config.bootstrap.as_str(), VAT_ADMIN, "comms", "vattp", "timer"];
        let there = |name: &&str| *name == VAT_ADMIN || self.config.vats.contains_key(*name);
        let mut order: Vec<&str> = first.into_iter().filter(there).collect();
        let others = self.config.vats.keys().map(String::as_str);
        order.extend(others.filter(|name| !first.contains(name)));
        order
    }

    /// Returns `true` if a local worker was told to bring out its dead and found nothing.
    pub fn reaps_in_vain(&self) -> bool {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let raw = self.raw_vats();
        let local: BTreeSet<VatId> = self.local_vats().difference(&raw).copied().collect();
        let deliveries =
            list(&self.expected["cranks"]).into_iter().flat_map(|c| list(&c["deliveries"]));
        let is_local = |delivery: &Value| {
            let vat = delivery["vatID"].as_str().and_then(|vat| vat.parse().ok());
            vat.is_some_and(|vat| local.contains(&vat))
        };
        deliveries.into_iter().any(|d| is_local(&d) && crate::script::reaps_in_vain(&d))
    }

    /// The source files of its bundles, by the name that stands in the recording.
    fn sources(&self) -> BTreeMap<String, PathBuf> {
        let mut sources = BTreeMap::new();
        for (name, vat) in &self.config.vats {
            if let Some(source) = &vat.source_spec {
                sources.insert(name.clone(), upstream::source(&self.folder, source));
            }
        }
        for (name, bundle) in &self.config.bundles {
            sources.insert(name.clone(), upstream::source(&self.folder, &bundle.source_spec));
        }
        for step in self.steps.iter().filter(|step| step["op"] == "installBundle") {
            if let (Some(name), Some(file)) = (step["as"].as_str(), step["file"].as_str()) {
                sources.insert(name.to_owned(), self.folder.join(file));
            }
        }
        sources
    }
}

/// A made-up bundle for a source that is not going to be run.
pub fn stand_in(source: &Path) -> (String, Vec<u8>) {
    let name = source.to_string_lossy().into_owned().into_bytes();
    (format!("b1-{}", hex::encode(Sha512::digest(&name))), name)
}

fn read(folder: &Path, file: &str) -> Result<String> {
    let path = folder.join(file);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse(text: &str, file: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{file} is not JSON"))
}

/// The id that the recordings call `b1-<?>`: no bundle has it.
fn no_bundle_id() -> String {
    format!("b1-{}", "0".repeat(128))
}

/// Replaces each `b1-<name>` by the bundle's id.
fn name_bundles(text: &str, bundles: &Bundles) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("b1-<") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find('>') else { break };
        let name = &from[4..end];
        let known = bundles.get(name).map(|(id, _)| id.clone());
        match (name == "?").then(no_bundle_id).or(known) {
            Some(id) => out.push_str(&id),
            None => out.push_str(&from[..=end]),
        }
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    out
}
