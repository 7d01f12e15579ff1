//! Paths from a mnemonic to its keys.

use std::{fmt, str::FromStr};

use cosmrs::bip32::DerivationPath;

/// Type of coin that Cosmos wallets derive keys for, as SLIP-44 numbers them.
pub const COIN_TYPE: u32 = 118;

/// Upper bound of a path's text.
const MAX_TEXT_BYTES: usize = 100;

/// A derivation path by BIP-32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    text: String,
    path: DerivationPath,
}

/// Error for a text that is not a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a derivation path: expected m/44'/118'/0'/0/0, with numbers below 2^31")]
pub struct NotAKeyPath(String);

impl KeyPath {
    /// Returns the path `m/44'/COIN_TYPE'/ACCOUNT'/0/INDEX` of BIP-44.
    ///
    /// # Errors
    /// [`NotAKeyPath`] if a number is 2^31 or more.
    pub fn bip44(coin_type: u32, account: u32, index: u32) -> Result<Self, NotAKeyPath> {
        format!("m/44'/{coin_type}'/{account}'/0/{index}").parse()
    }

    pub(crate) fn derivation(&self) -> &DerivationPath {
        &self.path
    }
}

impl FromStr for KeyPath {
    type Err = NotAKeyPath;

    fn from_str(text: &str) -> Result<Self, NotAKeyPath> {
        let wrong = || NotAKeyPath(text.chars().take(MAX_TEXT_BYTES).collect());
        let numbers = text.strip_prefix("m/").unwrap_or(text);
        let full = format!("m/{numbers}");
        match full.parse() {
            Ok(path) if full.len() <= MAX_TEXT_BYTES && !numbers.is_empty() => {
                Ok(Self { text: full, path })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_bip44_or_written_out() {
        let path = KeyPath::bip44(60, 2, 7).unwrap();
        assert_eq!(path.to_string(), "m/44'/60'/2'/0/7");
        assert_eq!("44'/60'/2'/0/7".parse(), Ok(path));
        assert!(KeyPath::bip44(118, 1 << 31, 0).is_err());
        let long = "/0".repeat(60);
        for bad in ["", "m", "m/", "m/x", "m/4294967296", "m//0", long.as_str()] {
            assert!(bad.parse::<KeyPath>().is_err(), "{bad}");
        }
    }
}
