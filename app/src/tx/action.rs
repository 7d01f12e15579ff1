use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, BundleId, DENOM, Params};
use capstan_kernel::ids::MeterId;
use cosmrs::{Any, proto::cosmos::bank::v1beta1::MsgSend as MsgBankSend};
use prost::{Message, Name};
use sha2::{Digest, Sha256};

use super::{
    TxError,
    decode::{decode_canonical, type_url},
};
use crate::{proto, smallcaps};

/// One message of a transaction, with every field read and checked as far as that needs no state.
///
/// References are texts of the account's channel (`ro-3`, `rp+1`); whether the account holds them is
/// for the kernel to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Move coins.
    BankSend {
        /// Who gets them.
        to: Address,
        /// How many.
        amount: Amount,
    },
    /// Install a bundle.
    InstallBundle {
        /// The id that it must have.
        id: BundleId,
        /// Its bytes.
        packed: Packed,
    },
    /// Announce a bundle in pieces.
    BeginUpload(Announcement),
    /// Deliver a piece.
    UploadChunk {
        /// The upload.
        upload: UploadId,
        /// Which piece.
        index: u32,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// Create a vat.
    CreateVat {
        /// What it is made of.
        bundle: BundleId,
        /// Its name.
        name: String,
        /// Its vatParameters: smallcaps JSON without `#`, and the slots.
        parameters: CapData,
        /// What is bought into its meter; none: the chain's default.
        computrons: Option<u64>,
    },
    /// Send a message.
    Send {
        /// The object or promise, or [`FACTORY`].
        target: String,
        /// The body `#[method, args]`.
        methargs: CapData,
        /// The method's name.
        method: String,
    },
    /// End a vat.
    TerminateVat {
        /// Its admin object.
        admin: String,
        /// The body of the call.
        methargs: CapData,
    },
    /// Upgrade a vat.
    UpgradeVat {
        /// Its admin object.
        admin: String,
        /// The new bundle.
        bundle: BundleId,
        /// The body of the call.
        methargs: CapData,
    },
    /// Buy computrons into a meter.
    FundMeter {
        /// The meter.
        meter: MeterId,
        /// How many, more than 0.
        computrons: u64,
    },
    /// Settle promises.
    Resolve {
        /// In order.
        resolutions: Vec<Resolution>,
    },
    /// Give up references.
    Drop {
        /// Imported objects.
        refs: Vec<String>,
    },
    /// Acknowledge outbox entries.
    Ack {
        /// The last one that was read.
        through: u64,
    },
}

/// The target of a message that goes to the account's own factory object, whatever its reference is.
pub const FACTORY: &str = "factory";

/// Bytes, perhaps compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// How they are compressed.
    pub compression: Compression,
    /// Their length in bytes when they are not.
    pub uncompressed_size: u64,
}

/// A bundle that will come in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Names the upload.
    pub upload: UploadId,
    /// The id that the bundle must have.
    pub bundle: BundleId,
    /// How the pieces together are compressed.
    pub compression: Compression,
    /// The bundle's length in bytes, uncompressed.
    pub uncompressed_size: u64,
    /// The pieces.
    pub chunks: Vec<Chunk>,
}

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Compression {
    /// Not at all.
    None,
    /// One gzip member.
    Gzip,
}

/// One piece of an upload.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chunk {
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
}

/// Names an upload: the SHA-256 of the submitter's address and the announcement, as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct UploadId(pub [u8; 32]);

/// A text that does not name an upload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an upload id: expected 64 lower-case hex digits")]
pub struct NotAnUploadId(String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, NotAnUploadId> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if hex::encode(bytes) == text => Ok(Self(bytes)),
            _ => Err(NotAnUploadId(text.to_owned())),
        }
    }
}

impl Action {
    /// Reads the message at `index`, which must act for `signer`.
    pub fn read(
        index: usize,
        any: &Any,
        signer: Address,
        params: &Params,
    ) -> Result<Self, TxError> {
        let reader = Reader { index, signer, params };
        let url = any.type_url.as_str();
        let known: &[(String, Read)] = &[
            (type_url::<MsgBankSend>(), bank_send),
            (type_url::<proto::MsgInstallBundle>(), install_bundle),
            (type_url::<proto::MsgBeginUpload>(), begin_upload),
            (type_url::<proto::MsgUploadChunk>(), upload_chunk),
            (type_url::<proto::MsgCreateVat>(), create_vat),
            (type_url::<proto::MsgSend>(), send),
            (type_url::<proto::MsgTerminateVat>(), terminate_vat),
            (type_url::<proto::MsgResolve>(), resolve),
            (type_url::<proto::MsgDrop>(), drop_refs),
            (type_url::<proto::MsgAck>(), ack),
            (type_url::<proto::MsgFundMeter>(), fund_meter),
            (type_url::<proto::MsgUpgradeVat>(), upgrade_vat),
        ];
        match known.iter().find(|(name, _)| name == url) {
            Some((_, read)) => read(&reader, &any.value),
            None => Err(TxError::UnknownMessage(any.type_url.clone())),
        }
    }

