//! Queries about the kernel's tables, queues and meters.

use capstan_genesis::BundleId;
use capstan_kernel::{
    ids::{Endpoint, KRef},
    promise::PromiseState,
    queue::event_to_json,
    view::{self, Queue},
};
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

use crate::records::proven;

use super::{
    Answered, QueryError, QueryServer,
    args::{self, Holder, parse},
    page::Page,
};

impl Handler<QueryBundleRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryBundleRequest) -> Answered<QueryBundleRequest> {
        let state = self.state;
        let id: BundleId = parse(&request.bundle_id)?;
        let bundle = view::bundle(state, id.as_str())?;
        let bundle = bundle.ok_or_else(|| QueryError::not_found("bundle", &id))?;
        Ok(proven::bundle(&id, bundle).into())
    }
}

impl Handler<QueryBundlesRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryBundlesRequest) -> Answered<QueryBundlesRequest> {
        let state = self.state;
        let page = Page::fill(
            request.limit,
            self.limits.max_page_bytes,
            |last: Option<&QueryBundleResponse>| {
                let after = last.map_or(&request.after, |last| &last.bundle_id);
                let Some((id, bundle)) = view::bundle_after(state, after)? else { return Ok(None) };
                let id = id
                    .parse()
                    .map_err(|e| QueryError::Node(format!("an installed bundle's id: {e}")))?;
                Ok(Some(proven::bundle(&id, bundle)))
            },
        )?;
        let next = page.next(|last| last.bundle_id.clone());
        Ok(QueryBundlesResponse { bundles: page.entries, next }.into())
    }
}

impl Handler<QueryKernelStatsRequest> for QueryServer<'_> {
    fn handle(&self, _: QueryKernelStatsRequest) -> Answered<QueryKernelStatsRequest> {
        let state = self.state;
        let status = view::kernel_status(state)?;
        let answer = QueryKernelStatsResponse {
            vats: status.running_vats,
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
        // Both queues share one page.
        let bytes = self.limits.max_page_bytes / 2;
        let events = |queue| -> Result<Vec<String>, QueryError> {
            let mut events = view::events(state, queue, request.skip)?;
            let text = |event| event_to_json(&event).to_string();
            let next = |_: Option<&String>| Ok(events.next().transpose()?.map(text));
            Ok(Page::fill(request.limit, bytes, next)?.entries)
        };
        let status = view::kernel_status(state)?;
        let answer = QueryRunQueueResponse {
            run_queue: events(Queue::Run)?,
            acceptance_queue: events(Queue::Acceptance)?,
            run_queue_length: status.run_queue,
            acceptance_queue_length: status.acceptance_queue,
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
            former_owner: object.former.map(|former| former.to_string()).unwrap_or_default(),
            owner_account: account_of(state, object.owner)?,
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
                // An account that never sent a message has nothing yet.
                let Some(remote) = view::remote_of(state, &address.to_string())? else {
                    return Ok(QueryCListResponse::default().into());
                };
                Endpoint::Remote(remote)
            }
        };
        let page =
            Page::fill(request.limit, self.limits.max_page_bytes, |last: Option<&CListEntry>| {
                let after = last.map_or(&request.after, |last| &last.kref);
                let entry = view::clist_after(state, endpoint, after)?;
                let Some((kref, entry)) = entry else { return Ok(None) };
                let object = match kref {
                    KRef::Object(number) => view::object(state, number)?,
                    _ => None,
                };
                let (owner, former) = object.map_or((None, None), |it| (it.owner, it.former));
                let text = |it: Option<Endpoint>| it.map(|it| it.to_string()).unwrap_or_default();
                Ok(Some(CListEntry {
                    kref: kref.to_string(),
                    eref: entry.vref,
                    reachable: entry.reachable,
                    exporter: text(owner),
                    former_exporter: text(former),
                    exporter_account: account_of(state, owner)?,
                }))
            })?;
        let next = page.next(|last| last.kref.clone());
        Ok(QueryCListResponse { entries: page.entries, next }.into())
    }
}

impl Handler<QueryMeterRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryMeterRequest) -> Answered<QueryMeterRequest> {
        let state = self.state;
        let id = args::meter(&request.meter_id)?;
        let meter = view::meter(state, id)?.ok_or_else(|| QueryError::not_found("meter", id))?;
        let used = view::meter_use(state, id)?;
        let answer = QueryMeterResponse {
            meter_id: id.to_string(),
            remaining: remaining(meter.remaining),
            threshold: meter.threshold.to_string(),
            owner: used.owner.unwrap_or_default(),
            vats: used.vats,
            given_back: used.given_back.to_string(),
        };
        Ok(answer.into())
    }
}

/// Returns the address of an endpoint that is an account, or an empty text.
fn account_of(state: &StateView, endpoint: Option<Endpoint>) -> Result<String, QueryError> {
    let Some(Endpoint::Remote(remote)) = endpoint else { return Ok(String::new()) };
    Ok(view::remote(state, remote)?.map(|remote| remote.address).unwrap_or_default())
}

/// Returns a meter's remaining computrons as text, `unlimited` for `None`.
pub(super) fn remaining(remaining: Option<u128>) -> String {
    remaining.map_or_else(|| "unlimited".to_owned(), |n| n.to_string())
}

impl Handler<QueryMailboxRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryMailboxRequest) -> Answered<QueryMailboxRequest> {
        let state = self.state;
        let QueryMailboxRequest { peer, after, limit } = request;
        let page =
            Page::fill(limit, self.limits.max_page_bytes, |last: Option<&MailboxMessage>| {
                let after = last.map_or(after, |last| last.number);
                let message = view::mailbox_message_after(state, &peer, after)?;
                Ok(message.map(|(number, body)| MailboxMessage { number, body }))
            })?;
        let next = page.next(|last| last.number);
        let inbound_ack = view::mailbox_ack(state, &peer)?;
        Ok(QueryMailboxResponse { peer, inbound_ack, messages: page.entries, next }.into())
    }
}
