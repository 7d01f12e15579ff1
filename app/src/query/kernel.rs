//! Answers about the kernel's tables.

use capstan_genesis::{BundleId, BundleKind};
use capstan_kernel::{
    ids::{Endpoint, KRef, MeterId},
    promise::PromiseState,
    queue::event_to_json,
    view::{self, Queue},
};
use capstan_kernel_ports::store::Read;
use capstan_store::StateView;

use super::{
    QueryError, Reply,
    page::{Page, page_size},
    route::{Form, Holder},
};
use crate::proto;

pub(super) fn bundle(state: &StateView, form: Form, id: &BundleId) -> Result<Reply, QueryError> {
    Reply::new(form, &describe_bundle(state, id)?)
}

pub(super) fn bundles(state: &StateView, form: Form, page: &Page) -> Result<Reply, QueryError> {
    let size = page_size(page.limit);
    let mut ids = view::bundles_after(state, &page.after, size + 1)?;
    let more = ids.len() > size;
    ids.truncate(size);
    let next = ids.last().filter(|_| more).cloned().unwrap_or_default();
    let parse = |id: String| {
        id.parse().map_err(|e| QueryError::Node(format!("an installed bundle's id: {e}")))
    };
    let describe = |id: String| describe_bundle(state, &parse(id)?);
    let bundles = ids.into_iter().map(describe).collect::<Result<_, _>>()?;
    Reply::new(form, &proto::QueryBundlesResponse { bundles, next })
}

fn describe_bundle(
    state: &StateView,
    id: &BundleId,
) -> Result<proto::QueryBundleResponse, QueryError> {
    let none = || QueryError::not_found("bundle", id);
    let hash = view::bundle(state, id.as_str())?.ok_or_else(none)?;
    let bytes = state.blob(&hash)?.ok_or_else(none)?;
    let kind = match id.kind() {
        BundleKind::EndoZip => "endo-zip",
        BundleKind::Wasm => "wasm",
    };
    Ok(proto::QueryBundleResponse {
        bundle_id: id.to_string(),
        kind: kind.to_owned(),
        size: bytes.len() as u64,
        sha256: hash.to_string(),
    })
}

pub(super) fn stats(state: &StateView, form: Form) -> Result<Reply, QueryError> {
    let status = view::kernel_status(state)?;
    let answer = proto::QueryKernelStatsResponse {
        vats: view::live_vats(state)?.len() as u64,
        vats_terminated: status.dead.len() as u64,
        kernel_objects: status.stats.kernel_objects.value,
        kernel_promises: status.stats.kernel_promises.value,
        clist_entries: status.stats.clist_entries.value,
        run_queue_length: status.run_queue,
        acceptance_queue_length: status.acceptance_queue,
        cranks: status.cranks,
        crank_chain: status.crank_chain.to_string(),
    };
    Reply::new(form, &answer)
}

pub(super) fn run_queue(state: &StateView, form: Form, limit: u32) -> Result<Reply, QueryError> {
    let limit = page_size(limit) as u64;
    let events = |queue| -> Result<Vec<String>, QueryError> {
        let events = view::queue(state, queue, limit)?;
        Ok(events.iter().map(|event| event_to_json(event).to_string()).collect())
    };
    let answer = proto::QueryRunQueueResponse {
        run_queue: events(Queue::Run)?,
        acceptance_queue: events(Queue::Acceptance)?,
    };
    Reply::new(form, &answer)
}

