//! Integers of any size.

use std::fmt;

/// An integer of any size, as JavaScript's bigints are. It holds decimal digits and does not compute.
///
/// ```
/// use capstan_passable::BigInt;
///
/// assert_eq!(BigInt::from(7_u64).to_string(), "7");
/// assert_eq!(BigInt::parse("-12").unwrap().to_i128(), Some(-12));
/// assert_eq!(BigInt::parse("012"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigInt(String);

impl BigInt {
    /// Reads decimal digits without leading zeros, with `-` before them if the number is negative. Returns `None`
    /// for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let canonical = !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        canonical.then(|| Self(text.to_owned()))
    }

    /// Takes digits that a checked body holds, which may begin with zeros.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the number if it fits 128 bits.
    pub fn to_i128(&self) -> Option<i128> {
        self.0.parse().ok()
    }

    /// Returns the number if it fits 64 bits and is not negative.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Returns the text that stands for it in smallcaps: `+7` or `-7`.
    pub(crate) fn encoded(&self) -> String {
        if self.0.starts_with('-') { self.0.clone() } else { format!("+{}", self.0) }
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for BigInt {
            fn from(number: $integer) -> Self {
                Self(number.to_string())
            }
        }
    )*};
}

from_integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);
