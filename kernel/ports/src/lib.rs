//! The kernel's ports: the two interfaces through which the kernel reaches the world outside of it.
//!
//! * [`store`] is the interface to state: an ordered map, and overlays for blocks and cranks.
//! * [`host`] is the interface to vats: workers that take deliveries, make syscalls and are metered.
//!
//! The kernel is generic over both. The crates `capstan-store` and `capstan-vat-host` implement them, and know nothing
//! else of the kernel. [`ahead`] is how a host makes deliveries before their turn. [`artifact`] is how the kernel's part of a
//! state snapshot leaves and enters a store. [`memory`] implements the first in memory, for tests. [`layer`] lets a host be
//! wrapped.
//!
//! # Example
//!
//! A crank writes to a level of its own, which is merged if the crank succeeds and rolled back if it fails.
//!
//! ```
//! use capstan_kernel_ports::{
//!     memory::MemoryState,
//!     store::{Overlay, Read, StoreFault},
//! };
//!
//! fn main() -> Result<(), StoreFault> {
//!     let mut state = MemoryState::default();
//!     state.set(b"v1.status", b"running".to_vec());
//!
//!     state.push(); // a crank that succeeds
//!     state.set(b"v1.deliveries", b"1".to_vec());
//!     state.merge();
//!
//!     state.push(); // a crank that fails
//!     state.delete(b"v1.status");
//!     state.rollback();
//!
//!     let keys: Vec<Vec<u8>> = state.scan(b"v1.")?.into_iter().map(|(key, _)| key).collect();
//!     assert_eq!(keys, [b"v1.deliveries".to_vec(), b"v1.status".to_vec()]);
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

pub mod ahead;
pub mod artifact;
pub mod fault;
pub mod host;
pub mod layer;
pub mod memory;
pub mod store;
pub mod through;

use borsh::{BorshDeserialize, BorshSerialize};

/// Identifier of a vat, shown as `v1`, `v2` and so on in the order of creation.
///
/// Ids are never reused. [`VatId::from_str`](std::str::FromStr) reads the shown form.
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

/// The error of parsing a text that is not a [`VatId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a vat id: expected v and a number from 1, as in v7")]
pub struct NotAVatId(pub String);

/// An amount of computation, the deterministic measure of a vat's work.
///
/// One computron is 100 points of the WebAssembly meter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize,
)]
pub struct Computrons(pub u64);

impl std::fmt::Display for Computrons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 hash, shown as 64 lower-case hexadecimal digits.
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
