//! The encoding of an exported state.
//!
//! It is a stream of records, cut into chunks at any byte:
//!
//! ```text
//! record: kind (1 byte), key length (4, big endian), value length (4, big endian), key, value
//!
//! kind        key                value                                        how many
//! 1 header    "capstan state"    format (4), height (8), roots (32, 32), root key  1
//! 2 node      tree key           the node's bytes                             any, in key order
//! 3 entry     key                value                                        any, in key order
//! 4 blob      sha256             content                                      any, in key order
//! 5 end       nothing            number of the records of kinds 2 to 4 (8)    1
//! ```
//!
//! Nodes are included because the tree's shape depends on its history. It cannot be rebuilt from the entries.

use capstan_kernel_ports::store::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

use crate::{Error, disk::meta::FORMAT};

/// Kind of a record. The numbers are the bytes in the stream, in the order of the sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Header = 1,
    Node = 2,
    Entry = 3,
    Blob = 4,
    End = 5,
}

/// Key of the header.
pub(crate) const MAGIC: &[u8] = b"capstan state";

/// Length of a record's head, in bytes.
const HEAD_BYTES: usize = 9;

/// Appends a record. The lengths fit, since the store accepts no longer keys and values.
pub(crate) fn append(stream: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8]) {
    stream.push(kind as u8);
    stream.extend_from_slice(&(key.len() as u32).to_be_bytes());
    stream.extend_from_slice(&(value.len() as u32).to_be_bytes());
    stream.extend_from_slice(key);
    stream.extend_from_slice(value);
}

/// A record of a stream.
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off `stream`. Returns `None` if it is not complete yet.
    pub(crate) fn take(stream: &mut &'a [u8]) -> Result<Option<Self>, Error> {
        let Some((head, rest)) = stream.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let kind = match head[0] {
            1 => Kind::Header,
            2 => Kind::Node,
            3 => Kind::Entry,
            4 => Kind::Blob,
            5 => Kind::End,
            other => return Err(Error::Import(format!("a record of unknown kind {other}"))),
        };
        let length = |at: usize, limit: usize| {
            let length = u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            match length as usize <= limit {
                true => Ok(length as usize),
                false => Err(Error::Import(format!("a record with {length} bytes in one part"))),
            }
        };
        let (key, value) = (length(1, MAX_KEY_BYTES)?, length(5, MAX_VALUE_BYTES)?);
        if rest.len() < key + value {
            return Ok(None);
        }
        let (key, rest) = rest.split_at(key);
        let (value, rest) = rest.split_at(value);
        *stream = rest;
        Ok(Some(Self { kind, key, value }))
    }
}

/// Value of the header record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) height: u64,
    pub(crate) root: [u8; 32],
    pub(crate) proven: [u8; 32],
    pub(crate) root_key: Option<Vec<u8>>,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = FORMAT.to_be_bytes().to_vec();
        value.extend_from_slice(&self.height.to_be_bytes());
        value.extend_from_slice(&self.root);
        value.extend_from_slice(&self.proven);
        value.extend_from_slice(self.root_key.as_deref().unwrap_or_default()); // no key is empty
        value
    }

    pub(crate) fn decode(record: &Record<'_>) -> Result<Self, Error> {
        let mut rest = record.value;
        let parts = (take(&mut rest), take(&mut rest), take(&mut rest), take(&mut rest));
        let (true, (Some(format), Some(height), Some(root), Some(proven))) =
            (record.key == MAGIC, parts)
        else {
            return Err(Error::Import("it does not begin like an exported state".into()));
        };
        match u32::from_be_bytes(format) {
            FORMAT => {}
            other => {
                return Err(Error::Import(format!(
                    "it has store format {other}, this program reads format {FORMAT}"
                )));
            }
        }
        Ok(Self {
            height: u64::from_be_bytes(height),
            root,
            proven,
            root_key: (!rest.is_empty()).then(|| rest.to_vec()),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn announced_lengths_are_refused_beyond_the_limits_and_before_the_bytes_come() {
        let head = |key: usize, value: usize| {
            let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
            [&[Kind::Entry as u8][..], &length(key), &length(value)].concat()
        };
        for (key, value) in [(MAX_KEY_BYTES, 0), (1, MAX_VALUE_BYTES)] {
            assert!(
                Record::take(&mut head(key, value).as_slice()).unwrap().is_none(),
                "{key} {value}"
            );
        }
        for (key, value) in [(MAX_KEY_BYTES + 1, 0), (1, MAX_VALUE_BYTES + 1)] {
            let head = head(key, value);
            let refused = Record::take(&mut head.as_slice());
            assert!(matches!(refused, Err(Error::Import(_))), "{key} {value}");
        }
    }
}
