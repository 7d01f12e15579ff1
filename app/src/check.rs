//! CheckTx: the mempool's view of the accounts.

use std::{collections::BTreeMap, sync::Arc};

use capstan_genesis::Address;
use tendermint_proto::v0_38::abci::ResponseCheckTx;

use crate::{
    account::{self, Account},
    app::Committed,
    fault::NodeFault,
    tx::{CODESPACE, ChainContext, Tx, TxError, check},
};

/// The committed state with the effects of the transactions in the mempool on their signers'
/// sequences and balances, so that several transactions of one sender may wait there. Made anew at each
/// commit; the engine then checks what is left again.
#[derive(Debug)]
pub(crate) struct CheckState {
    committed: Arc<Committed>,
    accounts: BTreeMap<Address, Account>,
}

impl CheckState {
    pub(crate) fn new(committed: Arc<Committed>) -> Self {
        Self { committed, accounts: BTreeMap::new() }
    }

    /// Checks a transaction. If it is good its effects are kept for the checks that follow.
    pub(crate) fn check(&mut self, tx: &Tx) -> Result<Result<(), TxError>, NodeFault> {
        let Some(chain) = &self.committed.chain else {
            return Err(NodeFault::Damaged("there is no chain yet".to_owned()));
        };
        let account = match self.accounts.get(&tx.signer) {
            Some(account) => Some(account.clone()),
            None => account::get(&self.committed.state, tx.signer)?,
        };
        let context = ChainContext {
            chain_id: &chain.id,
            // The transaction can be in the next block at the earliest.
            height: self.committed.state.height() + 1,
            params: &chain.params,
        };
        Ok(check(tx, account, context).map(|account| {
            self.accounts.insert(tx.signer, account);
        }))
    }

    /// The committed state under the checks.
    pub(crate) fn committed(&self) -> Arc<Committed> {
        self.committed.clone()
    }
}

/// The answer for a transaction that is good.
pub(crate) fn accepted(tx: &Tx) -> ResponseCheckTx {
    let gas_wanted = i64::try_from(tx.gas_limit).unwrap_or(i64::MAX);
    ResponseCheckTx { gas_wanted, ..ResponseCheckTx::default() }
}

/// The answer for a transaction that is refused.
pub(crate) fn refused(error: &TxError) -> ResponseCheckTx {
    ResponseCheckTx {
        code: error.code(),
        log: error.to_string(),
        codespace: CODESPACE.to_owned(),
        ..ResponseCheckTx::default()
    }
}

/// The answer if this node cannot check: not the sender's fault.
pub(crate) fn unavailable(why: &str) -> ResponseCheckTx {
    ResponseCheckTx {
        code: UNAVAILABLE,
        log: why.to_owned(),
        codespace: CODESPACE.to_owned(),
        ..ResponseCheckTx::default()
    }
}

/// The code of an answer that says nothing about the transaction: this node cannot check it.
pub const UNAVAILABLE: u32 = 1;
