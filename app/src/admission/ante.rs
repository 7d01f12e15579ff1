use capstan_genesis::{Address, Params};

use super::signature_cache::{SignatureCache, check_of};
use crate::{
    records::account::Account,
    tx::{PublicKey, Tx, TxError, Unverified},
};

/// The context of a check, besides the signer's account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainContext<'a> {
    /// Id of the chain.
    pub(crate) chain_id: &'a str,
    /// Height of the next block, in which the transaction would be executed.
    pub(crate) height: u64,
    /// [`Params`] of the chain.
    pub(crate) params: &'a Params,
    /// [`SignatureCache`] of this node.
    pub(crate) signatures: &'a SignatureCache,
}

/// Checks `tx` against its signer's account and takes the fee. Returns the [`Account`] as it stands before the
/// transaction's messages.
///
/// The checks have the same order in CheckTx and in FinalizeBlock. The signature comes last, since it costs most.
pub(crate) fn check(
    tx: &Tx,
    account: Option<Account>,
    chain: ChainContext<'_>,
) -> Result<Account, TxError> {
    if tx.timeout_height != 0 && tx.timeout_height < chain.height {
        return Err(TxError::TimedOut { timeout: tx.timeout_height, height: chain.height });
    }
    let fees = &chain.params.fees;
    let needed = fees.gas(&tx.size());
    let required = fees.gas_price.fee(needed);
    if tx.fee < required {
        return Err(TxError::FeeTooLow { got: tx.fee.0, required: required.0 });
    }
    if tx.gas_limit < needed {
        return Err(TxError::OutOfGas { limit: tx.gas_limit, needed });
    }
    let mut account = account.ok_or(TxError::NoAccount(tx.signer))?;
    if tx.sequence != account.sequence {
        return Err(TxError::Sequence { expected: account.sequence, got: tx.sequence });
    }
    let Some(balance) = account.balance.checked_sub(tx.fee) else {
        let (balance, fee) = (account.balance.0, tx.fee.0);
        return Err(TxError::CannotPayFee { account: tx.signer, balance, fee });
    };
    let key = signing_key(tx, &account, tx.signer)?;
    check_signature(tx, &key, account.number, chain)?;
    account.balance = balance;
    account.sequence += 1;
    account.public_key = Some(key);
    Ok(account)
}

/// Verifies the signature of `tx` alone, so that a later [`check`] finds it in the cache. The account may be another one by
/// then, which the key of the cache covers.
pub(super) fn verify_ahead(tx: &Tx, account: &Account, chain: ChainContext<'_>) {
    if let Ok(key) = signing_key(tx, account, tx.signer) {
        // What is wrong is for the check to say.
        let _ = check_signature(tx, &key, account.number, chain);
    }
}

fn check_signature(
    tx: &Tx,
    key: &PublicKey,
    account_number: u64,
    chain: ChainContext<'_>,
) -> Result<(), TxError> {
    let check = check_of(tx, key, account_number, chain.chain_id);
    if chain.signatures.contains(&check) {
        return Ok(());
    }
    tx.signature.verify(key, chain.chain_id, account_number).map_err(|why| match why {
        Unverified::HighS => TxError::HighS,
        Unverified::Keys(error) => error,
        Unverified::Wrong => TxError::BadSignature {
            chain_id: chain.chain_id.to_owned(),
            account_number,
            sequence: tx.sequence,
        },
    })?;
    chain.signatures.insert(check, tx.hash);
    Ok(())
}

/// Returns the key that must have signed: the account's own, or the one in its first transaction.
fn signing_key(tx: &Tx, account: &Account, signer: Address) -> Result<PublicKey, TxError> {
    match (&tx.public_key, &account.public_key) {
        (Some(key), _) if key.address() == Some(signer) => Ok(key.clone()),
        (Some(_), _) => Err(TxError::PublicKey(format!("it does not belong to {signer}"))),
        (None, Some(key)) => Ok(key.clone()),
        (None, None) => {
            let problem = "the account's first transaction must carry it in its signer info";
            Err(TxError::PublicKey(problem.to_owned()))
        }
    }
}
