use capstan_proto::CODESPACE;
use tendermint_proto::v0_38::abci::{Event, ExecTxResult};

use crate::tx::{Gas, TxError};

/// Returns the [`ExecTxResult`] of a transaction that is refused and changes no state.
pub(crate) fn refused(error: &TxError) -> ExecTxResult {
    failed(error, Gas::default(), Vec::new())
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
