//! The vats of a base directory and those that are named by their files: bundled, with their parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_client::Bundle;
use capstan_kernel::VAT_ADMIN;

use super::machine::SHELL;
use super::parameters::{self, Parameters};
use crate::bundle::{bundle_file, find_script, is_source, pass_on_warnings, read_file, run_node};
use crate::failure::{flag, usage};
use crate::progress;

/// The vat whose `bootstrap(argv, vats)` is called.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// Sources of the vats that run without a chain.
#[derive(clap::Args, Debug)]
pub(crate) struct Sources {
    /// The directory: bootstrap.js, and a vat in each vat-NAME.js and vat-NAME/index.js.
    #[arg(value_name = "BASEDIR")]
    basedir: Option<PathBuf>,
    /// Add a vat from anywhere: NAME=FILE. FILE is a source, which is bundled as `capstan bundle` does, or a bundle or wasm
    /// module. A relative path starts where you stand. Can be given several times.
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    vat: Vec<(String, String)>,
    /// Name a bundle without starting a vat of it: NAME=FILE, as for --vat. New vats and upgrades find it by its name. Can
    /// be given several times.
    #[arg(long = "bundle", value_name = "NAME=FILE", value_parser = named)]
    bundles: Vec<(String, String)>,
    /// Parameters of a vat: NAME=VALUE, in the notation of `capstan tx send`, such as counter={"start":7n,"log":@log}. @NAME
    /// is the root of another vat. VALUE alone is for the only vat besides bootstrap. Can be given once for each vat.
    #[arg(long, value_name = "NAME=VALUE")]
    params: Vec<String>,
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
    pub(crate) parameters: Option<Parameters>,
}

/// All that a run is made of.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The vats that are started, by name.
    pub(crate) vats: BTreeMap<String, Source>,
    /// The bundles that are only named.
    pub(crate) bundles: BTreeMap<String, Bundle>,
}

impl Sources {
    /// Returns what is [`Loaded`]: all vats, including [`BOOTSTRAP`] if there is one, and all bundles.
    ///
    /// # Errors
    /// There is nothing to start, the directory has no bootstrap.js, a source is not one of a vat, parameters are wrong or
    /// belong to no vat, or the bundler is not there.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        if self.basedir.is_none() && self.vat.is_empty() {
            return Err(usage(
                "nothing to start: name a BASEDIR, a directory with bootstrap.js and vats in vat-NAME.js, or each vat by \
                 --vat NAME=FILE, as in --vat counter=src/counter.js",
            ));
        }
        for (option, (name, _)) in self.named() {
            insist_name(name).with_context(|| flag(option, name))?;
        }
        let mut vats = match &self.basedir {
            Some(basedir) => self.bundle_basedir(basedir)?,
            None => BTreeMap::new(),
        };
        let mut bundles = BTreeMap::new();
        for (option, (name, file)) in self.named() {
            if vats.contains_key(name) || bundles.contains_key(name) {
                let what = if vats.contains_key(name) { "vat" } else { "bundle" };
                return Err(usage(format!(
                    "{option} {name}: there is a {what} of this name already"
                )));
            }
            let bundle =
                self.bundle_one(file).with_context(|| format!("{option} {name}={file}"))?;
            let kind = if option == "--vat" { &mut vats } else { &mut bundles };
            kind.insert(name.clone(), bundle);
        }
        let mut parameters = parameters::read(&self.params, &vats)?;
        let source = |(name, bundle)| {
            let parameters = parameters.remove(&name);
            (name, Source { bundle, parameters })
        };
        Ok(Loaded { vats: vats.into_iter().map(source).collect(), bundles })
    }

    /// Returns the options that name a file, with their values.
    fn named(&self) -> impl Iterator<Item = (&'static str, &(String, String))> {
        let vats = self.vat.iter().map(|named| ("--vat", named));
        vats.chain(self.bundles.iter().map(|named| ("--bundle", named)))
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
    fn bundle_one(&self, file: &str) -> anyhow::Result<Bundle> {
        let path = Path::new(file);
        if !path.exists() || !is_source(path) {
            return read_file(path);
        }
        let out = tempfile::tempdir().context("cannot make a directory for the bundle")?;
        bundle_file(self.tools.as_deref(), path, &out.path().join("vat.json"))
    }
}

/// Splits `NAME=REST`.
fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => {
            Ok((name.to_owned(), rest.to_owned()))
        }
        _ => Err(format!("write the vat's name, =, and then the file, as in --vat counter={text}")),
    }
}

/// Returns true if a text can be the name of a vat.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(is_letter)
}

/// Refuses what is no name of a vat, or one of the system's.
fn insist_name(name: &str) -> anyhow::Result<()> {
    if !is_name(name) {
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
