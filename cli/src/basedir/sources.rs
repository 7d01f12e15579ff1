//! The vats of a base directory and those that are named by their files: bundled, with their parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_abi::CapData;
use capstan_client::Bundle;
use capstan_kernel::VAT_ADMIN;

use super::machine::SHELL;
use crate::bundle::{bundle_file, find_script, pass_on_warnings, run_node};
use crate::failure::{flag, usage};
use crate::{passable, progress};

/// The vat whose `bootstrap(argv, vats)` is called.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// Sources of the vats that run without a chain.
#[derive(clap::Args, Debug)]
pub(crate) struct Sources {
    /// The directory: bootstrap.js, and a vat in each vat-NAME.js and vat-NAME/index.js.
    #[arg(value_name = "BASEDIR", required_unless_present = "vat")]
    basedir: Option<PathBuf>,
    /// Add a vat from anywhere: NAME=FILE. FILE is a source, which is bundled as `capstan bundle` does, or a bundle or wasm
    /// module. A relative path starts where you stand. Can be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    vat: Vec<(String, String)>,
    /// Parameters of a vat: NAME=VALUE, in the notation of `capstan tx send`, such as counter={"start":7n}. Can be given
    /// once for each vat.
    #[arg(long, value_name = "NAME=VALUE", value_parser = named)]
    params: Vec<(String, String)>,
    /// Arguments that bootstrap gets as argv.
    #[arg(value_name = "ARG", last = true)]
    pub(crate) argv: Vec<String>,
    /// The directory with the bundler [default: $CAPSTAN_JS_TOOLS, or the one of the checkout that capstan was built in].
    #[arg(long, value_name = "DIR")]
    pub(crate) tools: Option<PathBuf>,
}

/// A vat that can be started.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) bundle: Bundle,
    /// Parameters, if there are any.
    pub(crate) parameters: Option<CapData>,
}

impl Sources {
    /// Returns the [`Source`]s of all vats by name, including [`BOOTSTRAP`] if there is one.
    ///
    /// # Errors
    /// The directory has no bootstrap.js, a source is not one of a vat, parameters are wrong or belong to no vat, or the
    /// bundler is not there.
    pub(crate) fn bundle(&self) -> anyhow::Result<BTreeMap<String, Source>> {
        let parameters = self.parameters()?;
        for (name, _) in &self.vat {
            insist_name(name).with_context(|| flag("--vat", name))?;
        }
        let mut bundles = match &self.basedir {
            Some(basedir) => self.bundle_basedir(basedir)?,
            None => BTreeMap::new(),
        };
        for (name, file) in &self.vat {
            if bundles.contains_key(name) {
                return Err(usage(format!("--vat {name}: there is a vat of this name already")));
            }
            let bundle = self.bundle_vat(file).with_context(|| format!("--vat {name}={file}"))?;
            bundles.insert(name.clone(), bundle);
        }
        let source = |(name, bundle)| {
            let parameters = parameters.get(&name).cloned();
            (name, Source { bundle, parameters })
        };
        if let Some(name) = parameters.keys().find(|name| !bundles.contains_key(*name)) {
            let names: Vec<&str> = bundles.keys().map(String::as_str).collect();
            let names = names.join(", ");
            return Err(usage(format!("--params {name}: no vat has this name; there are {names}")));
        }
        Ok(bundles.into_iter().map(source).collect())
    }

    fn bundle_basedir(&self, path: &Path) -> anyhow::Result<BTreeMap<String, Bundle>> {
        let basedir = path.display().to_string();
        if !path.is_dir() {
            bail!("there is no directory {basedir}");
        }
        let script = find_script(self.tools.as_deref(), "basedir.mjs")?;
        let out = tempfile::tempdir().context("cannot make a directory for the bundles")?;
        let done = progress::during(format!("bundling {basedir}"), || {
            run_node(&script, path, out.path())
        })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("{basedir} cannot be bundled:\n{}", said.trim_end());
        }
        pass_on_warnings(&done);
        let names = String::from_utf8_lossy(&done.stdout).into_owned();
        names.lines().map(|name| Ok((name.to_owned(), read(out.path(), name)?))).collect()
    }

    /// Returns the bundle of one file, which is a source or holds a bundle.
    fn bundle_vat(&self, file: &str) -> anyhow::Result<Bundle> {
        let path = Path::new(file);
        let is_bundle = path.extension().is_some_and(|end| end == "json" || end == "wasm");
        if is_bundle || !path.exists() {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
            return Ok(Bundle::from_file_bytes(&bytes)?);
        }
        let out = tempfile::tempdir().context("cannot make a directory for the bundle")?;
        bundle_file(self.tools.as_deref(), path, &out.path().join("vat.json"))
    }

    /// Returns the encoded parameters by the names of vats.
    fn parameters(&self) -> anyhow::Result<BTreeMap<String, CapData>> {
        let mut all = BTreeMap::new();
        for (name, text) in &self.params {
            let encoded = passable::from_text(text).and_then(|value| passable::encode(&value));
            let data = encoded.map_err(|error| usage(format!("--params {name}: {error}")))?;
            if let Some(slot) = data.slots.first() {
                return Err(usage(format!(
                    "--params {name}: @{slot} is a reference of an account, and there is none without a chain; let a vat hand it over by a message"
                )));
            }
            if all.insert(name.clone(), data).is_some() {
                return Err(usage(format!("--params {name}: given twice; write one record")));
            }
        }
        Ok(all)
    }
}

/// Splits `NAME=REST`.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => {
            Ok((name.to_owned(), rest.to_owned()))
        }
        _ => Err("write the vat's name, =, and then what belongs to it".to_owned()),
    }
}

/// Refuses what is no name of a vat, or one of the system's.
fn insist_name(name: &str) -> anyhow::Result<()> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.len() > MAX_NAME || !name.chars().all(is_letter) {
        return Err(usage(format!("a vat's name is 1 to {MAX_NAME} letters, digits, _ or -")));
    }
    if [VAT_ADMIN, SHELL].contains(&name) {
        return Err(usage(format!("the name {name} is the system's; choose another")));
    }
    Ok(())
}

fn read(dir: &Path, name: &str) -> anyhow::Result<Bundle> {
    let bytes = std::fs::read(dir.join(format!("{name}.json")))
        .with_context(|| format!("the bundler did not write vat {name}"))?;
    Bundle::from_endo_json(&bytes).with_context(|| format!("the bundle of vat {name}"))
}

/// Maximum number of characters in the name of a vat.
const MAX_NAME: usize = 64;
