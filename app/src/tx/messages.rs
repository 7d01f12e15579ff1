//! The decoding of each message to an [`Action`].

use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, BundleId, DENOM};
use capstan_kernel::{
    ids::MeterId,
    limits::{MAX_IO_LINE_BYTES, MAX_IO_LINES},
};
use capstan_passable as smallcaps;
use capstan_proto::{FACTORY, v1 as proto};
use cosmrs::{Any, proto::cosmos::bank::v1beta1::MsgSend as MsgBankSend};
use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    TxError,
    action::{Action, command},
    fields::Fields,
    protobuf::type_url,
    upload::{Announcement, Compression, Packed, UploadId},
};

/// Decodes a message to an [`Action`]. It must act for the signer.
pub(super) fn read(fields: Fields<'_>, any: &Any) -> Result<Action, TxError> {
    let url = any.type_url.as_str();
    let known: &[(String, &'static str, Read)] = &[
        (type_url::<MsgBankSend>(), command::TRANSFER, bank_send),
        (type_url::<proto::MsgInstallBundle>(), command::INSTALL_BUNDLE, install_bundle),
        (type_url::<proto::MsgBeginUpload>(), command::INSTALL_BUNDLE, begin_upload),
        (type_url::<proto::MsgUploadChunk>(), command::INSTALL_BUNDLE, upload_chunk),
        (type_url::<proto::MsgCreateVat>(), command::CREATE_VAT, create_vat),
        (type_url::<proto::MsgSend>(), command::SEND, send),
        (type_url::<proto::MsgTerminateVat>(), command::TERMINATE_VAT, terminate_vat),
        (type_url::<proto::MsgResolve>(), command::RESOLVE, resolve),
        (type_url::<proto::MsgDrop>(), command::DROP, drop_refs),
        (type_url::<proto::MsgAck>(), command::ACK, ack),
        (type_url::<proto::MsgFundMeter>(), command::FUND_METER, fund_meter),
        (type_url::<proto::MsgUpgradeVat>(), command::UPGRADE_VAT, upgrade_vat),
        (type_url::<proto::MsgWriteChannel>(), command::IO_WRITE, write_channel),
        (type_url::<proto::MsgAckChannel>(), command::IO_READ, ack_channel),
    ];
    match known.iter().find(|(name, _, _)| name == url) {
        Some((_, command, read)) => read(&Fields { command, ..fields }, &any.value),
        None => Err(TxError::UnknownMessage(any.type_url.clone())),
    }
}

/// Returns the account for which the message at `index` acts. It is the text in field 1 of every known message.
pub(super) fn actor(index: usize, any: &Any) -> Result<Address, TxError> {
    let decoded = FirstField::decode(any.value.as_slice())
        .map_err(|e| TxError::Undecodable { part: any.type_url.clone(), problem: e.to_string() })?;
    decoded.actor.parse().map_err(|e| TxError::Field {
        index,
        command: command::UNKNOWN,
        field: "field 1 (who acts)",
        problem: format!("{e}"),
    })
}

/// The first field of any message.
#[derive(Clone, PartialEq, Message)]
struct FirstField {
    #[prost(string, tag = "1")]
    actor: String,
}

type Read = fn(&Fields<'_>, &[u8]) -> Result<Action, TxError>;

fn bank_send(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: MsgBankSend = r.decode(bytes)?;
    r.actor(&msg.from_address)?;
    let to = r.parse("to_address", &msg.to_address)?;
    let [coin] = msg.amount.as_slice() else {
        return Err(r.refuse("amount", format!("expected one coin, got {}", msg.amount.len())));
    };
    if coin.denom != DENOM {
        return Err(r.refuse(
            "amount",
            format!("{:?} is not a coin of this chain, use {DENOM}", coin.denom),
        ));
    }
    let amount: Amount = r.parse("amount", &coin.amount)?;
    if amount == Amount(0) {
        return Err(r.refuse("amount", "must be more than 0".to_owned()));
    }
    Ok(Action::BankSend { to, amount })
}

fn install_bundle(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgInstallBundle = r.decode(bytes)?;
    r.actor(&msg.submitter)?;
    let id = r.parse("bundle_id", &msg.bundle_id)?;
    let compression = r.compression(msg.compression)?;
    let uncompressed_size = match (compression, msg.uncompressed_size) {
        (Compression::None, 0) => msg.bundle.len() as u64,
        (_, size) => size,
    };
    r.bundle_size(uncompressed_size)?;
    if msg.bundle.is_empty() {
        return Err(r.refuse("bundle", "is empty".to_owned()));
    }
    if compression == Compression::None && msg.bundle.len() as u64 != uncompressed_size {
        let problem =
            format!("is {uncompressed_size}, but the bundle has {} bytes", msg.bundle.len());
        return Err(r.refuse("uncompressed_size", problem));
    }
    let packed = Packed { bytes: msg.bundle, compression, uncompressed_size };
    Ok(Action::InstallBundle { id, packed })
}

fn begin_upload(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgBeginUpload = r.decode(bytes)?;
    r.actor(&msg.submitter)?;
    let bundle = r.parse("bundle_id", &msg.bundle_id)?;
    let compression = r.compression(msg.compression)?;
    r.bundle_size(msg.uncompressed_size)?;
    let count = msg.chunks.len();
    if count == 0 || count > r.params.max_chunks as usize {
        let problem = format!("{count} pieces, expected 1 to {} (max_chunks)", r.params.max_chunks);
        return Err(r.refuse("chunks", problem));
    }
    let chunks = msg.chunks.iter().map(|chunk| r.chunk(chunk)).collect::<Result<Vec<_>, _>>()?;
    let total: u64 = chunks.iter().map(|chunk| chunk.size).sum();
    if compression == Compression::None && total != msg.uncompressed_size {
        let problem = format!("is {}, but the pieces have {total} bytes", msg.uncompressed_size);
        return Err(r.refuse("uncompressed_size", problem));
    }
    Ok(Action::BeginUpload(Announcement {
        // The message names its submitter, so no upload of another account has this id.
        upload: UploadId(Sha256::digest(bytes).into()),
        bundle,
        compression,
        uncompressed_size: msg.uncompressed_size,
        chunks,
    }))
}

fn upload_chunk(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgUploadChunk = r.decode(bytes)?;
    r.actor(&msg.submitter)?;
    let upload = r.parse("upload_id", &msg.upload_id)?;
    Ok(Action::UploadChunk { upload, index: msg.index, data: msg.data })
}

fn create_vat(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgCreateVat = r.decode(bytes)?;
    r.actor(&msg.owner)?;
    let bundle = r.parse("bundle_id", &msg.bundle_id)?;
    let limit = r.params.max_name_bytes as usize;
    if msg.name.len() > limit || !msg.name.bytes().all(is_name_byte) {
        let problem = format!(
            "at most {limit} letters, digits, dots, dashes or underscores (max_name_bytes)"
        );
        return Err(r.refuse("name", problem));
    }
    if msg.computrons > r.params.max_vat_computrons {
        let problem = format!("at most {} (max_vat_computrons)", r.params.max_vat_computrons);
        return Err(r.refuse("computrons", problem));
    }
    Ok(Action::CreateVat {
        bundle,
        name: msg.name,
        parameters: r.capdata("parameters", msg.parameters, "{}")?,
        computrons: Some(msg.computrons).filter(|n| *n != 0),
    })
}

fn send(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgSend = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    if msg.method.is_empty() {
        return Err(r.refuse("method", "is empty; name the method to call".to_owned()));
    }
    let args = r.args(msg.args)?;
    let body = smallcaps::call(&msg.method, &args.body);
    let target = match msg.target.as_str() {
        FACTORY => FACTORY.to_owned(),
        held => r.reference("target", held, &["ro-", "ro+", "rp-", "rp+"])?,
    };
    Ok(Action::Send {
        target,
        methargs: r.bounded("args", CapData { body, slots: args.slots })?,
        method: msg.method,
    })
}

fn terminate_vat(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgTerminateVat = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let admin = r.reference("admin", &msg.admin, &["ro-", "rp-", "rp+"])?;
    let default = format!(
        "{{\"#error\":{},\"name\":\"Error\"}}",
        smallcaps::string(&format!("terminated by {}", r.signer))
    );
    let reason = r.capdata("reason", msg.reason, &default)?;
    let body = smallcaps::call("terminateWithFailure", &format!("[{}]", reason.body));
    Ok(Action::TerminateVat { admin, methargs: CapData { body, slots: reason.slots } })
}

fn resolve(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgResolve = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    if msg.resolutions.is_empty() || msg.resolutions.len() > r.params.max_slots as usize {
        let problem = format!("expected 1 to {} (max_slots)", r.params.max_slots);
        return Err(r.refuse("resolutions", problem));
    }
    let one = |resolution: proto::Resolution| {
        let data = r.capdata("resolutions.data", resolution.data, "\"#undefined\"")?;
        Ok(Resolution {
            promise: r.reference("resolutions.promise", &resolution.promise, &["rp+", "rp-"])?,
            rejected: resolution.rejected,
            data: CapData { body: format!("#{}", data.body), slots: data.slots },
        })
    };
    let resolutions = msg.resolutions.into_iter().map(one).collect::<Result<_, _>>()?;
    Ok(Action::Resolve { resolutions })
}

fn drop_refs(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgDrop = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    if msg.refs.is_empty() || msg.refs.len() > r.params.max_slots as usize {
        let problem = format!("expected 1 to {} (max_slots)", r.params.max_slots);
        return Err(r.refuse("refs", problem));
    }
    let refs = msg.refs.iter().map(|text| r.reference("refs", text, &["ro-"]));
    Ok(Action::Drop { refs: refs.collect::<Result<_, _>>()? })
}

fn ack(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgAck = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    Ok(Action::Ack { through: msg.through })
}

fn fund_meter(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgFundMeter = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let problem = || format!("{:?} is not a meter's id: expected m and a number", msg.meter);
    let meter = MeterId::parse(&msg.meter).ok_or_else(|| r.refuse("meter", problem()))?;
    let limit = r.params.max_vat_computrons;
    if msg.computrons == 0 || msg.computrons > limit {
        let problem = format!("expected 1 to {limit} (max_vat_computrons)");
        return Err(r.refuse("computrons", problem));
    }
    Ok(Action::FundMeter { meter, computrons: msg.computrons })
}

fn write_channel(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgWriteChannel = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let channel = r.channel(&msg.subcluster_id, msg.channel)?;
    let lines = msg.lines;
    if lines.is_empty() && !msg.close {
        return Err(r.refuse("lines", "there are none, and close is false".to_owned()));
    }
    if lines.len() as u64 > MAX_IO_LINES {
        let problem = format!("{} lines, at most {MAX_IO_LINES} in one message", lines.len());
        return Err(r.refuse("lines", problem));
    }
    for line in &lines {
        if line.len() > MAX_IO_LINE_BYTES {
            let problem = format!("a line of {} bytes, at most {MAX_IO_LINE_BYTES}", line.len());
            return Err(r.refuse("lines", problem));
        }
        if line.contains('\n') {
            return Err(r.refuse("lines", "a line contains a line feed: write two".to_owned()));
        }
    }
    Ok(Action::WriteChannel { channel, lines, close: msg.close })
}

fn ack_channel(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgAckChannel = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let channel = r.channel(&msg.subcluster_id, msg.channel)?;
    Ok(Action::AckChannel { channel, through: msg.through })
}

/// Decodes a `MsgUpgradeVat`: the call `upgradeVat(adminNode, bundleID, { vatParameters, upgradeMessage })` to the
/// account's own factory object. The factory takes the bundle's id where the admin object takes the bundle. Without
/// `vatParameters` it keeps those of the vat.
fn upgrade_vat(r: &Fields<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgUpgradeVat = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let admin = r.reference("admin", &msg.admin, &["ro-", "rp-", "rp+"])?;
    let bundle: BundleId = r.parse("bundle_id", &msg.bundle_id)?;
    let mut options = Vec::new();
    if !msg.upgrade_message.is_empty() {
        options.push(format!("\"upgradeMessage\":{}", smallcaps::string(&msg.upgrade_message)));
    }
    let mut slots = Vec::new();
    if msg.parameters.is_some() {
        let given = r.capdata("parameters", msg.parameters, "{}")?;
        options.push(format!("\"vatParameters\":{}", given.body));
        slots = given.slots;
    }
    let sigil = if admin.starts_with("ro") { '$' } else { '&' };
    // The parameters' slots keep their indices. If the admin object is among them, it has one already.
    let index = slots.iter().position(|slot| *slot == admin).unwrap_or(slots.len());
    if index == slots.len() {
        slots.push(admin.clone());
    }
    let bundle_id = smallcaps::string(bundle.as_str());
    let options = options.join(",");
    let args = format!("[\"{sigil}{index}\",{bundle_id},{{{options}}}]");
    let body = smallcaps::call("upgradeVat", &args);
    let methargs = r.bounded("parameters", CapData { body, slots })?;
    Ok(Action::UpgradeVat { admin, bundle, methargs })
}

/// Returns whether the vatAdmin vat allows the byte in a vat's name.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
