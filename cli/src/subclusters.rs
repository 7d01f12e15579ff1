//! System subclusters of a new chain, as files describe them.

use std::path::Path;

use anyhow::Context as _;
use capstan_genesis::{
    AppState, BundleId, GenesisBundle, GenesisCluster, GenesisService, GenesisSubcluster,
    GenesisVat, GenesisVats,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::bundle::read_file;

/// A system subcluster, and the bundles that it brings.
#[derive(Clone)]
pub(crate) struct SystemSubcluster {
    subcluster: GenesisSubcluster,
    bundles: Vec<GenesisBundle>,
}

/// A vat of a file. Its bundle is an id, or a file beside this one.
#[derive(Deserialize)]
struct FileVat {
    bundle: String,
    #[serde(flatten)]
    options: Map<String, Value>,
}

/// Reads a file with `{"name", "config"}`.
pub(crate) fn read(file: &Path) -> anyhow::Result<SystemSubcluster> {
    let read: GenesisSubcluster<FileVat> = serde_json::from_slice(&std::fs::read(file)?)?;
    let GenesisSubcluster { name, config } = read;
    let (mut vats, mut bundles) = (Vec::new(), Vec::new());
    for (name, mut vat) in config.vats.0 {
        if vat.bundle.parse::<BundleId>().is_err() {
            let path = file.parent().unwrap_or(Path::new(".")).join(&vat.bundle);
            let what = || format!("the bundle of vat {name}: {}", path.display());
            let bundle = read_file(&path).with_context(what)?;
            vat.bundle = bundle.id.to_string();
            bundles.push(GenesisBundle::new(bundle.id, None, &bundle.bytes));
        }
        vat.options.insert("bundle".to_owned(), Value::String(vat.bundle));
        let vat: GenesisVat = serde_json::from_value(Value::Object(vat.options))
            .with_context(|| format!("vat {name}"))?;
        vats.push((name, vat));
    }
    let GenesisCluster { bootstrap, services, io, .. } = config;
    let config = GenesisCluster { bootstrap, services, io, vats: GenesisVats(vats) };
    Ok(SystemSubcluster { subcluster: GenesisSubcluster { name, config }, bundles })
}

impl SystemSubcluster {
    /// Adds it to a genesis document, with the bundles and the chain's services that it needs. What is there already
    /// is not added again.
    pub(crate) fn add_to(self, state: &mut AppState) {
        for bundle in self.bundles {
            if !state.bundles.iter().any(|other| other.id == bundle.id) {
                state.bundles.push(bundle);
            }
        }
        let services = &self.subcluster.config.services;
        let known = services.iter().filter_map(|name| GenesisService::parse(name));
        state.kernel.services.extend(known);
        state.kernel.system_subclusters.push(self.subcluster);
    }
}
