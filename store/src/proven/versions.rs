//! The versions of the proven tree: which tree a height has, and how long its nodes are kept.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

use crate::{
    Error, StateView,
    changes::Written,
    proven::{
        PROVEN,
        node::{Link, NodeKey},
        tree::{self, Change, unwritable},
    },
};

/// A version of the tree, which holds from its height to that of the next version.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Version {
    pub(crate) height: u64,
    pub(crate) root: Option<Link>,
    /// Root hash of the state's tree.
    state_root: [u8; 32],
}

/// Numbers of the versions that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Kept {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Version {
    pub(crate) fn new(height: u64, root: Option<Link>, state_root: Hash) -> Self {
        Self { height, root, state_root: state_root.0 }
    }

    /// Returns the root hash of the proven tree, zero if it is empty.
    pub(crate) fn proven_root(&self) -> Hash {
        self.root.as_ref().map_or(Hash::default(), |root| Hash(root.hash))
    }

    /// Returns the root hash of the state's tree.
    pub(crate) fn state_root(&self) -> Hash {
        Hash(self.state_root)
    }

    pub(crate) fn numbered(state: &StateView, number: u64) -> Result<Self, Error> {
        read(state, &version_key(number))?.ok_or_else(|| {
            Error::Damaged(format!("version {number} of the proven tree is missing"))
        })
    }

    /// Returns the last version, or `None` before the first one.
    pub(crate) fn last(state: &StateView) -> Result<Option<Self>, Error> {
        let kept = Kept::load(state)?;
        kept.map(|kept| Self::numbered(state, kept.last)).transpose()
    }

    /// Returns the version that holds at `height`, or `None` if it is not kept any more.
    pub(crate) fn at(state: &StateView, height: u64) -> Result<Option<Self>, Error> {
        let Some(Kept { first, last }) = Kept::load(state)? else { return Ok(None) };
        // Its number is at least `low`, unless none is old enough, and less than `high`.
        let (mut low, mut high) = (first, last.saturating_add(1));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match Self::numbered(state, middle)?.height <= height {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(Some(Self::numbered(state, low)?).filter(|version| version.height <= height))
    }
}

impl Kept {
    /// Returns which versions are kept, or `None` before the first one.
    pub(crate) fn load(state: &StateView) -> Result<Option<Self>, Error> {
        read(state, KEPT)
    }

    /// Returns the record of a state of which only the last version is kept.
    pub(crate) fn only_last(self) -> Result<Vec<u8>, Error> {
        borsh::to_vec(&Self { first: self.last, ..self }).map_err(unwritable)
    }
}

/// A block's effect on the proven tree.
pub(crate) struct Advanced {
    /// Entries to write, in any order.
    pub(crate) writes: Vec<Written>,
    /// New root hash, zero if the tree is empty.
    pub(crate) root: Hash,
}

/// Applies a block's `changes`, and prunes what no height within `retain_heights` has. Returns `None` if the block
/// changes neither this tree nor `state_root`.
pub(crate) fn advance(
    state: &StateView,
    height: u64,
    changes: &[Change],
    state_root: Hash,
    retain_heights: u64,
) -> Result<Option<Advanced>, Error> {
    if changes.is_empty() && state_root == state.root() {
        return Ok(None);
    }
    let kept = Kept::load(state)?;
    let before = kept.map(|kept| Version::numbered(state, kept.last)).transpose()?;
    let old = before.and_then(|version| version.root);
    let applied = tree::apply(state, old.clone(), height, changes)?;
    if applied.root == old && state_root == state.root() {
        return Ok(None);
    }
    let version = Version::new(height, applied.root, state_root);
    let root = version.proven_root();
    let number = kept.map_or(1, |kept| kept.last.saturating_add(1));
    let mut writes = applied.nodes;
    let mut first = kept.map_or(number, |kept| kept.first);
    if let Some(kept) = kept {
        first = prune(state, kept, height.saturating_sub(retain_heights), &mut writes)?;
    }
    writes.push(written(version_key(number), &version)?);
    if !applied.orphans.is_empty() {
        writes.push(written(orphans_key(number), &applied.orphans)?);
    }
    writes.push(written(KEPT.to_vec(), &Kept { first, last: number })?);
    Ok(Some(Advanced { writes, root }))
}

/// Removes the oldest versions that no height from `oldest` on has. Returns the number of the first one that stays.
fn prune(
    state: &StateView,
    kept: Kept,
    oldest: u64,
    writes: &mut Vec<Written>,
) -> Result<u64, Error> {
    let mut first = kept.first;
    let stop = kept.last.min(first.saturating_add(PRUNED));
    while first < stop && Version::numbered(state, first + 1)?.height <= oldest {
        let orphans = orphans(state, first + 1)?;
        writes.extend(orphans.iter().map(|node| (node.entry_key().into(), None)));
        if !orphans.is_empty() {
            writes.push((orphans_key(first + 1).into(), None));
        }
        writes.push((version_key(first).into(), None));
        first += 1;
    }
    Ok(first)
}

/// Upper bound of the versions that one block prunes. It makes one at most, so that there are never more for long.
const PRUNED: u64 = 16;

/// Returns the nodes that the version `number` no longer has, unlike the one before it.
pub(crate) fn orphans(state: &StateView, number: u64) -> Result<Vec<NodeKey>, Error> {
    Ok(read(state, &orphans_key(number))?.unwrap_or_default())
}

pub(crate) fn version_key(number: u64) -> Vec<u8> {
    [PROVEN, VERSION, &number.to_be_bytes()].concat()
}

/// What the keys of versions have after [`PROVEN`].
const VERSION: &[u8] = b"v.";

fn orphans_key(number: u64) -> Vec<u8> {
    [PROVEN, b"o.", &number.to_be_bytes()].concat()
}

/// Key of the record of what is kept.
pub(crate) const KEPT: &[u8] = b"local.proven.kept";

fn read<T: BorshDeserialize>(state: &StateView, key: &[u8]) -> Result<Option<T>, Error> {
    let Some(bytes) = state.lend(key)? else { return Ok(None) };
    parse(key, &bytes).map(Some)
}

fn parse<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, Error> {
    let malformed =
        || Error::Damaged(format!("the record {:?} is malformed", String::from_utf8_lossy(key)));
    borsh::from_slice(bytes).map_err(|_| malformed())
}

fn written<T: BorshSerialize>(key: Vec<u8>, value: &T) -> Result<Written, Error> {
    let bytes = borsh::to_vec(value).map_err(unwritable)?;
    Ok((key.into(), Some(bytes.into())))
}
