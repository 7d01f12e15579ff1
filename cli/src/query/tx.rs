//! `capstan query tx`: a transaction, its messages, and what became of them in later blocks.

use std::collections::BTreeSet;

use capstan_client::{ClientError, ErrorCode, Hash, MessageResult, TxInfo};
use serde_json::{Map, Value, json};
use tendermint::abci::Event;

use super::Asker;
use crate::events::attribute;
use crate::failure::usage;
use crate::output::grouped;
use crate::passable;

/// The help of `capstan query tx`.
pub(super) const HELP: &str = "\
Examples:
  capstan query tx 9A…
  capstan query tx 9A… --events

A message is followed to its answer, which a later block may bring. With --json the record has the \"messages\", the
\"events\" of the transaction, and as \"later_events\" those of other blocks that carry its hash.";

/// Number of messages that people are shown at most.
const SHOWN: usize = 8;

/// A message of a transaction.
struct Told {
    index: u32,
    /// Type of the message, such as `MsgSend`.
    kind: String,
    /// What became of it. `None` if it gets no answer, or if that is no longer kept.
    result: Option<MessageResult>,
}

impl Asker {
    /// Prints a transaction.
    pub(super) fn tx(&self, hash: &str, with_events: bool) -> anyhow::Result<()> {
        let wrong = || usage(format!("{hash:?} is not a transaction's hash: 64 hex digits"));
        // A shorter text would be filled up with zeros.
        let parsed = match hash.to_uppercase().parse() {
            Ok(parsed) if hash.len() == 64 => parsed,
            _ => return Err(wrong()),
        };
        let Some(tx) = self.client.tx(parsed)? else {
            anyhow::bail!(
                "no block has the transaction {hash}; it may still wait, or it was refused"
            );
        };
        let messages = self.messages(&tx)?;
        let wants_events = with_events || self.output.is_json();
        let later = if wants_events { self.later_events(&tx, &messages)? } else { Vec::new() };
        if self.output.is_json() {
            self.output.record(&record(&tx, &messages, &later)?);
            return Ok(());
        }
        self.output.record(&summary(&tx, &messages, with_events));
        if with_events {
            for event in &tx.events {
                self.output.either(&Value::Null, &line(tx.height, event));
            }
            for (height, event) in &later {
                self.output.either(&Value::Null, &line(*height, event));
            }
        }
        Ok(())
    }

    /// Returns the messages of a transaction that succeeded.
    fn messages(&self, tx: &TxInfo) -> anyhow::Result<Vec<Told>> {
        let mut messages = Vec::new();
        for event in tx.events.iter().filter(|event| event.kind == "message") {
            let action = attribute(event, "action");
            let Ok(index) = attribute(event, "msg_index").parse::<u32>() else { continue };
            let is_sent = tx.events.iter().any(|event| {
                event.kind == "message.sent"
                    && attribute(event, "message_index") == index.to_string()
            });
            let result = if is_sent { self.result(tx.hash, index)? } else { None };
            let kind = action.rsplit('.').next().unwrap_or_default().to_owned();
            messages.push(Told { index, kind, result });
        }
        Ok(messages)
    }

