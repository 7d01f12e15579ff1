//! Upgrades and terminations at every step of a mixed scenario: whatever was under way, the counts stay
//! right, everyone else lives on, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::{ids::Endpoint, promise::PromiseState, vat::VatStatus, view};
use capstan_kernel_ports::VatId;
use serde_json::json;
use support::operator::World;

/// Steps of the scenario at which something happens.
const STEPS: u64 = 120;
/// More cranks than any scenario takes to its end.
const END: u64 = 3_000;
/// The vat that it happens to.
const VICTIM: VatId = VatId(5);

/// A scenario of so many cranks after the operator has got its device.
fn scenario(seed: u64, steps: u64) -> World {
    let mut world = World::new(seed);
    world.begin();
    for _ in 0..steps {
        world.crank();
    }
    world
}

#[test]
fn a_vat_can_be_upgraded_at_every_step() {
    for step in 0..STEPS {
        let mut world = scenario(7, step);
        assert!(world.live().contains(&VICTIM), "step {step}: another seed is wanted");
        world.upgrade(VICTIM);
        world.settle(END);
        let state = view::vat_state(&world.state, VICTIM).unwrap().unwrap();
        // It may have ended itself since, but not by the upgrade.
        assert_eq!(state.incarnation, 1, "step {step}");
        // What only the old heap exported is nobody's any more.
        for (kref, entry) in view::clist(&world.state, Endpoint::Vat(VICTIM)).unwrap() {
            let is_old = entry.vref.strip_prefix("o+").and_then(|n| n.parse::<u64>().ok());
            assert!(
                is_old.is_none_or(|n| n == 0 || n > 1_000_000),
                "step {step}: {kref} {}",
                entry.vref
            );
        }
        assert_nothing_waits_for(&world, step, |decider| decider != Endpoint::Vat(VICTIM));
    }
}

#[test]
fn a_vat_can_be_ended_at_every_step() {
    for step in 0..STEPS {
        let mut world = scenario(11, step);
        assert!(world.live().contains(&VICTIM), "step {step}: another seed is wanted");
        let others = world.live().len() - 1;
        world.tell("terminate", json!([VICTIM.to_string()]));
        world.settle(END);
        let state = view::vat_state(&world.state, VICTIM).unwrap().unwrap();
        assert!(matches!(state.status, VatStatus::Cleaned(_)), "step {step}: {:?}", state.status);
        assert!(world.live().len() <= others, "step {step}");
        assert!(
            view::clist(&world.state, Endpoint::Vat(VICTIM)).unwrap().is_empty(),
            "step {step}"
        );
        assert_nothing_waits_for(&world, step, |_| true);
    }
}

#[test]
fn an_upgrade_and_a_termination_in_any_order_leave_nothing_behind() {
    for step in (0..STEPS).step_by(5) {
        for upgrade_first in [true, false] {
            let mut world = scenario(13, step);
            assert!(world.live().contains(&VICTIM), "step {step}: another seed is wanted");
            if upgrade_first {
                world.upgrade(VICTIM);
                world.tell("terminate", json!([VICTIM.to_string()]));
            } else {
                world.tell("terminate", json!([VICTIM.to_string()]));
                world.upgrade(VICTIM);
            }
            world.settle(END);
            let state = view::vat_state(&world.state, VICTIM).unwrap().unwrap();
            assert!(matches!(state.status, VatStatus::Cleaned(_)), "step {step}");
            assert!(view::clist(&world.state, Endpoint::Vat(VICTIM)).unwrap().is_empty());
        }
    }
}

/// No unresolved promise is decided by a vat that is dead, or by `allowed`'s refusal by the old
/// incarnation of one.
fn assert_nothing_waits_for(world: &World, step: u64, allowed: impl Fn(Endpoint) -> bool) {
    let dump = view::dump(&world.state).unwrap();
    for row in dump["promises"].as_array().unwrap() {
        let number = row["id"].as_str().unwrap()[2..].parse().unwrap();
        let promise = view::promise(&world.state, number).unwrap().unwrap();
        let PromiseState::Unresolved(unresolved) = promise.state else { continue };
        let Some(decider) = unresolved.decider else { continue };
        let Endpoint::Vat(vat) = decider else { continue };
        let status = view::vat_state(&world.state, vat).unwrap().unwrap().status;
        assert_eq!(
            status,
            VatStatus::Running,
            "step {step}: kp{number} is decided by the dead {vat}"
        );
        if !allowed(decider) {
            // The new incarnation may decide promises of its own.
            let vref = view::clist(&world.state, decider).unwrap().into_iter();
            let entry =
                vref.into_iter().find(|(kref, _)| kref.to_string() == format!("kp{number}"));
            let vref = entry.map(|(_, entry)| entry.vref).unwrap_or_default();
            let own = vref.strip_prefix("p+").and_then(|n| n.parse::<u64>().ok());
            assert!(own.is_none_or(|n| n > 1_000_000), "step {step}: {vref} survived the upgrade");
        }
    }
}
