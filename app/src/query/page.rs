//! Pages of responses, bounded in entries and in bytes.

use serde::Serialize;

use super::QueryError;

/// Number of entries in a page if the request does not bound it.
const DEFAULT_LIMIT: usize = 100;
/// Upper bound of the entries in a page.
pub(super) const MAX_LIMIT: usize = 1000;

/// Bounds of the answers to queries. Only this node knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Maximum size of a page, in bytes of JSON. A page whose first entry is larger has this entry alone.
    pub max_page_bytes: usize,
    /// Number of heights before the last one at which proven records can be asked for.
    pub retain_heights: u64,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { max_page_bytes: 4 << 20, retain_heights: 100 }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// Entries of the page. There is at least one if the list has one.
    pub(super) entries: Vec<T>,
    /// True if the list goes on after the page.
    pub(super) has_more: bool,
}

impl<T: Serialize> Page<T> {
    /// Fills a page of at most `limit` entries, where 0 stands for the default, and of at most `max_bytes`. `next`
    /// returns the entry after the one that it is given, or the first one.
    pub(super) fn fill(
        limit: u32,
        max_bytes: usize,
        mut next: impl FnMut(Option<&T>) -> Result<Option<T>, QueryError>,
    ) -> Result<Self, QueryError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = next(entries.last())? {
            // The comma counts, since a page may have a thousand entries.
            bytes += json_bytes(&entry)? + 1;
            let is_full = entries.len() >= page_size(limit) || bytes > max_bytes;
            if is_full && !entries.is_empty() {
                return Ok(Self { entries, has_more: true });
            }
            entries.push(entry);
        }
        Ok(Self { entries, has_more: false })
    }

    /// Returns what `cursor` makes of the last entry if the list goes on, which is where the next page starts. Returns
    /// the default, which stands for no next page, if it does not.
    pub(super) fn next<C: Default>(&self, cursor: impl FnOnce(&T) -> C) -> C {
        self.entries.last().filter(|_| self.has_more).map(cursor).unwrap_or_default()
    }
}

/// Returns the upper bound of a page's entries if the request asks for `limit`, where 0 stands for the default.
pub(super) fn page_size(limit: u32) -> usize {
    match limit as usize {
        0 => DEFAULT_LIMIT,
        limit => limit.min(MAX_LIMIT),
    }
}

/// Returns the size of a value as JSON. The JSON is counted and not kept.
fn json_bytes(value: &impl Serialize) -> Result<usize, QueryError> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value)
        .map_err(|e| QueryError::Node(format!("JSON: {e}")))?;
    Ok(counter.0)
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of the texts "xxx…" with these lengths.
    fn page(limit: u32, max_bytes: usize, lengths: &[usize]) -> (usize, bool) {
        let mut rest = lengths.iter();
        let next = |_: Option<&String>| Ok(rest.next().map(|length| "x".repeat(*length)));
        let page = Page::fill(limit, max_bytes, next).unwrap();
        (page.entries.len(), page.has_more)
    }

    #[test]
    fn a_page_ends_at_either_bound_and_has_one_entry_at_least() {
        assert_eq!(page(0, 100, &[]), (0, false));
        assert_eq!(page(2, 100, &[1, 1]), (2, false));
        assert_eq!(page(2, 100, &[1, 1, 1]), (2, true));
        // The quotation marks and commas count.
        assert_eq!(page(0, 26, &[10, 10]), (2, false));
        assert_eq!(page(0, 25, &[10, 10]), (1, true));
        assert_eq!(page(0, 5, &[10, 10]), (1, true));
        assert_eq!(page(0, 5, &[10]), (1, false));
        assert_eq!(page(0, usize::MAX, &[1; 101]), (100, true));
        assert_eq!(page(u32::MAX, usize::MAX, &[1; 1001]), (1000, true));
    }

    #[test]
    fn the_next_page_starts_after_the_last_entry() {
        let page = |has_more| Page { entries: vec![3, 7], has_more };
        assert_eq!((page(true).next(|n| *n), page(false).next(|n| *n)), (7, 0));
    }
}
