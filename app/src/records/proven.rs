//! The records that others can prove under the app hash: their keys, which are paths of queries, and their values,
//! which are JSON.
//!
//! ```text
//! accounts/ADDRESS        what the query of this path answers
//! balances/ADDRESS        {"denom", "amount"}
//! bundles/ID              what the query of this path answers
//! outbox/ADDRESS/NUMBER   ProvenEntry
//! txs/HASH/INDEX          ProvenResult
//! vats/ID/stats           ProvenVat
//! params                  what the query of this path answers
//! ```
//!
//! Each value is a function of records under the app hash, so that all nodes write the same. Each is small, because a block
//! reads and a proof contains those of neighbouring keys.

use capstan_abi::json::delivery_to_json;
use capstan_genesis::{Address, BundleId, BundleKind, DENOM};
use capstan_kernel::{
    bundle::InstalledBundle,
    ids::RemoteId,
    vat::{VatState, VatStatus},
    view,
};
use capstan_kernel_ports::{VatId, store::Read};
use capstan_proto::v1::{QueryAccountResponse, QueryBundleResponse};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    fault::NodeFault,
    records::{account, keys, results},
    tx::TxHash,
};

/// A proven record: its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proven {
    Account(Address),
    Balance(Address),
    Bundle(BundleId),
    Outbox(Address, u64),
    Params,
    Result(TxHash, u32),
    Vat(VatId),
}

impl std::fmt::Display for Proven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(address) => write!(f, "accounts/{address}"),
            Self::Balance(address) => write!(f, "balances/{address}"),
            Self::Bundle(id) => write!(f, "bundles/{id}"),
            Self::Outbox(address, number) => write!(f, "outbox/{address}/{number}"),
            Self::Params => f.write_str("params"),
            Self::Result(tx, index) => write!(f, "txs/{tx}/{index}"),
            Self::Vat(vat) => write!(f, "vats/{vat}/stats"),
        }
    }
}

/// Value of a balance.
#[derive(Serialize)]
struct Balance {
    denom: &'static str,
    amount: String,
}

/// Value of an outbox entry.
#[derive(Serialize)]
struct ProvenEntry {
    /// SHA-256 of the entry's `delivery_json`, in hexadecimal capitals.
    sha256: String,
    /// Length of that text in bytes.
    bytes: u64,
}

/// Value of a message's result. The value of the promise is proved by the outbox entry that settled it.
#[derive(Serialize)]
struct ProvenResult {
    tx_hash: String,
    index: u32,
    type_url: String,
    height: u64,
    account: String,
    promise: String,
    status: &'static str,
    settled_height: u64,
}

/// Value of a vat's statistics: those that change only when the vat itself does something or is changed.
#[derive(Serialize)]
struct ProvenVat {
    vat_id: String,
    status: &'static str,
    critical: bool,
    incarnation: u64,
    bundle_id: String,
    exports: u64,
    imports: u64,
    promise_count: u64,
    transcript_count: u64,
    deliveries: u64,
    computrons_total: u64,
    snapshot_position: u64,
    snapshot_hash: String,
    kept_bytes: u64,
    deposit: String,
}

