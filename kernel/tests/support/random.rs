//! Vats that do random things, all of them legal but a few.

use std::collections::BTreeSet;

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy};
use capstan_kernel_ports::VatId;
use capstan_test_random::Random;

use super::{Behaviour, Caller};

/// One crank at a time; the dead are cleaned up a little at a time.
pub(crate) struct OneCrank;

impl RunPolicy for OneCrank {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::uniform(2))
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _: &KernelWork) -> bool {
        false
    }
}

/// Returns one of these, or `None` if there are none.
fn pick<T: Clone>(random: &mut Random, items: &BTreeSet<T>) -> Option<T> {
    if items.is_empty() { None } else { items.iter().nth(random.index(items.len())).cloned() }
}

/// What a random vat knows.
pub(crate) struct RandomVat {
    random: Random,
    /// Objects it was given and holds.
    imports: BTreeSet<String>,
    /// Objects it was given and has dropped.
    dropped: BTreeSet<String>,
    /// Its own objects that the kernel may hold.
    exports: BTreeSet<String>,
    /// Its own objects that the kernel has dropped.
    unreachable: BTreeSet<String>,
    /// Promises that it may settle.
    decided: BTreeSet<String>,
    /// Promises that it knows and others settle.
    promises: BTreeSet<String>,
    next: u64,
    /// It calls services, and sends results on that it was to settle itself.
    is_versed: bool,
}

impl RandomVat {
    /// A vat that numbers what it makes from `first`.
    pub(crate) fn new(seed: u64, first: u64) -> Self {
        Self {
            random: Random::from(seed),
            imports: BTreeSet::new(),
            dropped: BTreeSet::new(),
            exports: BTreeSet::from(["o+0".to_owned()]),
            unreachable: BTreeSet::new(),
            decided: BTreeSet::new(),
            promises: BTreeSet::new(),
            next: first,
            is_versed: false,
        }
    }

    /// Has the vat call kernel services, and send on the results that it decides. It must have `enable_pipelining`.
    pub(crate) fn versed(self) -> Self {
        Self { is_versed: true, ..self }
    }

    /// Does something random with every delivery but the first.
    pub(crate) fn deliver(
        &mut self,
        delivery: &Delivery,
        kernel: &mut Caller<'_>,
    ) -> Result<(), String> {
        self.learn(delivery);
        match delivery {
            Delivery::StartVat { parameters } => {
                self.learn_slots(&parameters.slots);
                return Ok(());
            }
            Delivery::BringOutYourDead => return self.collect(kernel),
            _ => {}
        }
        for _ in 0..self.random.below(4) {
            self.act(kernel)?;
        }
        Ok(())
    }

