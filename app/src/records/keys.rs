//! The layout of all keys of the application. The kernel's keys begin with `k.`.
//!
//! Numbers in keys are 16 hex digits, so that their order is the numbers'. Values are borsh of the types
//! named, unless something else is said.
//!
//! ```text
//! a.chain                  ChainRecord: chain id and first height
//! a.acct.ADDRESS           Account
//! a.next_account           u64: the next account's number
//! a.supply                 Amount: the sum of all balances
//! a.up.UPLOAD              Upload: an upload under way
//! a.upc.UPLOAD.INDEX       a piece of it: its bytes
//! a.upo.ADDRESS            Quota: what an account has under way
//! a.res.TXHASH.INDEX       MessageRecord: a message with a result promise
//! a.rp.REMOTE.PROMISE      (tx hash, message index): whose result a promise of an account is
//! a.exp.HEIGHT.KIND.ID     what is forgotten at a height: KIND u an upload, r a message's result; no value
//! a.max_gas                u64: the most gas in a block, if the consensus parameters bound it
//! a.vat.VAT                u64: the height at which a vat began
//! a.override.HEIGHT      what was agreed to be done differently in a block: `Override`'s canonical JSON
//! a.validators             the validators and changes to them, if the chain has governors
//! p.params                 Params, as JSON
//! ```

use capstan_genesis::Address;
use capstan_kernel::ids::RemoteId;
use capstan_kernel_ports::VatId;

use crate::tx::{TxHash, UploadId};

pub(crate) const CHAIN: &[u8] = b"a.chain";
pub(crate) const NEXT_ACCOUNT: &[u8] = b"a.next_account";
pub(crate) const SUPPLY: &[u8] = b"a.supply";
pub(crate) const MAX_GAS: &[u8] = b"a.max_gas";
pub(crate) const VALIDATORS: &[u8] = b"a.validators";
pub(crate) const PARAMS: &[u8] = b"p.params";
/// Prefix of the kernel's keys.
pub(crate) const KERNEL_KEYS: &[u8] = b"k.";
pub(crate) const EXPIRY: &[u8] = b"a.exp.";

pub(crate) fn account(address: Address) -> Vec<u8> {
    format!("a.acct.{address}").into_bytes()
}

/// Returns the prefix of the keys of all accounts.
pub(crate) fn accounts() -> Vec<u8> {
    b"a.acct.".to_vec()
}

pub(crate) fn overridden(height: u64) -> Vec<u8> {
    format!("a.override.{height:016x}").into_bytes()
}

pub(crate) fn upload(id: &UploadId) -> Vec<u8> {
    format!("a.up.{id}").into_bytes()
}

pub(crate) fn upload_chunk(id: &UploadId, index: u32) -> Vec<u8> {
    format!("a.upc.{id}.{index:08x}").into_bytes()
}

pub(crate) fn upload_quota(address: Address) -> Vec<u8> {
    format!("a.upo.{address}").into_bytes()
}

pub(crate) fn result(tx: &TxHash, index: u32) -> Vec<u8> {
    format!("a.res.{tx}.{index:08x}").into_bytes()
}

pub(crate) fn vat_begun(vat: VatId) -> Vec<u8> {
    format!("a.vat.{vat}").into_bytes()
}

/// Returns the account of a key that [`account`] made.
pub(crate) fn parse_account(key: &[u8]) -> Option<Address> {
    std::str::from_utf8(key.strip_prefix(b"a.acct.")?).ok()?.parse().ok()
}

/// Returns the message of a key that [`result`] made.
pub(crate) fn parse_result(key: &[u8]) -> Option<(TxHash, u32)> {
    let text = std::str::from_utf8(key.strip_prefix(b"a.res.")?).ok()?;
    let (tx, index) = text.split_once('.')?;
    Some((tx.parse().ok()?, u32::from_str_radix(index, 16).ok()?))
}

pub(crate) fn result_of_promise(remote: RemoteId, promise: &str) -> Vec<u8> {
    format!("a.rp.{remote}.{promise}").into_bytes()
}

pub(crate) fn upload_expiry(height: u64, id: &UploadId) -> Vec<u8> {
    format!("a.exp.{height:016x}.u.{id}").into_bytes()
}

pub(crate) fn result_expiry(height: u64, tx: &TxHash, index: u32) -> Vec<u8> {
    format!("a.exp.{height:016x}.r.{tx}.{index:08x}").into_bytes()
}
