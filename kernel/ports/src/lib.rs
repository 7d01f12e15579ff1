//! The kernel's ports: the two traits through which it knows the world.
//!
//! [`store`] is where its state lies; [`host`] is who runs vats. The kernel is generic over both;
//! the `store` and `vat/host` crates implement them and know nothing else of the kernel.

pub mod host;
pub mod layer;
pub mod memory;
pub mod store;

use borsh::{BorshDeserialize, BorshSerialize};

/// A vat's id: `v1`, `v2`, … in the order of creation, never used again.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct VatId(pub u64);

impl std::fmt::Display for VatId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl std::str::FromStr for VatId {
    type Err = NotAVatId;

    fn from_str(text: &str) -> Result<Self, NotAVatId> {
        let refuse = || NotAVatId(text.to_owned());
        let digits = text.strip_prefix('v').ok_or_else(refuse)?;
        let number: u64 = digits.parse().map_err(|_| refuse())?;
        match number.to_string() == digits && number > 0 {
            true => Ok(Self(number)),
            false => Err(refuse()),
        }
    }
}

/// A text that does not name a vat.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a vat id: expected v and a number from 1, as in v7")]
pub struct NotAVatId(pub String);

/// Computation, the deterministic measure of a vat's work: 100 points of the wasm meter each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize,
)]
pub struct Computrons(pub u64);

impl std::fmt::Display for Computrons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 hash, shown as 64 hex digits.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize,
)]
pub struct Hash(pub [u8; 32]);

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}
