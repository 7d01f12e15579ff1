use std::{fmt, str::FromStr};

use bech32::{Bech32, Hrp};
use borsh::{BorshDeserialize, BorshSerialize};
use cosmrs::{AccountId, crypto::PublicKey};
use serde::{Deserialize, Serialize};

/// Human-readable part of every [`Address`].
pub const ADDRESS_PREFIX: &str = "capstan";

/// Address of an account: RIPEMD-160 of SHA-256 of its compressed secp256k1 public key, as in the Cosmos SDK. Its
/// text form is bech32 with the prefix [`ADDRESS_PREFIX`].
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Address(pub [u8; 20]);

/// Error for a text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a Capstan address: {problem}")]
pub struct NotAnAddress {
    text: String,
    problem: String,
}

/// The mistake in a text that begins as an address does.
const MISTYPED: &str =
    "its checksum does not fit, so a character is wrong, missing or too many; copy it anew";

impl Address {
    /// Returns the address of a [`PublicKey`], or `None` if it is not a secp256k1 key.
    pub fn from_public_key(key: &PublicKey) -> Option<Self> {
        let id = key.account_id(ADDRESS_PREFIX).ok()?;
        id.to_bytes().try_into().ok().map(Self)
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let refuse =
            |problem: &str| NotAnAddress { text: text.to_owned(), problem: problem.to_owned() };
        let expected = "expected bech32 text that starts with \"capstan1\"";
        let id: AccountId = text.parse().map_err(|_| match text.strip_prefix("capstan1") {
            Some(rest) if !rest.is_empty() => refuse(MISTYPED),
            _ => refuse(expected),
        })?;
        if id.prefix() != ADDRESS_PREFIX || id.as_ref() != text {
            return Err(refuse(expected));
        }
        let bytes = id.to_bytes().try_into();
        bytes.map(Self).map_err(|_| refuse("expected 20 bytes in it"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The prefix consists of lower-case letters and the length is in range, so only `f` can fail.
        let prefix = Hrp::parse_unchecked(ADDRESS_PREFIX);
        bech32::encode_lower_to_fmt::<Bech32, _>(f, prefix, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_unique() {
        let address = Address([7; 20]);
        let text = address.to_string();
        assert!(text.starts_with("capstan1"), "{text}");
        assert_eq!(text.parse(), Ok(address));
        for byte in 0..=255_u8 {
            let address = Address(std::array::from_fn(|at| byte.wrapping_mul(at as u8 + 1) ^ byte));
            let other = AccountId::new(ADDRESS_PREFIX, &address.0).unwrap();
            assert_eq!(address.to_string(), other.as_ref());
        }
        // bech32 allows upper case, but an address must have only one text.
        assert!(text.to_uppercase().parse::<Address>().is_err());
    }

    #[test]
    fn other_prefixes_lengths_and_checksums_are_refused() {
        let cosmos = AccountId::new("cosmos", &[7; 20]).unwrap();
        let long = AccountId::new(ADDRESS_PREFIX, &[7; 32]).unwrap();
        let mut damaged = Address([7; 20]).to_string();
        damaged.pop();
        damaged.push('q');
        for bad in [cosmos.as_ref(), long.as_ref(), damaged.as_str(), "", "capstan1", "v7"] {
            let refused = bad.parse::<Address>().unwrap_err().to_string();
            assert_eq!(refused.contains("checksum"), bad == damaged, "{refused}");
        }
    }
}
