//! Queries about the kernel's tables, queues and meters.

use capstan_genesis::{BundleId, BundleKind};
use capstan_kernel::{
    ids::{Endpoint, KRef},
    promise::PromiseState,
    queue::event_to_json,
    view::{self, Queue},
};
use capstan_kernel_ports::store::Read;
use capstan_proto::{
    Handler,
    v1::{
        CListEntry, CapData, MailboxMessage, QueryBundleRequest, QueryBundleResponse,
        QueryBundlesRequest, QueryBundlesResponse, QueryCListRequest, QueryCListResponse,
        QueryKernelStatsRequest, QueryKernelStatsResponse, QueryMailboxRequest,
        QueryMailboxResponse, QueryMeterRequest, QueryMeterResponse, QueryObjectRequest,
        QueryObjectResponse, QueryPromiseRequest, QueryPromiseResponse, QueryRunQueueRequest,
        QueryRunQueueResponse,
    },
};
use capstan_store::StateView;

use super::{
    Answered, QueryError, QueryServer,
    args::{self, Holder, parse},
    page::page_size,
};

impl Handler<QueryBundleRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryBundleRequest) -> Answered<QueryBundleRequest> {
        let state = self.state;
        let id = parse(&request.bundle_id)?;
        Ok(describe_bundle(state, &id)?.into())
    }
}

impl Handler<QueryBundlesRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryBundlesRequest) -> Answered<QueryBundlesRequest> {
        let state = self.state;
        let size = page_size(request.limit);
        let mut ids = view::bundles_after(state, &request.after, size + 1)?;
        let more = ids.len() > size;
        ids.truncate(size);
        let next = ids.last().filter(|_| more).cloned().unwrap_or_default();
        let parse = |id: String| {
            id.parse().map_err(|e| QueryError::Node(format!("an installed bundle's id: {e}")))
        };
        let describe = |id: String| describe_bundle(state, &parse(id)?);
        let bundles = ids.into_iter().map(describe).collect::<Result<_, _>>()?;
        Ok(QueryBundlesResponse { bundles, next }.into())
    }
}

fn describe_bundle(state: &StateView, id: &BundleId) -> Result<QueryBundleResponse, QueryError> {
    let none = || QueryError::not_found("bundle", id);
    let hash = view::bundle(state, id.as_str())?.ok_or_else(none)?;
    let bytes = state.blob(&hash)?.ok_or_else(none)?;
    let kind = match id.kind() {
        BundleKind::EndoZip => "endo-zip",
        BundleKind::Wasm => "wasm",
    };
    Ok(QueryBundleResponse {
        bundle_id: id.to_string(),
        kind: kind.to_owned(),
        size: bytes.len() as u64,
        sha256: hash.to_string(),
    })
}

impl Handler<QueryKernelStatsRequest> for QueryServer<'_> {
    fn handle(&self, _: QueryKernelStatsRequest) -> Answered<QueryKernelStatsRequest> {
        let state = self.state;
        let status = view::kernel_status(state)?;
        let answer = QueryKernelStatsResponse {
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
        Ok(answer.into())
    }
}

impl Handler<QueryRunQueueRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryRunQueueRequest) -> Answered<QueryRunQueueRequest> {
        let state = self.state;
        let limit = page_size(request.limit) as u64;
        let events = |queue| -> Result<Vec<String>, QueryError> {
            let events = view::queue(state, queue, limit)?;
            Ok(events.iter().map(|event| event_to_json(event).to_string()).collect())
        };
        let answer = QueryRunQueueResponse {
            run_queue: events(Queue::Run)?,
            acceptance_queue: events(Queue::Acceptance)?,
        };
        Ok(answer.into())
    }
}

