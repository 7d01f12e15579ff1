//! The scripts that boot the engine: our shims, then SES lockdown and the supervisor with liveslots
//! as Agoric publishes them in npm packages.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{package_dir, sha256_hex, write_output};

/// Output, path below `node_modules`, and SHA-256 of each published bundle.
const BUNDLES: [(&str, &str, &str); 2] = [
    (
        "lockdown.js",
        "@agoric/xsnap-lockdown/dist/lockdown.bundle",
        "40a8ea620c16222d0aba5c07a9d2e549c959b702820529fdbcad5a649602ded5",
    ),
    (
        "supervisor.js",
        "@agoric/swingset-xsnap-supervisor/dist/supervisor.bundle",
        "4751467ce397e39f6445d34eab978d5f7d317f41dba9952b4c6fbbfd49fb9894",
    ),
];

/// Writes one script a bundle.
pub(crate) fn build() -> Result<(), String> {
    let modules = package_dir().join("node_modules");
    for (output, path, sha256) in BUNDLES {
        let path = modules.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        write_output(output, script(&path, sha256)?.as_bytes())?;
    }
    Ok(())
}

/// A script that evaluates the `nestedEvaluate` bundle at `path`.
fn script(path: &Path, sha256: &str) -> Result<String, String> {
    let name = path.display();
    let bytes = fs::read(path).map_err(|e| {
        format!(
            "cannot read {name}: {e}\nInstall the locked npm packages: run `make setup`, or \
             `npm ci --ignore-scripts` in {} (Node 20 or newer).",
            package_dir().display()
        )
    })?;
    let found = sha256_hex(&bytes);
    if found != sha256 {
        return Err(format!(
            "{name} has SHA-256 {found}, expected {sha256}.\nThe installed npm packages are not the \
             locked ones: run `npm ci --ignore-scripts` in {}.",
            package_dir().display()
        ));
    }
    let bundle: Value = serde_json::from_slice(&bytes).map_err(|e| format!("{name}: {e}"))?;
    match (&bundle["moduleFormat"], &bundle["source"]) {
        (Value::String(format), Value::String(source)) if format == "nestedEvaluate" => {
            Ok(format!("({source}\n)()"))
        }
        _ => Err(format!("{name} is not a nestedEvaluate bundle")),
    }
}
