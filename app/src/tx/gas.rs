use capstan_proto::Fees;

use super::Tx;

/// Gas of a transaction, as CheckTx and results tell CometBFT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gas {
    /// The gas limit.
    pub(crate) wanted: i64,
    /// The transaction's gas, [`Fees::gas`].
    pub(crate) used: i64,
}

impl Gas {
    /// Returns the gas of `tx` on a chain with these fees.
    pub(crate) fn of(tx: &Tx, fees: &Fees) -> Self {
        let [wanted, used] =
            [tx.gas_limit, fees.gas(&tx.size())].map(|gas| i64::try_from(gas).unwrap_or(i64::MAX));
        Self { wanted, used }
    }
}
