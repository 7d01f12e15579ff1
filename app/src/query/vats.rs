//! Queries about vats and their statistics.

use capstan_kernel::{
    ids::{Endpoint, KRef},
    promise::PromiseState,
    queue::RunQueueEvent,
    vat::{VatConfig, VatState},
    view::{self, Queue},
};
use capstan_kernel_ports::VatId;
use capstan_proto::{
    Handler,
    v1::{
        CapData, FailedUpgrade, QueryVatRequest, QueryVatResponse, QueryVatStatsRequest,
        QueryVatStatsResponse, QueryVatsRequest, QueryVatsResponse, VatEnding,
    },
};
use capstan_store::StateView;

use super::{
    Answered, QueryError, QueryServer,
    args::parse,
    kernel::remaining,
    page::{MAX_LIMIT, Page},
};
use crate::records::{activity, proven::vat_status};

impl Handler<QueryVatsRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryVatsRequest) -> Answered<QueryVatsRequest> {
        let state = self.state;
        let after = match request.after.as_str() {
            "" => 0,
            text => {
                text.parse::<VatId>().map_err(|e| QueryError::Malformed(format!("after: {e}")))?.0
            }
        };
        let end = view::kernel_status(state)?.next_vat;
        let first = after.saturating_add(1);
        // Some numbers have no vat, so the page ends after a number of them too.
        let stop = end.min(first.saturating_add(MAX_LIMIT as u64));
        let mut numbers = first..stop;
        let page = Page::fill(request.limit, self.limits.max_page_bytes, |_| {
            for vat in numbers.by_ref().map(VatId) {
                match describe(state, vat) {
                    Err(QueryError::NotFound { .. }) => {}
                    answer => return answer.map(Some),
                }
            }
            Ok(None)
        })?;
        let next = match page.has_more {
            true => page.next(|last| last.vat_id.clone()),
            false if first < stop && stop < end => VatId(stop - 1).to_string(),
            false => String::new(),
        };
        Ok(QueryVatsResponse { vats: page.entries, next }.into())
    }
}

impl Handler<QueryVatRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryVatRequest) -> Answered<QueryVatRequest> {
        let state = self.state;
        let vat = parse(&request.vat_id)?;
        let parameters = view::parameters_of(state, vat)?.map(|data| CapData {
            body: data.body,
            slots: data.slots.iter().map(ToString::to_string).collect(),
        });
        Ok(QueryVatResponse { parameters, ..describe(state, vat)? }.into())
    }
}

impl Handler<QueryVatStatsRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryVatStatsRequest) -> Answered<QueryVatStatsRequest> {
        let state = self.state;
        let vat: VatId = parse(&request.vat_id)?;
        let (config, record) = load(state, vat)?;
        let (holdings, counts) = (record.holdings, record.counts());
        let meter = match config.meter {
            Some(id) => view::meter(state, id)?.map(|meter| meter.remaining),
            None => None,
        };
        let activity = activity::get(state, vat)?.unwrap_or_default();
        let (snapshot_hash, snapshot_position) = match record.snapshot {
            Some((hash, position)) => (hash.to_string(), position),
            None => (String::new(), 0),
        };
        let answer = QueryVatStatsResponse {
            vat_id: vat.to_string(),
            status: vat_status(&record).to_owned(),
            critical: config.critical,
            incarnation: record.incarnation,
            bundle_id: config.bundle_id,
            object_count: counts.object_count,
            promise_count: counts.promise_count,
            device_count: counts.device_count,
            transcript_count: counts.transcript_count,
            object_imports_total: counts.object_imports_total,
            promise_imports_total: counts.promise_imports_total,
            device_imports_total: counts.device_imports_total,
            exports: holdings.exports,
            imports: holdings.imports,
            deliveries: record.deliveries,
            computrons_total: record.computrons,
            computrons_last_block: activity.computrons,
            meter_remaining: remaining(meter.flatten()),
            heap_bytes: activity.heap_bytes,
            heap_pages: activity.heap_bytes.div_ceil(PAGE_BYTES),
            snapshot_position,
            snapshot_hash,
            replay_debt: record.replay_debt,
            queue_depth: queue_depth(state, vat)?,
            kept_bytes: record.kept.total(),
            kept_vatstore_bytes: record.kept.vatstore,
            kept_heap_bytes: record.kept.heap,
            kept_export_bytes: record.kept.exports,
            kept_promise_bytes: record.kept.promises,
            kept_message_bytes: record.kept.messages,
            kept_outbox_bytes: record.kept.outboxes,
            kept_parameter_bytes: record.kept.parameters,
            deposit: record.deposit.to_string(),
        };
        Ok(answer.into())
    }
}

