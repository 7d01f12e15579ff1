//! Replay of the journal when a store is opened.

use std::sync::Arc;

use crate::{
    Error, Options, StateView,
    changes::Changes,
    commit::{flush::Flusher, net::tree_changes},
    disk::{
        checkpoint::Checkpoint,
        journal::{Entry, Journal},
        meta::{FILE, JOURNAL_FILE, Meta},
    },
    proven::versions::Version,
    tree::{
        merk::MerkTree,
        state_tree::{Applied, StateTree},
    },
    view::gap::Gaps,
};

/// What the journal leads to.
pub(crate) struct Replayed {
    pub(crate) tree: MerkTree,
    /// The states of the last heights without a gap between them, the oldest first, each with the weight of the changes
    /// that led to it. The last one is the committed state.
    pub(crate) states: Vec<(StateView, usize)>,
}

/// Replays the journal over the checkpoint. Fails unless the root is the recorded one.
///
/// The last [`Options::retain_heights`] commits are applied one by one, so that their states can be read. Those before
/// them are applied together. States before the checkpoint are gone: nothing keeps the values that it replaced.
pub(crate) fn replay(
    journal: &Journal,
    meta: Meta,
    checkpoint: Arc<Checkpoint>,
    options: &Options,
    flusher: &mut Flusher,
) -> Result<Replayed, Error> {
    let state = StateView::stored(checkpoint);
    let tree = MerkTree::open(&state, options.tree_nodes)?;
    let from = state.meta().serial;
    let first = meta.serial.saturating_sub(options.retain_heights).max(from);
    let mut replay = Replay { journal, flusher, tree, states: vec![(state, 0)], last: meta };
    if first > from {
        replay.together(from + 1, first)?;
    }
    for serial in first + 1..=replay.last.serial {
        replay.one(serial)?;
    }
    let Replay { tree, states, last, .. } = replay;
    match states.last().is_some_and(|(state, _)| *state.meta() == last) {
        true => Ok(Replayed { tree, states }),
        false => Err(not_one_store()),
    }
}

/// A replay under way.
struct Replay<'a> {
    journal: &'a Journal,
    flusher: &'a mut Flusher,
    tree: MerkTree,
    /// Never empty.
    states: Vec<(StateView, usize)>,
    /// The records of the state that the journal leads to.
    last: Meta,
}

impl Replay<'_> {
    fn read(&mut self, serial: u64) -> Result<Entry, Error> {
        let entry = self.journal.read(serial)?;
        self.flusher.journaled(serial, entry.weight_bytes(), true);
        Ok(entry)
    }

    fn state(&self) -> Result<StateView, Error> {
        self.states.last().map(|(state, _)| state.clone()).ok_or_else(not_one_store)
    }

    /// Applies the commits `first` to `last`, whose states are not kept.
    fn together(&mut self, first: u64, last: u64) -> Result<(), Error> {
        let mut state = self.state()?;
        let mut known = state.meta().clone();
        let (mut commits, mut changes) = (Vec::new(), Vec::new());
        for serial in first..=last {
            let entry = self.read(serial)?;
            commits.push(tree_changes(&entry.flat));
            known = self.passed(&known, serial, &entry, None)?;
            changes.push((known.clone(), entry));
        }
        let applied = self.tree.apply(&commits, &state)?;
        let mut nodes = applied.nodes;
        for (mut passed, Entry { flat, blobs }) in changes {
            (passed.root, passed.root_key) = (applied.root, applied.root_key.clone());
            // Only the last of these states can be read, so it gets all nodes.
            let nodes = match passed.serial == last {
                true => std::mem::take(&mut nodes),
                false => Vec::new(),
            };
            state = state.advance(passed, Changes { flat, nodes, blobs }, &Gaps::default());
        }
        self.states = vec![(state, 0)];
        Ok(())
    }

    /// Applies one commit, whose state is kept.
    fn one(&mut self, serial: u64) -> Result<(), Error> {
        let before = self.state()?;
        let entry = self.read(serial)?;
        let weight_bytes = entry.weight_bytes();
        let changes = tree_changes(&entry.flat);
        let applied = match changes.is_empty() {
            true => None,
            false => Some(self.tree.apply(&[changes], &before)?),
        };
        let meta = self.passed(before.meta(), serial, &entry, applied.as_ref())?;
        let follows = meta.height == before.height().saturating_add(1);
        let nodes = applied.map(|applied| applied.nodes).unwrap_or_default();
        let Entry { flat, blobs } = entry;
        let state = before.advance(meta, Changes { flat, nodes, blobs }, &Gaps::default());
        if !follows {
            self.states.clear();
        }
        self.states.push((state, weight_bytes));
        Ok(())
    }

    /// Returns the records of the state after the commit `serial`. Its height is in the version of the proven tree that
    /// it made. A commit without one changed neither tree: it is that of the next height.
    fn passed(
        &self,
        before: &Meta,
        serial: u64,
        entry: &Entry,
        applied: Option<&Applied>,
    ) -> Result<Meta, Error> {
        let version = Version::written_by(&entry.flat)?;
        let (height, proven) = match version {
            Some(version) => (version.height, version.proven_root()),
            None => (before.height.saturating_add(1), before.proven),
        };
        let height = if serial == self.last.serial { self.last.height } else { height };
        let (root, root_key) = match applied {
            Some(applied) => (applied.root, applied.root_key.clone()),
            None => (before.root, before.root_key.clone()),
        };
        Ok(Meta { height, serial, root, proven, root_key })
    }
}

fn not_one_store() -> Error {
    Error::Damaged(format!("{FILE} and {JOURNAL_FILE} are not of one store at one time"))
}
