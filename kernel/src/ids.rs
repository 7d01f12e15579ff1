//! Identifiers: kernel references, endpoints and the grammar of vrefs.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
pub use capstan_abi::{BundleId, BundleKind};
pub use capstan_kernel_ports::VatId;
pub(crate) use capstan_passable::canonical_decimal;

/// A kernel reference: an object `koN`, a promise `kpN` or a device node `kdN`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum KRef {
    /// `koN`, from ko20.
    Object(u64),
    /// `kpN`, from kp40.
    Promise(u64),
    /// `kdN`, from kd30.
    Device(u64),
}

impl KRef {
    /// Reads `koN`, `kpN` or `kdN` with a canonical decimal.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| canonical_decimal(digits);
        match text.get(..2)? {
            "ko" => number(&text[2..]).map(Self::Object),
            "kp" => number(&text[2..]).map(Self::Promise),
            "kd" => number(&text[2..]).map(Self::Device),
            _ => None,
        }
    }
}

impl fmt::Display for KRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(n) => write!(f, "ko{n}"),
            Self::Promise(n) => write!(f, "kp{n}"),
            Self::Device(n) => write!(f, "kd{n}"),
        }
    }
}

/// The id `dN` of a [`Device`](crate::device::Device), from d7.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct DeviceId(pub u64);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// The id `rN` of a [`Remote`](crate::remote::Remote), from r1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct RemoteId(pub u64);

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// An owner of a c-list: a vat, a device or a remote.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Endpoint {
    /// A vat, by its [`VatId`].
    Vat(VatId),
    /// A device, by its [`DeviceId`].
    Device(DeviceId),
    /// A remote, by its [`RemoteId`].
    Remote(RemoteId),
}

impl Endpoint {
    /// Reads `vN`, `dN` or `rN` with a canonical decimal, as [`Display`](fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let number = canonical_decimal(text.get(1..)?)?;
        match text.as_bytes().first()? {
            b'v' => Some(Self::Vat(VatId(number))),
            b'd' => Some(Self::Device(DeviceId(number))),
            b'r' => Some(Self::Remote(RemoteId(number))),
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vat(id) => id.fmt(f),
            Self::Device(id) => id.fmt(f),
            Self::Remote(id) => id.fmt(f),
        }
    }
}

/// The id `mN` of a [`Meter`](crate::meter::Meter), from m1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct MeterId(pub u64);

impl MeterId {
    /// Reads `mN` with a canonical decimal.
    pub fn parse(text: &str) -> Option<Self> {
        canonical_decimal(text.strip_prefix('m')?).map(Self)
    }
}

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// The kind of thing that a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object.
    Object,
    /// A promise.
    Promise,
    /// A device node.
    Device,
}

/// The lifetime of an exported object: the `d` or `v` in its vref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Gone with the incarnation.
    Ephemeral,
    /// Merely virtual: paged out, but gone with the incarnation.
    Virtual,
    /// Kept across upgrades.
    Durable,
}

/// The parts of a vref or rref that the kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefParts {
    /// The [`Kind`] of its target.
    pub kind: Kind,
    /// True for `+`, which the endpoint made. False for `-`, which the kernel gave to the endpoint.
    pub exported: bool,
    /// The [`Durability`] of an exported object.
    pub durability: Durability,
    /// True for `o+0`, a vat's root object.
    pub is_root: bool,
}

/// Reads a vref: `[opd][+-]N`, and for exported objects `o+[dv]N[/I[:F]]`. All numbers are canonical
/// decimals. Returns `None` for anything else.
pub fn parse_vref(vref: &str) -> Option<RefParts> {
    let bytes = vref.as_bytes();
    let kind = match bytes.first()? {
        b'o' => Kind::Object,
        b'p' => Kind::Promise,
        b'd' => Kind::Device,
        _ => return None,
    };
    let exported = match bytes.get(1)? {
        b'+' => true,
        b'-' => false,
        _ => return None,
    };
    let rest = vref.get(2..)?;
    let (durability, rest) = match rest.as_bytes().first()? {
        b'd' => (Durability::Durable, &rest[1..]),
        b'v' => (Durability::Virtual, &rest[1..]),
        _ => (Durability::Ephemeral, rest),
    };
    match durability {
        Durability::Ephemeral => canonical_decimal(rest).map(|_| ())?,
        _ if kind == Kind::Object && exported => virtual_suffix(rest)?,
        _ => return None,
    }
    Some(RefParts { kind, exported, durability, is_root: vref == "o+0" })
}

/// `N`, `N/I` or `N/I:F`.
fn virtual_suffix(text: &str) -> Option<()> {
    let Some((kind, instance)) = text.split_once('/') else {
        return canonical_decimal(text).map(|_| ());
    };
    canonical_decimal(kind)?;
    match instance.split_once(':') {
        None => canonical_decimal(instance).map(|_| ()),
        Some((instance, facet)) => {
            canonical_decimal(instance)?;
            canonical_decimal(facet).map(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vrefs_are_canonical_or_refused() {
        for good in ["o+0", "o-50", "p+5", "p-60", "d-70", "o+d10/3", "o+v2/1:0", "o+d1"] {
            assert!(parse_vref(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "o",
            "o+",
            "o+00",
            "o+0x1",
            "x+1",
            "o*1",
            "o-d1/2",
            "p+d1",
            "o+d1/",
            "o+1/2",
            "o+d1/2:",
            "o+d1/02",
            "o+1 ",
            "o+18446744073709551616",
            "é+1",
        ] {
            assert!(parse_vref(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn krefs_and_endpoints_survive_their_text() {
        for kref in [KRef::Object(20), KRef::Promise(40), KRef::Device(30)] {
            assert_eq!(KRef::parse(&kref.to_string()), Some(kref));
        }
        for text in ["v1", "d7", "r1"] {
            assert_eq!(Endpoint::parse(text).map(|e| e.to_string()).as_deref(), Some(text));
        }
        assert_eq!(KRef::parse("ko007"), None);
        assert_eq!(Endpoint::parse("v"), None);
    }
}
