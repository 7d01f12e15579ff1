//! Vats written as Rust closures, and a kernel over a store in memory.
#![allow(dead_code)] // Each test file uses what it needs.

pub(crate) mod hoard;
pub(crate) mod model;
pub(crate) mod operator;
pub(crate) mod random;
pub(crate) mod script;

use std::collections::{BTreeMap, BTreeSet};

use capstan_abi::{CapData, Delivery, DeliveryResult, Fault, Message, Syscall, SyscallResult};
use capstan_kernel::{
    Kernel, KernelConfig, KernelOptions, NodeOptions, StaticVat, VAT_ADMIN,
    policy::Forever,
    vat::{ReapThreshold, Threshold},
};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{
        Delivered, HeapImage, HeapPage, HostFault, SourceRefused, Start, StartCost, StartVerdict,
        Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
    memory::MemoryState,
};

/// A vat: called once a delivery. Returning an error is a failed delivery.
pub(crate) type Behaviour = Box<dyn FnMut(&Delivery, &mut Caller<'_>) -> Result<(), String>>;
/// Makes a vat afresh, from the id of its bundle.
pub(crate) type Factory = Box<dyn Fn(VatId, &str) -> Behaviour>;

/// How a closure makes syscalls.
pub(crate) struct Caller<'a> {
    syscalls: &'a mut dyn Syscalls,
    unwound: bool,
}

impl Caller<'_> {
    /// Makes a syscall.
    pub(crate) fn call(&mut self, syscall: Syscall) -> Result<SyscallResult, String> {
        match self.syscalls.syscall(syscall) {
            Some(result) => Ok(result),
            None => {
                self.unwound = true;
                Err("unwound".to_owned())
            }
        }
    }

    /// Sends a message.
    pub(crate) fn send(
        &mut self,
        target: &str,
        method: &str,
        slots: &[&str],
        result: Option<&str>,
    ) {
        let _ = self.call(Syscall::Send {
            target: target.to_owned(),
            message: message(method, slots, result),
        });
    }
}

/// `method` with its slots as arguments.
pub(crate) fn message(method: &str, slots: &[&str], result: Option<&str>) -> Message {
    let args: Vec<String> = (0..slots.len()).map(|i| reference(slots[i], i)).collect();
    Message {
        methargs: CapData {
            body: format!("#[\"{method}\",[{}]]", args.join(",")),
            slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        },
        result: result.map(str::to_owned),
    }
}

/// A reference to a slot, as smallcaps writes it.
pub(crate) fn reference(slot: &str, index: usize) -> String {
    let sigil = if slot.trim_start_matches('r').starts_with('p') { '&' } else { '$' };
    format!("\"{sigil}{index}\"")
}

/// The name of the method that a message calls.
pub(crate) fn method(message: &Message) -> String {
    let body: serde_json::Value =
        serde_json::from_str(message.methargs.body.trim_start_matches('#')).unwrap();
    body[0].as_str().unwrap_or_default().to_owned()
}

/// Runs closures as vats. Every delivery costs what it is told to.
pub(crate) struct ClosureHost {
    factory: Factory,
    running: BTreeMap<VatId, Behaviour>,
    /// What every delivery spends.
    pub(crate) cost: Computrons,
    /// What every start costs.
    pub(crate) start_cost: StartCost,
    /// The number of pages of each heap. With 0 no heap is kept.
    pub(crate) heap_pages: u32,
    /// The size of each vat's memory.
    pub(crate) memory_bytes: u64,
    /// The number of starts.
    pub(crate) starts: u64,
    /// The reason why no worker starts.
    pub(crate) refusal: Option<&'static str>,
}

impl ClosureHost {
    /// A host whose vats are made by `factory`.
    pub(crate) fn new(factory: Factory) -> Self {
        Self {
            factory,
            running: BTreeMap::new(),
            cost: Computrons(1_000),
            start_cost: StartCost::default(),
            heap_pages: 0,
            memory_bytes: 0,
            starts: 0,
            refusal: None,
        }
    }
}

impl ClosureHost {
    /// The number of vats in memory.
    pub(crate) fn online(&self) -> usize {
        self.running.len()
    }
}

impl VatHost for ClosureHost {
    fn engine(&self) -> Hash {
        Hash([7; 32])
    }

