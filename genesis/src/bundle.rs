//! Identifiers of bundles.

use std::{fmt, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Identifier of a bundle, derived from its content.
///
/// The id of a JavaScript bundle is `b1-` and the SHA-512 of its compartment map in 128 hexadecimal digits. The id of a
/// WebAssembly module is `w1-` and its SHA-256 in 64. [`FromStr`] accepts these two forms only, in lower case.
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

/// The kind of program that a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    /// JavaScript: an Endo zip archive of modules.
    EndoZip,
    /// WebAssembly: one module.
    Wasm,
}

/// The error of parsing a text that is not a [`BundleId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a bundle id: expected b1- and 128 lower-case hex digits (JavaScript) or w1- and 64 (wasm)"
)]
pub struct NotABundleId(String);

impl BundleId {
    /// Returns the [`BundleKind`] that the id's prefix states.
    pub fn kind(&self) -> BundleKind {
        match self.0.starts_with("w1-") {
            true => BundleKind::Wasm,
            false => BundleKind::EndoZip,
        }
    }

    /// Returns the id as text, the form that [`FromStr`] reads.
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
