//! Prefixes that are known to have no keys.
//!
//! The kernel asks before each crank whether something waits under a few prefixes, and hardly ever does. The gaps of
//! [`crate::view::gap`] are for long searches, and checking each write against all of them would cost more than such a search.

/// The prefixes without keys that were found last, at most [`PREFIXES`].
#[derive(Debug, Default)]
pub(crate) struct EmptyPrefixes(Vec<Box<[u8]>>);

/// Number of prefixes that are remembered.
const PREFIXES: usize = 6;

/// Length of the longest prefix that is remembered, in bytes.
const MAX_PREFIX_BYTES: usize = 32;

impl EmptyPrefixes {
    /// Returns true if no key is longer than `prefix` and starts with it.
    pub(crate) fn has(&self, prefix: &[u8]) -> bool {
        self.0.iter().any(|known| **known == *prefix)
    }

    /// Notes that no key is longer than `prefix` and starts with it.
    pub(crate) fn note(&mut self, prefix: &[u8]) {
        if prefix.len() > MAX_PREFIX_BYTES || self.has(prefix) {
            return;
        }
        if self.0.len() == PREFIXES {
            self.0.remove(0);
        }
        self.0.push(prefix.into());
    }

    /// Notes that `key` may exist.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.0.retain(|prefix| !key.starts_with(prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_forgotten_with_the_first_key_and_the_oldest_make_room() {
        let mut empty = EmptyPrefixes::default();
        for prefix in [&b"k.g."[..], b"k.dead.", b"local.k.hx."] {
            assert!(!empty.has(prefix));
            empty.note(prefix);
            assert!(empty.has(prefix));
        }
        empty.forget(b"k.globals");
        assert!(empty.has(b"k.g."));
        empty.forget(b"k.g.v1.dropExport.ko20");
        assert!(!empty.has(b"k.g.") && empty.has(b"k.dead."));
        (0..PREFIXES as u8).for_each(|n| empty.note(&[n]));
        assert!(!empty.has(b"k.dead.") && empty.has(&[0]));
        empty.note(&[7; MAX_PREFIX_BYTES + 1]);
        assert!(!empty.has(&[7; MAX_PREFIX_BYTES + 1]) && empty.has(&[0]));
        empty.note(b"");
        assert!(!empty.has(&[0]));
        empty.forget(b"any");
        assert!(!empty.has(b"") && empty.has(&[1]));
    }
}
