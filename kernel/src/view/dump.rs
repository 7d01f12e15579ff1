//! All tables of a kernel, for tests and tools.

use capstan_kernel_ports::{VatId, store::Read};
use serde_json::{Value, json};

use super::{Queue, object, promise, queue, vat_state};
use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, canonical_decimal},
    state::{
        clist::ClistEntry,
        event::Waiting,
        gc::legible,
        handle::{decode, get_record, need},
        keys,
        promise::{Promise, PromiseState, ResultPolicy},
        queue::event_to_json,
        vat::{VatStatus, all_vats},
    },
};

/// Returns all of the kernel's tables, in the shape of SwingSet's `dump()`.
pub fn dump(state: &(impl Read + ?Sized)) -> Result<Value> {
    let mut kernel_table: Vec<(KRef, Endpoint, String)> = Vec::new();
    for (key, value) in state.scan(keys::CLISTS)? {
        let text = String::from_utf8_lossy(&key[keys::CLISTS.len()..]).into_owned();
        let (endpoint, kref) = text.split_once('.').unwrap_or_default();
        let parsed = Endpoint::parse(endpoint).zip(KRef::parse(kref));
        let (endpoint, kref) = parsed.ok_or_else(|| inconsistent(format!("odd key {text}")))?;
        kernel_table.push((kref, endpoint, decode::<ClistEntry>(&key, &value)?.vref));
    }
    kernel_table.sort_by_key(|(kref, endpoint, _)| {
        (natural(&kref.to_string()), natural(&endpoint.to_string()))
    });
    let rows = kernel_table
        .iter()
        .map(|(kref, endpoint, vref)| json!([kref.to_string(), endpoint.to_string(), vref]));
    let events = |which| -> Result<Vec<Value>> {
        Ok(queue(state, which, u64::MAX)?.iter().map(event_to_json).collect())
    };
    let reap: Vec<VatId> = get_record(state, keys::REAP)?.unwrap_or_default();
    let mut tables = Vec::new();
    for vat in all_vats(state)? {
        let record =
            vat_state(state, vat)?.ok_or_else(|| inconsistent(format!("{vat} is half there")))?;
        if !matches!(record.status, VatStatus::Cleaned(_)) {
            tables.push(
                json!({"vatID": vat.to_string(), "transcriptEntries": record.span.entries()}),
            );
        }
    }
    Ok(json!({
        "kernelTable": rows.collect::<Vec<_>>(),
        "promises": dump_promises(state)?,
        "objects": dump_objects(state)?,
        "gcActions": dump_gc(state)?,
        "reapQueue": reap.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "runQueue": events(Queue::Run)?,
        "acceptanceQueue": events(Queue::Acceptance)?,
        "vatTables": tables,
    }))
}

fn dump_promises(state: &(impl Read + ?Sized)) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for number in numbers(state, keys::PROMISES)? {
        let Some(promise) = promise(state, number)? else { continue };
        rows.push(promise_to_json(state, number, &promise)?);
    }
    Ok(rows)
}

/// Returns a [`Promise`] as SwingSet's `dump()` shows it.
pub fn promise_to_json(
    state: &(impl Read + ?Sized),
    number: u64,
    promise: &Promise,
) -> Result<Value> {
    let id = KRef::Promise(number).to_string();
    let data = capstan_abi::json::capdata_to_json::<KRef>;
    let count = promise.ref_count;
    let mut row = match &promise.state {
        PromiseState::Fulfilled(value) => {
            json!({"id": id, "state": "fulfilled", "refCount": count, "data": data(value)})
        }
        PromiseState::Rejected(reason) | PromiseState::RejectedByKernel { data: reason, .. } => {
            json!({"id": id, "state": "rejected", "refCount": count, "data": data(reason)})
        }
        PromiseState::Unresolved(unresolved) => {
            let mut queue = Vec::new();
            for position in unresolved.queue_head..unresolved.queue_tail {
                let Waiting { message, .. } =
                    need(state, &keys::promise_message(number, position))?;
                let mut row = json!({"methargs": data(&message.methargs)});
                if let Some(result) = message.result {
                    row["result"] = json!(result.to_string());
                }
                queue.push(row);
            }
            let subscribers = unresolved.subscribers.iter().map(ToString::to_string);
            let mut row = json!({
                "id": id,
                "state": "unresolved",
                "refCount": count,
                "policy": policy_name(unresolved.policy),
                "subscribers": subscribers.collect::<Vec<_>>(),
                "queue": queue,
            });
            if let Some(decider) = unresolved.decider {
                row["decider"] = json!(decider.to_string());
            }
            row
        }
    };
    // SwingSet has no such word, so only data that is shared and holds references has it.
    if let Some(number) = promise.data_of {
        row["dataOf"] = json!(KRef::Promise(number).to_string());
    }
    Ok(row)
}

fn policy_name(policy: ResultPolicy) -> &'static str {
    match policy {
        ResultPolicy::Ignore => "ignore",
        ResultPolicy::LogAlways => "logAlways",
        ResultPolicy::LogFailure => "logFailure",
        ResultPolicy::Panic => "panic",
        ResultPolicy::Launch(_) => "launch",
    }
}

fn dump_objects(state: &(impl Read + ?Sized)) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for number in numbers(state, keys::OBJECTS)? {
        let Some(object) = object(state, number)? else { continue };
        let id = KRef::Object(number).to_string();
        let owner = object.owner.map(|owner| owner.to_string());
        let mut row = vec![json!(id), json!(owner)];
        row.extend([json!(object.reachable), json!(object.recognizable)]);
        // SwingSet has no such word, so only an object that was revoked has it.
        row.extend(object.revoked.then(|| json!("revoked")));
        rows.push(Value::Array(row));
    }
    Ok(rows)
}

fn dump_gc(state: &(impl Read + ?Sized)) -> Result<Vec<String>> {
    let entries = state.scan(keys::GC_ACTIONS)?;
    entries.iter().map(|(key, _)| legible(key)).collect()
}

/// The numbers that end the keys under `prefix`, in order.
fn numbers(state: &(impl Read + ?Sized), prefix: &[u8]) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (key, _) in state.scan(prefix)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let number = canonical_decimal(&text);
        numbers.push(number.ok_or_else(|| inconsistent(format!("{text} is not a number")))?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Letters, then the number: the order that people expect of `ko9` and `ko10`.
fn natural(text: &str) -> (String, u64) {
    let letters: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
    let number = text[letters.len()..].parse().unwrap_or(0);
    (letters, number)
}
