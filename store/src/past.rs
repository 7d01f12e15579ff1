//! The states of the last heights, for reads at a past height.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, RwLock},
};

use crate::StateView;

/// The states that were committed last, each unaffected by later commits. Clones share them.
///
/// They are in memory only. An opening makes those again that are not before the last checkpoint, from the journal, but
/// without their trees: their entries and proofs can be read, and they cannot be exported.
///
/// Their number is bounded, and so is the weight of the changes between them. Otherwise the database would keep the pages
/// of too many checkpoints for them.
#[derive(Clone, Debug, Default)]
pub struct Past(Arc<RwLock<States>>);

/// Weight of the changes from which the state before them is dropped in a thread.
const LARGE_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
struct States {
    /// The states, the oldest first, each with the weight of the changes that led to it.
    states: VecDeque<(StateView, usize)>,
    weight_bytes: usize,
}

impl Past {
    /// Returns the state at `height`, or `None` if it is not kept.
    pub fn at(&self, height: u64) -> Option<StateView> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let index = kept.states.binary_search_by_key(&height, |(state, _)| state.height()).ok()?;
        Some(kept.states.get(index)?.0.clone())
    }

    /// Returns the oldest height that is kept, or `None` if there is none.
    pub fn first_height(&self) -> Option<u64> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.states.front().map(|(state, _)| state.height())
    }

    /// Returns the oldest state with a tree after which the changes weigh at most `max_bytes`, or the last state if there is
    /// none.
    pub(crate) fn oldest_within(&self, max_bytes: usize) -> Option<StateView> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut after_bytes) = (None, 0_usize);
        for (state, weight_bytes) in kept.states.iter().rev() {
            if found.is_some() && (after_bytes > max_bytes || !state.has_tree()) {
                break;
            }
            found = Some(state.clone());
            after_bytes = after_bytes.saturating_add(*weight_bytes);
        }
        found
    }

    /// Forgets all states, and begins with `state`.
    pub(crate) fn restart(&self, state: StateView) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *kept = States { states: VecDeque::from([(state, 0)]), weight_bytes: 0 };
    }

    /// Adds the last state, whose changes weigh `weight_bytes`. Takes out what is more than `heights` before it, or
    /// beyond `max_bytes`. Returns the states that were taken out. Each holds what the commit after it replaced, so to drop one
    /// takes time, and much of it if the flag is set.
    pub(crate) fn add(
        &self,
        state: StateView,
        weight_bytes: usize,
        heights: u64,
        max_bytes: usize,
    ) -> Vec<(StateView, bool)> {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let oldest = state.height().saturating_sub(heights);
        kept.states.push_back((state, weight_bytes));
        kept.weight_bytes = kept.weight_bytes.saturating_add(weight_bytes);
        let mut taken = Vec::new();
        while let (Some((first, weight)), Some((second, replaced_bytes))) =
            (kept.states.front(), kept.states.get(1))
        {
            if first.height() >= oldest && kept.weight_bytes <= max_bytes {
                break;
            }
            let weight = *weight;
            let is_large = !first.shares_checkpoint(second) || *replaced_bytes > LARGE_BYTES;
            taken.extend(kept.states.pop_front().map(|(first, _)| (first, is_large)));
            kept.weight_bytes = kept.weight_bytes.saturating_sub(weight);
        }
        taken
    }
}