    fn validate(&self, _module: &[u8]) -> StartVerdict {
        Ok(())
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        _options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        let bundle_id = match source {
            WorkerSource::JavaScript { bundle_id, .. } => bundle_id,
            WorkerSource::Wasm { .. } => "module",
        };
        let cost = self.start_cost;
        self.starts += 1;
        if let Some(refusal) = self.refusal {
            let verdict = Err(SourceRefused(refusal.to_owned()));
            return Ok(Start { verdict, cost, printed: Vec::new() });
        }
        self.running.insert(vat, (self.factory)(vat, bundle_id));
        Ok(Start { verdict: Ok(()), cost, printed: Vec::new() })
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let behaviour = self.running.get_mut(&vat).expect("the worker was started");
        let mut caller = Caller { syscalls, unwound: false };
        let outcome = behaviour(delivery, &mut caller);
        if caller.unwound {
            return Err(HostFault::Missing("unwound".to_owned()));
        }
        let result = match outcome {
            Ok(()) => DeliveryResult::Ok,
            Err(text) => DeliveryResult::Error(text.into()),
        };
        let exhausted = DeliveryResult::Error(Fault::Compute.text().into());
        if self.cost > limit || result == exhausted {
            return Ok(Delivered { result: exhausted, computrons: None, test_log: vec![] });
        }
        Ok(Delivered { result, computrons: Some(self.cost), test_log: vec![] })
    }

    fn is_running(&self, vat: VatId) -> bool {
        self.running.contains_key(&vat)
    }

    fn stop(&mut self, vat: VatId) {
        self.running.remove(&vat);
    }

    fn memory_bytes(&self, vat: VatId) -> u64 {
        if self.is_running(vat) { self.memory_bytes } else { 0 }
    }

    fn heap(&self, _vat: VatId) -> Option<(Hash, u64)> {
        None
    }

    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        let page = |number: u32| HeapPage { number, hash: Hash([number as u8; 32]) };
        let pages: Vec<HeapPage> = (0..self.heap_pages).map(page).collect();
        let hash = Hash([vat.0 as u8; 32]);
        let image = HeapImage { hash, memory_bytes: 1 << 20, head: vec![], pages };
        Ok((self.heap_pages > 0).then_some(image))
    }

    fn heap_page(&self, _vat: VatId, number: u32) -> Option<Vec<u8>> {
        Some(vec![number as u8; 4096])
    }
}

/// A configuration with static vats of these names; each one's bundle is named after it. The
/// vatAdmin vat comes of itself.
pub(crate) fn config(bootstrap: &str, names: &[&str]) -> KernelConfig {
    let all: BTreeSet<&str> = names.iter().copied().chain([VAT_ADMIN]).collect();
    let bundle = |name: &str| format!("b1-{name}");
    KernelConfig {
        bootstrap: Some(bootstrap.to_owned()),
        pin_bootstrap_root: true,
        provisioner: None,
        vats: all.iter().map(|name| ((*name).to_owned(), StaticVat::new(bundle(name)))).collect(),
        bundles: all.iter().map(|name| (bundle(name), name.as_bytes().to_vec())).collect(),
        parameter_roots: BTreeMap::new(),
        services: BTreeMap::new(),
        named_bundles: BTreeMap::new(),
        devices: BTreeMap::new(),
        options: KernelOptions {
            reap: ReapThreshold { deliveries: Threshold::At(7), ..ReapThreshold::default() },
            relax_durability_rules: false,
            snapshot_initial: 3,
            snapshot_interval: 20,
            snapshot_debt: u64::MAX,
            collect_leaks: true,
            crank_limit: 1_000_000,
            guard: capstan_kernel::limits::SystemGuard::NONE,
            billing: capstan_kernel::billing::Billing::SWINGSET,
        },
    }
}

/// An initialized kernel and its state.
pub(crate) fn kernel(
    config: &KernelConfig,
    factory: Factory,
) -> (Kernel<ClosureHost>, MemoryState) {
    let mut kernel = Kernel::new(ClosureHost::new(factory), NodeOptions::default());
    let mut state = MemoryState::default();
    kernel.initialize(&mut state, config).unwrap();
    (kernel, state)
}

/// Runs until nothing is left.
pub(crate) fn run(kernel: &mut Kernel<ClosureHost>, state: &mut MemoryState) {
    kernel.run(state, &mut Forever).unwrap();
}

/// A vat that does nothing.
pub(crate) fn idle() -> Behaviour {
    Box::new(|_, _| Ok(()))
}
