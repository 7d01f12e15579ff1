//! The net writes of a block: those that change the committed state.

use std::{borrow::Cow, sync::Arc};

use capstan_kernel_ports::store::{LOCAL, MAX_KEY_BYTES, MAX_VALUE_BYTES};

use crate::{
    Error,
    block::{committed::CommittedValues, level::Writes},
    changes::{Shared, Written},
    threads::both,
    tree::state_tree::{Change, tree_key, value_hash},
};

/// Returns the writes that differ from the committed state. With many writes a second thread compares half of them.
pub(crate) fn net_writes(
    writes: Writes,
    committed: CommittedValues<'_>,
) -> Result<Vec<Written>, Error> {
    if writes.len() < FORK {
        return net_of(writes, committed);
    }
    let mut first: Vec<_> = writes.into_iter().collect();
    let second = first.split_off(middle(&first));
    let (mut net, rest) = both(|| net_of(first, committed), || net_of(second, committed))?;
    net.extend(rest);
    Ok(net)
}

/// Returns whether a write of `key` is compared with the committed value. Node-local entries hardly ever keep their
/// value, and comparing takes longer than writing them again.
fn is_compared(key: &[u8]) -> bool {
    !key.starts_with(LOCAL)
}

/// Returns the position that halves the writes to be compared.
fn middle(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> usize {
    let compared = || writes.iter().enumerate().filter(|(_, (key, _))| is_compared(key));
    compared().nth(compared().count() / 2).map_or(writes.len(), |(at, _)| at)
}

/// Number of writes from which a second thread is worth its cost: starting one takes as long as comparing some hundreds.
const FORK: usize = 1_000;

fn net_of(
    writes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    committed: CommittedValues<'_>,
) -> Result<Vec<Written>, Error> {
    let mut net = Vec::new();
    for (key, value) in writes {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        check_length("key", key.len(), MAX_KEY_BYTES)?;
        check_length("value", value.as_ref().map_or(0, Vec::len), MAX_VALUE_BYTES)?;
        if !is_compared(&key) || !committed.has(&key, value.as_deref())? {
            net.push((key.into(), value.map(Arc::from)));
        }
    }
    Ok(net)
}

/// Returns the changes of the tree for these writes, in the order of tree keys.
pub(crate) fn tree_changes(flat: &[Written]) -> Vec<Change> {
    let mut changes: Vec<Change> = flat
        .iter()
        .filter(|(key, _)| !key.starts_with(LOCAL))
        .map(|(key, value)| (shared_tree_key(key), value.as_deref().map(value_hash)))
        .collect();
    // The tree keys of long keys end in hashes, so their order differs.
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    changes
}

fn shared_tree_key(key: &Shared) -> Shared {
    match tree_key(key) {
        Cow::Borrowed(_) => key.clone(),
        Cow::Owned(hashed) => hashed.into(),
    }
}

pub(crate) fn check_length(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    match size <= limit {
        true => Ok(()),
        false => Err(Error::TooLong { what, size, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_limited() {
        for (what, limit) in [("key", MAX_KEY_BYTES), ("value", MAX_VALUE_BYTES)] {
            assert!(check_length(what, limit, limit).is_ok());
            let refused = check_length(what, limit + 1, limit);
            assert!(matches!(refused, Err(Error::TooLong { size, .. }) if size == limit + 1));
        }
    }
}
