//! Queries about the application's own state: parameters, accounts, uploads, results of messages.

use capstan_abi::{Delivery, Resolution, json::delivery_to_json};
use capstan_genesis::Address;
use capstan_kernel::{
    ids::{Endpoint, KRef, RemoteId},
    promise::PromiseState,
    view,
};
use capstan_kernel_ports::store::Read;
use capstan_proto::{
    Answer, Handler,
    v1::{
        self as proto, CreatedVat, OutboxEntry, QueryAccountRequest, QueryMessageResultRequest,
        QueryMessageResultResponse, QueryOutboxRequest, QueryOutboxResponse, QueryParamsRequest,
        QueryParamsResponse, QueryUploadRequest, QueryUploadResponse, SettledCall,
    },
};
use capstan_store::StateView;

use super::{Answered, QueryError, QueryServer, args::parse, page::Page};
use crate::{
    records::{
        created, keys, proven,
        results::{self, MessageRecord},
        uploads,
    },
    tx::{TxHash, UploadId},
};

impl Handler<QueryParamsRequest> for QueryServer<'_> {
    fn handle(&self, _: QueryParamsRequest) -> Answered<QueryParamsRequest> {
        let state = self.state;
        let json = state.get(keys::PARAMS)?.ok_or_else(|| QueryError::not_found("chain", "yet"))?;
        let params_json = String::from_utf8_lossy(&json).into_owned();
        Ok(Answer::about(QueryParamsResponse { params_json }, keys::PARAMS.to_vec()))
    }
}

impl Handler<QueryAccountRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryAccountRequest) -> Answered<QueryAccountRequest> {
        let state = self.state;
        let address: Address = parse(&request.address)?;
        let answer = proven::account(state, address)?;
        let answer = answer.ok_or_else(|| QueryError::not_found("account", address))?;
        Ok(Answer::about(answer, keys::account(address)))
    }
}

impl Handler<QueryOutboxRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryOutboxRequest) -> Answered<QueryOutboxRequest> {
        let state = self.state;
        let address: Address = parse(&request.address)?;
        // An account that never sent a message has nothing yet.
        let Some(remote) = view::remote_of(state, &address.to_string())? else {
            return Ok(QueryOutboxResponse::default().into());
        };
        let none = || QueryError::not_found("outbox of", address);
        let endpoint = view::remote(state, remote)?.ok_or_else(none)?;
        let first = request.after.max(endpoint.acknowledged);
        let page =
            Page::fill(request.limit, self.limits.max_page_bytes, |last: Option<&OutboxEntry>| {
                let after = last.map_or(first, |entry| entry.number);
                let entry = view::outbox_after(state, remote, after)?;
                let Some((number, delivery)) = entry else { return Ok(None) };
                Ok(Some(OutboxEntry {
                    number,
                    delivery_json: delivery_to_json(&delivery).to_string(),
                    unanswered: is_unanswered(state, remote, &delivery)?,
                    settles: settled_calls(state, remote, &delivery)?,
                }))
            })?;
        let next = page.next(|last| last.number);
        Ok(QueryOutboxResponse { entries: page.entries, next }.into())
    }
}

impl Handler<QueryUploadRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryUploadRequest) -> Answered<QueryUploadRequest> {
        let state = self.state;
        let id: UploadId = parse(&request.upload_id)?;
        let upload =
            uploads::get(state, &id)?.ok_or_else(|| QueryError::not_found("upload", id))?;
        let answer = QueryUploadResponse {
            upload_id: id.to_string(),
            submitter: upload.submitter.to_string(),
            bundle_id: upload.bundle.to_string(),
            chunks: upload.chunks.len() as u32,
            missing: upload.missing(),
            deadline_height: upload.deadline,
        };
        Ok(Answer::about(answer, keys::upload(&id)))
    }
}

impl Handler<QueryMessageResultRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryMessageResultRequest) -> Answered<QueryMessageResultRequest> {
        let state = self.state;
        let (tx, index): (TxHash, u32) = (parse(&request.tx_hash)?, request.index);
        let message = results::get(state, &tx, index)?;
        let message = message
            .ok_or_else(|| QueryError::not_found("message result", format!("{tx}/{index}")))?;
        let status = message.status();
        let value = view::settled(state, message.remote, &message.promise)?;
        let created_vat = match &value {
            Some(value) if !value.rejected && message.creates_vat() => {
                created::vat(state, message.remote, &value.data)?.map(|vat| CreatedVat {
                    vat_id: vat.id.to_string(),
                    root: vat.root,
                    admin: vat.admin,
                    meter: vat.meter,
                })
            }
            _ => None,
        };
        let answer = QueryMessageResultResponse {
            tx_hash: tx.to_string(),
            index,
            type_url: message.type_url,
            height: message.height,
            account: message.account.to_string(),
            promise: message.promise,
            status: status.to_owned(),
            value: value.map(|v| proto::CapData { body: v.data.body, slots: v.data.slots }),
            settled_height: message.settled.map_or(0, |settled| settled.height),
            created_vat,
            target: message.target,
            method: message.method,
        };
        Ok(Answer::about(answer, keys::result(&tx, index)))
    }
}

/// Returns whether a delivery is a call whose result the account has still to settle.
fn is_unanswered(
    state: &StateView,
    remote: RemoteId,
    delivery: &Delivery,
) -> Result<bool, QueryError> {
    let Some(result) = delivery.result() else { return Ok(false) };
    let endpoint = Endpoint::Remote(remote);
    let Some(KRef::Promise(number)) = view::kref_of(state, endpoint, result)? else {
        return Ok(false);
    };
    let promise = view::promise(state, number)?;
    Ok(matches!(
        promise.map(|promise| promise.state),
        Some(PromiseState::Unresolved(unresolved)) if unresolved.decider == Some(endpoint)
    ))
}

/// Returns the account's messages that a notification answers.
fn settled_calls(
    state: &StateView,
    remote: RemoteId,
    delivery: &Delivery,
) -> Result<Vec<SettledCall>, QueryError> {
    let Delivery::Notify { resolutions } = delivery else { return Ok(Vec::new()) };
    let mut settled = Vec::new();
    for Resolution { promise, .. } in resolutions {
        if let Some((tx, index, message)) = results::of_promise(state, remote, promise)? {
            let MessageRecord { target, method, .. } = message;
            let (promise, tx_hash) = (promise.clone(), tx.to_string());
            settled.push(SettledCall { promise, tx_hash, index, target, method });
        }
    }
    Ok(settled)
}