    /// Whom the message at `index` acts for: in every message that the chain knows, the text in field 1.
    pub fn actor(index: usize, any: &Any) -> Result<Address, TxError> {
        let decoded = FirstField::decode(any.value.as_slice()).map_err(|e| {
            TxError::Undecodable { part: any.type_url.clone(), problem: e.to_string() }
        })?;
        decoded.actor.parse().map_err(|e| TxError::Field {
            index,
            field: "field 1 (who acts)",
            problem: format!("{e}"),
        })
    }

    /// The bytes that it has the chain store beside the transaction's own.
    pub fn declared_bytes(&self) -> u64 {
        match self {
            Self::InstallBundle { packed, .. } => packed.uncompressed_size,
            Self::BeginUpload(announced) => announced.uncompressed_size,
            _ => 0,
        }
    }

    /// The type URL of its protobuf message.
    pub fn type_url(&self) -> String {
        match self {
            Self::BankSend { .. } => type_url::<MsgBankSend>(),
            Self::InstallBundle { .. } => type_url::<proto::MsgInstallBundle>(),
            Self::BeginUpload(_) => type_url::<proto::MsgBeginUpload>(),
            Self::UploadChunk { .. } => type_url::<proto::MsgUploadChunk>(),
            Self::CreateVat { .. } => type_url::<proto::MsgCreateVat>(),
            Self::Send { .. } => type_url::<proto::MsgSend>(),
            Self::TerminateVat { .. } => type_url::<proto::MsgTerminateVat>(),
            Self::UpgradeVat { .. } => type_url::<proto::MsgUpgradeVat>(),
            Self::FundMeter { .. } => type_url::<proto::MsgFundMeter>(),
            Self::Resolve { .. } => type_url::<proto::MsgResolve>(),
            Self::Drop { .. } => type_url::<proto::MsgDrop>(),
            Self::Ack { .. } => type_url::<proto::MsgAck>(),
        }
    }
}

/// Just the first field of a message.
#[derive(Clone, PartialEq, Message)]
struct FirstField {
    #[prost(string, tag = "1")]
    actor: String,
}

type Read = fn(&Reader<'_>, &[u8]) -> Result<Action, TxError>;

/// Reads the fields of one message.
struct Reader<'a> {
    index: usize,
    signer: Address,
    params: &'a Params,
}

fn bank_send(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn install_bundle(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn begin_upload(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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
        // The message names its submitter, so no one else's upload has this id.
        upload: UploadId(Sha256::digest(bytes).into()),
        bundle,
        compression,
        uncompressed_size: msg.uncompressed_size,
        chunks,
    }))
}

fn upload_chunk(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgUploadChunk = r.decode(bytes)?;
    r.actor(&msg.submitter)?;
    let upload = r.parse("upload_id", &msg.upload_id)?;
    Ok(Action::UploadChunk { upload, index: msg.index, data: msg.data })
}

