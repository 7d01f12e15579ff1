//! The size of responses in pages.

/// Number of entries in a page if the request does not bound it.
const DEFAULT_LIMIT: usize = 100;
/// The most entries of a page.
const MAX_LIMIT: usize = 1000;

/// Returns the most entries that a page has if the request asks for `limit`. 0 stands for the default.
pub(super) fn page_size(limit: u32) -> usize {
    match limit as usize {
        0 => DEFAULT_LIMIT,
        limit => limit.min(MAX_LIMIT),
    }
}
