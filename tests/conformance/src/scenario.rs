//! Reading a scenario and what SwingSet did on it.

use std::{collections::BTreeMap, fs, path::{Path, PathBuf}};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha512};

/// A scenario: a swarm of vats, what is done with it, and what SwingSet did.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// Where its vats' sources lie.
    pub folder: PathBuf,
    /// SwingSet's configuration.
    pub config: Config,
    /// `local` (garbage collection was not forced) or `xs-worker`.
    pub worker: String,
    /// What is done, step by step.
    pub steps: Vec<Value>,
    /// What SwingSet did.
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
    /// Reads a scenario's folder. `bundles` gives the id that stands for each `b1-<name>`.
    pub fn load(folder: &Path, bundle_id: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = |file: &str| {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            serde_json::from_str::<Value>(&name_bundles(&text, bundle_id))
                .with_context(|| format!("{} is not JSON", path.display()))
        };
        let scenario = read("scenario.json")?;
        let config = serde_json::from_value(scenario["config"].clone()).context("config")?;
        let expected = read("expected.json")?;
        let worker = scenario["worker"].as_str().unwrap_or("local").to_owned();
        let steps = scenario["steps"].as_array().cloned().unwrap_or_default();
        Ok(Self { name, folder: folder.to_owned(), config, worker, steps, expected })
    }

    /// The source files of its bundles, by the name that stands in the recording.
    pub fn sources(&self) -> BTreeMap<String, PathBuf> {
        let mut sources = BTreeMap::new();
        for (name, vat) in &self.config.vats {
            if let Some(source) = &vat.source_spec {
                sources.insert(name.clone(), self.folder.join(source));
            }
        }
        for (name, bundle) in &self.config.bundles {
            sources.insert(name.clone(), self.folder.join(&bundle.source_spec));
        }
        for step in self.steps.iter().filter(|step| step["op"] == "installBundle") {
            if let (Some(name), Some(file)) = (step["as"].as_str(), step["file"].as_str()) {
                sources.insert(name.to_owned(), self.folder.join(file));
            }
        }
        sources
    }
}

/// A made-up id for a bundle that is known by name alone.
pub fn stand_in_id(name: &str) -> String {
    format!("b1-{}", hex::encode(Sha512::digest(name)))
}

/// Replaces each `b1-<name>` by the bundle's id.
fn name_bundles(text: &str, bundle_id: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("b1-<") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find('>') else { break };
        let name = &from[4..end];
        match bundle_id(name) {
            Some(id) => out.push_str(&id),
            None => out.push_str(&from[..=end]),
        }
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    out
}
