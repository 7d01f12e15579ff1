use capstan_abi::{CapData, Resolution};
use capstan_genesis::{Address, Amount, BundleId};
use capstan_kernel::{ids::MeterId, subcluster::IoName};
use capstan_proto::{CHANNEL_LINE_BYTES, v1 as proto};
use cosmrs::proto::cosmos::bank::v1beta1::MsgSend as MsgBankSend;

use super::{
    protobuf::type_url,
    upload::{Announcement, Packed, UploadId},
};

/// A decoded message of a transaction. Every field is checked as far as that needs no state.
///
/// References are texts of the account's c-list (`ro-3`, `rp+1`). The kernel checks whether the account holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends coins to an account.
    BankSend {
        /// [`Address`] of the receiver.
        to: Address,
        /// [`Amount`] to send.
        amount: Amount,
    },
    /// Installs a bundle as a whole.
    InstallBundle {
        /// [`BundleId`] that the bundle must have.
        id: BundleId,
        /// [`Packed`] bytes of the bundle.
        packed: Packed,
    },
    /// Announces a bundle that is uploaded in chunks.
    BeginUpload(Announcement),
    /// Delivers a chunk of an upload.
    UploadChunk {
        /// [`UploadId`] of the upload.
        upload: UploadId,
        /// Index of the chunk, from 0.
        index: u32,
        /// Bytes of the chunk.
        data: Vec<u8>,
    },
    /// Creates a vat from a bundle.
    CreateVat {
        /// [`BundleId`] of an installed bundle.
        bundle: BundleId,
        /// Name of the vat for people, which need not be unique.
        name: String,
        /// `vatParameters` of the vat: [`CapData`] whose body is smallcaps JSON without `#`.
        parameters: CapData,
        /// Computrons bought into the vat's meter, or `None` for the chain's default.
        computrons: Option<u64>,
    },
    /// Sends a message to an object.
    Send {
        /// Reference to the object or promise, or [`FACTORY`](capstan_proto::FACTORY).
        target: String,
        /// Method and arguments: [`CapData`] with the body `#[method, args]`.
        methargs: CapData,
        /// Name of the method.
        method: String,
    },
    /// Terminates a vat by its admin object.
    TerminateVat {
        /// Reference to the vat's admin object.
        admin: String,
        /// Method and arguments of the call, as [`CapData`].
        methargs: CapData,
    },
    /// Upgrades a vat by its admin object.
    UpgradeVat {
        /// Reference to the vat's admin object.
        admin: String,
        /// [`BundleId`] of the new bundle.
        bundle: BundleId,
        /// Method and arguments of the call, as [`CapData`].
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
        /// [`Resolution`]s in the order in which they happen.
        resolutions: Vec<Resolution>,
    },
    /// Gives up references to objects.
    Drop {
        /// References to imported objects.
        refs: Vec<String>,
    },
    /// Acknowledges entries of the outbox.
    Ack {
        /// Number of the last acknowledged entry.
        through: u64,
    },
    /// Writes lines to an io channel of a subcluster.
    WriteChannel {
        /// [`IoName`] of the channel.
        channel: IoName,
        /// Lines without line feeds.
        lines: Vec<String>,
        /// True if the input ends after these lines.
        close: bool,
    },
    /// Acknowledges lines that vats wrote to an io channel.
    AckChannel {
        /// [`IoName`] of the channel.
        channel: IoName,
        /// Number of the last acknowledged line.
        through: u64,
    },
}

impl Action {
    /// Returns the number of bytes that the chain stores in addition to the transaction's own.
    pub fn declared_bytes(&self) -> u64 {
        match self {
            Self::InstallBundle { packed, .. } => packed.uncompressed_size,
            Self::BeginUpload(announced) => announced.uncompressed_size,
            Self::WriteChannel { lines, .. } => {
                CHANNEL_LINE_BYTES.saturating_mul(lines.len() as u64)
            }
            _ => 0,
        }
    }

