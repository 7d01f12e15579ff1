use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, BundleId};
use capstan_kernel::ids::MeterId;
use capstan_proto::v1 as proto;
use cosmrs::proto::cosmos::bank::v1beta1::MsgSend as MsgBankSend;

use super::{
    protobuf::type_url,
    upload::{Announcement, Packed, UploadId},
};

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

impl Action {
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
