use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, BundleId};
use capstan_kernel::ids::MeterId;
use capstan_proto::v1 as proto;
use cosmrs::proto::cosmos::bank::v1beta1::MsgSend as MsgBankSend;

use super::{
    protobuf::type_url,
    upload::{Announcement, Packed, UploadId},
};

/// One message of a transaction. Every field is decoded and checked as far as that needs no state.
///
/// References are texts of the account's c-list (`ro-3`, `rp+1`). The kernel checks whether the account holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends coins to an account.
    BankSend {
        /// Receiver of the coins.
        to: Address,
        /// Number of coins to send.
        amount: Amount,
    },
    /// Installs a bundle as a whole.
    InstallBundle {
        /// The id that it must have.
        id: BundleId,
        /// Bytes of the bundle, and their compression.
        packed: Packed,
    },
    /// Announces a bundle that comes in pieces.
    BeginUpload(Announcement),
    /// Delivers a piece of an upload.
    UploadChunk {
        /// [`UploadId`] of the upload.
        upload: UploadId,
        /// Index of the piece, from 0.
        index: u32,
        /// Bytes of the piece.
        data: Vec<u8>,
    },
    /// Creates a vat from a bundle.
    CreateVat {
        /// [`BundleId`] of an installed bundle.
        bundle: BundleId,
        /// Name for people.
        name: String,
        /// Its vatParameters: smallcaps JSON without `#`, and the slots.
        parameters: CapData,
        /// Computrons bought into its meter, or `None` for the chain's default.
        computrons: Option<u64>,
    },
    /// Sends a message to an object.
    Send {
        /// The object or promise, or [`FACTORY`].
        target: String,
        /// The body `#[method, args]`.
        methargs: CapData,
        /// Name of the method.
        method: String,
    },
    /// Ends a vat by its admin object.
    TerminateVat {
        /// Reference to the vat's admin object.
        admin: String,
        /// The body of the call.
        methargs: CapData,
    },
    /// Upgrades a vat by its admin object.
    UpgradeVat {
        /// Reference to the vat's admin object.
        admin: String,
        /// [`BundleId`] of the new bundle.
        bundle: BundleId,
        /// The body of the call.
        methargs: CapData,
    },
    /// Buys computrons into a meter.
    FundMeter {
        /// [`MeterId`] of the meter.
        meter: MeterId,
        /// Number of computrons, at least 1.
        computrons: u64,
    },
    /// Settles promises that the account decides.
    Resolve {
        /// Settlements in the order in which they happen.
        resolutions: Vec<Resolution>,
    },
    /// Gives up references to objects.
    Drop {
        /// References to imported objects.
        refs: Vec<String>,
    },
    /// Acknowledges entries of the outbox.
    Ack {
        /// Number of the last entry that was read.
        through: u64,
    },
}

/// The target of a message that goes to the account's own factory object, whatever its reference is.
pub const FACTORY: &str = "factory";

impl Action {
    /// Returns the number of bytes that the chain stores besides the transaction's own.
    pub fn declared_bytes(&self) -> u64 {
        match self {
            Self::InstallBundle { packed, .. } => packed.uncompressed_size,
            Self::BeginUpload(announced) => announced.uncompressed_size,
            _ => 0,
        }
    }

    /// Returns the type URL of its protobuf message.
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
