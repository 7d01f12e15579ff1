use capstan_proto::{CODESPACE, Fees};
use tendermint_proto::v0_38::abci::{Event, ExecTxResult};

use crate::tx::{Tx, TxError};

/// Returns the [`ExecTxResult`] of a transaction that is refused and changes no state.
pub(crate) fn refused(error: &TxError) -> ExecTxResult {
    failed(error, Gas::default(), Vec::new())
}

/// The gas of a result, as CometBFT counts it.
#[derive(Clone, Copy, Default)]
pub(super) struct Gas {
    /// The gas limit.
    pub(super) wanted: i64,
    /// The transaction's gas.
    pub(super) used: i64,
}

impl Gas {
    pub(super) fn of(tx: &Tx, fees: &Fees) -> Self {
        let [wanted, used] =
            [tx.gas_limit, fees.gas(&tx.size())].map(|gas| i64::try_from(gas).unwrap_or(i64::MAX));
        Self { wanted, used }
    }
}

/// Returns the [`ExecTxResult`] of a transaction that fails with a [`TxError`].
pub(super) fn failed(error: &TxError, gas: Gas, events: Vec<Event>) -> ExecTxResult {
    ExecTxResult {
        code: error.code().number(),
        log: error.to_string(),
        codespace: CODESPACE.to_owned(),
        gas_wanted: gas.wanted,
        gas_used: gas.used,
        events,
        ..ExecTxResult::default()
    }
}
