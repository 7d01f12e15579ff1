//! What a call is answered with.

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The encoded response.
    pub(crate) value: Vec<u8>,
    /// Height of the state that it is about. 0 if it is about none.
    pub(crate) height: i64,
    /// Height at which a search ended because it had read enough. There and beyond it there may be more.
    pub(crate) cut_at: Option<i64>,
}

impl Reply {
    /// Returns an answer about no state.
    pub(crate) fn of_node(value: Vec<u8>) -> Self {
        Self { value, height: 0, cut_at: None }
    }
}