fn describe(state: &StateView, vat: VatId) -> Result<QueryVatResponse, QueryError> {
    let (config, record) = load(state, vat)?;
    let owner = match config.meter {
        Some(meter) => view::meter_use(state, meter)?.owner.unwrap_or_default(),
        None => String::new(),
    };
    Ok(QueryVatResponse {
        vat_id: vat.to_string(),
        status: vat_status(&record).to_owned(),
        name: config.name.unwrap_or_default(),
        bundle_id: config.bundle_id,
        incarnation: record.incarnation,
        critical: config.critical,
        dynamic: !config.is_static,
        meter_id: config.meter.map(|meter| meter.to_string()).unwrap_or_default(),
        ending: record.status.ending().map(|ending| VatEnding {
            failure: ending.is_failure(),
            info: ending.info.clone(),
            reason: ending.reason(),
            crank: ending.crank,
            kind: ending.kind.name().to_owned(),
        }),
        owner,
        failed_upgrade: view::failed_upgrade(state, vat)?.map(|failed| FailedUpgrade {
            crank: failed.crank,
            bundle_id: failed.bundle_id,
            cause: failed.cause,
        }),
        parameters: None,
    })
}

fn load(state: &StateView, vat: VatId) -> Result<(VatConfig, VatState), QueryError> {
    match (view::vat_config(state, vat)?, view::vat_state(state, vat)?) {
        (Some(config), Some(record)) => Ok((config, record)),
        _ if vat.0 == 0 || vat.0 >= view::kernel_status(state)?.next_vat => {
            Err(QueryError::not_found("vat", vat))
        }
        // Its creation was undone.
        _ => Err(QueryError::not_found(
            "vat",
            format!(
                "{vat}: it could not start; the answer to its creation tells why, and so does `capstan logs {vat}`"
            ),
        )),
    }
}

/// Counts the events for a vat among the first [`MAX_EVENTS`] of each queue. Only one of them is in memory at a time.
fn queue_depth(state: &StateView, vat: VatId) -> Result<u64, QueryError> {
    let mut depth = 0;
    for queue in [Queue::Acceptance, Queue::Run] {
        for event in view::events(state, queue, 0)?.take(MAX_EVENTS) {
            depth += u64::from(is_for(state, &event?, vat)?);
        }
    }
    Ok(depth)
}

fn is_for(state: &StateView, event: &RunQueueEvent, vat: VatId) -> Result<bool, QueryError> {
    let endpoint = Endpoint::Vat(vat);
    Ok(match event {
        RunQueueEvent::Send { target: KRef::Object(number), .. } => {
            view::object(state, *number)?.and_then(|object| object.owner) == Some(endpoint)
        }
        RunQueueEvent::Send { target: KRef::Promise(number), .. } => {
            let promise = view::promise(state, *number)?;
            matches!(promise.map(|p| p.state), Some(PromiseState::Unresolved(u)) if u.decider == Some(endpoint))
        }
        RunQueueEvent::Send { target: KRef::Device(_), .. }
        | RunQueueEvent::Waited { .. }
        | RunQueueEvent::Subscribers { .. }
        | RunQueueEvent::NegatedGcAction => false,
        RunQueueEvent::Notify { endpoint: to, .. }
        | RunQueueEvent::CollectGarbage { endpoint: to, .. } => *to == endpoint,
        RunQueueEvent::CreateVat { vat: to, .. }
        | RunQueueEvent::StartVat { vat: to, .. }
        | RunQueueEvent::UpgradeVat { vat: to, .. }
        | RunQueueEvent::ChangeVatOptions { vat: to, .. }
        | RunQueueEvent::BringOutYourDead { vat: to }
        | RunQueueEvent::CleanupTerminatedVat { vat: to, .. } => *to == vat,
    })
}

/// Page size in which heaps are counted, in bytes.
const PAGE_BYTES: u64 = 4096;

/// Upper bound of the events of each queue that are counted.
const MAX_EVENTS: usize = 1000;