pub(super) fn promise(state: &StateView, form: Form, number: u64) -> Result<Reply, QueryError> {
    let kref = KRef::Promise(number).to_string();
    let promise =
        view::promise(state, number)?.ok_or_else(|| QueryError::not_found("promise", &kref))?;
    let data = promise.data().map(|data| proto::CapData {
        body: data.body.clone(),
        slots: data.slots.iter().map(ToString::to_string).collect(),
    });
    let mut answer = proto::QueryPromiseResponse {
        kref,
        ref_count: promise.ref_count,
        data,
        ..Default::default()
    };
    match &promise.state {
        PromiseState::Fulfilled(_) => "fulfilled".clone_into(&mut answer.state),
        PromiseState::Rejected(_) => "rejected".clone_into(&mut answer.state),
        PromiseState::Unresolved(unresolved) => {
            "unresolved".clone_into(&mut answer.state);
            answer.decider =
                unresolved.decider.map(|decider| decider.to_string()).unwrap_or_default();
            answer.subscribers = unresolved.subscribers.iter().map(ToString::to_string).collect();
            answer.queue_length = unresolved.queue_tail - unresolved.queue_head;
        }
    }
    Reply::new(form, &answer)
}

pub(super) fn object(state: &StateView, form: Form, number: u64) -> Result<Reply, QueryError> {
    let kref = KRef::Object(number).to_string();
    let object =
        view::object(state, number)?.ok_or_else(|| QueryError::not_found("object", &kref))?;
    let answer = proto::QueryObjectResponse {
        kref,
        owner: object.owner.map(|owner| owner.to_string()).unwrap_or_default(),
        reachable: object.reachable,
        recognizable: object.recognizable,
    };
    Reply::new(form, &answer)
}

pub(super) fn clist(
    state: &StateView,
    form: Form,
    holder: &Holder,
    page: &Page,
) -> Result<Reply, QueryError> {
    let endpoint = match holder {
        Holder::Endpoint(endpoint) => *endpoint,
        Holder::Account(address) => {
            let remote = view::remote_of(state, &address.to_string())?;
            Endpoint::Remote(remote.ok_or_else(|| QueryError::not_found("c-list of", address))?)
        }
    };
    let entries = view::clist(state, endpoint)?;
    // In the order of the keys, which is that of the krefs' texts.
    let mut rest = entries.into_iter().filter(|(kref, _)| kref.to_string() > page.after);
    let one = |(kref, entry): (KRef, capstan_kernel::clist::ClistEntry)| proto::CListEntry {
        kref: kref.to_string(),
        eref: entry.vref,
        reachable: entry.reachable,
    };
    let entries: Vec<_> = rest.by_ref().take(page_size(page.limit)).map(one).collect();
    let more = rest.next().is_some();
    let next = entries.last().filter(|_| more).map(|entry| entry.kref.clone()).unwrap_or_default();
    Reply::new(form, &proto::QueryCListResponse { entries, next })
}

pub(super) fn meter(state: &StateView, form: Form, id: MeterId) -> Result<Reply, QueryError> {
    let meter = view::meter(state, id)?.ok_or_else(|| QueryError::not_found("meter", id))?;
    let answer = proto::QueryMeterResponse {
        meter_id: id.to_string(),
        remaining: remaining(meter.remaining),
        threshold: meter.threshold.to_string(),
    };
    Reply::new(form, &answer)
}

/// What is left in a meter, as text.
pub(super) fn remaining(remaining: Option<u128>) -> String {
    remaining.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

pub(super) fn mailbox(
    state: &StateView,
    form: Form,
    peer: &str,
    page: &Page,
) -> Result<Reply, QueryError> {
    let after = match page.after.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| {
            QueryError::Malformed(format!("{text:?} is not the number of a message"))
        })?,
    };
    let size = page_size(page.limit);
    let mailbox = view::mailbox(state, peer, after, size + 1)?;
    let message = |(number, body)| proto::MailboxMessage { number, body };
    let mut messages: Vec<_> = mailbox.outbox.into_iter().map(message).collect();
    let more = messages.len() > size;
    messages.truncate(size);
    let next = messages.last().filter(|_| more).map_or(0, |message| message.number);
    let inbound_ack = mailbox.inbound_ack;
    let peer = peer.to_owned();
    Reply::new(form, &proto::QueryMailboxResponse { peer, inbound_ack, messages, next })
}
