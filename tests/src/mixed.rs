//! A kernel over a store on disk, without an application: two static vats, and workers that come, go, are upgraded and keep
//! each other busy. What nodes of a chain may do differently is done differently here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use capstan_abi::CapData;
use capstan_client::Bundle;
use capstan_kernel::policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy};
use capstan_kernel::promise::ResultPolicy;
use capstan_kernel::vat::{ReapThreshold, Threshold};
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, NodeOptions, StaticVat, VAT_ADMIN, view,
};
use capstan_kernel_ports::Hash;
use capstan_store::{Block, Store};
use capstan_vat_host::WasmHost;

use crate::{Options, bundle, host};

/// Cranks of a block.
pub const CRANKS: u64 = 7;

/// Requests to the boss, block after block, each as soon as the block before left nothing to do.
const STORY: [&str; 14] = [
    r#"["create",["ann"]]"#,
    r#"["create",["ben"]]"#,
    r#"["round",[1]]"#,
    r#"["create",["cat"]]"#,
    r#"["round",[2]]"#,
    r#"["round",[3]]"#,
    r#"["upgrade",["ben"]]"#,
    r#"["round",[4]]"#,
    r#"["end",["ann"]]"#,
    r#"["round",[5]]"#,
    r#"["fail",["cat"]]"#,
    r#"["create",["dan"]]"#,
    r#"["round",[6]]"#,
    r#"["round",[7]]"#,
];

/// A node: a kernel over a store on disk.
#[derive(Debug)]
pub struct MixedNode {
    dir: tempfile::TempDir,
    options: NodeOptions,
    host: Options,
    store: Option<Store>,
    /// The kernel, whose blocks are those of [`MixedNode::store`].
    pub kernel: Kernel<WasmHost>,
    told: usize,
}

impl MixedNode {
    /// A new chain.
    pub fn start(options: NodeOptions, kernel_options: KernelOptions) -> Self {
        Self::start_on(Options::usual(), options, kernel_options)
    }

    /// A new chain on a host of one's choice.
    pub fn start_on(host: Options, options: NodeOptions, kernel_options: KernelOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut kernel = Kernel::new(crate::host(&host), options);
        let mut block = store.begin_block();
        kernel.initialize(&mut block, &config(kernel_options)).unwrap();
        kernel.pin_vat_root(&mut block, "boss").unwrap();
        store.commit(store.prepare(block).unwrap(), 1).unwrap();
        Self { dir, options, host, store: Some(store), kernel, told: 0 }
    }

    /// The committed state.
    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("it is only gone within `kill`")
    }

    /// Forgets all that is not on disk.
    pub fn kill(&mut self) {
        self.store = None;
        self.store = Some(open(self.dir.path()));
        self.kernel = Kernel::new(host(&self.host), self.options);
    }

    /// The block after the committed state, with `cranks` of it executed; and whether that left nothing to do.
    pub fn execute(&mut self, cranks: u64) -> (Block, bool) {
        let mut block = self.store().begin_block();
        if !view::is_busy(&block).unwrap() && self.told < STORY.len() {
            let methargs = CapData { body: format!("#{}", STORY[self.told]), slots: vec![] };
            let policy = ResultPolicy::Ignore;
            self.kernel.queue_to_vat_root(&mut block, "boss", methargs, policy).unwrap();
        }
        let idle = match cranks {
            0 => false,
            _ => self.kernel.run(&mut block, &mut Cranks(cranks)).unwrap().idle,
        };
        (block, idle)
    }

    /// Executes and commits the next block. None if there was nothing to do.
    pub fn block(&mut self) -> Option<Hash> {
        let busy = view::is_busy(&self.store().begin_block()).unwrap();
        if !busy && self.told == STORY.len() {
            return None;
        }
        let (block, _) = self.execute(CRANKS);
        self.told += usize::from(!busy);
        let height = self.store().height() + 1;
        self.store().commit(self.store().prepare(block).unwrap(), height).unwrap();
        Some(self.store().root())
    }

    /// Every root from here to the end of the story; `before` is called before each block.
    pub fn live(&mut self, mut before: impl FnMut(&mut Self)) -> Vec<Hash> {
        let mut roots = vec![self.store().root()];
        loop {
            before(self);
            match self.block() {
                Some(root) => roots.push(root),
                None => return roots,
            }
        }
    }
}

/// Stops after so many cranks.
#[derive(Debug)]
pub struct Cranks(pub u64);

impl RunPolicy for Cranks {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::uniform(5))
    }

    fn crank_done(&mut self, _: &CrankOutcome, _: &KernelWork) -> bool {
        self.0 -= 1;
        self.0 > 0
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir.join("state"), capstan_store::Options::default()).unwrap()
}

/// The boss, the vatAdmin vat and the bundle of the workers.
fn config(options: KernelOptions) -> KernelConfig {
    static BUNDLES: OnceLock<[Bundle; 3]> = OnceLock::new();
    let [boss, worker, admin] = BUNDLES.get_or_init(|| {
        let admin = Bundle::from_endo_json(capstan_vat_system::vat_admin_bundle()).unwrap();
        [bundle("tests/vats/mixed-boss.js"), bundle("tests/vats/mixed-worker.js"), admin]
    });
    let vats = [("boss", boss), (VAT_ADMIN, admin)];
    let bytes = |bundle: &Bundle| (bundle.id.to_string(), bundle.bytes.clone());
    KernelConfig {
        bootstrap: Some("boss".to_owned()),
        pin_bootstrap_root: true,
        vats: vats
            .map(|(name, bundle)| (name.to_owned(), StaticVat::new(bundle.id.to_string())))
            .into(),
        named_bundles: BTreeMap::from([("worker".to_owned(), worker.id.to_string())]),
        bundles: [boss, worker, admin].map(bytes).into(),
        ..KernelConfig::new(options)
    }
}

/// Snapshots so often that most deliveries follow one.
pub fn often() -> KernelOptions {
    KernelOptions {
        reap: ReapThreshold { deliveries: Threshold::At(9), ..ReapThreshold::default() },
        relax_durability_rules: false,
        snapshot_initial: 2,
        snapshot_interval: 5,
        snapshot_debt: u64::MAX,
        collect_leaks: true,
        crank_limit: 400_000_000,
        guard: capstan_kernel::limits::SystemGuard::NONE,
        billing: capstan_kernel::billing::Billing::SWINGSET,
    }
}
