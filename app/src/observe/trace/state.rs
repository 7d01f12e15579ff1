//! Comparison of two committed states, for nodes whose traces do not reach back to the first difference.

use std::ops::ControlFlow;

use capstan_kernel_ports::store::{Entry, LOCAL, Read, StoreFault};
use capstan_store::StateView;

use super::{
    Value, Written,
    bisect::{KeyDifference, Write},
};

/// Returns up to `limit` [`KeyDifference`]s between two states, in key order. Node-local keys are left out.
///
/// Both states are read once, in parallel.
pub fn differences(
    a: &StateView,
    b: &StateView,
    limit: usize,
) -> Result<Vec<KeyDifference>, StoreFault> {
    let mut found = Vec::new();
    let mut heads = [next(a, b"")?, next(b, b"")?];
    while found.len() < limit {
        let ControlFlow::Continue(key) = least(&heads) else { break };
        let mut writes = [Write::Untouched, Write::Untouched];
        for (side, state) in [a, b].into_iter().enumerate() {
            if let Some((_, value)) = heads[side].take_if(|(head, _)| *head == key) {
                writes[side] = Write::Set(short(&key, &value));
                heads[side] = next(state, &key)?;
            }
        }
        if writes[0] != writes[1] {
            found.push(KeyDifference { key, writes });
        }
    }
    Ok(found)
}

fn least(heads: &[Option<Entry>; 2]) -> ControlFlow<(), Vec<u8>> {
    match heads.iter().flatten().map(|(key, _)| key).min() {
        Some(key) => ControlFlow::Continue(key.clone()),
        None => ControlFlow::Break(()),
    }
}

/// Returns the next [`Entry`] that the root hash covers, or `None` at the end.
fn next(state: &StateView, after: &[u8]) -> Result<Option<Entry>, StoreFault> {
    let found = state.next_after(b"", after)?;
    match found {
        // The lowest key above all that begin with `local.`.
        Some((key, _)) if key.starts_with(LOCAL) => state.next_after(b"", b"local/"),
        found => Ok(found),
    }
}

fn short(key: &[u8], value: &[u8]) -> Value {
    match Written::new(key, Some(value)).value {
        Some(value) => value,
        None => Value::Whole(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use capstan_kernel_ports::store::Overlay;
    use capstan_store::Store;

    use super::*;

    fn state(entries: &[(&str, &str)]) -> StateView {
        let store = Store::in_memory().unwrap();
        let mut block = store.begin_block();
        for (key, value) in entries {
            block.set(key.as_bytes(), value.as_bytes().to_vec());
        }
        let prepared = store.prepare(block).unwrap();
        store.commit(prepared, 1).unwrap();
        store.reader()
    }

    #[test]
    fn keys_that_differ_or_are_missing_are_found_and_local_ones_left_out() {
        let a = state(&[("a", "1"), ("c", "1"), ("k", "1"), ("local.x", "1"), ("z", "1")]);
        let b = state(&[("a", "1"), ("b", "1"), ("k", "2"), ("local.x", "2"), ("local.y", "1")]);
        let found = differences(&a, &b, 10).unwrap();
        let keys: Vec<_> = found.iter().map(|d| String::from_utf8_lossy(&d.key)).collect();
        assert_eq!(keys, ["b", "c", "k", "z"]);
        assert_eq!(found[0].writes[0], Write::Untouched);
        assert_eq!(differences(&a, &b, 2).unwrap(), found[..2]);
        assert_eq!(differences(&a, &a, 10).unwrap(), []);
    }
}
