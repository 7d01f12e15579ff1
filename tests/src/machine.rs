use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use capstan_abi::CapData;
use capstan_client::Bundle;
use capstan_kernel::device::DeviceKind;
use capstan_kernel::policy::Forever;
use capstan_kernel::promise::ResultPolicy;
use capstan_kernel::slog::{Event, Slog};
use capstan_kernel::vat::{ReapThreshold, Threshold};
use capstan_kernel::{KernelConfig, KernelOptions, KernelPanic, StaticVat, VAT_ADMIN, ids::KRef};
use capstan_node::Settlement;
use capstan_store::Store;
use serde_json::{Value, json};

use crate::{Options, host};

/// The vats and options that a [`Machine`] starts with, besides the vatAdmin vat.
#[derive(Clone, Debug, Default)]
pub struct MachineConfig {
    /// Static vats. The first one is bootstrapped.
    pub vats: Vec<(&'static str, Bundle)>,
    /// Bundles that vats ask for by name.
    pub named: Vec<(&'static str, Bundle)>,
    /// Bundles that are installed without a name.
    pub installed: Vec<Bundle>,
    /// Devices besides vatAdmin.
    pub devices: Vec<(&'static str, DeviceKind)>,
}

/// SwingSet's controller, as its documentation has it: static vats over a store in memory, on the real engine. It
/// takes no blocks: whatever is sent runs until nothing is left to do.
#[derive(Debug)]
pub struct Machine {
    bare: capstan_node::Machine,
    heard: Arc<Mutex<Vec<String>>>,
    first: String,
    /// The settlement of bootstrap's promise: `Err` if it was rejected.
    pub bootstrap: Result<Value, Value>,
}

impl Deref for Machine {
    type Target = capstan_node::Machine;

    fn deref(&self) -> &Self::Target {
        &self.bare
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.bare
    }
}

/// Hears what vats write for tests.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Slog for Listener {
    fn event(&mut self, event: Event<'_>) {
        if let Event::DeliverResult { test_log, .. } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(test_log.iter().cloned());
        }
    }
}

impl Machine {
    /// A machine after its bootstrap.
    ///
    /// # Panics
    /// If the kernel does.
    pub fn start(config: &MachineConfig) -> Self {
        Self::start_with(config, |_| {})
    }

    /// The same with other options of the kernel.
    pub fn start_with(config: &MachineConfig, change: impl FnOnce(&mut KernelOptions)) -> Self {
        let store = Store::in_memory().unwrap();
        let mut bare = capstan_node::Machine::new(host(&Options::usual()), store);
        let heard = Arc::default();
        bare.kernel.set_slog(Box::new(Listener(Arc::clone(&heard))));
        let mut kernel_config = kernel_config(config);
        change(&mut kernel_config.options);
        let begun = bare.change(|kernel, block| kernel.initialize(block, &kernel_config));
        let promise = begun.unwrap().unwrap();
        let first = config.vats[0].0.to_owned();
        let bootstrap = Ok(Value::Null);
        let mut machine = Self { bare, heard, first, bootstrap };
        machine.run().unwrap();
        machine.bootstrap = machine.settled(promise).expect("bootstrap is answered");
        machine
    }

    /// Calls a method of the first vat's root with plain data; what it answered, or was rejected with.
    ///
    /// # Panics
    /// If there is no answer, or the kernel panics.
    pub fn call(&mut self, method: &str, args: Value) -> Result<Value, Value> {
        let promise = self.send(method, args).unwrap();
        self.settled(promise).unwrap_or_else(|| panic!("{method} is not answered"))
    }

    /// The same where no rejection is expected.
    pub fn ask(&mut self, method: &str, args: Value) -> Value {
        self.call(method, args.clone()).unwrap_or_else(|why| panic!("{method}{args}: {why}"))
    }

    /// Sends, runs until nothing is left to do, and gives the promise for the answer; an error if that stopped the
    /// kernel.
    pub fn send(&mut self, method: &str, args: Value) -> Result<KRef, KernelPanic> {
        let name = self.first.clone();
        let promise = self.change(|kernel, block| {
            let methargs = CapData { body: format!("#{}", json!([method, args])), slots: vec![] };
            kernel.queue_to_vat_root(block, &name, methargs, ResultPolicy::Ignore)
        })?;
        self.run()?;
        Ok(promise.expect("the first vat lives"))
    }

    /// Runs until nothing is left to do.
    pub fn run(&mut self) -> Result<(), KernelPanic> {
        self.bare.run(&mut Forever).map(|_| ())
    }

    /// Returns what vats have written for tests since this was last called.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what a promise was settled with, or `None` if it is unsettled.
    pub fn settled(&self, promise: KRef) -> Option<Result<Value, Value>> {
        let data = |data: CapData<KRef>| match data.body.as_str() {
            "#\"#undefined\"" => Value::Null,
            body => serde_json::from_str(&body[1..]).unwrap_or_else(|_| Value::from(body)),
        };
        Some(match self.settlement(promise).unwrap()? {
            Settlement::Fulfilled(value) => Ok(data(value)),
            Settlement::Rejected(reason) => Err(data(reason)),
        })
    }
}

fn kernel_config(config: &MachineConfig) -> KernelConfig {
    let admin = Bundle::from_endo_json(capstan_vat_system::vat_admin_bundle()).unwrap();
    let id = |bundle: &Bundle| bundle.id.to_string();
    let vats = config.vats.iter().map(|(name, bundle)| (*name, bundle));
    let named = config.named.iter().map(|(name, bundle)| ((*name).to_owned(), id(bundle)));
    let bundles = config.vats.iter().chain(&config.named).map(|(_, bundle)| bundle);
    let devices = config.devices.iter().map(|(name, kind)| ((*name).to_owned(), *kind));
    KernelConfig {
        bootstrap: Some(config.vats[0].0.to_owned()),
        pin_bootstrap_root: true,
        devices: devices.collect(),
        vats: vats
            .chain([(VAT_ADMIN, &admin)])
            .map(|(name, bundle)| (name.to_owned(), StaticVat::new(id(bundle))))
            .collect::<BTreeMap<_, _>>(),
        named_bundles: named.collect(),
        bundles: bundles
            .chain(&config.installed)
            .chain([&admin])
            .map(|bundle| (id(bundle), bundle.bytes.clone()))
            .collect(),
        ..KernelConfig::new(options())
    }
}

fn options() -> KernelOptions {
    KernelOptions {
        reap: ReapThreshold { deliveries: Threshold::At(7), ..ReapThreshold::default() },
        relax_durability_rules: false,
        snapshot_initial: 3,
        snapshot_interval: 20,
        snapshot_debt: u64::MAX,
        crank_limit: 400_000_000,
        guard: capstan_kernel::limits::SystemGuard::NONE,
        billing: capstan_kernel::billing::Billing::SWINGSET,
        collect_leaks: true,
    }
}
