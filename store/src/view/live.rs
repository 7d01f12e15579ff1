//! Iteration over the entries of a committed state, past what was removed.

use std::ops::Bound;

use crate::{
    Error, StateView,
    view::{
        entries::{Bytes, Entries, Step},
        gap::Gaps,
    },
};

/// The entries of a committed state from a place on, in key order.
///
/// It jumps over known gaps. Other removals it goes through one by one, and counts them.
pub(crate) struct Live {
    /// The entries ahead. `None` if none is left.
    ahead: Option<Entries>,
    /// Removed keys passed so far.
    passed: usize,
}

impl Live {
    /// Begins at the lower bound `from`. `gaps` are sets of gaps of that state.
    pub(crate) fn at(state: &StateView, from: Bound<&[u8]>, gaps: &[&Gaps]) -> Result<Self, Error> {
        let mut live = Self { ahead: None, passed: 0 };
        match end_at(from, gaps) {
            None => live.ahead = Some(state.range(from)?),
            Some(Some(end)) => live.ahead = Some(state.range(Bound::Included(end))?),
            Some(None) => {}
        }
        Ok(live)
    }

    /// Returns the next entry. The state and the gaps must be those it began with, or more gaps.
    pub(crate) fn next(
        &mut self,
        state: &StateView,
        gaps: &[&Gaps],
    ) -> Result<Option<(Bytes, Bytes)>, Error> {
        while let Some(ahead) = &mut self.ahead {
            let key = match ahead.step()? {
                None => break,
                Some(Step::Entry(key, value)) => return Ok(Some((key, value))),
                Some(Step::Removed(key)) => key,
            };
            self.passed += 1;
            match end_at(Bound::Excluded(&key), gaps) {
                None => {}
                Some(Some(end)) => self.ahead = Some(state.range(Bound::Included(end))?),
                Some(None) => break,
            }
        }
        self.ahead = None;
        Ok(None)
    }

    /// Returns the number of removed keys that it went through.
    pub(crate) fn passed(&self) -> usize {
        self.passed
    }
}

/// Returns the end of a gap that contains the lower bound `from`.
fn end_at<'a>(from: Bound<&[u8]>, gaps: &[&'a Gaps]) -> Option<Option<&'a [u8]>> {
    gaps.iter().find_map(|gaps| gaps.end_at(from))
}
