//! `capstan bundle`: from a vat's source to a file that can be installed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as ProcessOutput};

use anyhow::{Context as _, bail};
use capstan_client::Bundle;
use serde_json::json;

use crate::failure::usage;
use crate::output::{self, Output};
use crate::progress;

/// Arguments of `capstan bundle`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: capstan bundle counter.js -o counter.json\n\n\
    SRC is an ES module that exports buildRootObject. It may import its package's dependencies, and the vats' libraries\n\
    (@endo/far, @agoric/vat-data, @agoric/vow, …) without installing them. The id is the one that Agoric's tools give.\n\
    A source in TypeScript (SRC.ts) loses its types. Warnings name what no vat has, such as process or setTimeout.\n\
    Modules that were bundled before come from a cache in $CAPSTAN_CACHE, else ~/.cache/capstan.\n\
    A wasm module needs no bundling: install it as it is.\n\
    Needs Node and this project's npm packages (make setup); CAPSTAN_JS_TOOLS names the directory of bundle.mjs.")]
pub(crate) struct BundleSource {
    /// Source of the vat.
    #[arg(value_name = "SRC.js")]
    source: PathBuf,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The directory with bundle.mjs [default: $CAPSTAN_JS_TOOLS, or the one of the checkout that capstan was built in].
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
}

impl BundleSource {
    pub(crate) fn run(self, output: Output) -> anyhow::Result<()> {
        if !self.source.is_file() {
            bail!("there is no file {}", self.source.display());
        }
        if self.source.extension().is_some_and(|extension| extension == "wasm") {
            return Err(usage(
                "a wasm module needs no bundling; install it as it is: capstan tx install-bundle FILE.wasm",
            ));
        }
        self.check_output()?;
        let bundle = bundle_file(self.tools.as_deref(), &self.source, &self.output)?;
        let file = self.output.display().to_string();
        let bytes = bundle.bytes.len();
        let record = json!({"bundle_id": bundle.id, "file": file, "bundle_bytes": bytes});
        let text = format!("{}\n{file}: a bundle of {bytes} bytes", bundle.id);
        output.either(&record, &text);
        Ok(())
    }
}

impl BundleSource {
    /// Refuses an output that cannot be written, before the source is read.
    fn check_output(&self) -> anyhow::Result<()> {
        let file = self.output.display();
        let dir = self.output.parent().filter(|dir| !dir.as_os_str().is_empty());
        if let Some(dir) = dir.filter(|dir| !dir.is_dir()) {
            return Err(usage(format!("-o {file}: there is no directory {}", dir.display())));
        }
        if self.output.is_dir() {
            return Err(usage(format!("-o {file} is a directory; name a file")));
        }
        let real = |path: &Path| path.canonicalize().ok();
        if real(&self.output).is_some_and(|output| Some(output) == real(&self.source)) {
            return Err(usage(format!("-o {file} is the source; name another file")));
        }
        Ok(())
    }
}

/// Endings of the names of sources.
const SOURCES: [&str; 6] = ["js", "mjs", "cjs", "ts", "mts", "cts"];

/// Returns true unless a file is a bundle or a wasm module by its name.
pub(crate) fn is_source(file: &Path) -> bool {
    !file.extension().is_some_and(|end| end == "json" || end == "wasm")
}

/// Reads a file that holds a bundle.
///
/// # Errors
/// The file cannot be read or holds none. For a source the error names the command that bundles it.
pub(crate) fn read_file(file: &Path) -> anyhow::Result<Bundle> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match Bundle::from_file_bytes(&bytes) {
        Err(_) if SOURCES.contains(&ending) => {
            let output = file.with_extension("json");
            let output = output.display();
            Err(usage(format!(
                "{shown} is a source, not a bundle; bundle it first: capstan bundle {shown} -o {output}, then name {output}"
            )))
        }
        read => read.with_context(|| shown.to_string()),
    }
}

/// Bundles the source of a vat into a file, and returns the [`Bundle`].
///
/// # Errors
/// The source cannot be bundled, or Node or the bundler is not there.
pub(crate) fn bundle_file(
    tools: Option<&Path>,
    source: &Path,
    file: &Path,
) -> anyhow::Result<Bundle> {
    let script = find_script(tools, "bundle.mjs")?;
    let shown = source.display().to_string();
    let done = progress::during(format!("bundling {shown}"), || run_node(&script, source, file))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.trim_end().strip_prefix("bundle: ").unwrap_or(said.trim_end());
        match said.starts_with(CANNOT_WRITE) {
            true => bail!("{said}"),
            false => bail!("{shown} cannot be bundled:\n{said}"),
        }
    }
    pass_on_warnings(&done);
    let shown = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    Bundle::from_endo_json(&bytes).with_context(|| shown.clone())
}

/// Beginning of the bundler's error about its output.
const CANNOT_WRITE: &str = "cannot write ";

/// Prints what the bundler warned about without refusing the sources.
pub(crate) fn pass_on_warnings(done: &ProcessOutput) {
    let said = String::from_utf8_lossy(&done.stderr);
    if !said.trim_end().is_empty() {
        output::warn(said.trim_end());
    }
}

pub(crate) fn run_node(
    script: &Path,
    source: &Path,
    target: &Path,
) -> anyhow::Result<ProcessOutput> {
    match Command::new("node").arg(script).arg(source).arg(target).output() {
        Ok(done) => Ok(done),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "node is not installed; bundling needs Node 20 or newer (Debian, Ubuntu: apt-get install nodejs npm)"
        ),
        Err(error) => Err(error).context("cannot run node"),
    }
}

/// Returns the path of a script of the JavaScript tools. Checks that its npm packages are next to it.
pub(crate) fn find_script(tools: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let named = tools
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("CAPSTAN_JS_TOOLS").map(PathBuf::from));
    let dir = named.unwrap_or_else(|| PathBuf::from(CHECKOUT_TOOLS));
    let script = dir.join(name);
    if !script.is_file() {
        bail!(
            "the bundler {} is not there; name the directory vat/js/tools of a checkout with --tools or CAPSTAN_JS_TOOLS",
            script.display()
        );
    }
    if !dir.join("../node_modules/@endo/bundle-source").is_dir() {
        bail!(
            "the bundler's npm packages are missing; run `make setup`, or `npm ci --ignore-scripts` in {}",
            dir.join("..").canonicalize().unwrap_or_else(|_| dir.clone()).display()
        );
    }
    Ok(script)
}

/// Directory of the tools in the checkout that this program was built in.
const CHECKOUT_TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vat/js/tools");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tools_and_packages_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let tools = dir.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        let error = find_script(Some(&tools), "bundle.mjs").unwrap_err().to_string();
        assert!(error.contains("CAPSTAN_JS_TOOLS"), "{error}");
        std::fs::write(tools.join("bundle.mjs"), "").unwrap();
        let error = find_script(Some(&tools), "bundle.mjs").unwrap_err().to_string();
        assert!(error.contains("npm ci"), "{error}");
    }
}
