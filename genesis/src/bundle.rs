use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A bundle's id: `b1-` and the SHA-512 of an Endo zip's compartment map in 128 hex digits, or `w1-`
/// and the SHA-256 of a wasm module in 64.
#[derive(
    Clone,
    Debug,
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
pub struct BundleId(String);

/// What a bundle is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    /// An Endo zip archive of JavaScript modules.
    EndoZip,
    /// A wasm module.
    Wasm,
}

/// A text that is not a bundle id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a bundle id: expected b1- and 128 lower-case hex digits (JavaScript) or w1- and 64 (wasm)"
)]
pub struct NotABundleId(String);

impl BundleId {
    /// What a bundle with this id is made of.
    pub fn kind(&self) -> BundleKind {
        match self.0.starts_with("w1-") {
            true => BundleKind::Wasm,
            false => BundleKind::EndoZip,
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BundleId {
    type Err = NotABundleId;

    fn from_str(text: &str) -> Result<Self, NotABundleId> {
        let digits = match text.get(..3) {
            Some("b1-") if text.len() == 131 => &text[3..],
            Some("w1-") if text.len() == 67 => &text[3..],
            _ => return Err(NotABundleId(text.to_owned())),
        };
        let is_hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_hex { Ok(Self(text.to_owned())) } else { Err(NotABundleId(text.to_owned())) }
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BundleId {
    type Error = NotABundleId;

    fn try_from(text: String) -> Result<Self, NotABundleId> {
        text.parse()
    }
}

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_kinds_are_read_and_others_refused() {
        let zip = format!("b1-{}", "0a".repeat(64));
        let wasm = format!("w1-{}", "0a".repeat(32));
        assert_eq!(zip.parse::<BundleId>().unwrap().kind(), BundleKind::EndoZip);
        assert_eq!(wasm.parse::<BundleId>().unwrap().kind(), BundleKind::Wasm);
        let upper = zip.replace('a', "A");
        let short = &zip[..130];
        for bad in ["", "b1-", "é1-", upper.as_str(), short, &wasm.replace("w1", "b1")] {
            assert!(bad.parse::<BundleId>().is_err(), "{bad}");
        }
    }
}
