//! The messages of one account, for transactions that it signs now or later.

use capstan_proto::{Address, Amount, v1 as proto};
use cosmrs::proto::cosmos::{bank::v1beta1::MsgSend as MsgBankSend, base::v1beta1::Coin};

use crate::{Args, Bundle, CreateVat, DENOM, Settlement, UpgradeVat, bundle::Compressed};

/// Maker of messages that act for one account.
#[derive(Clone, Debug)]
pub struct Messages {
    sender: String,
}

impl Messages {
    /// Creates a maker of messages for the account with this address.
    pub fn new(sender: &Address) -> Self {
        Self { sender: sender.to_string() }
    }

    /// Returns the message that installs a [`Bundle`] as one piece, compressed if that helps.
    pub fn install_bundle(&self, bundle: &Bundle) -> proto::MsgInstallBundle {
        self.install_packed(bundle, Compressed::new(&bundle.bytes))
    }

    pub(crate) fn install_packed(
        &self,
        bundle: &Bundle,
        packed: Compressed,
    ) -> proto::MsgInstallBundle {
        proto::MsgInstallBundle {
            submitter: self.sender.clone(),
            bundle: packed.bytes,
            compression: packed.compression.into(),
            uncompressed_size: bundle.bytes.len() as u64,
            bundle_id: bundle.id.to_string(),
        }
    }

    /// Returns the message that creates a vat.
    pub fn create_vat(&self, vat: &CreateVat) -> proto::MsgCreateVat {
        proto::MsgCreateVat {
            owner: self.sender.clone(),
            bundle_id: vat.bundle_id.clone(),
            name: vat.name.clone(),
            parameters: vat.parameters.as_ref().map(Args::capdata),
            computrons: vat.computrons,
        }
    }

    /// Returns the message that sends `method(args)` to `target`.
    pub fn send(&self, target: &str, method: &str, args: &Args) -> proto::MsgSend {
        // Without arguments the body is omitted, since an empty one would be malformed.
        let args = Some(args.capdata()).filter(|args| !args.body.is_empty());
        let (target, method) = (target.to_owned(), method.to_owned());
        proto::MsgSend { sender: self.sender.clone(), target, method, args }
    }

    /// Returns the message that terminates a vat by its admin object.
    pub fn terminate_vat(&self, admin: &str, reason: Option<&Args>) -> proto::MsgTerminateVat {
        proto::MsgTerminateVat {
            sender: self.sender.clone(),
            admin: admin.to_owned(),
            reason: reason.map(Args::capdata),
        }
    }

    /// Returns the message that upgrades a vat by its admin object.
    pub fn upgrade_vat(&self, upgrade: &UpgradeVat) -> proto::MsgUpgradeVat {
        proto::MsgUpgradeVat {
            sender: self.sender.clone(),
            admin: upgrade.admin.clone(),
            bundle_id: upgrade.bundle_id.clone(),
            parameters: upgrade.parameters.as_ref().map(Args::capdata),
            upgrade_message: upgrade.message.clone(),
        }
    }

    /// Returns the message that buys computrons into a meter, `mN`.
    pub fn fund_meter(&self, meter: &str, computrons: u64) -> proto::MsgFundMeter {
        proto::MsgFundMeter { sender: self.sender.clone(), meter: meter.to_owned(), computrons }
    }

    /// Returns the message that settles promises: all of them or none.
    pub fn settle(&self, settlements: &[Settlement]) -> proto::MsgResolve {
        let resolutions = settlements.iter().map(Settlement::to_proto).collect();
        proto::MsgResolve { sender: self.sender.clone(), resolutions }
    }

    /// Returns the message that drops references to imported objects.
    pub fn drop_refs(&self, refs: &[String]) -> proto::MsgDrop {
        proto::MsgDrop { sender: self.sender.clone(), refs: refs.to_vec() }
    }

    /// Returns the message that acknowledges the entries of the account's outbox up to and including `through`.
    pub fn acknowledge(&self, through: u64) -> proto::MsgAck {
        proto::MsgAck { sender: self.sender.clone(), through }
    }

    /// Returns the message that sends coins to another account.
    pub fn transfer(&self, to: &Address, amount: Amount) -> MsgBankSend {
        MsgBankSend {
            from_address: self.sender.clone(),
            to_address: to.to_string(),
            amount: vec![Coin { denom: DENOM.to_owned(), amount: amount.0.to_string() }],
        }
    }
}