    /// Returns the number of references that the kernel looks up for the message.
    pub(crate) fn references(&self) -> u64 {
        let slots = |data: &CapData| data.slots.len();
        let count = match self {
            Self::CreateVat { parameters, .. } => slots(parameters),
            Self::Send { methargs, .. }
            | Self::TerminateVat { methargs, .. }
            | Self::UpgradeVat { methargs, .. } => 1 + slots(methargs),
            Self::Resolve { resolutions } => {
                resolutions.iter().map(|resolution| 1 + slots(&resolution.data)).sum()
            }
            Self::Drop { refs } => refs.len(),
            Self::BankSend { .. }
            | Self::InstallBundle { .. }
            | Self::BeginUpload(_)
            | Self::UploadChunk { .. }
            | Self::FundMeter { .. }
            | Self::Ack { .. }
            | Self::WriteChannel { .. }
            | Self::AckChannel { .. } => 0,
        };
        count as u64
    }

    /// Returns whether vats of the system handle the message, or may: what a reference leads to depends on the state.
    pub fn is_for_system(&self) -> bool {
        matches!(
            self,
            Self::CreateVat { .. }
                | Self::UpgradeVat { .. }
                | Self::TerminateVat { .. }
                | Self::Send { .. }
        )
    }

    /// Returns the command of `capstan` that sends the action, for errors that people read.
    pub fn command(&self) -> &'static str {
        match self {
            Self::BankSend { .. } => command::TRANSFER,
            Self::InstallBundle { .. } | Self::BeginUpload(_) | Self::UploadChunk { .. } => {
                command::INSTALL_BUNDLE
            }
            Self::CreateVat { .. } => command::CREATE_VAT,
            Self::Send { .. } => command::SEND,
            Self::TerminateVat { .. } => command::TERMINATE_VAT,
            Self::UpgradeVat { .. } => command::UPGRADE_VAT,
            Self::FundMeter { .. } => command::FUND_METER,
            Self::Resolve { .. } => command::RESOLVE,
            Self::Drop { .. } => command::DROP,
            Self::Ack { .. } => command::ACK,
            Self::WriteChannel { .. } => command::IO_WRITE,
            Self::AckChannel { .. } => command::IO_READ,
        }
    }

    /// Returns the type URL of the action's protobuf message.
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
            Self::WriteChannel { .. } => type_url::<proto::MsgWriteChannel>(),
            Self::AckChannel { .. } => type_url::<proto::MsgAckChannel>(),
        }
    }
}

/// The commands of `capstan` that send messages.
pub(crate) mod command {
    pub(crate) const TRANSFER: &str = "transfer";
    pub(crate) const INSTALL_BUNDLE: &str = "install-bundle";
    pub(crate) const CREATE_VAT: &str = "create-vat";
    pub(crate) const SEND: &str = "send";
    pub(crate) const TERMINATE_VAT: &str = "terminate-vat";
    pub(crate) const UPGRADE_VAT: &str = "upgrade-vat";
    pub(crate) const FUND_METER: &str = "fund-meter";
    pub(crate) const RESOLVE: &str = "resolve";
    pub(crate) const DROP: &str = "drop";
    pub(crate) const ACK: &str = "ack";
    pub(crate) const IO_WRITE: &str = "io write";
    pub(crate) const IO_READ: &str = "io read";
    /// Stands for a message whose type is not known.
    pub(crate) const UNKNOWN: &str = "transaction";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_that_the_kernel_looks_up_counts() {
        let data = |slots: usize| CapData {
            body: "#[]".to_owned(),
            slots: vec!["ro-3".to_owned(); slots],
        };
        let settled =
            |slots| Resolution { promise: "rp+1".to_owned(), rejected: false, data: data(slots) };
        let (target, method) = ("ro-1".to_owned(), "m".to_owned());
        let send = Action::Send { target, methargs: data(1_024), method };
        assert_eq!(send.references(), 1_025);
        let resolve = Action::Resolve { resolutions: vec![settled(0), settled(7)] };
        assert_eq!(resolve.references(), 9);
        assert_eq!(Action::Drop { refs: data(5).slots }.references(), 5);
        assert_eq!(Action::Ack { through: 9 }.references(), 0);
    }
}
