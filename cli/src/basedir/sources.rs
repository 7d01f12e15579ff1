//! Bundling of the vats of a base directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use capstan_client::Bundle;

use crate::bundle::{find_script, pass_on_warnings, run_node};
use crate::progress;

/// The vat whose `bootstrap(argv, vats)` is called.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// Sources of the vats of a base directory.
#[derive(clap::Args, Debug)]
pub(crate) struct Sources {
    /// The directory: bootstrap.js, and a vat in each vat-NAME.js and vat-NAME/index.js.
    #[arg(value_name = "BASEDIR")]
    basedir: PathBuf,
    /// Arguments that bootstrap gets as argv.
    #[arg(value_name = "ARG", last = true)]
    pub(crate) argv: Vec<String>,
    /// The directory with the bundler [default: $CAPSTAN_JS_TOOLS, or the one of the checkout that capstan was built in].
    #[arg(long, value_name = "DIR")]
    pub(crate) tools: Option<PathBuf>,
}

impl Sources {
    /// Returns the [`Bundle`]s of all vats by name, including [`BOOTSTRAP`].
    ///
    /// # Errors
    /// The directory has no bootstrap.js, a source is not one of a vat, or the bundler is not there.
    pub(crate) fn bundle(&self) -> anyhow::Result<BTreeMap<String, Bundle>> {
        let basedir = self.basedir.display().to_string();
        if !self.basedir.is_dir() {
            bail!("there is no directory {basedir}");
        }
        let script = find_script(self.tools.as_deref(), "basedir.mjs")?;
        let out = tempfile::tempdir().context("cannot make a directory for the bundles")?;
        let done = progress::during(format!("bundling {basedir}"), || {
            run_node(&script, &self.basedir, out.path())
        })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("{basedir} cannot be bundled:\n{}", said.trim_end());
        }
        pass_on_warnings(&done);
        let names = String::from_utf8_lossy(&done.stdout).into_owned();
        names.lines().map(|name| Ok((name.to_owned(), read(out.path(), name)?))).collect()
    }
}

fn read(dir: &Path, name: &str) -> anyhow::Result<Bundle> {
    let bytes = std::fs::read(dir.join(format!("{name}.json")))
        .with_context(|| format!("the bundler did not write vat {name}"))?;
    Bundle::from_endo_json(&bytes).with_context(|| format!("the bundle of vat {name}"))
}
