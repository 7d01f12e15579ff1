//! The ends of vats: what those who are left see of them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Syscall};
use capstan_kernel::{
    Kernel,
    capdata::KernelData,
    policy::{CleanupBudget, CrankOutcome, KernelWork, RunPolicy},
    promise::ResultPolicy,
    view,
};
use capstan_kernel_ports::{VatId, memory::MemoryState};
use serde_json::{Value, json};
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

fn nothing(_: &Delivery, _: &mut Caller<'_>) -> Result<(), String> {
    Ok(())
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
