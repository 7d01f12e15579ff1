//! Identifiers of bundles: the only place that knows their prefixes.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, ops::Deref, str::FromStr};

use borsh::{BorshDeserialize, BorshSerialize};

/// Identifier of a bundle, derived from its content.
///
/// The id of a JavaScript bundle is `b1-` and the SHA-512 of its compartment map in 128 hexadecimal
/// digits. The id of a WebAssembly module is `w1-` and its SHA-256 in 64. [`FromStr`] accepts these
/// two forms only, in lower case. So does serde. Borsh stores the text and does not check it.
///
/// ```
/// use capstan_abi::{BundleId, BundleKind};
///
/// let id = BundleId::wasm([7; 32]);
/// assert_eq!(id.kind(), BundleKind::Wasm);
/// assert_eq!(id.as_str().parse(), Ok(id));
/// assert!("w1-07".parse::<BundleId>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(try_from = "String", into = "String"))]
pub struct BundleId(String);

/// The kind of program that a bundle is, as the prefix of its id names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleKind {
    /// JavaScript: an Endo zip archive of modules.
    EndoZip,
    /// WebAssembly: one module.
    Wasm,
}

/// The error of parsing a text that is not a [`BundleId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotABundleId(String);

impl BundleId {
    /// Returns the id of the JavaScript bundle whose compartment map has this SHA-512.
    pub fn endo_zip(sha512: [u8; 64]) -> Self {
        Self::of_digest(BundleKind::EndoZip, &sha512)
    }

    /// Returns the id of the WebAssembly module with this SHA-256.
    pub fn wasm(sha256: [u8; 32]) -> Self {
        Self::of_digest(BundleKind::Wasm, &sha256)
    }

    /// Returns the [`BundleKind`] that the id's prefix states.
    pub fn kind(&self) -> BundleKind {
        BundleKind::from_id(&self.0).unwrap_or(BundleKind::EndoZip)
    }

    /// Returns the id as text, the form that [`FromStr`] reads.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the digest in the id, in hexadecimal.
    pub fn digest(&self) -> &str {
        BundleKind::split(&self.0).map_or("", |(_, digest)| digest)
    }

    fn of_digest(kind: BundleKind, digest: &[u8]) -> Self {
        let mut id = String::from(kind.prefix());
        for byte in digest {
            for digit in [byte >> 4, byte & 15] {
                id.extend(char::from_digit(digit.into(), 16));
            }
        }
        Self(id)
    }
}

impl BundleKind {
    const ALL: [Self; 2] = [Self::EndoZip, Self::Wasm];

    /// Returns the text with which the ids of this kind begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::EndoZip => "b1-",
            Self::Wasm => "w1-",
        }
    }

    /// Returns the kind that a text's prefix names, or `None` if it names none.
    ///
    /// The rest of the text can be anything, which [`BundleId`] does not allow.
    pub fn from_id(text: &str) -> Option<Self> {
        Self::split(text).map(|(kind, _)| kind)
    }

    /// Splits a text into the kind that its prefix names and what follows the prefix. Returns
    /// `None` if it has no known prefix.
    pub fn split(text: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind.prefix())?)))
    }

    const fn hex_digits(self) -> usize {
        match self {
            Self::EndoZip => 128,
            Self::Wasm => 64,
        }
    }
}

impl FromStr for BundleId {
    type Err = NotABundleId;

    fn from_str(text: &str) -> Result<Self, NotABundleId> {
        let is_id = BundleKind::split(text).is_some_and(|(kind, digest)| {
            digest.len() == kind.hex_digits()
                && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        if is_id { Ok(Self(text.to_owned())) } else { Err(NotABundleId(text.to_owned())) }
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NotABundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [zip, wasm] = BundleKind::ALL.map(|kind| (kind.prefix(), kind.hex_digits()));
        write!(
            f,
            "{:?} is not a bundle id: expected {} and {} lower-case hex digits (JavaScript) or {} \
             and {} (wasm)",
            self.0, zip.0, zip.1, wasm.0, wasm.1
        )
    }
}

impl core::error::Error for NotABundleId {}

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

impl From<&BundleId> for String {
    fn from(id: &BundleId) -> Self {
        id.0.clone()
    }
}

/// An id can be read, and passed on, as the text that it is.
impl Deref for BundleId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for BundleId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for BundleId {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl PartialEq<BundleId> for String {
    fn eq(&self, id: &BundleId) -> bool {
        *self == id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn ids_of_both_kinds_are_read_and_others_refused() {
        let zip = format!("b1-{}", "0a".repeat(64));
        let wasm = format!("w1-{}", "0a".repeat(32));
        assert_eq!(zip.parse(), Ok(BundleId::endo_zip([10; 64])));
        assert_eq!(wasm.parse(), Ok(BundleId::wasm([10; 32])));
        assert_eq!(BundleId::endo_zip([10; 64]).kind(), BundleKind::EndoZip);
        assert_eq!(BundleId::wasm([10; 32]).kind(), BundleKind::Wasm);
        assert_eq!(BundleId::wasm([10; 32]).digest(), "0a".repeat(32));
        let upper = zip.replace('a', "A");
        let short = &zip[..130];
        for bad in ["", "b1-", "é1-", upper.as_str(), short, &wasm.replace("w1", "b1")] {
            assert!(bad.parse::<BundleId>().is_err(), "{bad}");
        }
        assert_eq!(
            "b1-0".parse::<BundleId>().unwrap_err().to_string(),
            "\"b1-0\" is not a bundle id: expected b1- and 128 lower-case hex digits (JavaScript) \
             or w1- and 64 (wasm)"
        );
    }

    #[test]
    fn a_prefix_names_the_kind_of_any_text() {
        assert_eq!(BundleKind::split("b1-boot"), Some((BundleKind::EndoZip, "boot")));
        assert_eq!(BundleKind::from_id("w1-"), Some(BundleKind::Wasm));
        assert_eq!(BundleKind::from_id("b2-00"), None);
    }
}
