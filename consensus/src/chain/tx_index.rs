//! The index of transactions by event.
//!
//! A key of the table is `COMPOSITE-KEY 0x00 VALUE 0x00 HEIGHT INDEX`, height as 8 and index as 4
//! big-endian bytes, the composite key being `EVENT-TYPE.ATTRIBUTE-KEY`. So the entries of one value are in the order
//! of the chain. Attributes without the index flag, with an empty key, or with a zero byte are left out. Every
//! transaction is also under `tx.height`.

use tendermint_proto::v0_38::abci::Event;

use super::block_store::TxPosition;

const POSITION_BYTES: usize = 12;

/// Returns the index keys of a transaction.
pub(crate) fn keys(position: TxPosition, events: &[Event]) -> Vec<Vec<u8>> {
    let mut keys = vec![key("tx.height", &position.0.to_string(), position)];
    for event in events.iter().filter(|event| !event.r#type.is_empty()) {
        for attribute in
            event.attributes.iter().filter(|attribute| attribute.index && !attribute.key.is_empty())
        {
            let composite = format!("{}.{}", event.r#type, attribute.key);
            if !composite.contains('\0') && !attribute.value.contains('\0') {
                keys.push(key(&composite, &attribute.value, position));
            }
        }
    }
    keys
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

pub(super) fn key(composite: &str, value: &str, (height, index): TxPosition) -> Vec<u8> {
    [
        composite.as_bytes(),
        b"\0",
        value.as_bytes(),
        b"\0",
        &height.to_be_bytes(),
        &index.to_be_bytes(),
    ]
    .concat()
}

/// Returns the value and the position in a key.
pub(super) fn parse(key: &[u8]) -> Option<(&str, TxPosition)> {
    let (text, position) = key.split_at_checked(key.len().checked_sub(POSITION_BYTES)?)?;
    let start = text.iter().position(|byte| *byte == 0)? + 1;
    let value = std::str::from_utf8(text.get(start..text.len().checked_sub(1)?)?).ok()?;
    let (height, index) = position.split_at_checked(8)?;
    Some((
        value,
        (i64::from_be_bytes(height.try_into().ok()?), u32::from_be_bytes(index.try_into().ok()?)),
    ))
}
