//! The terms on which transactions are sent: gas limit, fee, memo and the last height.

use capstan_proto::{Amount, Fees, GasPrice, TxSize};

use crate::{ClientError, SignerData, StagedTx, TxBuilder};

/// The terms of a transaction. The [`Default`] is the gas that the chain computes, the lowest fee, no memo and no last
/// height.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Rule for the gas limit.
    pub gas: GasLimit,
    /// Rule for the fee.
    pub fee: FeeRule,
    /// Memo of the transaction.
    pub memo: String,
    /// Last height at which the transaction is valid. 0 sets no limit.
    pub timeout_height: u32,
}

/// Rule for the gas limit of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GasLimit {
    /// The gas of the transaction, times this factor.
    Auto(f64),
    /// A number of its own.
    Fixed(u64),
}

/// Rule for the fee of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeeRule {
    /// The gas limit at the lowest price that the chain takes.
    #[default]
    Lowest,
    /// The gas limit at a price.
    Price(GasPrice),
    /// An amount.
    Amount(Amount),
}

impl Default for GasLimit {
    fn default() -> Self {
        Self::Auto(1.0)
    }
}

impl Terms {
    /// Returns whether gas limit and fee follow from the terms alone, without the parameters of a chain.
    pub fn are_complete(&self) -> bool {
        matches!(self.gas, GasLimit::Fixed(_)) && self.fee != FeeRule::Lowest
    }

    /// Adds memo and last height to a transaction that has none.
    pub(crate) fn note(&self, tx: &TxBuilder) -> TxBuilder {
        tx.clone().default_memo(&self.memo).default_timeout_height(self.timeout_height)
    }

    /// Adds gas limit and fee to a transaction, for a chain that has these fees. `size` returns what the gas counts when
    /// the transaction is signed.
    ///
    /// # Errors
    /// As `size`.
    pub(crate) fn price(
        &self,
        tx: TxBuilder,
        fees: Option<&Fees>,
        size: impl FnOnce(&TxBuilder) -> Result<TxSize, ClientError>,
    ) -> Result<TxBuilder, ClientError> {
        let unknown = || ClientError::Tx(NO_FEES.to_owned());
        let gas = match self.gas {
            GasLimit::Fixed(gas) => gas,
            GasLimit::Auto(factor) => {
                // Measured with the largest fee and gas limit, so that the real ones make the transaction no longer.
                let largest = tx.clone().fee(Amount(u128::MAX)).gas_limit(u64::MAX);
                let gas = fees.ok_or_else(unknown)?.gas(&size(&largest)?);
                adjusted(gas, factor)
            }
        };
        let fee = match self.fee {
            FeeRule::Lowest => fees.ok_or_else(unknown)?.gas_price.fee(gas),
            FeeRule::Price(price) => price.fee(gas),
            FeeRule::Amount(amount) => amount,
        };
        Ok(tx.fee(fee).gas_limit(gas))
    }

    /// Returns the transaction with its terms, for later signing by the account's `key`. Without a key, one secp256k1 key
    /// is assumed. `signer` has the sequence, as far as it is known.
    ///
    /// # Errors
    /// [`ClientError::Tx`] if the terms need parameters of the chain, and `fees` are missing.
    pub fn apply(
        &self,
        tx: &TxBuilder,
        declared_bytes: u64,
        fees: Option<&Fees>,
        key: Option<&capstan_proto::PublicKey>,
        signer: &SignerData,
    ) -> Result<TxBuilder, ClientError> {
        self.price(self.note(tx), fees, |largest| {
            Ok(TxSize {
                bytes: StagedTx::new(largest)?.signed_size(key, signer.sequence),
                declared_bytes,
                messages: tx.message_count() as u64,
                system_messages: tx.system_message_count() as u64,
                signatures: key.map_or(1, |key| key.signatures().into()),
            })
        })
    }
}

/// Returns the gas times a factor, rounded up. The factor is a small number, so nothing is lost.
fn adjusted(gas: u64, factor: f64) -> u64 {
    match factor == 1.0 {
        true => gas,
        false => (gas as f64 * factor).ceil() as u64,
    }
}

const NO_FEES: &str = "the gas and its price are parameters of the chain; without a node, give both the gas limit and the fee";

#[cfg(test)]
mod tests {
    use capstan_proto::PublicKey;

    use super::*;
    use crate::{Key, Messages};

    fn transfer() -> TxBuilder {
        let alice = Key::dev(0).address();
        TxBuilder::new().message(&Messages::new(&alice).transfer(&Key::dev(1).address(), Amount(5)))
    }

    fn signer() -> SignerData {
        SignerData { chain_id: "capstan-dev".into(), account_number: 3, sequence: 9 }
    }

    fn fees() -> Fees {
        Fees { tx_gas: 100, byte_gas: 1, signature_gas: 1_000, ..Fees::default() }
    }

    #[test]
    fn the_gas_is_that_of_the_signed_transaction() {
        let (key, signer) = (Key::dev(0), signer());
        let terms = Terms { memo: "hello".into(), ..Terms::default() };
        let tx = terms.apply(&transfer(), 7, Some(&fees()), None, &signer).unwrap();
        let signed = tx.sign(&key, &signer).unwrap();
        let size = TxSize {
            bytes: signed.bytes().len() as u64,
            declared_bytes: 7,
            messages: 1,
            signatures: 1,
            ..TxSize::default()
        };
        let (gas, limit) = (fees().gas(&size), tx.gas().unwrap());
        assert!(limit >= gas && limit < gas + 60, "{limit} for {gas}");
        let twice = Terms { gas: GasLimit::Auto(2.0), ..terms };
        let tx = twice.apply(&transfer(), 7, Some(&fees()), None, &signer).unwrap();
        assert_eq!(tx.gas().unwrap(), 2 * limit);
    }

    #[test]
    fn a_multisig_pays_for_each_signature() {
        let keys = [0, 1, 2].map(|index| match Key::dev(index).account_key().unwrap() {
            PublicKey::Secp256k1(key) => key,
            other => panic!("{other}"),
        });
        let key = PublicKey::Multisig(capstan_proto::Multisig::new(2, keys.to_vec()).unwrap());
        let apply = |key| Terms::default().apply(&transfer(), 0, Some(&fees()), key, &signer());
        let (one, two) = (apply(None).unwrap().gas().unwrap(), apply(Some(&key)).unwrap());
        assert!(two.gas().unwrap() > one + 1_000);
    }

    #[test]
    fn complete_terms_need_no_chain() {
        let price = "0.5".parse().unwrap();
        let terms = Terms {
            gas: GasLimit::Fixed(1_000),
            fee: FeeRule::Price(price),
            timeout_height: 8,
            ..Terms::default()
        };
        let tx = terms.apply(&transfer(), 0, None, None, &signer()).unwrap();
        assert_eq!((tx.gas(), tx.fee_amount()), (Some(1_000), Amount(500)));
        assert!(terms.are_complete() && !Terms::default().are_complete());
        let error = Terms::default().apply(&transfer(), 0, None, None, &signer()).unwrap_err();
        assert!(error.to_string().contains("without a node"), "{error}");
    }
}
