//! The index of transactions by event.
//!
//! A key of the table is `COMPOSITE-KEY 0x00 VALUE 0x00 HEIGHT`, the height as 8 big-endian bytes, the composite key being
//! `EVENT-TYPE.ATTRIBUTE-KEY`. The value lists the indexes of the transactions of that block that have it, in order, as 4 big-endian
//! bytes each. Most values in a block are those of several transactions: of one signer, one message type, one fee. So the entries
//! are fewer than the attributes. Those of one value are in the order of the chain. Attributes without the index flag, with
//! an empty key, or with a zero byte are left out. Every transaction is also under `tx.height`.

use std::collections::HashMap;

use tendermint_proto::v0_38::abci::Event;

const HEIGHT_BYTES: usize = 8;
const INDEX_BYTES: usize = 4;

/// The index entries of a block, while its transactions are added.
#[derive(Debug)]
pub(super) struct Entries {
    height: i64,
    /// It is only looked up until it is sorted.
    found: HashMap<Vec<u8>, Vec<u8>>,
    /// Where a key is put together.
    key: Vec<u8>,
}

impl Entries {
    pub(super) fn new(height: i64) -> Self {
        Self { height, found: HashMap::new(), key: Vec::new() }
    }

    /// Adds a transaction of the block. They come in order.
    pub(super) fn add(&mut self, index: u32, events: &[Event]) {
        let height = self.height.to_string();
        self.put("tx", "height", &height, index);
        for event in events.iter().filter(|event| !event.r#type.is_empty()) {
            for attribute in event.attributes.iter().filter(|it| it.index && !it.key.is_empty()) {
                self.put(&event.r#type, &attribute.key, &attribute.value, index);
            }
        }
    }

    /// Returns the entries in the order of their keys, so that those of one attribute share pages and each page is written to
    /// once.
    pub(super) fn sorted(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries: Vec<_> = self.found.into_iter().collect();
        entries.sort_unstable();
        entries
    }

    fn put(&mut self, kind: &str, name: &str, value: &str, index: u32) {
        if [kind, name, value].iter().any(|text| text.contains('\0')) {
            return;
        }
        self.key.clear();
        for part in [kind.as_bytes(), b".", name.as_bytes(), b"\0", value.as_bytes(), b"\0"] {
            self.key.extend_from_slice(part);
        }
        self.key.extend_from_slice(&self.height.to_be_bytes());
        let index = index.to_be_bytes();
        match self.found.get_mut(self.key.as_slice()) {
            Some(known) if known.ends_with(&index) => {}
            Some(known) => known.extend_from_slice(&index),
            None => drop(self.found.insert(self.key.clone(), index.to_vec())),
        }
    }
}

/// Returns what the keys of all entries with a value start with. Without a value, of all with the composite key.
pub(super) fn prefix(composite: &str, value: Option<&str>) -> Vec<u8> {
    let mut prefix = [composite.as_bytes(), b"\0"].concat();
    if let Some(value) = value {
        prefix.extend_from_slice(value.as_bytes());
        prefix.push(0);
    }
    prefix
}

/// Returns the value and the height in a key.
pub(super) fn parse(key: &[u8]) -> Option<(&str, i64)> {
    let (text, height) = key.split_at_checked(key.len().checked_sub(HEIGHT_BYTES)?)?;
    let start = text.iter().position(|byte| *byte == 0)? + 1;
    let value = std::str::from_utf8(text.get(start..text.len().checked_sub(1)?)?).ok()?;
    Some((value, i64::from_be_bytes(height.try_into().ok()?)))
}

/// Returns the indexes in the value of an entry.
pub(super) fn indexes(list: &[u8]) -> impl DoubleEndedIterator<Item = u32> {
    let index = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX);
    list.chunks_exact(INDEX_BYTES).map(index)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use tendermint_proto::v0_38::abci::EventAttribute;

    use super::*;

    fn event(kind: &str, attributes: &[(&str, &str, bool)]) -> Event {
        let attribute = |(key, value, index): &(&str, &str, bool)| EventAttribute {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            index: *index,
        };
        Event { r#type: kind.to_owned(), attributes: attributes.iter().map(attribute).collect() }
    }

    #[test]
    fn transactions_of_a_block_with_one_value_share_an_entry() {
        let mut entries = Entries::new(7);
        let pay = |to| event("pay", &[("to", to, true), ("hidden", "x", false), ("", "y", true)]);
        entries.add(0, &[pay("a"), pay("a"), event("", &[("k", "v", true)])]);
        entries.add(2, &[pay("b"), pay("a")]);
        entries.add(3, &[event("pay", &[("to", "a\0", true), ("t\0o", "a", true)])]);
        let found: Vec<(String, Vec<u32>)> = entries
            .sorted()
            .iter()
            .map(|(key, list)| {
                let (value, height) = parse(key).unwrap();
                let composite = key.split(|byte| *byte == 0).next().unwrap();
                let composite = String::from_utf8_lossy(composite);
                assert!(key.starts_with(&prefix(&composite, Some(value))) && height == 7);
                (format!("{composite}={value}"), indexes(list).collect())
            })
            .collect();
        let expected =
            [("pay.to=a", vec![0, 2]), ("pay.to=b", vec![2]), ("tx.height=7", vec![0, 2, 3])];
        assert_eq!(found, expected.map(|(key, list)| (key.to_owned(), list)));
    }
}
