//! CheckTx and proposals: views of the accounts on which nothing was executed.

use std::{collections::BTreeMap, sync::Arc};

use capstan_genesis::{Address, Amount, Fees};
use capstan_kernel::view;
use tendermint_proto::v0_38::abci::ResponseCheckTx;

use crate::{
    app::Committed,
    fault::NodeFault,
    records::{
        account::{self, Account},
        chain::Chain,
    },
    tx::{Action, CODESPACE, ChainContext, Tx, TxError, Verified, check, computron_price},
};

/// The committed state with the effects of some transactions on their signers' sequences and balances: of those in
/// the mempool, so that several transactions of one sender may wait there, or of those in a proposal. The mempool's is
/// made anew at each commit; the engine then checks what is left again.
#[derive(Debug)]
pub(crate) struct CheckState {
    committed: Arc<Committed>,
    verified: Arc<Verified>,
    accounts: BTreeMap<Address, Account>,
}

impl CheckState {
    pub(crate) fn new(committed: Arc<Committed>, verified: Arc<Verified>) -> Self {
        Self { committed, verified, accounts: BTreeMap::new() }
    }

    /// Reads a transaction.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Result<Tx, TxError>, NodeFault> {
        decode(&self.committed, bytes)
    }

    /// Checks a transaction. If it is good its effects are kept for the checks that follow.
    pub(crate) fn check(&mut self, tx: &Tx) -> Result<Result<(), TxError>, NodeFault> {
        let chain = chain(&self.committed)?;
        let account = match self.accounts.get(&tx.signer) {
            Some(account) => Some(account.clone()),
            None => account::get(&self.committed.state, tx.signer)?,
        };
        let context = ChainContext {
            chain_id: &chain.id,
            // The transaction can be in the next block at the earliest.
            height: self.committed.state.height() + 1,
            params: &chain.params,
            verified: &self.verified,
        };
        Ok(check(tx, account, context).map(|account| {
            self.accounts.insert(tx.signer, account);
        }))
    }

    /// Takes from the signer of a transaction that was checked what its messages may spend. What they spend for
    /// certain is not known before they are executed; what is left here is never more than what is left then.
    pub(crate) fn spend(&mut self, tx: &Tx) -> Result<(), NodeFault> {
        let fees = &chain(&self.committed)?.params.fees;
        let spent = tx.actions.iter().fold(0, |sum: u128, action| {
            sum.saturating_add(match action {
                Action::BankSend { amount, .. } => amount.0,
                Action::FundMeter { computrons, .. } => computron_price(fees, *computrons).0,
                _ => 0,
            })
        });
        let spent = spent.saturating_add(self.price_of_endpoint(tx, fees)?.0);
        if let Some(account) = self.accounts.get_mut(&tx.signer) {
            account.balance = Amount(account.balance.0.saturating_sub(spent));
        }
        Ok(())
    }

    /// What the signer pays for becoming an endpoint, by the committed state.
    fn price_of_endpoint(&self, tx: &Tx, fees: &Fees) -> Result<Amount, NodeFault> {
        let address = tx.signer.to_string();
        match tx.needs_endpoint() && view::remote_of(&self.committed.state, &address)?.is_none() {
            true => Ok(fees.per_account),
            false => Ok(Amount(0)),
        }
    }
}

/// Reads a transaction by the parameters of the committed state.
pub(crate) fn decode(
    committed: &Committed,
    bytes: &[u8],
) -> Result<Result<Tx, TxError>, NodeFault> {
    Ok(Tx::decode(bytes, &chain(committed)?.params))
}

fn chain(committed: &Committed) -> Result<&Chain, NodeFault> {
    let missing = || NodeFault::Damaged("there is no chain yet".to_owned());
    committed.chain.as_ref().ok_or_else(missing)
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
