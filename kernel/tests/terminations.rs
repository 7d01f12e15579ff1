//! The ends of vats: what those who are left see of them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Syscall};
use capstan_kernel::{
    Kernel,
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    promise::ResultPolicy,
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use serde_json::{Value, json};
use support::random::OneCrank;
use support::{Behaviour, Caller, ClosureHost, config, idle, kernel, method, run};

/// What vats were told, with whom.
type Heard = Rc<RefCell<Vec<(VatId, Delivery)>>>;

/// What a vat does with each of its deliveries.
type Act = fn(&Delivery, &mut Caller<'_>) -> Result<(), String>;

/// A kernel of a bootstrap vat v1, the vatAdmin vat v2 and others from v3 on in the order of their names.
struct Scene {
    kernel: Kernel<ClosureHost>,
    state: MemoryState,
    heard: Heard,
}

impl Scene {
    /// A kernel whose bootstrap was not delivered yet.
    fn new(acts: &'static [(&'static str, Act)]) -> Self {
        let heard: Heard = Rc::default();
        let ears = Rc::clone(&heard);
        let factory = Box::new(move |vat: VatId, bundle: &str| {
            let name = bundle.trim_start_matches("b1-").to_owned();
            let act = acts.iter().find(|(other, _)| *other == name).map(|(_, act)| *act);
            let Some(act) = act else { return idle() };
            let ears = Rc::clone(&ears);
            Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
                ears.borrow_mut().push((vat, delivery.clone()));
                act(delivery, kernel)
            }) as Behaviour
        });
        let names: Vec<&str> = acts.iter().map(|(name, _)| *name).chain(["boot"]).collect();
        let mut config = config("boot", &names);
        config.options.reap.never = true;
        for vat in config.vats.values_mut() {
            vat.reap.never = true;
        }
        let (kernel, state) = kernel(&config, factory);
        Self { kernel, state, heard }
    }

    fn run(&mut self) {
        run(&mut self.kernel, &mut self.state);
    }

    fn send(&mut self, vat: &str, what: &str) {
        let methargs = CapData { body: format!("#[\"{what}\",[]]"), slots: vec![] };
        self.kernel
            .queue_to_vat_root(&mut self.state, vat, methargs, ResultPolicy::Ignore)
            .unwrap();
    }

    /// The messages of that name that a vat got.
    fn messages(&self, vat: u64, name: &str) -> Vec<capstan_abi::Message> {
        let all = self.heard.borrow();
        all.iter()
            .filter_map(|(to, delivery)| match delivery {
                Delivery::Message { message, .. } if *to == VatId(vat) => Some(message.clone()),
                _ => None,
            })
            .filter(|message| method(message) == name)
            .collect()
    }
}

fn data(body: &str, slots: &[&str]) -> CapData {
    CapData { body: body.to_owned(), slots: slots.iter().map(|slot| (*slot).to_owned()).collect() }
}

fn is_call(delivery: &Delivery, name: &str) -> bool {
    matches!(delivery, Delivery::Message { message, .. } if method(message) == name)
}

/// Fails with an object and a promise for a reason that nobody has seen before.
fn fail_with_news(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    if is_call(delivery, "go") {
        let info = data("#[\"$0.Alleged: last\",\"&1\",\"$0\"]", &["o+7", "p+8"]);
        kernel.call(Syscall::Exit { is_failure: true, info })?;
    }
    Ok(())
}

/// The vatAdmin vat that calls what it is told of, waits for it, and lets go of it.
fn mourn(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    if let Delivery::Message { message, .. } = delivery
        && method(message) == "vatTerminated"
    {
        let slots = &message.methargs.slots;
        kernel.send(&slots[0], "hello", &[], Some("p+100"));
        kernel.call(Syscall::Subscribe { promise: "p+100".to_owned() })?;
        kernel.call(Syscall::Subscribe { promise: slots[1].clone() })?;
        kernel.call(Syscall::DropImports { refs: vec![slots[0].clone()] })?;
        kernel.call(Syscall::RetireImports { refs: vec![slots[0].clone()] })?;
    }
    Ok(())
}

/// Sends itself an object that it has not exported before.
fn export_one(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    if is_call(delivery, "go") {
        kernel.send("o+0", "keep", &["o+9"], None);
    }
    Ok(())
}

