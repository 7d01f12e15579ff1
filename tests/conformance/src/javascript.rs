//! Scenarios on the real engine: sources bundled by the project's own bundler, vats on QuickJS-ng
//! with Agoric's liveslots under wasmer.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use capstan_abi::{Delivery, DeliveryResult};
use capstan_kernel::VAT_ADMIN;
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    ahead::{AheadPlan, Turn},
    host::{
        Delivered, HeapImage, HostFault, Start, Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
    layer::HostLayer,
};
use capstan_vat_host::{HostOptions, JsEngine, WasmHost};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    runner::ScenarioHost,
    scenario::Scenario,
    script::{self, Script},
    upstream,
};

/// Vats on the engine that report what the recorded vats spent. What a delivery costs is not
/// compared, but it shows in meters and decides when they are used up.
#[derive(Debug)]
pub struct SpendingAsRecorded {
    host: WasmHost,
    script: Script,
}

impl SpendingAsRecorded {
    /// `host`, with the spending of a recording.
    pub fn new(host: WasmHost, scenario: &Scenario) -> Self {
        Self { host, script: Script::new(scenario) }
    }
}

impl ScenarioHost for SpendingAsRecorded {
    fn commit(&mut self) {
        self.script.commit();
    }

    fn roll_back(&mut self) {
        self.script.roll_back();
    }
}

impl HostLayer for SpendingAsRecorded {
    type Host = WasmHost;

    fn host(&self) -> &WasmHost {
        &self.host
    }

    fn host_mut(&mut self) -> &mut WasmHost {
        &mut self.host
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        self.script.started(vat);
        self.host.start(vat, source, options)
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let recorded = self.script.next(vat, delivery);
        // What a local worker did not collect is not to be collected now: see `compare::LOCAL_GC`.
        if recorded.as_ref().is_some_and(|recorded| self.script.leaves_out(vat, recorded)) {
            return Ok(Delivered {
                result: DeliveryResult::Ok,
                computrons: None,
                test_log: vec![],
            });
        }
        let mut delivered = self.host.deliver(vat, delivery, limit, syscalls)?;
        delivered.computrons = recorded.as_ref().and_then(script::computrons);
        Ok(delivered)
    }

    fn ahead_plan(&self) -> AheadPlan {
        self.host.ahead_plan()
    }

    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        let mut turn = self.host.take_turn(vat, delivery, limit, syscalls);
        // Any other delivery is still to be made, and left out at most garbage collection, which is not run ahead.
        if let Turn::Done(Ok(delivered)) = &mut turn {
            let recorded = self.script.next(vat, delivery);
            delivered.computrons = recorded.as_ref().and_then(script::computrons);
        }
        turn
    }

    fn takes_snapshots(&self, vat: VatId) -> bool {
        !self.script.is_local(vat)
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        self.script.snapshot_taken(vat);
        self.host.heap_image(vat)
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        self.script.restored(vat);
        self.host.restore(vat, source, options, image, page)
    }
}

/// A cache of bundles, compiled code and images that lasts between runs.
#[derive(Clone, Debug)]
pub struct Workshop {
    cache: PathBuf,
}

impl Workshop {
    /// A workshop that keeps what it makes in `cache`.
    pub fn new(cache: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        Ok(Self { cache })
    }

    /// A host whose vats run on the project's engine, one after the other.
    pub fn host(&self) -> anyhow::Result<WasmHost> {
        self.host_on(1, None)
    }

    /// The same with so many threads, and the seed of trouble for runs before their turn.
    pub fn host_on(&self, threads: usize, chaos: Option<u64>) -> anyhow::Result<WasmHost> {
        let scripts = capstan_vat_js::boot_scripts();
        let engine = JsEngine {
            worker_wasm: capstan_vat_js::worker().to_vec(),
            boot_scripts: scripts.map(|(name, source)| (name.to_owned(), source.to_vec())).to_vec(),
        };
        let cache_dir = Some(self.cache.join("engine"));
        let options = HostOptions { cache_dir, threads, chaos, ..HostOptions::default() };
        Ok(WasmHost::open(engine, options, &|_| ())?)
    }

    /// Bundles a source, or the vatAdmin vat by its name: id and zip archive.
    pub fn bundle(&self, source: &Path) -> anyhow::Result<(String, Vec<u8>)> {
        let json = match source == Path::new(VAT_ADMIN) {
            true => capstan_vat_system::vat_admin_bundle().to_vec(),
            false => self.bundle_source(source)?,
        };
        let bundle: Value = serde_json::from_slice(&json)?;
        let field =
            |name: &str| bundle[name].as_str().with_context(|| format!("bundle lacks {name}"));
        let id = format!("b1-{}", field("endoZipBase64Sha512")?);
        Ok((id, STANDARD.decode(field("endoZipBase64")?)?))
    }

    fn bundle_source(&self, source: &Path) -> anyhow::Result<Vec<u8>> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vat/js");
        let mut hasher = Sha256::new();
        for file in [source, &tools.join("package-lock.json"), &tools.join("tools/bundle.mjs")] {
            let read = fs::read(file).with_context(|| {
                format!("cannot read {}{}", file.display(), upstream::advice(file))
            });
            hasher.update(read?);
        }
        // The bundle names its source's place within its package.
        hasher.update(source.as_os_str().as_encoded_bytes());
        let kept = self.cache.join(format!("{}.json", hex::encode(hasher.finalize())));
        if let Ok(json) = fs::read(&kept) {
            return Ok(json);
        }
        // Others may bundle the same source at the same time.
        let folder = tempfile::tempdir_in(&self.cache)?;
        let fresh = folder.path().join("bundle.json");
        let mut node = Command::new("node");
        node.arg(tools.join("tools/bundle.mjs")).arg(source).arg(&fresh);
        let output = node.output().context("cannot run node: run `make setup`")?;
        if !output.status.success() {
            bail!("bundling failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let json = fs::read(&fresh)?;
        fs::rename(&fresh, &kept)?;
        Ok(json)
    }
}
