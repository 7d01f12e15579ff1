//! Replay of the journal when a store is opened.

use std::sync::Arc;

use crate::{
    Error, Options, StateView,
    changes::Changes,
    commit::{flush::Flusher, net::tree_changes},
    counts::Counters,
    disk::{
        checkpoint::Checkpoint,
        entry::Entry,
        journal::Journal,
        meta::{FILE, JOURNAL_FILE, Meta},
    },
    tree::{evict::Eviction, merk, state_tree::Applied},
    view::gap::Gaps,
};

/// What the journal leads to.
pub(crate) struct Replayed {
    pub(crate) eviction: Eviction,
    /// The states of the last heights, the oldest first, each with the weight of the changes that led to it. The last one
    /// is the committed state.
    pub(crate) states: Vec<(StateView, usize)>,
}

/// Replays the journal over the checkpoint. Fails unless the root is the recorded one.
///
/// All commits are applied to the tree together, so that each node is hashed once. States before the last one can be read,
/// but have no tree. Those before the checkpoint are gone: nothing keeps the values that it replaced.
pub(crate) fn replay(
    journal: &mut Journal,
    checkpoint: Arc<Checkpoint>,
    options: &Options,
    flusher: &mut Flusher,
    counters: &Counters,
) -> Result<Replayed, Error> {
    let from = checkpoint.meta.serial;
    let stored = StateView::stored(checkpoint)?;
    let mut eviction = Eviction::new(options.tree_nodes);
    let mut commits = Vec::new();
    journal.read_after(from, |meta, entry| {
        flusher.journaled(meta.serial, entry.weight_bytes(), true);
        commits.push((meta, entry));
        Ok(())
    })?;
    let last = commits.last().map_or(stored.meta(), |(meta, _)| meta);
    if last != journal.last() {
        return Err(not_one_store());
    }
    journal.release(from);
    if commits.is_empty() {
        return Ok(Replayed { eviction, states: vec![(stored, 0)] });
    }
    journal.sync()?;
    let mut applied = apply(&stored, &commits, last.serial)?;
    if (applied.root, &applied.root_key()) != (last.root, &last.root_key) {
        return Err(not_one_store());
    }
    counters.add_tree(applied.counts);
    eviction.evict(&mut applied.tree, applied.added, from);
    Ok(Replayed { eviction, states: states(stored, commits, applied, options.retain_heights) })
}

/// Applies all commits to the tree.
fn apply(state: &StateView, commits: &[(Meta, Entry)], serial: u64) -> Result<Applied, Error> {
    let changes: Vec<_> = commits.iter().map(|(_, entry)| tree_changes(&entry.flat)).collect();
    merk::apply(state.tree()?.clone(), &changes, state.checkpoint(), serial)
}

/// Returns the states after the last `heights + 1` commits. Of those of commits the last one alone gets a tree.
fn states(
    stored: StateView,
    commits: Vec<(Meta, Entry)>,
    applied: Applied,
    heights: u64,
) -> Vec<(StateView, usize)> {
    let last = commits.len() - 1;
    let first = last.saturating_sub(usize::try_from(heights).unwrap_or(usize::MAX));
    let Applied { tree, mut gone, .. } = applied;
    let mut state = stored;
    let mut states = vec![(state.clone(), 0)];
    for (at, (meta, entry)) in commits.into_iter().enumerate() {
        let weight_bytes = entry.weight_bytes();
        let Entry { flat, blobs } = entry;
        let (tree, gone) = match at == last {
            true => (Some(tree.clone()), std::mem::take(&mut gone)),
            false => (None, Vec::new()),
        };
        state = state.advance(meta, Changes { flat, gone, blobs }, tree, &Gaps::default());
        if at == first && first > 0 {
            states.clear();
        }
        if at >= first {
            states.push((state.clone(), weight_bytes));
        }
    }
    states
}

fn not_one_store() -> Error {
    Error::Damaged(format!("{FILE} and {JOURNAL_FILE} are not of one store at one time"))
}
