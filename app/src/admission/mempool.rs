//! The view of accounts for CheckTx and proposals: the committed state less the fees of later transactions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use capstan_genesis::{Address, Amount, Fees, Params};
use capstan_kernel::view;
use capstan_proto::{CODESPACE, ErrorCode};
use tendermint_proto::v0_38::abci::ResponseCheckTx;

use crate::{
    admission::{ChainContext, SignatureCache, ahead, check},
    committed::Committed,
    fault::{Failure, NodeFault},
    records::{
        account::{self, Account},
        chain::Chain,
        uploads::{self, Upload},
    },
    tx::{Action, Gas, Tx, TxError, TxHash, UploadId},
};

/// The [`Committed`] state with the effects of pending transactions on their signers' sequences and balances.
///
/// Pending are the transactions of the mempool, where one sender may have several, or those of a proposal. Each
/// commit replaces the mempool's state, and CometBFT then checks its remaining transactions again.
#[derive(Debug)]
pub(crate) struct CheckState {
    committed: Arc<Committed>,
    signatures: Arc<SignatureCache>,
    accounts: BTreeMap<Address, Account>,
    /// Hashes of the transactions whose effects it has, as far as they are remembered.
    admitted: BTreeSet<TxHash>,
}

/// Maximum number of transactions that a [`CheckState`] remembers.
const MAX_ADMITTED: usize = 10_000;

impl CheckState {
    pub(crate) fn new(committed: Arc<Committed>, signatures: Arc<SignatureCache>) -> Self {
        Self { committed, signatures, accounts: BTreeMap::new(), admitted: BTreeSet::new() }
    }

    /// Returns the chain's parameters.
    pub(crate) fn params(&self) -> Result<&Params, NodeFault> {
        Ok(&chain(&self.committed)?.params)
    }

    /// Returns an upload that is in progress in the committed state.
    pub(crate) fn upload(&self, id: &UploadId) -> Result<Option<Upload>, NodeFault> {
        uploads::get(&self.committed.state, id)
    }

    /// Verifies the signatures of a block's transactions on all processors.
    pub(crate) fn verify_ahead(&self, txs: &[impl AsRef<[u8]> + Sync]) {
        if let Some(chain) = &self.committed.chain {
            ahead::verify(&self.committed.state, chain, &self.signatures, txs);
        }
    }

    /// Decodes a [`Tx`] within the limits of the chain's parameters.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Tx, Failure> {
        decode(&self.committed, bytes)
    }

    /// Checks a [`Tx`]. If it passes, later checks see its effects.
    pub(crate) fn check(&mut self, tx: &Tx) -> Result<(), Failure> {
        let account = self.checked(tx)?;
        self.accounts.insert(tx.signer, account);
        Ok(())
    }

    /// Checks a [`Tx`] for the mempool. If it passes, later checks see its effects, once.
    ///
    /// CometBFT's `check_tx` asks for a check without keeping the transaction, and the application cannot tell. So the
    /// same transaction passes again when its sender really sends it.
    pub(crate) fn admit(&mut self, tx: &Tx) -> Result<(), Failure> {
        if self.admitted.contains(&tx.hash) {
            return Ok(());
        }
        self.check(tx)?;
        if self.admitted.len() < MAX_ADMITTED {
            self.admitted.insert(tx.hash);
        }
        Ok(())
    }

    /// Checks a [`Tx`]. Returns its signer's account as it is after it.
    pub(crate) fn checked(&self, tx: &Tx) -> Result<Account, Failure> {
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
            signatures: &self.signatures,
        };
        Ok(check(tx, account, context)?)
    }

    /// Debits the signer of a checked [`Tx`] with the upper bound of what its messages spend.
    ///
    /// The actual spending is known only after execution, so the balance here is a lower bound.
    pub(crate) fn spend(&mut self, tx: &Tx) -> Result<(), NodeFault> {
        let fees = &chain(&self.committed)?.params.fees;
        let spent = tx.actions.iter().fold(0, |sum: u128, action| {
            sum.saturating_add(match action {
                Action::BankSend { amount, .. } => amount.0,
                Action::FundMeter { computrons, .. } => fees.computron_price(*computrons).0,
                _ => 0,
            })
        });
        let spent = spent.saturating_add(self.price_of_endpoint(tx, fees)?.0);
        if let Some(account) = self.accounts.get_mut(&tx.signer) {
            account.balance = Amount(account.balance.0.saturating_sub(spent));
        }
        Ok(())
    }

    /// Returns the price of the signer's endpoint, or 0 if the committed state has one already or none is needed.
    fn price_of_endpoint(&self, tx: &Tx, fees: &Fees) -> Result<Amount, NodeFault> {
        let address = tx.signer.to_string();
        match tx.needs_endpoint() && view::remote_of(&self.committed.state, &address)?.is_none() {
            true => Ok(fees.per_account),
            false => Ok(Amount(0)),
        }
    }
}

/// Decodes a [`Tx`] within the limits of the [`Committed`] state's parameters.
pub(crate) fn decode(committed: &Committed, bytes: &[u8]) -> Result<Tx, Failure> {
    Ok(Tx::decode(bytes, &chain(committed)?.params)?)
}

fn chain(committed: &Committed) -> Result<&Chain, NodeFault> {
    let missing = || NodeFault::Damaged("there is no chain yet".to_owned());
    committed.chain.as_ref().ok_or_else(missing)
}

/// Returns the response for a [`Tx`] that passes.
pub(crate) fn accepted(tx: &Tx, committed: &Committed) -> ResponseCheckTx {
    let gas = committed.chain.as_ref().map(|chain| Gas::of(tx, &chain.params.fees));
    let Gas { wanted, used } = gas.unwrap_or_default();
    ResponseCheckTx { gas_wanted: wanted, gas_used: used, ..ResponseCheckTx::default() }
}

/// Returns the response for a transaction that is refused with a [`TxError`].
pub(crate) fn refused(error: &TxError) -> ResponseCheckTx {
    ResponseCheckTx {
        code: error.code().number(),
        log: error.to_string(),
        codespace: CODESPACE.to_owned(),
        ..ResponseCheckTx::default()
    }
}

/// Returns the response for a transaction that this node cannot check, which is not the sender's fault.
pub(crate) fn unavailable(why: &str) -> ResponseCheckTx {
    ResponseCheckTx {
        code: ErrorCode::Unavailable.number(),
        log: why.to_owned(),
        codespace: CODESPACE.to_owned(),
        ..ResponseCheckTx::default()
    }
}