    fn learn(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Message { message, .. } => {
                self.learn_slots(&message.methargs.slots);
                if let Some(result) = &message.result {
                    self.promises.remove(result);
                    self.decided.insert(result.clone());
                }
            }
            Delivery::Notify { resolutions } => {
                for Resolution { promise, data, .. } in resolutions {
                    self.learn_slots(&data.slots);
                    self.promises.remove(promise);
                }
                for Resolution { promise, .. } in resolutions {
                    self.promises.remove(promise);
                }
            }
            Delivery::DropExports { refs } => {
                for vref in refs {
                    self.exports.remove(vref);
                    self.unreachable.insert(vref.clone());
                }
            }
            Delivery::RetireExports { refs } => {
                for vref in refs {
                    self.exports.remove(vref);
                    self.unreachable.remove(vref);
                }
            }
            Delivery::RetireImports { refs } => {
                for vref in refs {
                    self.imports.remove(vref);
                    self.dropped.remove(vref);
                }
            }
            _ => {}
        }
    }

    fn learn_slots(&mut self, slots: &[String]) {
        for vref in slots {
            match (&vref[..2], self.decided.contains(vref)) {
                ("o-", _) => {
                    self.dropped.remove(vref);
                    self.imports.insert(vref.clone());
                }
                ("p-" | "p+", false) => {
                    self.promises.insert(vref.clone());
                }
                _ => {}
            }
        }
    }

    fn act(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        match self.random.below(100) {
            0..45 => self.send(kernel),
            45..65 => self.resolve(kernel),
            65..80 => {
                let Some(promise) = pick(&mut self.random, &self.promises) else { return Ok(()) };
                kernel.call(Syscall::Subscribe { promise }).map(|_| ())
            }
            80..88 => self.collect(kernel),
            88..92 => {
                let Some(vref) = pick(&mut self.random, &self.exports) else { return Ok(()) };
                if vref == "o+0" {
                    return Ok(());
                }
                self.exports.remove(&vref);
                kernel.call(Syscall::AbandonExports { refs: vec![vref] }).map(|_| ())
            }
            92..98 => {
                let key = format!("k{}", self.random.below(9)).into();
                let value = "v".repeat(self.random.index(300)).into();
                let syscall = match self.random.below(3) {
                    0 => Syscall::VatstoreDelete { key },
                    _ => Syscall::VatstoreSet { key, value },
                };
                kernel.call(syscall).map(|_| ())
            }
            98 if self.random.below(12) == 0 => {
                let info = CapData { body: "#\"bye\"".to_owned(), slots: vec![] };
                let is_failure = self.random.below(2) == 0;
                kernel.call(Syscall::Exit { is_failure, info }).map(|_| ())
            }
            99 if self.random.below(12) == 0 => {
                // Fatal: nobody has given it this.
                let promise = "p-999999".to_owned();
                kernel.call(Syscall::Subscribe { promise }).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Something to mention: an import, an export new or old, or a promise.
    fn some_slot(&mut self) -> Option<String> {
        match self.random.below(5) {
            0 => pick(&mut self.random, &self.imports),
            1 => {
                let vref = format!("o+{}", self.fresh());
                self.exports.insert(vref.clone());
                Some(vref)
            }
            2 => {
                let vref = pick(&mut self.random, &self.unreachable)?;
                self.unreachable.remove(&vref);
                self.exports.insert(vref.clone());
                Some(vref)
            }
            3 => {
                let vref = format!("p+{}", self.fresh());
                self.decided.insert(vref.clone());
                Some(vref)
            }
            _ => pick(&mut self.random, &self.promises),
        }
    }

    fn slots(&mut self) -> Vec<String> {
        let wanted = self.random.below(4);
        (0..wanted).filter_map(|_| self.some_slot()).collect()
    }

    fn data(&mut self) -> CapData {
        let slots = self.slots();
        // Some data are too large for the record of a promise.
        let text = "x".repeat(self.random.index(3) * 200);
        CapData { body: format!("#[\"m\",[\"{text}\"]]"), slots }
    }

    fn send(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        let to_promise = self.random.below(4) == 0;
        let known = if to_promise { &self.promises } else { &self.imports };
        let Some(target) = pick(&mut self.random, known) else { return Ok(()) };
        if self.is_versed {
            let (methargs, result) = (self.call(), self.passed_on());
            return kernel
                .call(Syscall::Send { target, message: Message { methargs, result } })
                .map(|_| ());
        }
        let methargs = self.data();
        let result = (self.random.below(3) > 0).then(|| format!("p+{}", self.fresh()));
        self.promises.extend(result.clone());
        kernel.call(Syscall::Send { target, message: Message { methargs, result } }).map(|_| ())
    }

    /// The result for a message: a new promise, or one that the vat was to settle.
    fn passed_on(&mut self) -> Option<String> {
        let result = match self.random.below(4) {
            0 => return None,
            1 => pick(&mut self.random, &self.decided)?,
            _ => format!("p+{}", self.fresh()),
        };
        self.decided.remove(&result);
        self.promises.insert(result.clone());
        Some(result)
    }

    /// A call of the kernel's facet, whoever gets it.
    fn call(&mut self) -> CapData {
        let slots = self.slots();
        let refs: Vec<String> = (0..slots.len()).map(|n| super::reference(&slots[n], n)).collect();
        let (first, all) = (refs.first().cloned().unwrap_or("1".to_owned()), refs.join(","));
        let number = self.random.below(12);
        let call = match self.random.below(12) {
            0 => format!(r#"["queueMessage",[{first},"m",[{all}]]]"#),
            1 if self.random.below(4) == 0 => {
                let vat = format!(
                    r#"{{"bundleID":"b1-r0","enablePipelining":true,"parameters":{{"x":[{all}]}}}}"#
                );
                format!(
                    r#"["launchSubcluster",[{{"bootstrap":"a","vats":{{"a":{vat},"b":{vat}}}}}]]"#
                )
            }
            2 if self.random.below(4) == 0 => format!(r#"["terminateSubcluster",["s{number}"]]"#),
            3 if self.random.below(4) == 0 => format!(r#"["revoke",[{first}]]"#),
            4 => format!(r#"["registerKernelServiceObject",["n{number}",{first}]]"#),
            5 => format!(r#"["unregisterKernelServiceObject",["n{number}"]]"#),
            6 => format!(r#"["getService",["n{number}"]]"#),
            7 => r#"["getSubclusters",[]]"#.to_owned(),
            8 => format!(r#"["registerInboundHandler",[{first},{first}]]"#),
            _ => format!(r#"["m",[{all}]]"#),
        };
        CapData { body: format!("#{call}"), slots }
    }

    fn resolve(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        let Some(promise) = pick(&mut self.random, &self.decided) else { return Ok(()) };
        self.decided.remove(&promise);
        let rejected = self.random.below(4) == 0;
        let mut data = self.data();
        if let (0, Some(object)) = (self.random.below(3), pick(&mut self.random, &self.imports)) {
            data = CapData { body: "#\"$0\"".to_owned(), slots: vec![object] };
        }
        // Resolving a promise to data with itself inside is allowed, naming it afterwards is not.
        let resolutions = vec![Resolution { promise, rejected, data }];
        kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
    }

    /// Drops or retires imports, retires exports that the kernel has dropped.
    fn collect(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        if let Some(vref) = pick(&mut self.random, &self.imports) {
            self.imports.remove(&vref);
            self.dropped.insert(vref.clone());
            kernel.call(Syscall::DropImports { refs: vec![vref] })?;
        }
        if let (0, Some(vref)) = (self.random.below(2), pick(&mut self.random, &self.dropped)) {
            self.dropped.remove(&vref);
            kernel.call(Syscall::RetireImports { refs: vec![vref] })?;
        }
        if let (0, Some(vref)) = (self.random.below(2), pick(&mut self.random, &self.unreachable)) {
            self.unreachable.remove(&vref);
            kernel.call(Syscall::RetireExports { refs: vec![vref] })?;
        }
        Ok(())
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// The random vat of a kernel's seed.
pub(crate) fn random_vat(seed: u64, vat: VatId) -> Behaviour {
    let mut random = RandomVat::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ vat.0, 10);
    Box::new(move |delivery, kernel| random.deliver(delivery, kernel))
}
