//! The size of responses in pages.

/// Number of entries in a page if the request does not bound it.
const DEFAULT_LIMIT: usize = 100;
/// Upper bound of the entries in a page.
const MAX_LIMIT: usize = 1000;

/// Returns the upper bound of a page's entries if the request asks for `limit`, where 0 stands for the default.
pub(super) fn page_size(limit: u32) -> usize {
    match limit as usize {
        0 => DEFAULT_LIMIT,
        limit => limit.min(MAX_LIMIT),
    }
}