fn create_vat(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn send(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn terminate_vat(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn resolve(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

fn drop_refs(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgDrop = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    if msg.refs.is_empty() || msg.refs.len() > r.params.max_slots as usize {
        let problem = format!("expected 1 to {} (max_slots)", r.params.max_slots);
        return Err(r.refuse("refs", problem));
    }
    let refs = msg.refs.iter().map(|text| r.reference("refs", text, &["ro-"]));
    Ok(Action::Drop { refs: refs.collect::<Result<_, _>>()? })
}

fn ack(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgAck = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    Ok(Action::Ack { through: msg.through })
}

fn fund_meter(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
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

/// A message `upgradeVat(adminNode, bundleID, { vatParameters, upgradeMessage })` to the account's own
/// factory object, which takes the bundle's id where the admin object takes the bundle.
fn upgrade_vat(r: &Reader<'_>, bytes: &[u8]) -> Result<Action, TxError> {
    let msg: proto::MsgUpgradeVat = r.decode(bytes)?;
    r.actor(&msg.sender)?;
    let admin = r.reference("admin", &msg.admin, &["ro-", "rp-", "rp+"])?;
    let bundle: BundleId = r.parse("bundle_id", &msg.bundle_id)?;
    let parameters = r.capdata("parameters", msg.parameters, "{}")?;
    let message = match msg.upgrade_message.as_str() {
        "" => String::new(),
        text => format!("\"upgradeMessage\":{},", smallcaps::string(text)),
    };
    let sigil = if admin.starts_with("ro") { '$' } else { '&' };
    let CapData { body, mut slots } = parameters;
    // The parameters' own slots keep their places. If the admin object is among them it has one.
    let index = slots.iter().position(|slot| *slot == admin).unwrap_or(slots.len());
    if index == slots.len() {
        slots.push(admin.clone());
    }
    let bundle_id = smallcaps::string(bundle.as_str());
    let args = format!("[\"{sigil}{index}\",{bundle_id},{{{message}\"vatParameters\":{body}}}]");
    let body = smallcaps::call("upgradeVat", &args);
    let methargs = r.bounded("parameters", CapData { body, slots })?;
    Ok(Action::UpgradeVat { admin, bundle, methargs })
}

impl Reader<'_> {
    fn decode<M: Message + Default + Name>(&self, bytes: &[u8]) -> Result<M, TxError> {
        decode_canonical(&M::full_name(), bytes)
    }

    fn refuse(&self, field: &'static str, problem: String) -> TxError {
        TxError::Field { index: self.index, field, problem }
    }

    fn parse<T: FromStr<Err: fmt::Display>>(
        &self,
        field: &'static str,
        text: &str,
    ) -> Result<T, TxError> {
        text.parse().map_err(|e| self.refuse(field, format!("{e}")))
    }

    fn actor(&self, text: &str) -> Result<(), TxError> {
        match text == self.signer.to_string() {
            true => Ok(()),
            false => Err(TxError::ActorMismatch {
                index: self.index,
                actor: text.to_owned(),
                signer: self.signer,
            }),
        }
    }

    fn compression(&self, number: i32) -> Result<Compression, TxError> {
        match proto::Compression::try_from(number) {
            Ok(proto::Compression::None) => Ok(Compression::None),
            Ok(proto::Compression::Gzip) => Ok(Compression::Gzip),
            Err(_) => Err(self
                .refuse("compression", format!("{number} is unknown; use 0 (none) or 1 (gzip)"))),
        }
    }

    fn bundle_size(&self, size: u64) -> Result<(), TxError> {
        let limit = self.params.max_bundle_bytes;
        match (1..=limit).contains(&size) {
            true => Ok(()),
            false => Err(self.refuse(
                "uncompressed_size",
                format!("{size}, expected 1 to {limit} (max_bundle_bytes)"),
            )),
        }
    }

    fn chunk(&self, chunk: &proto::ChunkInfo) -> Result<Chunk, TxError> {
        let sha256 = chunk.sha256.as_slice().try_into();
        let sha256 =
            sha256.map_err(|_| self.refuse("chunks.sha256", "must have 32 bytes".to_owned()))?;
        let limit = self.params.max_chunk_bytes;
        if !(1..=limit).contains(&chunk.size) {
            let problem = format!("{}, expected 1 to {limit} (max_chunk_bytes)", chunk.size);
            return Err(self.refuse("chunks.size", problem));
        }
        Ok(Chunk { sha256, size: chunk.size })
    }

    /// A reference that starts with one of `forms`.
    fn reference(
        &self,
        field: &'static str,
        text: &str,
        forms: &[&str],
    ) -> Result<String, TxError> {
        if forms.iter().any(|form| is_numbered(text, form)) {
            return Ok(text.to_owned());
        }
        let forms: Vec<String> = forms.iter().map(|form| format!("{form}N")).collect();
        let problem =
            format!("{text:?} is not a reference that fits here: expected {}", forms.join(" or "));
        Err(self.refuse(field, problem))
    }

    /// Smallcaps JSON, without `#`, from what a message brings.
    fn capdata(
        &self,
        field: &'static str,
        data: Option<proto::CapData>,
        default: &str,
    ) -> Result<CapData, TxError> {
        let Some(data) = data else {
            return Ok(CapData { body: default.to_owned(), slots: Vec::new() });
        };
        if data.slots.len() > self.params.max_slots as usize {
            let problem = format!("more than {} slots (max_slots)", self.params.max_slots);
            return Err(self.refuse(field, problem));
        }
        for slot in &data.slots {
            self.reference(field, slot, &["ro-", "ro+", "rp-", "rp+"])?;
        }
        let data = self.bounded(field, CapData { body: data.body, slots: data.slots })?;
        let body = smallcaps::to_smallcaps_json(&data.body, &data.slots)
            .map_err(|e| self.refuse(field, format!("{e}")))?;
        Ok(CapData { body, slots: data.slots })
    }

    fn args(&self, data: Option<proto::CapData>) -> Result<CapData, TxError> {
        let args = self.capdata("args", data, "[]")?;
        match args.body.trim_start().starts_with('[') {
            true => Ok(args),
            false => {
                Err(self.refuse("args", "must be an array: the arguments in order".to_owned()))
            }
        }
    }

    fn bounded(&self, field: &'static str, data: CapData) -> Result<CapData, TxError> {
        let size = data.body.len() + data.slots.iter().map(String::len).sum::<usize>();
        let limit = self.params.max_message_bytes;
        match size <= limit as usize {
            true => Ok(data),
            false => {
                Err(self
                    .refuse(field, format!("{size} bytes, more than {limit} (max_message_bytes)")))
            }
        }
    }
}

/// What the vatAdmin vat allows in a vat's name.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// Whether `text` is `form` and a canonical decimal of 64 bits.
fn is_numbered(text: &str, form: &str) -> bool {
    let number = text.strip_prefix(form).map(|digits| (digits, digits.parse::<u64>()));
    matches!(number, Some((digits, Ok(number))) if number.to_string() == digits)
}
