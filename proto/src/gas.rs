use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Amount, DENOM, Fees};

/// Bytes for which the gas counts with each line of an io channel, besides those of the transaction: the chain keeps
/// a line as an entry of its own.
pub const CHANNEL_LINE_BYTES: u64 = 64;

/// The target of messages to the sender's own factory object, which is a vat of the system's.
pub const FACTORY: &str = "factory";

/// Decimal places of a [`GasPrice`].
const PLACES: usize = 6;

/// The parts of a transaction that its gas counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxSize {
    /// Bytes of the transaction.
    pub bytes: u64,
    /// Bytes that the chain stores besides: bundles, which count uncompressed, and [lines](CHANNEL_LINE_BYTES).
    pub declared_bytes: u64,
    /// Number of messages.
    pub messages: u64,
    /// Number of the messages that vats of the system handle, or may: those to objects, and those that create, upgrade
    /// or terminate a vat.
    pub system_messages: u64,
    /// Number of signatures. A multisig has several.
    pub signatures: u64,
}

/// Price of a unit of gas in [`DENOM`]: a decimal number with at most 6 decimal places, such as `0.025`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GasPrice {
    /// The price in millionths of [`DENOM`].
    millionths: u64,
}

/// Error for a text that is not a [`GasPrice`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a gas price: expected a decimal number with at most 6 decimal places, such as 0.025"
)]
pub struct NotAGasPrice(String);

impl GasPrice {
    /// A price of 1 [`DENOM`].
    pub const ONE: Self = Self { millionths: 1_000_000 };

    /// Returns the fee for an amount of gas, rounded up.
    ///
    /// ```
    /// use capstan_proto::{Amount, GasPrice};
    /// let price: GasPrice = "0.025".parse()?;
    /// assert_eq!(price.fee(1_001), Amount(26));
    /// # Ok::<(), capstan_proto::NotAGasPrice>(())
    /// ```
    pub fn fee(self, gas: u64) -> Amount {
        // The product of two 64-bit numbers fits.
        let product = u128::from(gas) * u128::from(self.millionths);
        Amount(product.div_ceil(1_000_000))
    }
}

impl fmt::Display for GasPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 1_000_000, self.millionths % 1_000_000);
        let places = format!("{rest:0PLACES$}");
        match places.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            places => write!(f, "{whole}.{places}"),
        }
    }
}

impl FromStr for GasPrice {
    type Err = NotAGasPrice;

    fn from_str(text: &str) -> Result<Self, NotAGasPrice> {
        let wrong = || NotAGasPrice(text.to_owned());
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(places) || places.len() > PLACES {
            return Err(wrong());
        }
        let digits = format!("{whole}{places:0<PLACES$}");
        digits.parse().map(|millionths| Self { millionths }).map_err(|_| wrong())
    }
}

impl TryFrom<String> for GasPrice {
    type Error = NotAGasPrice;

    fn try_from(text: String) -> Result<Self, NotAGasPrice> {
        text.parse()
    }
}

impl From<GasPrice> for String {
    fn from(price: GasPrice) -> Self {
        price.to_string()
    }
}

impl Fees {
    /// Returns the gas of a transaction: what it costs a node to check, execute and store it, without the work of
    /// the vats to which its messages go. Their meters pay for that.
    ///
    /// It depends on the transaction alone. So the gas that a wallet computes, the gas that a simulation returns and
    /// the `gas_used` of the result are the same number.
    ///
    /// ```
    /// use capstan_proto::{Amount, Fees, TxSize};
    /// let fees = Fees { tx_gas: 500, byte_gas: 1, message_gas: 500, signature_gas: 500, ..Fees::default() };
    /// let size = TxSize { bytes: 300, messages: 2, signatures: 1, ..TxSize::default() };
    /// assert_eq!(fees.gas(&size), 2_300);
    /// assert_eq!(fees.gas_price.fee(2_300), Amount(2_300));
    /// ```
    pub fn gas(&self, size: &TxSize) -> u64 {
        let stored = size.bytes.saturating_add(size.declared_bytes);
        let parts = [
            (self.byte_gas, stored),
            (self.message_gas, size.messages),
            (self.system_message_gas, size.system_messages),
            (self.signature_gas, size.signatures),
        ];
        parts
            .iter()
            .fold(self.tx_gas, |gas, (each, count)| gas.saturating_add(each.saturating_mul(*count)))
    }

