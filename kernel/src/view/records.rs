//! Reading the kernel's state: for queries, tools and tests. Nothing here changes anything.

use std::collections::BTreeMap;

use capstan_abi::Delivery;
use capstan_kernel_ports::{Hash, VatId, host::HeapImage, store::Read};
use serde_json::{Value, json};

use crate::{
    device::Mailbox,
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, MeterId, RemoteId},
    state::{
        clist::{ClistEntry, ImportIds},
        handle::{decode, get_record, read_globals},
        keys,
        meter::Meter,
        object::Object,
        promise::{Promise, PromiseState},
        queue::{Queues, RunQueueEvent, Waiting, event_to_json},
        remote::Remote,
        stats::Stats,
        vat::{VatConfig, VatState, VatStatus},
    },
};

/// SwingSet's four counts of a vat: ids allocated so far, and transcript entries in the current span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VatCounts {
    /// Objects that the vat was given.
    pub object_count: u64,
    /// Promises that the vat was given.
    pub promise_count: u64,
    /// Device nodes that the vat was given.
    pub device_count: u64,
    /// Entries of the current transcript span.
    pub transcript_count: u64,
}

/// How much a vat holds, counted over its c-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Objects that it exports.
    pub exports: u64,
    /// Objects that it imports.
    pub imports: u64,
    /// Promises.
    pub promises: u64,
    /// Device nodes.
    pub devices: u64,
}

/// The kernel as a whole.
#[derive(Clone, Debug)]
pub struct KernelStatus {
    /// Cranks so far.
    pub cranks: u64,
    /// The chain of hashes of all cranks' writes.
    pub crank_chain: Hash,
    /// Events on the acceptance queue.
    pub acceptance_queue: u64,
    /// Events on the run queue.
    pub run_queue: u64,
    /// Terminated vats that wait for their cleanup.
    pub dead: Vec<VatId>,
    /// Counters.
    pub stats: Stats,
}

/// Which of the two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The acceptance queue.
    Acceptance,
    /// The run queue.
    Run,
}

