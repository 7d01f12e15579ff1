//! Random vats exchange random objects and promises, drop, retire, abandon, end and misbehave. After
//! every crank the kernel's counts are compared with counts made from scratch.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use capstan_abi::{CapData, Delivery, Message, Resolution, Syscall};
use capstan_kernel::{
    ids::{Endpoint, KRef},
    policy::{CleanupBudget, CrankOutcome, RunPolicy},
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use serde_json::Value;
use support::{Behaviour, Caller, config, idle, kernel};

const VATS: [&str; 5] = ["a", "b", "boot", "c", "d"];

/// One crank at a time; the dead are cleaned up a little at a time.
struct OneCrank;

impl RunPolicy for OneCrank {
    fn allow_cleanup(&mut self) -> Option<CleanupBudget> {
        Some(CleanupBudget::uniform(2))
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome) -> bool {
        false
    }
}

/// xorshift64*: a vat's choices are a function of the seed and its deliveries.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, items: &BTreeSet<T>) -> Option<T> {
        let count = items.len() as u64;
        if count == 0 { None } else { items.iter().nth(self.roll(count) as usize).cloned() }
    }
}

/// What a random vat knows.
struct RandomVat {
    dice: Dice,
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
}

impl RandomVat {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed | 1),
            imports: BTreeSet::new(),
            dropped: BTreeSet::new(),
            exports: BTreeSet::from(["o+0".to_owned()]),
            unreachable: BTreeSet::new(),
            decided: BTreeSet::new(),
            promises: BTreeSet::new(),
            next: 10,
        }
    }

    fn deliver(&mut self, delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
        self.learn(delivery);
        if matches!(delivery, Delivery::BringOutYourDead) {
            return self.collect(kernel);
        }
        for _ in 0..self.dice.roll(4) {
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
        match self.dice.roll(100) {
            0..45 => self.send(kernel),
            45..65 => self.resolve(kernel),
            65..80 => {
                let Some(promise) = self.dice.pick(&self.promises) else { return Ok(()) };
                kernel.call(Syscall::Subscribe { promise }).map(|_| ())
            }
            80..88 => self.collect(kernel),
            88..92 => {
                let Some(vref) = self.dice.pick(&self.exports) else { return Ok(()) };
                if vref == "o+0" {
                    return Ok(());
                }
                self.exports.remove(&vref);
                kernel.call(Syscall::AbandonExports { refs: vec![vref] }).map(|_| ())
            }
            92..98 => {
                let key = format!("k{}", self.dice.roll(9));
                kernel.call(Syscall::VatstoreSet { key, value: "v".to_owned() }).map(|_| ())
            }
            98 if self.dice.roll(12) == 0 => {
                let info = CapData { body: "#\"bye\"".to_owned(), slots: vec![] };
                let is_failure = self.dice.roll(2) == 0;
                kernel.call(Syscall::Exit { is_failure, info }).map(|_| ())
            }
            99 if self.dice.roll(12) == 0 => {
                // Fatal: nobody has given it this.
                let promise = "p-999999".to_owned();
                kernel.call(Syscall::Subscribe { promise }).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Something to mention: an import, an export new or old, or a promise.
    fn some_slot(&mut self) -> Option<String> {
        match self.dice.roll(5) {
            0 => self.dice.pick(&self.imports),
            1 => {
                let vref = format!("o+{}", self.fresh());
                self.exports.insert(vref.clone());
                Some(vref)
            }
            2 => {
                let vref = self.dice.pick(&self.unreachable)?;
                self.unreachable.remove(&vref);
                self.exports.insert(vref.clone());
                Some(vref)
            }
            3 => {
                let vref = format!("p+{}", self.fresh());
                self.decided.insert(vref.clone());
                Some(vref)
            }
            _ => self.dice.pick(&self.promises),
        }
    }

    fn slots(&mut self) -> Vec<String> {
        let wanted = self.dice.roll(4);
        (0..wanted).filter_map(|_| self.some_slot()).collect()
    }

    fn data(&mut self) -> CapData {
        let slots = self.slots();
        CapData { body: "#[\"m\",[]]".to_owned(), slots }
    }

    fn send(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        let to_promise = self.dice.roll(4) == 0;
        let known = if to_promise { &self.promises } else { &self.imports };
        let Some(target) = self.dice.pick(known) else { return Ok(()) };
        let methargs = self.data();
        let result = (self.dice.roll(3) > 0).then(|| format!("p+{}", self.fresh()));
        self.promises.extend(result.clone());
        kernel.call(Syscall::Send { target, message: Message { methargs, result } }).map(|_| ())
    }

    fn resolve(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        let Some(promise) = self.dice.pick(&self.decided) else { return Ok(()) };
        self.decided.remove(&promise);
        let rejected = self.dice.roll(4) == 0;
        let mut data = self.data();
        if let (0, Some(object)) = (self.dice.roll(3), self.dice.pick(&self.imports)) {
            data = CapData { body: "#\"$0\"".to_owned(), slots: vec![object] };
        }
        // Resolving a promise to data with itself inside is allowed, naming it afterwards is not.
        let resolutions = vec![Resolution { promise, rejected, data }];
        kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
    }

    /// Drops or retires imports, retires exports that the kernel has dropped.
    fn collect(&mut self, kernel: &mut Caller<'_>) -> Result<(), String> {
        if let Some(vref) = self.dice.pick(&self.imports) {
            self.imports.remove(&vref);
            self.dropped.insert(vref.clone());
            kernel.call(Syscall::DropImports { refs: vec![vref] })?;
        }
        if let (0, Some(vref)) = (self.dice.roll(2), self.dice.pick(&self.dropped)) {
            self.dropped.remove(&vref);
            kernel.call(Syscall::RetireImports { refs: vec![vref] })?;
        }
        if let (0, Some(vref)) = (self.dice.roll(2), self.dice.pick(&self.unreachable)) {
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

fn random_vat(seed: u64, vat: VatId) -> Behaviour {
    let mut random = RandomVat::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ vat.0);
    Box::new(move |delivery, kernel| random.deliver(delivery, kernel))
}

/// The bootstrap vat: introduces the random vats to each other and is done.
fn introducer() -> Behaviour {
    Box::new(|delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let roots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
        let random = [roots[0], roots[1], roots[3], roots[4]];
        for round in 0..3 {
            for (index, root) in random.iter().enumerate() {
                let result = format!("p+{}", 100 + 10 * round + index);
                kernel.send(root, "meet", &random, Some(&result));
            }
        }
        let data = CapData { body: "#\"done\"".to_owned(), slots: vec![] };
        let promise = message.result.clone().unwrap_or_default();
        let resolutions = vec![Resolution { promise, rejected: false, data }];
        kernel.call(Syscall::Resolve { resolutions }).map(|_| ())
    })
}

/// Counts made from scratch, from what holds what.
#[derive(Default)]
struct Model {
    objects: BTreeMap<String, (u64, u64)>,
    promises: BTreeMap<String, u64>,
}

impl Model {
    fn of(state: &MemoryState, dump: &Value) -> Self {
        let mut model = Self::default();
        for row in dump["objects"].as_array().unwrap() {
            model.objects.insert(row[0].as_str().unwrap().to_owned(), (0, 0));
        }
        model.count_clists(state);
        for name in ["runQueue", "acceptanceQueue"] {
            dump[name].as_array().unwrap().iter().for_each(|event| model.count_event(event));
        }
        for promise in dump["promises"].as_array().unwrap() {
            model.count_slots(&promise["data"]);
            let waiting = promise["queue"].as_array().into_iter().flatten();
            waiting.for_each(|message| model.count_message(&promise["id"], message));
        }
        // Pinned: the roots of vatAdmin and of the bootstrap vat. Held by the host: bootstrap's result.
        model.hold("ko20");
        let boot = view::vat_by_name(state, "boot").unwrap().unwrap();
        let root = view::kref_of(state, Endpoint::Vat(boot), "o+0").unwrap().unwrap();
        model.hold(&root.to_string());
        model.hold("kp40");
        model
    }

    fn count_clists(&mut self, state: &MemoryState) {
        for vat in view::vats(state).unwrap() {
            for (kref, entry) in view::clist(state, Endpoint::Vat(vat)).unwrap() {
                let reverse = view::kref_of(state, Endpoint::Vat(vat), &entry.vref).unwrap();
                assert_eq!(reverse, Some(kref), "{vat}: {} leads elsewhere", entry.vref);
                match kref {
                    KRef::Promise(_) => *self.promises.entry(kref.to_string()).or_default() += 1,
                    KRef::Object(_) if entry.vref.starts_with("o-") => {
                        let counts = self.objects.entry(kref.to_string()).or_default();
                        counts.0 += u64::from(entry.reachable);
                        counts.1 += 1;
                    }
                    _ => {}
                }
            }
        }
    }

    fn count_event(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "send" => self.count_message(&event["target"], &event["msg"]),
            "notify" => self.hold(event["kpid"].as_str().unwrap()),
            _ => {}
        }
    }

    fn count_message(&mut self, target: &Value, message: &Value) {
        self.hold(target.as_str().unwrap());
        if let Some(result) = message["result"].as_str() {
            self.hold(result);
        }
        self.count_slots(&message["methargs"]);
    }

    fn count_slots(&mut self, data: &Value) {
        for slot in data["slots"].as_array().into_iter().flatten() {
            self.hold(slot.as_str().unwrap());
        }
    }

    fn hold(&mut self, kref: &str) {
        if kref.starts_with("kp") {
            *self.promises.entry(kref.to_owned()).or_default() += 1;
        } else if let Some(counts) = self.objects.get_mut(kref) {
            counts.0 += 1;
            counts.1 += 1;
        }
    }

    fn check(&self, dump: &Value, context: &str) {
        for row in dump["objects"].as_array().unwrap() {
            let kref = row[0].as_str().unwrap();
            let kept = (row[2].as_u64().unwrap(), row[3].as_u64().unwrap());
            assert_eq!(Some(&kept), self.objects.get(kref), "counts of {kref} {context}");
            assert!(
                !(row[1].is_null() && kept.1 == 0),
                "orphan {kref} was not collected {context}"
            );
        }
        for row in dump["promises"].as_array().unwrap() {
            let kref = row["id"].as_str().unwrap();
            let counted = self.promises.get(kref).copied().unwrap_or_default();
            assert_eq!(row["refCount"].as_u64(), Some(counted), "count of {kref} {context}");
            assert!(counted > 0, "promise {kref} was not collected {context}");
        }
    }
}

/// Runs one seed; returns the crank chain and the number of cranks.
fn soak(seed: u64, cranks: u64, restart_every: Option<u64>, check: bool) -> (String, u64) {
    let factory = Box::new(move |vat, bundle: &str| match bundle {
        "b1-vatAdmin" => idle(),
        "b1-boot" => introducer(),
        _ => random_vat(seed, vat),
    });
    let (mut kernel, mut state) = kernel(&config("boot", &VATS), factory);
    for crank in 0..cranks {
        if restart_every.is_some_and(|every| crank % every == every - 1) {
            kernel.evict_all();
        }
        let report = kernel.run(&mut state, &mut OneCrank);
        let report = report.unwrap_or_else(|panic| panic!("seed {seed} crank {crank}: {panic}"));
        if report.idle {
            break;
        }
        if check {
            let dump = view::dump(&state).unwrap();
            let context = format!("after crank {crank} of seed {seed}");
            Model::of(&state, &dump).check(&dump, &context);
        }
    }
    let status = view::kernel_status(&state).unwrap();
    (status.crank_chain.to_string(), status.cranks)
}

#[test]
fn counts_are_what_is_held_after_every_crank() {
    let mut cranks = 0;
    for seed in 1..=60 {
        cranks += soak(seed, 400, None, true).1;
    }
    assert!(
        cranks > 2_000,
        "only {cranks} cranks were made: the vats died too early to tell anything"
    );
}

#[test]
fn restarts_leave_no_trace() {
    for seed in 1..=25 {
        let unbroken = soak(seed, 300, None, false);
        for every in [1, 3, 17] {
            let broken = soak(seed, 300, Some(every), false);
            assert_eq!(broken, unbroken, "seed {seed}, a restart every {every} cranks");
        }
    }
}