impl Proven {
    /// Returns the key of the record in the proven tree.
    pub(crate) fn key(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Returns the value that the record has in `state`, or `None` if it has none.
    pub(crate) fn value(&self, state: &(impl Read + ?Sized)) -> Result<Option<Vec<u8>>, NodeFault> {
        match self {
            Self::Account(address) => json(account(state, *address)?),
            Self::Balance(address) => {
                let balance = account::get(state, *address)?.map(|account| account.balance);
                json(balance.map(|amount| Balance { denom: DENOM, amount: amount.to_string() }))
            }
            Self::Bundle(id) => json(view::bundle(state, id.as_str())?.map(|b| bundle(id, b))),
            Self::Outbox(address, number) => {
                let remote: Option<RemoteId> = view::remote_of(state, &address.to_string())?;
                let Some(remote) = remote else { return Ok(None) };
                let entry = view::outbox_entry(state, remote, *number)?;
                json(entry.map(|delivery| {
                    let text = delivery_to_json(&delivery).to_string();
                    let sha256 = hex::encode_upper(Sha256::digest(text.as_bytes()));
                    ProvenEntry { sha256, bytes: text.len() as u64 }
                }))
            }
            Self::Params => Ok(state.get(keys::PARAMS)?),
            Self::Result(tx, index) => json(result(state, tx, *index)?),
            Self::Vat(vat) => json(vat_stats(state, *vat)?),
        }
    }
}

fn json<T: Serialize>(value: Option<T>) -> Result<Option<Vec<u8>>, NodeFault> {
    let encoded = value.map(|value| serde_json::to_vec(&value)).transpose();
    encoded.map_err(|error| NodeFault::Damaged(format!("a proven record as JSON: {error}")))
}

/// Returns the answer to the query of an account.
pub(crate) fn account(
    state: &(impl Read + ?Sized),
    address: Address,
) -> Result<Option<QueryAccountResponse>, NodeFault> {
    let Some(account) = account::get(state, address)? else { return Ok(None) };
    let remote = view::remote_of(state, &address.to_string())?;
    Ok(Some(QueryAccountResponse {
        address: address.to_string(),
        account_number: account.number,
        sequence: account.sequence,
        balance: account.balance.to_string(),
        denom: DENOM.to_owned(),
        pubkey: account.public_key.map(|key| key.to_string()).unwrap_or_default(),
        remote: remote.map(|remote| remote.to_string()).unwrap_or_default(),
    }))
}

/// Returns the answer to the query of a bundle.
pub(crate) fn bundle(id: &BundleId, bundle: InstalledBundle) -> QueryBundleResponse {
    let kind = match id.kind() {
        BundleKind::EndoZip => "endo-zip",
        BundleKind::Wasm => "wasm",
    };
    QueryBundleResponse {
        bundle_id: id.to_string(),
        kind: kind.to_owned(),
        size: bundle.size,
        sha256: bundle.hash.to_string(),
    }
}

/// Returns the name of a vat's [`VatStatus`].
pub(crate) fn vat_status(record: &VatState) -> &'static str {
    match record.status {
        VatStatus::Running => "running",
        VatStatus::Terminated(_) => "terminated",
        VatStatus::Cleaned(_) => "cleaned",
    }
}

fn result(
    state: &(impl Read + ?Sized),
    tx: &TxHash,
    index: u32,
) -> Result<Option<ProvenResult>, NodeFault> {
    let Some(message) = results::get(state, tx, index)? else { return Ok(None) };
    Ok(Some(ProvenResult {
        tx_hash: tx.to_string(),
        index,
        status: message.status(),
        type_url: message.type_url,
        height: message.height,
        account: message.account.to_string(),
        promise: message.promise,
        settled_height: message.settled.map_or(0, |settled| settled.height),
    }))
}

fn vat_stats(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<ProvenVat>, NodeFault> {
    let (Some(config), Some(record)) =
        (view::vat_config(state, vat)?, view::vat_state(state, vat)?)
    else {
        return Ok(None);
    };
    let (counts, snapshot) = (record.counts(), record.snapshot);
    Ok(Some(ProvenVat {
        vat_id: vat.to_string(),
        status: vat_status(&record),
        critical: config.critical,
        incarnation: record.incarnation,
        bundle_id: config.bundle_id,
        exports: record.holdings.exports,
        imports: record.holdings.imports,
        promise_count: counts.promise_count,
        transcript_count: counts.transcript_count,
        deliveries: record.deliveries,
        computrons_total: record.computrons,
        snapshot_position: snapshot.map_or(0, |(_, position)| position),
        snapshot_hash: snapshot.map_or_else(String::new, |(hash, _)| hash.to_string()),
        kept_bytes: record.kept.total(),
        deposit: record.deposit.to_string(),
    }))
}
