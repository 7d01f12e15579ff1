//! What differs between the engines, with the reasons. The documentation has them for users.

/// A difference in the answers to some requests.
pub(crate) struct Difference {
    /// The requests. `*` stands for any text.
    pub(crate) request: &'static str,
    /// The paths in the answers. `*` stands for any text.
    pub(crate) path: &'static str,
    /// The reason, for readers.
    _why: &'static str,
}

const fn differs(request: &'static str, path: &'static str, why: &'static str) -> Difference {
    Difference { request, path, _why: why }
}

/// All differences.
pub(crate) const DIFFERENCES: &[Difference] = &[];

impl Difference {
    pub(crate) fn is_about(&self, request: &str, path: &str) -> bool {
        matches(self.request, request) && matches(self.path, path)
    }
}

/// Whether a text is what a pattern says.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut is_open = false;
    for piece in pieces {
        is_open = piece.is_empty();
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    is_open || rest.is_empty()
}
