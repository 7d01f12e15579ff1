//! A recorded vat's part, delivery by delivery, also when it is brought back by replay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use capstan_abi::{Delivery, json::delivery_to_json};
use capstan_kernel_ports::VatId;
use serde_json::Value;

use crate::{compare, scenario::Scenario};

/// The parts of all vats of a recording.
#[derive(Debug, Default)]
pub struct Script {
    vats: BTreeMap<VatId, Part>,
    /// The vats whose worker was SwingSet's local one.
    local: BTreeSet<VatId>,
    /// The vats without liveslots, which see what they are delivered.
    raw: BTreeSet<VatId>,
    /// The vats without a transcript, whose new workers replay nothing.
    forgetful: BTreeSet<VatId>,
}

#[derive(Debug, Default)]
struct Part {
    /// What was made, and what of it a snapshot held, at the last commit.
    committed: (Vec<Value>, usize),
    /// Deliveries to come.
    coming: VecDeque<Value>,
    /// Deliveries of this incarnation that were made.
    made: Vec<Value>,
    /// Number of them that the last snapshot holds.
    in_snapshot: usize,
    /// Deliveries of this incarnation still to be replayed.
    replay: VecDeque<Value>,
    /// No delivery was made since the worker was started.
    fresh: bool,
}

impl Script {
    /// The parts that a recording's deliveries make up, each in the order of its delivery numbers.
    pub fn new(scenario: &Scenario) -> Self {
        let expected = &scenario.expected;
        let mut script = Self {
            local: scenario.local_vats(),
            raw: scenario.raw_vats(),
            forgetful: scenario.vats_without_transcript(),
            ..Self::default()
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let cranks = list(&expected["cranks"]).into_iter();
        for delivery in cranks.flat_map(|crank| list(&crank["deliveries"])) {
            if let Some(part) = script.part_of(&delivery) {
                part.coming.push_back(delivery);
            }
        }
        // Numbers that were undone come again: what was delivered outside of cranks follows the last lower
        // one.
        for delivery in list(&expected["other"]) {
            let Some(part) = script.part_of(&delivery) else { continue };
            let number = |delivery: &Value| delivery["deliveryNum"].as_u64();
            let before = part.coming.iter().rposition(|other| number(other) < number(&delivery));
            part.coming.insert(before.map_or(0, |index| index + 1), delivery);
        }
        script
    }

    /// Returns `true` if the vat's worker was SwingSet's local one: it forces no garbage collection and has
    /// no snapshots.
    pub fn is_local(&self, vat: VatId) -> bool {
        self.local.contains(&vat)
    }

    /// Returns `true` if the engine is not to be asked for this delivery: a local worker's liveslots collected
    /// nothing then.
    pub fn leaves_out(&self, vat: VatId, recorded: &Value) -> bool {
        self.is_local(vat) && !self.raw.contains(&vat) && reaps_in_vain(recorded)
    }

    /// All that was done so far is committed.
    pub fn commit(&mut self) {
        for part in self.vats.values_mut() {
            part.committed = (part.made.clone(), part.in_snapshot);
        }
    }

    /// What was made since the last commit is made once more: as it was recorded the second time.
    pub fn roll_back(&mut self) {
        for part in self.vats.values_mut() {
            (part.made, part.in_snapshot) = part.committed.clone();
        }
    }

    fn part_of(&mut self, delivery: &Value) -> Option<&mut Part> {
        let vat = delivery["vatID"].as_str().and_then(|id| id.parse().ok())?;
        Some(self.vats.entry(vat).or_default())
    }

    /// The vat's worker was started, for a new incarnation or to be brought back.
    pub fn started(&mut self, vat: VatId) {
        let part = self.vats.entry(vat).or_default();
        part.fresh = true;
        part.replay = match self.forgetful.contains(&vat) {
            true => VecDeque::new(),
            false => part.made.iter().cloned().collect(),
        };
    }

    /// A snapshot of the vat's heap was taken.
    pub fn snapshot_taken(&mut self, vat: VatId) {
        let part = self.vats.entry(vat).or_default();
        part.in_snapshot = part.made.len();
    }

    /// The vat's worker was brought back from its last snapshot.
    pub fn restored(&mut self, vat: VatId) {
        let part = self.vats.entry(vat).or_default();
        part.fresh = false;
        part.replay = part.made[part.in_snapshot..].iter().cloned().collect();
    }

    /// The recorded delivery that this one is; none if the vat has no part left.
    pub fn next(&mut self, vat: VatId, delivery: &Delivery) -> Option<Value> {
        let part = self.vats.entry(vat).or_default();
        let got = delivery_to_json(delivery);
        let starts_over = matches!(delivery, Delivery::StartVat { .. })
            && part.coming.front().is_some_and(|next| compare::same(&next["vd"], &got));
        let is_upgrade = part.fresh && starts_over;
        part.fresh = false;
        if is_upgrade {
            part.replay.clear();
            if part.coming.front().is_some_and(|next| next["dr"][0] == "error") {
                // It is undone, and with it the bringOutYourDead before it.
                part.made.pop();
                return part.coming.pop_front();
            }
            part.made.clear();
            part.in_snapshot = 0;
        }
        if let Some(again) = part.replay.pop_front() {
            return Some(again);
        }
        let next = part.coming.pop_front()?;
        part.made.push(next.clone());
        Some(next)
    }
}

/// Returns the computrons that the vat spent in a recorded delivery.
pub fn computrons(recorded: &Value) -> Option<capstan_kernel_ports::Computrons> {
    recorded["dr"][2]["compute"].as_u64().map(capstan_kernel_ports::Computrons)
}

/// Returns `true` if a recorded delivery is a bringOutYourDead that found nothing.
pub fn reaps_in_vain(recorded: &Value) -> bool {
    recorded["vd"][0] == "bringOutYourDead"
        && recorded["syscalls"].as_array().is_none_or(Vec::is_empty)
}
