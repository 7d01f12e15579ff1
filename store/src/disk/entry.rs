//! What the journal says of one commit: the state that it leads to, the changed keys in order, and the new blobs.

use std::sync::Arc;

use capstan_kernel_ports::Hash;
use sha2::{Digest, Sha256};

use crate::{
    changes::{Shared, Written},
    disk::meta::Meta,
};

/// Changes of one commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Changed entries, in key order.
    pub(crate) flat: Vec<Written>,
    pub(crate) blobs: Vec<(Hash, Shared)>,
}

impl Entry {
    /// Returns the entry's contribution to the journal's size: its bytes, and a fixed number for each change. With
    /// that number a journal of small changes takes no longer to replay than one of large changes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let flat = self.flat.iter().map(|(key, value)| {
            CHANGE_WEIGHT_BYTES + key.len() + value.as_ref().map_or(0, |value| value.len())
        });
        let blobs = self.blobs.iter().map(|(_, bytes)| CHANGE_WEIGHT_BYTES + bytes.len());
        CHANGE_WEIGHT_BYTES + flat.sum::<usize>() + blobs.sum::<usize>()
    }

    /// Appends the encoding of the commit that leads to `meta`.
    pub(crate) fn encode(&self, meta: &Meta, out: &mut Vec<u8>) {
        out.extend(meta.height.to_le_bytes());
        out.extend(meta.serial.to_le_bytes());
        out.extend(meta.root.0);
        out.extend(meta.proven.0);
        put_optional(out, meta.root_key.as_deref());
        put_length(out, self.flat.len());
        for (key, value) in &self.flat {
            put(out, key);
            put_optional(out, value.as_deref());
        }
        put_length(out, self.blobs.len());
        self.blobs.iter().for_each(|(_, bytes)| put(out, bytes));
    }

    /// Takes one commit off the front of `bytes`. Returns `None` if they do not begin with one.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<(Meta, Self)> {
        let meta = Meta {
            height: u64::from_le_bytes(*array(bytes)?),
            serial: u64::from_le_bytes(*array(bytes)?),
            root: Hash(*array(bytes)?),
            proven: Hash(*array(bytes)?),
            root_key: optional(bytes)?.map(<[u8]>::to_vec),
        };
        let mut entry = Self::default();
        let mut last: &[u8] = &[];
        for _ in 0..length(bytes)? {
            let key = part(bytes)?;
            // In order, which also excludes the empty key.
            if key <= last {
                return None;
            }
            last = key;
            entry.flat.push((key.into(), optional(bytes)?.map(Arc::from)));
        }
        for _ in 0..length(bytes)? {
            let blob = part(bytes)?;
            entry.blobs.push((Hash(Sha256::digest(blob).into()), blob.into()));
        }
        Some((meta, entry))
    }
}

/// Weight of a change besides its bytes, see [`Entry::weight_bytes`].
const CHANGE_WEIGHT_BYTES: usize = 1 << 10;

/// Keys and values are bounded, and a block has less than 2^32 of them.
fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend((length as u32).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put(out, bytes);
    }
}

fn array<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

fn length(bytes: &mut &[u8]) -> Option<usize> {
    array(bytes).map(|length| u32::from_le_bytes(*length) as usize)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = length(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn optional<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match array(bytes)? {
        [0] => Some(None),
        [1] => part(bytes).map(Some),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_commit_comes_back_and_no_part_of_it_does() {
        let shared = |text: &str| Shared::from(text.as_bytes());
        let blob = shared("blob");
        let entry = Entry {
            flat: vec![(shared("a"), Some(shared(""))), (shared("b"), None)],
            blobs: vec![(Hash(Sha256::digest(&blob).into()), blob)],
        };
        let meta = Meta {
            height: 7,
            serial: 9,
            root: Hash([1; 32]),
            proven: Hash([2; 32]),
            root_key: Some(b"a".to_vec()),
        };
        let mut bytes = Vec::new();
        entry.encode(&meta, &mut bytes);
        Entry::default().encode(&Meta::default(), &mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(Entry::take(&mut rest), Some((meta, entry)));
        let first = bytes.len() - rest.len();
        assert_eq!(Entry::take(&mut rest), Some((Meta::default(), Entry::default())));
        assert!(rest.is_empty());
        for end in 0..first {
            assert!(Entry::take(&mut &bytes[..end]).is_none(), "{end} of {first} bytes");
        }
    }

    #[test]
    fn keys_out_of_order_are_refused() {
        let shared = |text: &str| Shared::from(text.as_bytes());
        for keys in [["b", "a"], ["a", "a"], ["", "a"]] {
            let flat = keys.map(|key| (shared(key), None)).to_vec();
            let mut bytes = Vec::new();
            Entry { flat, blobs: Vec::new() }.encode(&Meta::default(), &mut bytes);
            assert!(Entry::take(&mut bytes.as_slice()).is_none(), "{keys:?}");
        }
    }
}