impl Handler<QueryPromiseRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryPromiseRequest) -> Answered<QueryPromiseRequest> {
        let state = self.state;
        let number = args::promise(&request.kref)?;
        let kref = KRef::Promise(number).to_string();
        let promise =
            view::promise(state, number)?.ok_or_else(|| QueryError::not_found("promise", &kref))?;
        let data = promise.data().map(|data| CapData {
            body: data.body.clone(),
            slots: data.slots.iter().map(ToString::to_string).collect(),
        });
        let mut answer =
            QueryPromiseResponse { kref, ref_count: promise.ref_count, data, ..Default::default() };
        match &promise.state {
            PromiseState::Fulfilled(_) => "fulfilled".clone_into(&mut answer.state),
            PromiseState::Rejected(_) | PromiseState::RejectedByKernel { .. } => {
                "rejected".clone_into(&mut answer.state);
            }
            PromiseState::Unresolved(unresolved) => {
                "unresolved".clone_into(&mut answer.state);
                answer.decider =
                    unresolved.decider.map(|decider| decider.to_string()).unwrap_or_default();
                answer.subscribers =
                    unresolved.subscribers.iter().map(ToString::to_string).collect();
                answer.queue_length = unresolved.queue_tail - unresolved.queue_head;
            }
        }
        Ok(answer.into())
    }
}

impl Handler<QueryObjectRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryObjectRequest) -> Answered<QueryObjectRequest> {
        let state = self.state;
        let number = args::object(&request.kref)?;
        let kref = KRef::Object(number).to_string();
        let object =
            view::object(state, number)?.ok_or_else(|| QueryError::not_found("object", &kref))?;
        let answer = QueryObjectResponse {
            kref,
            owner: object.owner.map(|owner| owner.to_string()).unwrap_or_default(),
            reachable: object.reachable,
            recognizable: object.recognizable,
            revoked: object.revoked,
        };
        Ok(answer.into())
    }
}

impl Handler<QueryCListRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryCListRequest) -> Answered<QueryCListRequest> {
        let state = self.state;
        let endpoint = match args::holder(&request.endpoint)? {
            Holder::Endpoint(endpoint) => endpoint,
            Holder::Account(address) => {
                let remote = view::remote_of(state, &address.to_string())?;
                Endpoint::Remote(remote.ok_or_else(|| QueryError::not_found("c-list of", address))?)
            }
        };
        let entries = view::clist(state, endpoint)?;
        // The entries come in the order of their keys, which is that of the krefs' texts.
        let mut rest = entries.into_iter().filter(|(kref, _)| kref.to_string() > request.after);
        let one = |(kref, entry): (KRef, capstan_kernel::clist::ClistEntry)| CListEntry {
            kref: kref.to_string(),
            eref: entry.vref,
            reachable: entry.reachable,
        };
        let entries: Vec<_> = rest.by_ref().take(page_size(request.limit)).map(one).collect();
        let more = rest.next().is_some();
        let next =
            entries.last().filter(|_| more).map(|entry| entry.kref.clone()).unwrap_or_default();
        Ok(QueryCListResponse { entries, next }.into())
    }
}

impl Handler<QueryMeterRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryMeterRequest) -> Answered<QueryMeterRequest> {
        let state = self.state;
        let id = args::meter(&request.meter_id)?;
        let meter = view::meter(state, id)?.ok_or_else(|| QueryError::not_found("meter", id))?;
        let answer = QueryMeterResponse {
            meter_id: id.to_string(),
            remaining: remaining(meter.remaining),
            threshold: meter.threshold.to_string(),
        };
        Ok(answer.into())
    }
}

/// Returns a meter's remaining computrons as text, `unlimited` for `None`.
pub(super) fn remaining(remaining: Option<u128>) -> String {
    remaining.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

impl Handler<QueryMailboxRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryMailboxRequest) -> Answered<QueryMailboxRequest> {
        let state = self.state;
        let QueryMailboxRequest { peer, after, limit } = request;
        let size = page_size(limit);
        let mailbox = view::mailbox(state, &peer, after, size + 1)?;
        let message = |(number, body)| MailboxMessage { number, body };
        let mut messages: Vec<_> = mailbox.outbox.into_iter().map(message).collect();
        let more = messages.len() > size;
        messages.truncate(size);
        let next = messages.last().filter(|_| more).map_or(0, |message| message.number);
        let inbound_ack = mailbox.inbound_ack;
        Ok(QueryMailboxResponse { peer, inbound_ack, messages, next }.into())
    }
}
