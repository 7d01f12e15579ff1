//! ICS-23 proofs of the proven tree, for keys that it has and for those that it has not.

use ics23::{
    CommitmentProof, ExistenceProof, HashOp, InnerOp, LeafOp, LengthOp, NonExistenceProof,
    commitment_proof::Proof,
};

use crate::{
    Error, StateView,
    proven::node::{Inner, Leaf, Link, Node},
};

/// Returns the value of `key`, or `None` if there is none, with the proof of either.
pub(crate) fn prove(
    state: &StateView,
    root: &Link,
    key: &[u8],
) -> Result<(Option<Vec<u8>>, CommitmentProof), Error> {
    let found = Path::to(state, root, key)?;
    if found.leaf.key == key {
        let value = found.leaf.value.clone();
        return Ok((Some(value), CommitmentProof { proof: Some(Proof::Exist(found.proof())) }));
    }
    let (left, right) = match found.leaf.key.as_slice() < key {
        true => {
            let right = found.neighbour(state, Side::Right)?;
            (Some(found), right)
        }
        false => (found.neighbour(state, Side::Left)?, Some(found)),
    };
    let absent = NonExistenceProof {
        key: key.to_vec(),
        left: left.map(|path| path.proof()),
        right: right.map(|path| path.proof()),
    };
    Ok((None, CommitmentProof { proof: Some(Proof::Nonexist(absent)) }))
}

/// A side of an inner node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The way from the root to a leaf.
struct Path {
    /// The inner nodes, the root first, each with the side on which it goes on.
    steps: Vec<(Inner<Link>, Side)>,
    leaf: Leaf,
}

impl Path {
    /// Goes to the leaf where `key` is or would be.
    fn to(state: &StateView, root: &Link, key: &[u8]) -> Result<Self, Error> {
        Self::descend(state, Vec::new(), root, |inner| match key < inner.key.as_slice() {
            true => Side::Left,
            false => Side::Right,
        })
    }

    fn descend(
        state: &StateView,
        mut steps: Vec<(Inner<Link>, Side)>,
        from: &Link,
        turn: impl Fn(&Inner<Link>) -> Side,
    ) -> Result<Self, Error> {
        let mut link = from.clone();
        loop {
            match Node::load(state, &link)? {
                Node::Leaf(leaf) => return Ok(Self { steps, leaf }),
                Node::Inner(inner) => {
                    let side = turn(&inner);
                    link = inner.child(side).clone();
                    steps.push((inner, side));
                }
            }
        }
    }

    /// Returns the way to the next leaf on one side, or `None` if this is the outermost one.
    fn neighbour(&self, state: &StateView, side: Side) -> Result<Option<Self>, Error> {
        let Some(at) = self.steps.iter().rposition(|(_, taken)| *taken != side) else {
            return Ok(None);
        };
        let mut steps = self.steps[..=at].to_vec();
        let (inner, taken) = &mut steps[at];
        *taken = side;
        let from = inner.child(side).clone();
        Self::descend(state, steps, &from, |_| side.other()).map(Some)
    }

    fn proof(&self) -> ExistenceProof {
        let leaf = LeafOp {
            hash: HashOp::Sha256.into(),
            prehash_key: HashOp::NoHash.into(),
            prehash_value: HashOp::Sha256.into(),
            length: LengthOp::VarProto.into(),
            prefix: self.leaf.prefix(),
        };
        ExistenceProof {
            key: self.leaf.key.clone(),
            value: self.leaf.value.clone(),
            leaf: Some(leaf),
            path: self.steps.iter().rev().map(|(inner, side)| inner_op(inner, *side)).collect(),
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl Inner<Link> {
    fn child(&self, side: Side) -> &Link {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }
}

/// Returns how a node hashes the child on `side`: what stands before it and after it.
fn inner_op(inner: &Inner<Link>, side: Side) -> InnerOp {
    let (mut prefix, mut suffix) = (inner.prefix(), Vec::new());
    prefix.push(HASH_BYTES);
    match side {
        Side::Left => {
            suffix.push(HASH_BYTES);
            suffix.extend(inner.right.hash);
        }
        Side::Right => {
            prefix.extend(inner.left.hash);
            prefix.push(HASH_BYTES);
        }
    }
    InnerOp { hash: HashOp::Sha256.into(), prefix, suffix }
}

/// Length of a hash, which IAVL writes before it.
const HASH_BYTES: u8 = 32;
