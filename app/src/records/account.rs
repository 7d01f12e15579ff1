//! Accounts: their keys, sequences and balances.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::{Address, Amount};
use capstan_kernel_ports::store::{Overlay, Read};

use crate::{
    fault::{Failure, NodeFault},
    records::{keys, record},
    tx::{PublicKey, TxError},
};

/// An account: one record in the state, whose key has its [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Number of the account, given in the order of creation. Every signature covers it.
    pub number: u64,
    /// Sequence that the account's next transaction must carry.
    pub sequence: u64,
    /// Balance of the account: an [`Amount`].
    pub balance: Amount,
    /// [`PublicKey`], or `None` before the account's first transaction.
    pub public_key: Option<PublicKey>,
}

/// Returns the [`Account`] of `address`, or `None` if there is none.
pub fn get(state: &(impl Read + ?Sized), address: Address) -> Result<Option<Account>, NodeFault> {
    record::get(state, &keys::account(address))
}

/// Writes the account of `address`.
pub(crate) fn set(
    state: &mut dyn Overlay,
    address: Address,
    account: &Account,
) -> Result<(), NodeFault> {
    record::set(state, &keys::account(address), account)
}

/// Returns the sum of all balances.
pub(crate) fn supply(state: &(impl Read + ?Sized)) -> Result<Amount, NodeFault> {
    Ok(record::get(state, keys::SUPPLY)?.unwrap_or(Amount(0)))
}

/// Makes `amount` of coins for `address`. Creates the account if there is none, and returns whether it did.
pub(crate) fn credit(
    state: &mut dyn Overlay,
    address: Address,
    amount: Amount,
) -> Result<bool, Failure> {
    let supply = supply(state)?.checked_add(amount).ok_or(TxError::BalanceOverflow(address))?;
    record::set(state, keys::SUPPLY, &supply)?;
    add(state, address, amount)
}

/// Burns `amount` of the coins of `address`. Fails with a [`TxError`] if the balance is too low.
pub(crate) fn debit(
    state: &mut dyn Overlay,
    address: Address,
    amount: Amount,
) -> Result<(), Failure> {
    subtract(state, address, amount)?;
    Ok(burnt(state, amount)?)
}

/// Subtracts coins from the supply that are in no balance any more.
pub(crate) fn burnt(state: &mut dyn Overlay, amount: Amount) -> Result<(), NodeFault> {
    if amount == Amount(0) {
        return Ok(());
    }
    let missing = || NodeFault::Damaged(format!("the supply is less than {amount}"));
    let supply = supply(state)?.checked_sub(amount).ok_or_else(missing)?;
    record::set(state, keys::SUPPLY, &supply)
}

/// Moves `amount` of coins. Creates the account of the receiver if there is none, and returns whether it did. Fails with a
/// [`TxError`] if the balance is too low.
pub(crate) fn transfer(
    state: &mut dyn Overlay,
    from: Address,
    to: Address,
    amount: Amount,
) -> Result<bool, Failure> {
    subtract(state, from, amount)?;
    add(state, to, amount)
}

fn add(state: &mut dyn Overlay, address: Address, amount: Amount) -> Result<bool, Failure> {
    let existing = get(state, address)?;
    let created = existing.is_none();
    let mut account = match existing {
        Some(account) => account,
        None => {
            let number = record::next_number(state, keys::NEXT_ACCOUNT)?;
            Account { number, sequence: 0, balance: Amount(0), public_key: None }
        }
    };
    let balance = account.balance.checked_add(amount);
    account.balance = balance.ok_or(TxError::BalanceOverflow(address))?;
    set(state, address, &account)?;
    Ok(created)
}

fn subtract(state: &mut dyn Overlay, address: Address, amount: Amount) -> Result<(), Failure> {
    let mut account = get(state, address)?.ok_or(TxError::NoAccount(address))?;
    let Some(balance) = account.balance.checked_sub(amount) else {
        let (balance, needed) = (account.balance.0, amount.0);
        return Err(TxError::InsufficientFunds { account: address, balance, needed }.into());
    };
    account.balance = balance;
    set(state, address, &account)?;
    Ok(())
}