    /// Returns what became of a message, or `None` if that is no longer kept.
    fn result(&self, hash: Hash, index: u32) -> anyhow::Result<Option<MessageResult>> {
        match self.client.message_result(hash, index) {
            Ok(result) => Ok(Some(result)),
            Err(ClientError::Query { code, .. }) if code == ErrorCode::NotFound.number() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the events of the blocks that answered the messages, with the hash of the transaction, and their heights.
    fn later_events(&self, tx: &TxInfo, messages: &[Told]) -> anyhow::Result<Vec<(u64, Event)>> {
        let settled = messages.iter().filter_map(|told| told.result.as_ref());
        let heights: BTreeSet<u64> = settled.map(|result| result.settled_height).collect();
        let (hash, mut found) = (tx.hash.to_string(), Vec::new());
        for height in heights.into_iter().filter(|height| *height > 0) {
            let Ok(at) = u32::try_from(height) else { continue };
            let events = self.client.block_results(at)?.finalize_block_events;
            let own = events.into_iter().filter(|event| attribute(event, "tx_hash") == hash);
            found.extend(own.map(|event| (height, event)));
        }
        Ok(found)
    }
}

/// Returns a transaction for programs.
fn record(tx: &TxInfo, messages: &[Told], later: &[(u64, Event)]) -> anyhow::Result<Value> {
    let mut events = Vec::new();
    for (height, event) in later {
        let mut event = serde_json::to_value(event)?;
        event["height"] = (*height).into();
        events.push(event);
    }
    let messages = messages.iter().map(|told| {
        let mut record = json!({"index": told.index, "kind": told.kind});
        if let Some(result) = &told.result {
            record["target"] = result.target.as_str().into();
            record["method"] = result.method.as_str().into();
            record["promise"] = result.promise.as_str().into();
            record["status"] = result.status.as_str().into();
            record["value"] = passable::decode(&result.value.body, &result.value.slots);
            record["settled_height"] = result.settled_height.into();
            record["vat_id"] = result.created_vat.as_ref().map(|vat| vat.vat_id.as_str()).into();
        }
        record
    });
    Ok(json!({
        "tx_hash": tx.hash,
        "height": tx.height,
        "index": tx.index,
        "code": tx.code,
        "codespace": tx.codespace,
        "log": tx.log,
        "signer": found(tx, "tx", "fee_payer"),
        "fee": found(tx, "tx", "fee"),
        "gas_wanted": tx.gas_wanted,
        "gas_used": tx.gas_used,
        "messages": messages.collect::<Vec<_>>(),
        "events": serde_json::to_value(&tx.events)?,
        "later_events": events,
    }))
}

/// Returns a transaction for people.
fn summary(tx: &TxInfo, messages: &[Told], with_events: bool) -> Value {
    let result = match tx.code {
        0 => "in a block, and no message failed there".to_owned(),
        code => format!("failed: {} ({} code {code})", tx.log, tx.codespace),
    };
    let gas = |gas: i64| grouped(&gas.to_string());
    let rows = [
        ("tx_hash", tx.hash.to_string()),
        ("height", gas(tx.height as i64)),
        ("index_in_block", tx.index.to_string()),
        ("result", result),
        ("signer", found(tx, "tx", "fee_payer")),
        ("fee", found(tx, "tx", "fee")),
        ("gas", format!("{} of {}", gas(tx.gas_used), gas(tx.gas_wanted))),
    ];
    let mut shown: Map<String, Value> =
        rows.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    for told in messages.iter().take(SHOWN) {
        shown.insert(format!("message {}", told.index), outcome(told).into());
    }
    if let Some(more) = messages.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.insert("messages".to_owned(), format!("{more} more: --json").into());
    }
    if !with_events {
        let events = format!("{}: --events prints them", tx.events.len());
        shown.insert("events".to_owned(), events.into());
    }
    Value::Object(shown)
}

/// Returns what became of a message, on one line.
fn outcome(told: &Told) -> String {
    let Some(result) = &told.result else { return told.kind.clone() };
    let call = format!("{} {}.{}", told.kind, result.target, result.method);
    let value = passable::text(&result.value.body, &result.value.slots);
    let vat = result.created_vat.as_ref();
    let vat = vat.map(|vat| format!(", created {}", vat.vat_id)).unwrap_or_default();
    match result.status.as_str() {
        "pending" => format!("{call}: waits for its answer, {}", result.promise),
        status => {
            let at = grouped(&result.settled_height.to_string());
            format!("{call}: {status} in block {at}{vat}: {value}")
        }
    }
}

/// Returns an event on one line.
fn line(height: u64, event: &Event) -> String {
    let attributes = event.attributes.iter().map(|attribute| {
        let (key, value) = (attribute.key_str(), attribute.value_str());
        format!(" {}={}", key.unwrap_or_default(), value.unwrap_or_default())
    });
    format!("{height} {}{}", event.kind, attributes.collect::<String>())
}

/// Returns the value of an attribute in the first event of this kind that has it, or an empty text.
fn found(tx: &TxInfo, kind: &str, key: &str) -> String {
    let events = tx.events.iter().filter(|event| event.kind == kind);
    events.map(|event| attribute(event, key)).find(|value| !value.is_empty()).unwrap_or_default()
}
