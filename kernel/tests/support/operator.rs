//! A kernel of eight random vats whose vatAdmin vat, the operator, upgrades, ends and makes vats when
//! the test tells it to. The operator holds the roots of all vats it knows and introduces them to each
//! other.

use std::collections::BTreeMap;

use capstan_abi::{CapData, Delivery, Message, Syscall, SyscallResult};
use capstan_kernel::{Kernel, VAT_ADMIN, ids::Endpoint, policy::RunPolicy, view};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use capstan_test_random::Random;
use serde_json::{Value, json};

use super::{
    Behaviour, Caller, ClosureHost, config, kernel, method,
    model::Model,
    random::{OneCrank, RandomVat},
};

/// How many random vats live at once.
pub(crate) const VATS: u64 = 8;
/// The first random vat, after bootstrap and vatAdmin.
const FIRST: u64 = 3;
/// Generations of a random vat: each upgrade is to the next one's bundle.
const GENERATIONS: u64 = 200;
/// What a generation may number before it meets the next one's.
const NUMBERS: u64 = 1_000_000;

/// A kernel in which the operator works, and the test's own random.
pub(crate) struct World {
    pub(crate) kernel: Kernel<ClosureHost>,
    pub(crate) state: MemoryState,
    pub(crate) seed: u64,
    pub(crate) cranks: u64,
}

impl World {
    /// A new kernel.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    /// A new kernel with another configuration.
    pub(crate) fn with(seed: u64, change: impl FnOnce(&mut capstan_kernel::KernelConfig)) -> Self {
        let names: Vec<String> =
            (0..VATS).map(|n| format!("r{n}")).chain(["boot".to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut config = config("boot", &names);
        for generation in 0..GENERATIONS {
            config.bundles.insert(bundle(generation), vec![]);
        }
        change(&mut config);
        let factory = Box::new(move |vat: VatId, bundle: &str| match bundle {
            "b1-vatAdmin" => operator(),
            "b1-boot" => introduction(),
            random => {
                let generation = random.strip_prefix("b1-g").map_or(0, |n| n.parse().unwrap());
                let mut vat = RandomVat::new(
                    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ vat.0 ^ (generation << 32),
                    10 + generation * NUMBERS,
                );
                Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
                    vat.deliver(delivery, kernel)
                }) as Behaviour
            }
        });
        let (kernel, state) = kernel(&config, factory);
        Self { kernel, state, seed, cranks: 0 }
    }

    /// Runs until the operator has got its device.
    pub(crate) fn begin(&mut self) {
        let operator = Endpoint::Vat(VatId(2));
        while view::kref_of(&self.state, operator, "d-70").unwrap().is_none() {
            assert!(self.crank(), "the operator never began");
            self.check();
        }
    }

    /// Runs a crank; false if there is nothing to do.
    pub(crate) fn crank(&mut self) -> bool {
        self.crank_with(&mut OneCrank)
    }

    /// The same under a policy that stops after one.
    pub(crate) fn crank_with(&mut self, policy: &mut dyn RunPolicy) -> bool {
        let report = self.kernel.run(&mut self.state, policy);
        let report = report
            .unwrap_or_else(|panic| panic!("seed {} crank {}: {panic}", self.seed, self.cranks));
        self.cranks += report.cranks;
        !report.idle
    }

    /// Runs until nothing is left, at most so many cranks; checks after every one.
    pub(crate) fn settle(&mut self, most: u64) {
        for _ in 0..most {
            if !self.crank() {
                return;
            }
            self.check();
        }
    }

    /// Compares the kernel's counts with counts made from scratch.
    pub(crate) fn check(&self) {
        let dump = view::dump(&self.state).unwrap();
        let context = format!("after crank {} of seed {}", self.cranks, self.seed);
        Model::of(&self.state, &dump).check(&dump, &context);
    }

    /// The random vats that run.
    pub(crate) fn live(&self) -> Vec<VatId> {
        let mut live = view::live_vats(&self.state).unwrap();
        live.retain(|vat| vat.0 >= FIRST);
        live
    }

    /// Has the operator do something: `upgrade`, `terminate`, `create` or `stir`.
    pub(crate) fn tell(&mut self, order: &str, args: Value) {
        let methargs = CapData { body: format!("#{}", json!([order, args])), slots: vec![] };
        if !self.kernel.post_to_vat_root(&mut self.state, VAT_ADMIN, methargs).unwrap() {
            let operator = view::vat_state(&self.state, VatId(2)).unwrap().unwrap();
            panic!("seed {} crank {}: {:?}", self.seed, self.cranks, operator.status);
        }
    }

