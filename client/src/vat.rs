use crate::{Args, TxOutcome};

/// Describes the vat that [`Wallet::create_vat`](crate::Wallet::create_vat) creates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateVat {
    /// Id of an installed bundle.
    pub bundle_id: String,
    /// Name for people, which may be empty.
    pub name: String,
    /// The vat's `vatParameters`. `None` stands for an empty record.
    pub parameters: Option<Args>,
    /// Computrons bought into the vat's meter. 0 stands for the chain's default.
    pub computrons: u64,
}

/// Describes the upgrade that [`Wallet::upgrade_vat`](crate::Wallet::upgrade_vat) makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeVat {
    /// Admin object of the vat in the account's c-list, `ro-N`.
    pub admin: String,
    /// Id of an installed bundle.
    pub bundle_id: String,
    /// The new incarnation's `vatParameters`. `None` keeps those that the vat has.
    pub parameters: Option<Args>,
    /// Reason with which the promises of the old incarnation are rejected. Empty stands for `vat upgraded`.
    pub message: String,
}

/// A meter after [`Wallet::fund_meter`](crate::Wallet::fund_meter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FundedMeter {
    /// Computrons in the meter, or `u64::MAX` if it holds more.
    pub remaining: u64,
    /// [`TxOutcome`] of the transaction that bought the computrons.
    pub outcome: TxOutcome,
}

impl CreateVat {
    /// Describes a vat of a bundle without name and parameters, with the chain's default computrons.
    pub fn new(bundle_id: impl Into<String>) -> Self {
        Self { bundle_id: bundle_id.into(), ..Self::default() }
    }
}
