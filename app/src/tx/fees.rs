use capstan_genesis::{Amount, Fees};

use super::Action;

/// What a transaction must pay at least: a price for itself, one for each byte that is stored (its own
/// bytes, and those of the bundles that it declares, uncompressed) and one for each message. What is
/// paid is burnt: it leaves the supply.
pub fn required_fee(fees: &Fees, tx_bytes: usize, actions: &[Action]) -> Amount {
    let declared: u128 = actions.iter().map(|a| u128::from(a.declared_bytes())).sum();
    let stored = tx_bytes as u128 + declared;
    let bytes = fees.per_byte.0.saturating_mul(stored);
    let messages = fees.per_message.0.saturating_mul(actions.len() as u128);
    Amount(fees.per_tx.0.saturating_add(bytes).saturating_add(messages))
}

/// What `computrons` cost when they are bought into a meter: by the million, rounded up.
pub fn computron_price(fees: &Fees, computrons: u64) -> Amount {
    let mega = u128::from(computrons.div_ceil(1_000_000));
    Amount(fees.per_mega_computron.0.saturating_mul(mega))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computrons_are_priced_by_the_started_million() {
        let fees = Fees { per_mega_computron: Amount(7), ..Fees::default() };
        for (computrons, price) in [(0, 0), (1, 7), (1_000_000, 7), (1_000_001, 14)] {
            assert_eq!(computron_price(&fees, computrons), Amount(price));
        }
    }
}