    /// Has a vat upgraded, introduced to another one's root by its parameters.
    pub(crate) fn upgrade(&mut self, vat: VatId) {
        let generation = view::vat_state(&self.state, vat).unwrap().unwrap().incarnation + 1;
        assert!(generation < GENERATIONS, "seed {}: {vat} has no generation left", self.seed);
        self.tell("upgrade", json!([vat.to_string(), bundle(generation)]));
    }

    /// Gives the vats something to do.
    pub(crate) fn stir(&mut self, random: &mut Random) {
        self.tell("stir", json!([random.below(1 << 30)]));
    }
}

fn bundle(generation: u64) -> String {
    format!("b1-g{generation}")
}

/// Hands the device and all roots to the operator.
fn introduction() -> Behaviour {
    Box::new(|delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
        let (admin, device) = (slots[slots.len() - 2], slots[slots.len() - 1]);
        let mut given = vec![device];
        given.extend(&slots[1..slots.len() - 2]);
        kernel.send(admin, "begin", &given, None);
        let data = CapData { body: "#\"done\"".to_owned(), slots: vec![] };
        let promise = message.result.clone().unwrap_or_default();
        let resolutions = vec![capstan_abi::Resolution { promise, rejected: false, data }];
        kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
    })
}

/// The vatAdmin vat that does what it is told.
pub(crate) fn operator() -> Behaviour {
    let mut operator = Operator { device: String::new(), roots: BTreeMap::new() };
    Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| match delivery {
        Delivery::Message { message, .. } => operator.message(message, kernel),
        _ => Ok(()),
    })
}

struct Operator {
    device: String,
    /// The roots of the vats that live, by vat id.
    roots: BTreeMap<String, String>,
}

impl Operator {
    fn message(&mut self, message: &Message, kernel: &mut Caller<'_>) -> Result<(), String> {
        let body: Value = serde_json::from_str(&message.methargs.body[1..]).unwrap();
        let slots = &message.methargs.slots;
        let text = |index: usize| body[1][index].as_str().unwrap_or_default().to_owned();
        match method(message).as_str() {
            "begin" => {
                self.device = slots[0].clone();
                for (number, root) in slots[1..].iter().enumerate() {
                    self.roots.insert(format!("v{}", FIRST + number as u64), root.clone());
                }
                self.stir(1, kernel);
            }
            "newVatCallback" if !slots.is_empty() => {
                self.roots.insert(text(0), slots[0].clone());
                self.stir(body[1][0].to_string().len() as u64, kernel);
            }
            "vatTerminated" => {
                if let Some(root) = self.roots.remove(&text(0)) {
                    kernel.call(Syscall::DropImports { refs: vec![root] })?;
                }
            }
            "stir" => self.stir(body[1][0].as_u64().unwrap(), kernel),
            "upgrade" => {
                let Some(friend) = self.roots.values().next().cloned() else { return Ok(()) };
                let args = json!([text(0), text(1), {"friend": "$0"}, "new"]);
                self.call(kernel, "upgradeVat", &args, vec![friend])?;
            }
            // Without parameters.
            "upgrade-only" => {
                let args = json!([text(0), text(1), "#undefined", "new"]);
                self.call(kernel, "upgradeVat", &args, vec![])?;
            }
            "terminate" => {
                self.call(kernel, "terminateWithFailure", &json!([text(0), "enough"]), vec![])?
            }
            "create" => {
                let Some(friend) = self.roots.values().next().cloned() else { return Ok(()) };
                let options = json!({"name": "new", "vatParameters": {"friend": "$0"}});
                self.call(kernel, "createByBundleID", &json!([bundle(0), options]), vec![friend])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Introduces a few vats to each other.
    fn stir(&mut self, choice: u64, kernel: &mut Caller<'_>) {
        let mut random = Random::from(choice);
        let roots: Vec<String> = self.roots.values().cloned().collect();
        let Some(last) = roots.len().checked_sub(1) else { return };
        for _ in 0..4 {
            let mut pick = || roots[random.below(last as u64 + 1) as usize].as_str();
            let (target, first, second) = (pick(), pick(), pick());
            kernel.send(target, "meet", &[first, second], None);
        }
    }

    fn call(
        &self,
        kernel: &mut Caller<'_>,
        method: &str,
        args: &Value,
        slots: Vec<String>,
    ) -> Result<(), String> {
        let args = CapData { body: format!("#{args}"), slots };
        let (target, method) = (self.device.clone(), method.into());
        match kernel.call(Syscall::CallNow { target, method, args })? {
            SyscallResult::Ok(_) => Ok(()),
            SyscallResult::Error(text) => Err(text),
        }
    }
}
