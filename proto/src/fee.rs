use crate::{Amount, Fees};

/// Bytes for which the fee pays with each line of an io channel, besides those of the transaction: the chain keeps a
/// line as an entry of its own.
pub const CHANNEL_LINE_BYTES: u64 = 64;

impl Fees {
    /// Returns the lowest fee that the chain accepts for a transaction.
    ///
    /// It is the price of a transaction, plus that of each byte that is stored, plus that of each message. Stored are
    /// the transaction's own `tx_bytes` and the `declared_bytes` of its bundles, which count uncompressed. The fee is
    /// burnt: it leaves the supply.
    ///
    /// ```
    /// use capstan_proto::{Amount, Fees};
    /// let fees = Fees { per_tx: Amount(1000), per_byte: Amount(1), per_message: Amount(500), ..Fees::default() };
    /// assert_eq!(fees.required(300, 0, 2), Amount(2300));
    /// ```
    pub fn required(&self, tx_bytes: u64, declared_bytes: u128, messages: u64) -> Amount {
        let stored = u128::from(tx_bytes).saturating_add(declared_bytes);
        let bytes = self.per_byte.0.saturating_mul(stored);
        let messages = self.per_message.0.saturating_mul(u128::from(messages));
        Amount(self.per_tx.0.saturating_add(bytes).saturating_add(messages))
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
}
