//! `capstan query --prove`: a record, verified under the app hash of a block's header.

use anyhow::Context as _;
use capstan_abi::BundleId;
use capstan_client::{PROVEN_STORE, TrustedHeader};
use serde_json::{Value, json};

use super::{Asker, Question, is_numbered};
use crate::failure::usage;
use crate::{Common, keys, tx::bundle_id};

/// The proof of an answer.
#[derive(clap::Args, Debug)]
pub(super) struct Prove {
    /// Verify the answer of the node by its proof.
    #[arg(long, global = true)]
    prove: bool,
    /// Header that is trusted: its height and hash. The answer is of the height before it.
    #[arg(long, global = true, value_name = "HEIGHT:HASH", requires = "prove")]
    trust: Option<TrustedHeader>,
}

impl Prove {
    pub(super) fn is_wanted(&self) -> bool {
        self.prove
    }

    /// Prints the record of a question after verifying it.
    pub(super) fn run(
        &self,
        question: &Question,
        common: &Common,
        asker: &Asker,
    ) -> anyhow::Result<()> {
        let key = key(question, common)?;
        let record = asker.client.proven_record(&key, self.trust.as_ref())?;
        let value = record.value.as_deref().map(serde_json::from_slice::<Value>).transpose();
        let header = json!({
            "height": record.height + 1,
            "hash": record.header_hash,
            "app_hash": hex::encode_upper(&record.app_hash),
            "trusted": self.trust.is_some(),
        });
        let value = value.context("the proved value is not JSON")?;
        let is_present = value.is_some();
        asker.output.whole_record(&json!({
            "key": record.key,
            "present": is_present,
            "value": value,
            "height": record.height,
            "header": header,
        }));
        if !is_present {
            asker.output.note("absent", &format!("It is proved that there is no {}.", record.key));
        }
        if self.trust.is_none() {
            crate::output::warn(&format!(
                "The header is the node's own. To trust another source: --trust {}:HASH",
                record.height + 1
            ));
        }
        Ok(())
    }
}

/// Returns the key of a record, in which an account may stand by the name of its key.
fn record_key(text: &str, common: &Common) -> anyhow::Result<String> {
    let parts: Vec<_> = text.trim_matches('/').split('/').collect();
    match *parts {
        [kind @ ("accounts" | "balances" | "outbox"), account, ref rest @ ..] => {
            let address = keys::find_address(common, account)?.to_string();
            Ok([&[kind, address.as_str()], rest].concat().join("/"))
        }
        ["params"] | ["bundles" | "txs" | "vats", _, ..] => Ok(parts.join("/")),
        _ => Err(usage(format!(
            "{text:?} is the key of no record: records are accounts/ADDRESS, balances/ADDRESS, bundles/ID, outbox/ADDRESS/NUMBER, params, txs/HASH/INDEX and vats/ID/stats"
        ))),
    }
}

/// Checks the id of a vat whose record is to be proved.
fn vat_id(text: &str) -> anyhow::Result<&str> {
    match is_numbered(text, "v") && !text.starts_with("v0") {
        true => Ok(text),
        false => Err(usage(format!(
            "{text:?} is not a vat id such as v3: no proof says which vat has a name; `capstan query vats` lists both"
        ))),
    }
}

/// Prints a record without its proof.
pub(super) fn show(asker: &Asker, key: &str, common: &Common) -> anyhow::Result<()> {
    let key = record_key(key, common)?;
    let path = format!("/store/{PROVEN_STORE}/key");
    let answer = asker.client.abci_query(&path, key.as_bytes(), 0, false)?;
    if answer.value.is_empty() {
        anyhow::bail!("there is no record {key}; `capstan query record {key} --prove` proves that");
    }
    let value: Value = serde_json::from_slice(&answer.value).context("the record is not JSON")?;
    asker.output.whole_record(&value);
    Ok(())
}

/// Returns the key of the proven record that a question is about.
fn key(question: &Question, common: &Common) -> anyhow::Result<String> {
    Ok(match question {
        Question::Account { account } => {
            format!("accounts/{}", keys::find_address(common, account)?)
        }
        Question::Bundle { bundle } => {
            let id = bundle_id(bundle)?;
            let id: BundleId = id.parse().with_context(|| format!("{id:?} is no bundle's id"))?;
            format!("bundles/{id}")
        }
        // The node could name another vat.
        Question::VatStats { vat } => format!("vats/{}/stats", vat_id(vat)?),
        Question::Result { hash, index } if hash.len() == 64 => {
            format!("txs/{}/{index}", hash.to_uppercase())
        }
        Question::Result { hash, .. } => {
            return Err(usage(format!("{hash:?} is not a transaction's hash: 64 hex digits")));
        }
        Question::Params => "params".to_owned(),
        Question::Record { key } => record_key(key, common)?,
        _ => {
            return Err(usage(
                "only account, bundle, params, record, result and vat-stats have proofs".to_owned(),
            ));
        }
    })
}