#[test]
fn a_failures_reason_refers_to_nothing_that_the_undone_crank_made() {
    let mut scene =
        Scene::new(&[("mortal", fail_with_news), ("other", export_one), ("vatAdmin", mourn)]);
    scene.run();
    scene.send("mortal", "go");
    // Its export takes the number that the undone crank had taken.
    scene.send("other", "go");
    scene.run();
    let told = scene.messages(2, "vatTerminated");
    assert_eq!(told.len(), 1);
    assert!(told[0].methargs.body.contains("[\"$0.Alleged: last\",\"&1\",\"$0\"]"), "{told:?}");
    assert_eq!(scene.messages(4, "hello"), [], "another vat's object was called");
    assert_eq!(scene.messages(4, "keep").len(), 1);
    let rejections: Vec<(String, CapData)> = scene
        .heard
        .borrow()
        .iter()
        .filter_map(|(vat, delivery)| match delivery {
            Delivery::Notify { resolutions } if *vat == VatId(2) => Some(resolutions.clone()),
            _ => None,
        })
        .flatten()
        .map(|resolution| (resolution.promise, resolution.data))
        .collect();
    let gone = data("#{\"#error\":\"vat terminated\",\"name\":\"Error\"}", &[]);
    let expected = [(told[0].methargs.slots[1].clone(), gone.clone()), ("p+100".to_owned(), gone)];
    assert_eq!(rejections, expected);
    let dump = view::dump(&scene.state).unwrap();
    // Bootstrap still holds the dead vat's root; nothing else is left of it.
    let mut objects = dump["objects"].as_array().unwrap().iter();
    let orphans: Vec<&Value> = objects.by_ref().filter(|row| row[1].is_null()).collect();
    assert_eq!(orphans, [&json!(["ko22", null, 1, 1])]);
}

/// Runs until nothing but dead vats is left.
struct NoCleanup;

impl RunPolicy for NoCleanup {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        None
    }

    fn crank_done(&mut self, _outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        true
    }
}

/// Bootstrap makes the holders known to those who give.
fn introduce(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    if let Delivery::Message { message, .. } = delivery {
        // The roots come in the order of the names: boot, frail, giver, holder, second, vatAdmin.
        let slots = &message.methargs.slots;
        for giver in [&slots[1], &slots[2]] {
            kernel.send(giver, "give", &[&slots[3], &slots[4]], None);
        }
    }
    Ok(())
}

/// Gives an object to each one that it is told of.
fn give(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    if let Delivery::Message { message, .. } = delivery {
        for holder in &message.methargs.slots {
            kernel.send(holder, "take", &["o+1"], None);
        }
    }
    Ok(())
}

/// Takes o-50 and o-51, and lets go of them when told.
fn hold(delivery: &Delivery, kernel: &mut Caller<'_>) -> Result<(), String> {
    let both = || vec!["o-50".to_owned(), "o-51".to_owned()];
    if is_call(delivery, "drop") {
        kernel.call(Syscall::DropImports { refs: both() })?;
    }
    if is_call(delivery, "retire") {
        kernel.call(Syscall::RetireImports { refs: both() })?;
    }
    Ok(())
}

/// A frail giver v3, a giver v4, a holder v5 and a second one v6. Both hold an object of each giver.
fn holders() -> Scene {
    let mut scene = Scene::new(&[
        ("boot", introduce),
        ("frail", give),
        ("giver", give),
        ("holder", hold),
        ("second", hold),
    ]);
    scene.run();
    scene
}

impl Scene {
    /// Ends the frail vat and goes on without cleaning up. Returns the cranks that this took.
    fn end_frail(&mut self) -> u64 {
        let reason = data("#\"enough\"", &[]);
        let reason = CapData { body: reason.body, slots: vec![] };
        self.kernel.terminate_vat(&mut self.state, VatId(3), &reason).unwrap();
        self.kernel.run(&mut self.state, &mut NoCleanup).unwrap().cranks
    }
}

#[test]
fn whoever_still_recognizes_a_dead_vats_object_is_told_before_the_cleanup() {
    let mut scene = holders();
    for holder in ["holder", "second"] {
        scene.send(holder, "drop");
    }
    scene.run();
    scene.end_frail();
    scene.heard.borrow_mut().clear();
    scene.send("holder", "retire");
    scene.kernel.run(&mut scene.state, &mut NoCleanup).unwrap();
    // The live giver's object is still recognized by the second holder, and its to retire.
    let retired: Vec<VatId> = scene
        .heard
        .borrow()
        .iter()
        .filter(|(_, delivery)| matches!(delivery, Delivery::RetireImports { .. }))
        .map(|(vat, _)| *vat)
        .collect();
    assert_eq!(retired, [VatId(6)]);
}

#[test]
fn collection_for_a_dead_vat_is_a_crank_until_it_is_cleaned_up() {
    let mut scene = holders();
    scene.send("holder", "drop");
    scene.run();
    scene.send("second", "drop");
    // Up to the drop; what follows from it is still to come.
    for _ in 0..2 {
        scene.kernel.run(&mut scene.state, &mut OneCrank).unwrap();
    }
    let actions = view::dump(&scene.state).unwrap()["gcActions"].clone();
    assert_eq!(actions, json!(["v3 dropExport ko26", "v4 dropExport ko27"]));
    // The news is routed, dropExports for each owner, the news is delivered.
    assert_eq!(scene.end_frail(), 4);
}
