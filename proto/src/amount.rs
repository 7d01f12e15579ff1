use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Denomination of the chain's coin.
pub const DENOM: &str = "ucap";

/// Amount of the chain's coin, in [`DENOM`]. In JSON it is a string of decimal digits.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(pub u128);

/// Error for a text that is not an [`Amount`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an amount: expected a decimal number below 2^128, without sign or leading zeros"
)]
pub struct NotAnAmount(String);

impl Amount {
    /// Returns the sum, or `None` if it exceeds 2^128 - 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Returns the difference, or `None` if it is negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        match text.parse::<u128>() {
            Ok(number) if number.to_string() == text => Ok(Self(number)),
            _ => Err(NotAnAmount(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = NotAnAmount;

    fn try_from(text: String) -> Result<Self, NotAnAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_decimals_are_amounts() {
        assert_eq!("0".parse(), Ok(Amount(0)));
        assert_eq!(u128::MAX.to_string().parse(), Ok(Amount(u128::MAX)));
        for bad in
            ["", "00", "+1", "-1", "1.0", "1e3", " 1", "340282366920938463463374607431768211456"]
        {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }
}
