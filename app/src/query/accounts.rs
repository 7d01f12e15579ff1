//! Answers about the app's own state: parameters, accounts, uploads, results of messages.

use capstan_abi::{CapData, Delivery, json::delivery_to_json};
use capstan_genesis::{Address, DENOM};
use capstan_kernel::{
    ids::{Endpoint, KRef, RemoteId},
    view,
};
use capstan_kernel_ports::store::Read;
use capstan_store::StateView;
use prost::Name;
use serde_json::Value;

use super::{
    QueryError, Reply,
    page::{Page, page_size},
    route::Form,
};
use crate::{
    proto,
    records::{account, keys, record, results, uploads},
    tx::{TxHash, UploadId},
};

pub(super) fn params(state: &StateView, form: Form) -> Result<Reply, QueryError> {
    let json = state.get(keys::PARAMS)?.ok_or_else(|| QueryError::not_found("chain", "yet"))?;
    let reply = match form {
        Form::Json => Reply { value: json, key: None },
        Form::Protobuf => {
            let params_json = String::from_utf8_lossy(&json).into_owned();
            Reply::new(form, &proto::QueryParamsResponse { params_json })?
        }
    };
    Ok(reply.about(keys::PARAMS.to_vec()))
}

pub(super) fn account(
    state: &StateView,
    form: Form,
    address: Address,
) -> Result<Reply, QueryError> {
    let account = account::get(state, address)?;
    let account = account.ok_or_else(|| QueryError::not_found("account", address))?;
    let remote = view::remote_of(state, &address.to_string())?;
    let answer = proto::QueryAccountResponse {
        address: address.to_string(),
        account_number: account.number,
        sequence: account.sequence,
        balance: account.balance.to_string(),
        denom: DENOM.to_owned(),
        pubkey: account.public_key.map(hex::encode).unwrap_or_default(),
        remote: remote.map(|remote| remote.to_string()).unwrap_or_default(),
    };
    Ok(Reply::new(form, &answer)?.about(keys::account(address)))
}

pub(super) fn outbox(
    state: &StateView,
    form: Form,
    address: Address,
    page: &Page,
) -> Result<Reply, QueryError> {
    let none = || QueryError::not_found("outbox of", address);
    let remote = view::remote_of(state, &address.to_string())?.ok_or_else(none)?;
    let endpoint = view::remote(state, remote)?.ok_or_else(none)?;
    let after: u64 = match page.after.as_str() {
        "" => 0,
        text => text
            .parse()
            .map_err(|_| QueryError::Malformed(format!("after: {text:?} is not a number")))?,
    };
    let first = after.max(endpoint.acknowledged).saturating_add(1);
    let end = endpoint.next_outbox.min(first.saturating_add(page_size(page.limit) as u64));
    let mut entries = Vec::new();
    for number in first..end {
        let Some(delivery) = record::get::<Delivery>(state, &view::outbox_key(remote, number))?
        else {
            continue;
        };
        let delivery_json = delivery_to_json(&delivery).to_string();
        entries.push(proto::OutboxEntry { number, delivery_json });
    }
    let next = if end < endpoint.next_outbox { end - 1 } else { 0 };
    Reply::new(form, &proto::QueryOutboxResponse { entries, next })
}

pub(super) fn upload(state: &StateView, form: Form, id: &UploadId) -> Result<Reply, QueryError> {
    let upload = uploads::get(state, id)?.ok_or_else(|| QueryError::not_found("upload", id))?;
    let answer = proto::QueryUploadResponse {
        upload_id: id.to_string(),
        submitter: upload.submitter.to_string(),
        bundle_id: upload.bundle.to_string(),
        chunks: upload.chunks.len() as u32,
        missing: upload.missing(),
        deadline_height: upload.deadline,
    };
    Ok(Reply::new(form, &answer)?.about(keys::upload(id)))
}

pub(super) fn message_result(
    state: &StateView,
    form: Form,
    tx: &TxHash,
    index: u32,
) -> Result<Reply, QueryError> {
    let message = results::get(state, tx, index)?;
    let message =
        message.ok_or_else(|| QueryError::not_found("message result", format!("{tx}/{index}")))?;
    let status = match message.settled {
        None => "pending",
        Some(settled) if settled.rejected => "rejected",
        Some(_) => "fulfilled",
    };
    let value = view::settled(state, message.remote, &message.promise)?;
    let created_vat = match &value {
        Some(value) if !value.rejected && message.type_url == proto::MsgCreateVat::type_url() => {
            created_vat(state, message.remote, &value.data)?
        }
        _ => None,
    };
    let answer = proto::QueryMessageResultResponse {
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
    };
    Ok(Reply::new(form, &answer)?.about(keys::result(tx, index)))
}

/// Reads `{root, adminNode, meter}`, as factories answer createVat. The vat is the one that exports
/// the root.
fn created_vat(
    state: &StateView,
    remote: RemoteId,
    data: &CapData,
) -> Result<Option<proto::CreatedVat>, QueryError> {
    let fields =
        data.body.strip_prefix('#').and_then(|json| serde_json::from_str::<Value>(json).ok());
    let slot = |name: &str| {
        let text = fields.as_ref()?.get(name)?.as_str()?.strip_prefix('$')?;
        let index = text.split_once('.').map_or(text, |(index, _)| index);
        data.slots.get(index.parse::<usize>().ok()?).cloned()
    };
    let Some(root) = slot("root") else { return Ok(None) };
    let owner = match view::kref_of(state, Endpoint::Remote(remote), &root)? {
        Some(KRef::Object(number)) => view::object(state, number)?.and_then(|object| object.owner),
        _ => None,
    };
    Ok(owner.map(|vat| proto::CreatedVat {
        vat_id: vat.to_string(),
        root,
        admin: slot("adminNode").unwrap_or_default(),
        meter: slot("meter").unwrap_or_default(),
    }))
}
