//! Sources of SwingSet's npm packages: its comms, vattp and timer vats, and whatever a scenario names.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::scenario::{Config, VatSetup};

/// The folder in which `npm ci` puts the packages.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record/node_modules");

/// Returns a source's path: in the scenario's folder, or in a package if the name starts with `@`.
pub fn source(folder: &Path, spec: &str) -> PathBuf {
    match spec.starts_with('@') {
        true => Path::new(PACKAGES).join(spec),
        false => folder.join(spec),
    }
}

/// Returns what is to be done about a source that cannot be read, if it is a package's.
pub fn advice(source: &Path) -> &'static str {
    match source.starts_with(PACKAGES) {
        true => ": run `npm ci --ignore-scripts` in tests/conformance/record",
        false => "",
    }
}

/// Adds the vats of SwingSet's own that a configuration asks for, with SwingSet's options.
pub(crate) fn add_vats(config: &mut Config) {
    let comms = json!({
        "enablePipelining": true,
        "enableSetup": true,
        "managerType": "local",
        "useTranscript": false,
        "neverReap": true,
    });
    let extras = [
        (config.add_comms, "comms", "comms/index.js", comms),
        (config.add_vattp, "vattp", "vattp/vat-vattp.js", json!({})),
        (config.add_timer, "timer", "timer/vat-timer.js", json!({})),
    ];
    for (_, name, file, options) in extras.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        let setup = VatSetup {
            source_spec: Some(format!("@agoric/swingset-vat/src/vats/{file}")),
            bundle_name: None,
            parameters: None,
            creation_options: options.as_object().cloned().unwrap_or_default(),
        };
        config.vats.insert(name.to_owned(), setup);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_in_the_scenarios_folder_or_in_a_package() {
        let folder = Path::new("/scenario");
        assert_eq!(source(folder, "vat.js"), Path::new("/scenario/vat.js"));
        let package = source(folder, "@agoric/swingset-vat/src/vats/comms/index.js");
        assert!(
            package.ends_with("record/node_modules/@agoric/swingset-vat/src/vats/comms/index.js")
        );
        assert!(advice(&package).contains("npm ci") && advice(folder).is_empty());
    }
}
