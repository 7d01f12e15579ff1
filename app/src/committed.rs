use capstan_store::StateView;

use crate::{fault::NodeFault, records::chain::Chain};

/// The committed state for CheckTx and Query.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) state: StateView,
    /// [`Chain`] of the state, or `None` before the first commit.
    pub(crate) chain: Option<Chain>,
}

impl Committed {
    pub(crate) fn load(state: StateView) -> Result<Self, NodeFault> {
        let chain = Chain::load(&state)?;
        Ok(Self { state, chain })
    }
}
