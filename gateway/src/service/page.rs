//! Pages as the Cosmos SDK's clients ask for them.

use cosmrs::proto::cosmos::base::query::v1beta1::PageRequest;
use tonic::Status;

/// Number of entries in a page if the request does not bound it.
const DEFAULT_LIMIT: u64 = 100;
/// Upper bound of the entries in a page, as in CometBFT.
const MAX_LIMIT: u64 = 100;

/// The entries that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Number of entries before the page.
    pub(super) offset: u64,
    /// Maximum number of entries.
    pub(super) limit: u64,
}

impl Page {
    /// Reads a request, in which 0 stands for the default. Returns an error if it begins after a key.
    pub(super) fn of(request: Option<&PageRequest>) -> Result<Self, Status> {
        let Some(request) = request else { return Ok(Self::new(0, 0)) };
        if !request.key.is_empty() || request.reverse {
            let text = "pages of this method have an offset and a limit, but no key and no reverse";
            return Err(Status::invalid_argument(text));
        }
        Ok(Self::new(request.offset, request.limit))
    }

    pub(super) fn new(offset: u64, limit: u64) -> Self {
        let limit = if limit == 0 { DEFAULT_LIMIT } else { limit.min(MAX_LIMIT) };
        Self { offset, limit }
    }

    /// Returns the entries of the page.
    pub(super) fn cut<T>(self, list: Vec<T>) -> Vec<T> {
        let (offset, limit) = (index(self.offset), index(self.limit));
        list.into_iter().skip(offset).take(limit).collect()
    }

    /// Returns the number of the page as CometBFT counts, from 1. CometBFT has whole pages only.
    pub(super) fn number(self) -> Result<u64, Status> {
        match self.offset % self.limit {
            0 => {
                let too_large = || Status::invalid_argument("the offset is too large");
                (self.offset / self.limit).checked_add(1).ok_or_else(too_large)
            }
            _ => Err(Status::invalid_argument("the offset must be a multiple of the limit")),
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_and_whole() {
        assert_eq!(Page::of(None).unwrap(), Page { offset: 0, limit: 100 });
        let request = |offset, limit| PageRequest { offset, limit, ..PageRequest::default() };
        let page = Page::of(Some(&request(4, 2))).unwrap();
        assert_eq!((page.number().unwrap(), page.cut(vec![1, 2, 3, 4, 5])), (3, vec![5]));
        assert_eq!(Page::of(Some(&request(0, u64::MAX))).unwrap().limit, MAX_LIMIT);
        assert!(Page::of(Some(&request(3, 2))).unwrap().number().is_err());
        let keyed = PageRequest { key: vec![1], ..request(0, 0) };
        assert!(Page::of(Some(&keyed)).is_err());
    }

    #[test]
    fn the_last_offset_is_refused_and_not_counted_further() {
        let page = Page::new(u64::MAX, 1);
        assert_eq!(page.number().unwrap_err().message(), "the offset is too large");
        assert_eq!(Page::new(u64::MAX - 1, 1).number().unwrap(), u64::MAX);
    }
}
