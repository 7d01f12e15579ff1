//! Points of the curve, and the addresses that belong to them.

use std::cell::RefCell;

use cosmrs::crypto::{PublicKey, secp256k1::VerifyingKey};

use crate::{Address, Secp256k1Key};

/// Number of keys that a thread remembers.
const REMEMBERED: usize = 1 << 10;

thread_local! {
    /// Keys with their addresses, each at the place that its first bytes name. A place that is free has a key of zeros,
    /// which is no point.
    static KNOWN: RefCell<Vec<(Secp256k1Key, Address)>> = const { RefCell::new(Vec::new()) };
}

/// Returns the address of a key, or `None` if the key is no point of the curve.
///
/// A block reads the key of each of its transactions several times, and computing the point takes as long as reading the
/// rest of the transaction. So a thread remembers the keys that it has seen last. The result does not depend on that.
pub(crate) fn address_of(key: &Secp256k1Key) -> Option<Address> {
    let place = usize::from(u16::from_le_bytes([key[1], key[2]])) % REMEMBERED;
    let known = KNOWN.with_borrow(|known| known.get(place).copied());
    if let Some((known, address)) = known
        && known == *key
    {
        return Some(address);
    }
    let point = VerifyingKey::from_sec1_bytes(key).ok()?;
    let address = Address::from_public_key(&PublicKey::from(point))?;
    KNOWN.with_borrow_mut(|known| {
        if known.is_empty() {
            known.resize(REMEMBERED, ([0; 33], address));
        }
        if let Some(slot) = known.get_mut(place) {
            *slot = (*key, address);
        }
    });
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_same_address_whether_it_was_seen_or_not() {
        let mut keys = Vec::new();
        for number in 0..2_000_u32 {
            let mut key = [0; 33];
            key[0] = 2 + (number % 4) as u8;
            key[29..].copy_from_slice(&number.to_be_bytes());
            // Keys of one place push each other out.
            key[1] = (number % 3) as u8;
            let point = VerifyingKey::from_sec1_bytes(&key).ok();
            keys.push((key, point.and_then(|key| Address::from_public_key(&key.into()))));
        }
        for _ in 0..2 {
            for (key, address) in &keys {
                assert_eq!(address_of(key), *address);
                assert_eq!(address_of(key), *address);
            }
        }
        let points = keys.iter().filter(|(_, address)| address.is_some()).count();
        assert!(points > 500 && points < 1_500, "{points}");
        assert_eq!(address_of(&[0; 33]), None);
    }
}
