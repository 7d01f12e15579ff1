//! Keys that a block has read or written before, so that reading them again is cheap.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

/// The keys that a block has warmed up. Nothing depends on their order.
///
/// Whoever warms a key up pays for it, so their number has the bound that the block's budget sets.
#[derive(Debug, Default)]
pub(crate) struct WarmKeys(HashSet<Box<[u8]>>);

/// Length of the longest key that is remembered itself, in bytes. Of longer ones it is the SHA-256.
const MAX_OWN_BYTES: usize = 96;

impl WarmKeys {
    /// Adds `key`. Returns false if it was there.
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        if key.len() <= MAX_OWN_BYTES {
            return !self.0.contains(key) && self.0.insert(key.into());
        }
        // Longer than any key that is remembered itself, and so never equal to one.
        let mut name = key[..MAX_OWN_BYTES].to_vec();
        name.extend(Sha256::digest(key));
        self.0.insert(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_are_told_apart() {
        let mut warm = WarmKeys::default();
        let long = |end: &str| [&[b'k'; 4_000][..], end.as_bytes()].concat();
        for key in [b"k".to_vec(), b"".to_vec(), vec![b'k'; MAX_OWN_BYTES], long("a"), long("b")] {
            assert!(warm.add(&key), "{} bytes", key.len());
            assert!(!warm.add(&key), "{} bytes", key.len());
        }
    }
}
