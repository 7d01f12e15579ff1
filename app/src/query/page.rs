//! Answers in pages.

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// What stands before the first entry; empty: nothing.
    pub(super) after: String,
    /// At most so many entries; 0: the default.
    pub(super) limit: u32,
}

/// The entries of a page that is not told otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most entries of a page.
const MAX_LIMIT: usize = 1000;

/// How many entries a page has at most.
pub(super) fn page_size(limit: u32) -> usize {
    match limit as usize {
        0 => DEFAULT_LIMIT,
        limit => limit.min(MAX_LIMIT),
    }
}