/// Whether the text has the form of a bundle id: `b1-` and 128, or `w1-` and 64, lowercase hex digits.
pub fn is_bundle_id(text: &str) -> bool {
    let hex = |digits: &str, length: usize| {
        digits.len() == length && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    text.strip_prefix("b1-").is_some_and(|digits| hex(digits, 128))
        || text.strip_prefix("w1-").is_some_and(|digits| hex(digits, 64))
}

/// Whether the state holds a kernel.
pub fn is_initialized(state: &(impl Read + ?Sized)) -> Result<bool> {
    Ok(state.get(keys::GLOBALS)?.is_some())
}

/// Whether there is anything for the kernel to do without any new message: a chain whose kernel is
/// busy makes the next block by itself. Cleanup of dead vats counts.
pub fn is_busy(state: &(impl Read + ?Sized)) -> Result<bool> {
    let queues: Queues = need(state, keys::QUEUES)?;
    let pending = |vats: Option<Vec<VatId>>| vats.is_some_and(|vats| !vats.is_empty());
    Ok(queues.acceptance.0 < queues.acceptance.1
        || queues.run.0 < queues.run.1
        || state.next_after(keys::GC_ACTIONS, keys::GC_ACTIONS)?.is_some()
        || pending(get_record(state, keys::REAP)?)
        || pending(get_record(state, keys::DEAD)?))
}

/// The kernel's status.
pub fn kernel_status(state: &(impl Read + ?Sized)) -> Result<KernelStatus> {
    let globals = read_globals(state)?;
    let queues: Queues = need(state, keys::QUEUES)?;
    Ok(KernelStatus {
        cranks: globals.crank,
        crank_chain: globals.crank_chain,
        acceptance_queue: queues.acceptance.1 - queues.acceptance.0,
        run_queue: queues.run.1 - queues.run.0,
        dead: get_record(state, keys::DEAD)?.unwrap_or_default(),
        stats: get_record(state, keys::STATS)?.unwrap_or_default(),
    })
}

/// All vats that ever were, in the order of their ids.
pub fn vats(state: &(impl Read + ?Sized)) -> Result<Vec<VatId>> {
    let mut vats = Vec::new();
    let mut after = keys::VATS.to_vec();
    while let Some((key, _)) = state.next_after(keys::VATS, &after)? {
        let text = String::from_utf8_lossy(&key[keys::VATS.len()..]).into_owned();
        let number = crate::ids::canonical_decimal(&text);
        vats.push(VatId(number.ok_or_else(|| inconsistent(format!("{text} is not a vat")))?));
        after = key;
    }
    vats.sort_unstable();
    Ok(vats)
}

/// The vats that run: static ones in the order of their names, then dynamic ones by id.
pub fn live_vats(state: &(impl Read + ?Sized)) -> Result<Vec<VatId>> {
    let mut live = Vec::new();
    for (key, value) in state.scan(keys::STATIC_NAMES)? {
        live.push(decode::<VatId>(&key, &value)?);
    }
    for vat in vats(state)? {
        let running = vat_state(state, vat)?.is_some_and(|s| s.status == VatStatus::Running);
        if running && !live.contains(&vat) {
            live.push(vat);
        }
    }
    Ok(live)
}

/// The live static vat of that name.
pub fn vat_by_name(state: &(impl Read + ?Sized), name: &str) -> Result<Option<VatId>> {
    get_record(state, &keys::static_name(name))
}

/// What a vat is.
pub fn vat_config(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatConfig>> {
    get_record(state, &keys::vat_config(vat))
}

/// What a vat has come to.
pub fn vat_state(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatState>> {
    get_record(state, &keys::vat_state(vat))
}

/// The heap of the vat's last snapshot; none if none was taken or this node does not have it.
pub fn heap_image(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<HeapImage>> {
    crate::vats::heap::image(state, vat)
}

/// The size in bytes of the vat's heap at its last snapshot; none as for [`heap_image`].
pub fn heap_bytes(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<u64>> {
    crate::vats::heap::size_bytes(state, vat)
}

/// SwingSet's counts of a vat.
pub fn vat_counts(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<VatCounts>> {
    let first = ImportIds::VAT;
    Ok(vat_state(state, vat)?.map(|vat| VatCounts {
        object_count: vat.imports.object - first.object,
        promise_count: vat.imports.promise - first.promise,
        device_count: vat.imports.device - first.device,
        transcript_count: vat.span.entries(),
    }))
}

/// The c-list of an endpoint, in the order of its krefs' texts.
pub fn clist(state: &(impl Read + ?Sized), endpoint: Endpoint) -> Result<Vec<(KRef, ClistEntry)>> {
    let prefix = keys::clist_of(endpoint);
    let mut entries = Vec::new();
    for (key, value) in state.scan(&prefix)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let kref = KRef::parse(&text).ok_or_else(|| inconsistent(format!("{text} is no kref")))?;
        entries.push((kref, decode(&key, &value)?));
    }
    Ok(entries)
}

/// How much an endpoint holds.
pub fn holdings(state: &(impl Read + ?Sized), endpoint: Endpoint) -> Result<Holdings> {
    let mut holdings = Holdings::default();
    for (kref, entry) in clist(state, endpoint)? {
        let count = match kref {
            KRef::Object(_) if crate::state::clist::is_export(&entry.vref) => &mut holdings.exports,
            KRef::Object(_) => &mut holdings.imports,
            KRef::Promise(_) => &mut holdings.promises,
            KRef::Device(_) => &mut holdings.devices,
        };
        *count += 1;
    }
    Ok(holdings)
}

/// The kernel's reference for an endpoint's.
pub fn kref_of(
    state: &(impl Read + ?Sized),
    endpoint: Endpoint,
    vref: &str,
) -> Result<Option<KRef>> {
    get_record(state, &keys::clist_reverse(endpoint, vref))
}

/// A promise.
pub fn promise(state: &(impl Read + ?Sized), number: u64) -> Result<Option<Promise>> {
    get_record(state, &keys::promise(number))
}

/// An object.
pub fn object(state: &(impl Read + ?Sized), number: u64) -> Result<Option<Object>> {
    get_record(state, &keys::object(number))
}

/// A meter.
pub fn meter(state: &(impl Read + ?Sized), id: MeterId) -> Result<Option<Meter>> {
    get_record(state, &keys::meter(id))
}

/// The hash of an installed bundle's bytes.
pub fn bundle(state: &(impl Read + ?Sized), id: &str) -> Result<Option<Hash>> {
    get_record(state, &keys::bundle(id))
}

/// The mailbox device's boxes by the names of the peers.
pub fn mailboxes(state: &(impl Read + ?Sized)) -> Result<BTreeMap<String, Mailbox>> {
    crate::device::read_mailboxes(state)
}

/// The mailbox of one peer: the number of the last message that was taken from it, and the messages to it
/// with numbers above `after`, at most `limit`.
pub fn mailbox(
    state: &(impl Read + ?Sized),
    peer: &str,
    after: u64,
    limit: usize,
) -> Result<Mailbox> {
    crate::device::read_mailbox(state, peer, after, limit)
}

/// The key of a message in the mailbox: for proofs.
pub fn mailbox_message_key(peer: &str, number: u64) -> Vec<u8> {
    keys::mailbox_message(peer, number)
}

/// When the timer device wakes someone next, in seconds since 1970; none if it has nobody to wake.
pub fn next_wakeup(state: &(impl Read + ?Sized)) -> Result<Option<u128>> {
    crate::device::next_wakeup(state)
}

/// Whether there is a device of that name.
pub fn has_device(state: &(impl Read + ?Sized), name: &str) -> Result<bool> {
    Ok(state.get(&keys::device_name(name))?.is_some())
}

/// The ids of all installed bundles.
pub fn bundles(state: &(impl Read + ?Sized)) -> Result<Vec<String>> {
    let id = |(key, _): (Vec<u8>, Vec<u8>)| {
        String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned()
    };
    Ok(state.scan(keys::BUNDLES)?.into_iter().map(id).collect())
}

/// The ids of up to `limit` installed bundles after that one, in order; all come after none.
pub fn bundles_after(state: &(impl Read + ?Sized), id: &str, limit: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut after = keys::bundle(id);
    while ids.len() < limit
        && let Some((key, _)) = state.next_after(keys::BUNDLES, &after)?
    {
        ids.push(String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned());
        after = key;
    }
    Ok(ids)
}

/// A remote.
pub fn remote(state: &(impl Read + ?Sized), id: RemoteId) -> Result<Option<Remote>> {
    get_record(state, &keys::remote(id))
}

/// The remote of an account.
pub fn remote_of(state: &(impl Read + ?Sized), address: &str) -> Result<Option<RemoteId>> {
    get_record(state, &keys::remote_address(address))
}

/// A remote's outbox: numbers and deliveries, oldest first.
pub fn outbox(state: &(impl Read + ?Sized), remote: RemoteId) -> Result<Vec<(u64, Delivery)>> {
    let prefix = keys::outbox_of(remote);
    let mut entries = Vec::new();
    for (key, value) in state.scan(&prefix)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let number = u64::from_str_radix(&text, 16);
        let number = number.map_err(|_| inconsistent(format!("{text} is no outbox number")))?;
        entries.push((number, decode(&key, &value)?));
    }
    Ok(entries)
}

/// What a promise of a remote's, `rp-N`, was settled to: until it is acknowledged. None while it is
/// not settled; see [`kref_of`] for whether it exists.
pub fn settled(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    rref: &str,
) -> Result<Option<capstan_abi::Resolution>> {
    let Some(number) = get_record::<u64>(state, &keys::settled(remote, rref))? else {
        return Ok(None);
    };
    let Some(Delivery::Notify { resolutions }) = get_record(state, &keys::outbox(remote, number))?
    else {
        return Ok(None);
    };
    Ok(resolutions.into_iter().find(|resolution| resolution.promise == rref))
}

/// The key under which an outbox entry lies: for proofs.
pub fn outbox_key(remote: RemoteId, number: u64) -> Vec<u8> {
    keys::outbox(remote, number)
}

/// What waits on a queue, at most `limit` events.
pub fn queue(state: &(impl Read + ?Sized), queue: Queue, limit: u64) -> Result<Vec<RunQueueEvent>> {
    let queues: Queues = need(state, keys::QUEUES)?;
    let (head, tail) = match queue {
        Queue::Acceptance => queues.acceptance,
        Queue::Run => queues.run,
    };
    let key = |position| match queue {
        Queue::Acceptance => keys::acceptance(position),
        Queue::Run => keys::run(position),
    };
    (head..tail.min(head.saturating_add(limit))).map(|at| need(state, &key(at))).collect()
}

/// All of the kernel's tables, in the shape of SwingSet's `dump()`.
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
    for vat in vats(state)? {
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

/// A promise as SwingSet's `dump()` shows it.
pub fn promise_to_json(
    state: &(impl Read + ?Sized),
    number: u64,
    promise: &Promise,
) -> Result<Value> {
    let id = KRef::Promise(number).to_string();
    let data = capstan_abi::json::capdata_to_json::<KRef>;
    let count = promise.ref_count;
    Ok(match &promise.state {
        PromiseState::Fulfilled(value) => {
            json!({"id": id, "state": "fulfilled", "refCount": count, "data": data(value)})
        }
        PromiseState::Rejected(reason) => {
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
    })
}

fn policy_name(policy: crate::state::promise::ResultPolicy) -> &'static str {
    use crate::state::promise::ResultPolicy;
    match policy {
        ResultPolicy::Ignore => "ignore",
        ResultPolicy::LogAlways => "logAlways",
        ResultPolicy::LogFailure => "logFailure",
        ResultPolicy::Panic => "panic",
    }
}

fn dump_objects(state: &(impl Read + ?Sized)) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for number in numbers(state, keys::OBJECTS)? {
        let Some(object) = object(state, number)? else { continue };
        let id = KRef::Object(number).to_string();
        let owner = object.owner.map(|owner| owner.to_string());
        rows.push(json!([id, owner, object.reachable, object.recognizable]));
    }
    Ok(rows)
}

fn dump_gc(state: &(impl Read + ?Sized)) -> Result<Vec<String>> {
    let entries = state.scan(keys::GC_ACTIONS)?;
    entries.iter().map(|(key, _)| crate::state::gc::legible(key)).collect()
}

/// The numbers that end the keys under `prefix`, in order.
fn numbers(state: &(impl Read + ?Sized), prefix: &[u8]) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (key, _) in state.scan(prefix)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let number = crate::ids::canonical_decimal(&text);
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

fn need<T: borsh::BorshDeserialize>(state: &(impl Read + ?Sized), key: &[u8]) -> Result<T> {
    let missing = || inconsistent(format!("key {} is missing", String::from_utf8_lossy(key)));
    get_record(state, key)?.ok_or_else(missing)
}
