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
    tree::{merk::MerkTree, state_tree::StateTree},
    view::gap::Gaps,
};

/// Returns the committed state and its tree: those of the checkpoint, with the journal's later commits applied. Fails
/// unless the root is the recorded one.
pub(crate) fn replay(
    journal: &Journal,
    meta: Meta,
    checkpoint: Arc<Checkpoint>,
    options: &Options,
    flusher: &mut Flusher,
) -> Result<(MerkTree, StateView), Error> {
    let mut state = StateView::stored(checkpoint);
    let mut tree = MerkTree::open(&state, options.tree_nodes)?;
    let from = state.meta().clone();
    if from.serial < meta.serial {
        let mut commits = Vec::new();
        let mut changes = Vec::new();
        for serial in from.serial + 1..=meta.serial {
            let entry = journal.read(serial)?;
            flusher.journaled(serial, entry.weight_bytes(), true);
            commits.push(tree_changes(&entry.flat));
            changes.push((serial, entry));
        }
        let applied = tree.apply(&commits, &state)?;
        if (applied.root, &applied.root_key) != (meta.root, &meta.root_key) {
            return Err(not_one_store());
        }
        let mut nodes = applied.nodes;
        for (serial, Entry { flat, blobs }) in changes {
            // Only the last of these states can be read, so it gets all nodes.
            let nodes = match serial == meta.serial {
                true => std::mem::take(&mut nodes),
                false => Vec::new(),
            };
            let passed = Meta { serial, ..meta.clone() };
            state = state.advance(passed, Changes { flat, nodes, blobs }, &Gaps::default());
        }
    }
    match *state.meta() == meta {
        true => Ok((tree, state)),
        false => Err(not_one_store()),
    }
}

fn not_one_store() -> Error {
    Error::Damaged(format!("{FILE} and {JOURNAL_FILE} are not of one store at one time"))
}