    /// Returns the lowest fee that the chain accepts for a transaction: its [gas](Self::gas) at the
    /// [gas price](Self::gas_price). The fee is burnt: it leaves the supply.
    pub fn required(&self, size: &TxSize) -> Amount {
        self.gas_price.fee(self.gas(size))
    }

    /// Returns the gas price as Cosmos clients write it, such as `0.025ucap`.
    pub fn min_gas_price(&self) -> String {
        format!("{}{DENOM}", self.gas_price)
    }

    /// Returns the price of `computrons` in a meter. Each started million costs `per_mega_computron`.
    pub fn computron_price(&self, computrons: u64) -> Amount {
        let mega = u128::from(computrons.div_ceil(1_000_000));
        Amount(self.per_mega_computron.0.saturating_mul(mega))
    }

    /// Returns what `computrons` of a meter are worth when they are given back, rounded down. `before` were given back
    /// earlier: all of them together are rounded once.
    pub fn computron_worth(&self, before: u128, computrons: u128) -> Amount {
        let worth = |n: u128| self.per_mega_computron.0.saturating_mul(n) / 1_000_000;
        let after = worth(before.saturating_add(computrons));
        Amount(after.saturating_sub(worth(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computrons_that_are_given_back_in_parts_are_worth_as_much_as_at_once() {
        let fees = Fees { per_mega_computron: Amount(7), ..Fees::default() };
        assert_eq!(fees.computron_worth(0, 999_999), Amount(6));
        let parts = [1_u128, 142_856, 142_858, 714_284, 1];
        let (mut before, mut sum) = (0, 0);
        for part in parts {
            sum += fees.computron_worth(before, part).0;
            before += part;
        }
        assert_eq!((before, Amount(sum)), (1_000_000, fees.computron_worth(0, before)));
        assert_eq!(Amount(sum), fees.computron_price(1_000_000));
    }

    #[test]
    fn computrons_are_priced_by_the_started_million() {
        let fees = Fees { per_mega_computron: Amount(7), ..Fees::default() };
        for (computrons, price) in [(0, 0), (1, 7), (1_000_000, 7), (1_000_001, 14)] {
            assert_eq!(fees.computron_price(computrons), Amount(price));
        }
    }

    #[test]
    fn gas_prices_are_read_and_written_exactly() {
        for text in ["0", "1", "0.025", "0.000001", "18446744073709.551615"] {
            assert_eq!(text.parse::<GasPrice>().unwrap().to_string(), text);
        }
        assert_eq!("1.50".parse::<GasPrice>().unwrap().to_string(), "1.5");
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "18446744073709.551616"] {
            assert!(text.parse::<GasPrice>().is_err(), "{text}");
        }
    }

    #[test]
    fn gas_counts_every_part_and_never_overflows() {
        let fees = Fees {
            tx_gas: 1,
            byte_gas: 10,
            message_gas: 100,
            system_message_gas: 1_000,
            signature_gas: 10_000,
            ..Fees::default()
        };
        let size =
            TxSize { bytes: 2, declared_bytes: 3, messages: 4, system_messages: 5, signatures: 6 };
        assert_eq!(fees.gas(&size), 65_451);
        let huge = TxSize { declared_bytes: u64::MAX, ..size };
        assert_eq!(fees.gas(&huge), u64::MAX);
        assert!(fees.required(&huge) > Amount(1 << 63));
    }
}
