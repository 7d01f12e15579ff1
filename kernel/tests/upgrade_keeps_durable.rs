//! Upgrades: what the old heap held is let go of, what durable data holds is kept.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use std::{cell::RefCell, rc::Rc};

use capstan_abi::{CapData, Delivery, Syscall};
use capstan_kernel::{
    policy::{CleanupCounts, CrankOutcome, KernelWork, RunPolicy},
    view,
};
use capstan_kernel_ports::VatId;
use serde_json::json;
use support::{Behaviour, Caller, config, idle, kernel, method, run};

const VICTIM: VatId = VatId(4);

/// The first incarnation of the victim: keeps what it is given as it is told.
fn keeper() -> Behaviour {
    Box::new(|delivery, kernel| {
        let Delivery::Message { message, .. } = delivery else { return Ok(()) };
        let slots = &message.methargs.slots;
        let mut set = |key: String| {
            let value = "1".into();
            kernel.call(Syscall::VatstoreSet { key: key.into(), value }).map(|_| ())
        };
        if method(message) == "keep" {
            // On the heap, in durable data, as the key of a durable weak collection, in both.
            set(format!("vom.rc.{}", slots[1]))?;
            set(format!("vom.ir.{}|7", slots[2]))?;
            set(format!("vom.rc.{}", slots[3]))?;
            set(format!("vom.ir.{}|7", slots[3]))?;
        }
        Ok(())
    })
}

#[test]
fn what_only_the_old_heap_held_is_dropped_and_retired() {
    for collect in [true, false] {
        let told: Rc<RefCell<Vec<Delivery>>> = Rc::default();
        let ears = Rc::clone(&told);
        let factory = Box::new(move |_: VatId, bundle: &str| match bundle {
            "b1-boot" => Box::new(|delivery: &Delivery, kernel: &mut Caller<'_>| {
                if let Delivery::Message { message, .. } = delivery {
                    let slots: Vec<&str> =
                        message.methargs.slots.iter().map(String::as_str).collect();
                    // The roots come in the order of their names: boot, friend, vatAdmin, victim.
                    kernel.send(slots[1], "give", &[slots[3]], None);
                    kernel.send(slots[2], "begin", &[slots[4]], None);
                }
                Ok(())
            }) as Behaviour,
            "b1-friend" => {
                let ears = Rc::clone(&ears);
                Box::new(move |delivery: &Delivery, kernel: &mut Caller<'_>| {
                    if let Delivery::Message { message, .. } = delivery {
                        let exports = ["o+1", "o+2", "o+3", "o+4"];
                        kernel.send(&message.methargs.slots[0], "keep", &exports, None);
                    }
                    ears.borrow_mut().push(delivery.clone());
                    Ok(())
                })
            }
            "b1-victim" => keeper(),
            "b1-vatAdmin" => support::operator::operator(),
            _ => idle(),
        });
        let mut config = config("boot", &["boot", "friend", "victim"]);
        config.bundles.insert("b1-new".to_owned(), vec![]);
        config.options.collect_leaks = collect;
        let (mut kernel, mut state) = kernel(&config, factory);
        run(&mut kernel, &mut state);
        told.borrow_mut().clear();
        let order = CapData {
            body: format!("#{}", json!(["upgrade-only", [VICTIM.to_string(), "b1-new"]])),
            slots: vec![],
        };
        kernel.post_to_vat_root(&mut state, "vatAdmin", order).unwrap();
        run(&mut kernel, &mut state);
        assert_eq!(view::vat_state(&state, VICTIM).unwrap().unwrap().incarnation, 1);
        let refs = |numbers: &[&str]| numbers.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let told = told.borrow();
        let collected: Vec<&Delivery> = told
            .iter()
            .filter(|delivery| !matches!(delivery, Delivery::BringOutYourDead))
            .collect();
        if collect {
            let dropped = Delivery::DropExports { refs: refs(&["o+1", "o+3"]) };
            let retired = Delivery::RetireExports { refs: refs(&["o+1"]) };
            assert_eq!(collected, [&dropped, &retired]);
        } else {
            assert!(collected.is_empty(), "SwingSet leaks them: {collected:?}");
        }
    }
}

/// Notes what each crank did.
#[derive(Default)]
struct Notes(Vec<CrankOutcome>);

impl RunPolicy for Notes {
    fn allow_cleanup(&mut self) -> Option<CleanupCounts> {
        Some(CleanupCounts::UNLIMITED)
    }

    fn crank_done(&mut self, outcome: &CrankOutcome, _work: &KernelWork) -> bool {
        self.0.push(outcome.clone());
        true
    }
}

#[test]
fn an_upgrade_to_a_bundle_that_is_not_there_fails_and_costs_nothing() {
    let factory = Box::new(|_: VatId, bundle: &str| match bundle {
        "b1-boot" => Box::new(|delivery: &Delivery, kernel: &mut Caller<'_>| {
            if let Delivery::Message { message, .. } = delivery {
                let slots: Vec<&str> = message.methargs.slots.iter().map(String::as_str).collect();
                kernel.send(slots[2], "begin", &[slots[4]], None);
            }
            Ok(())
        }) as Behaviour,
        "b1-vatAdmin" => support::operator::operator(),
        _ => idle(),
    });
    let config = config("boot", &["boot", "friend", "victim"]);
    let (mut kernel, mut state) = kernel(&config, factory);
    run(&mut kernel, &mut state);
    let order = json!(["upgrade-only", [VICTIM.to_string(), "b1-nowhere"]]);
    let order = CapData { body: format!("#{order}"), slots: vec![] };
    kernel.post_to_vat_root(&mut state, "vatAdmin", order).unwrap();
    let mut notes = Notes::default();
    kernel.run(&mut state, &mut notes).unwrap();
    let faults = notes.0.iter().filter(|o| **o == CrankOutcome::Delivery { computrons: None });
    assert_eq!(faults.count(), 0, "{:?}", notes.0);
    let victim = view::vat_state(&state, VICTIM).unwrap().unwrap();
    assert_eq!((victim.incarnation, victim.deliveries), (0, 1), "startVat and nothing else");
    let failed = view::failed_upgrade(&state, VICTIM).unwrap().unwrap();
    assert_eq!(failed.bundle_id, "b1-nowhere");
    assert_eq!(failed.cause, "bundle b1-nowhere is not installed");
}
