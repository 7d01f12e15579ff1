//! The commit of a block: the validator's vote, signed as CometBFT signs precommits.

use prost::Message;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    CommitInfo, ExtendedCommitInfo, ExtendedVoteInfo, Validator, VoteInfo,
};
use tendermint_proto::v0_38::types::{
    BlockId, BlockIdFlag, CanonicalBlockId, CanonicalPartSetHeader, CanonicalVote, Commit,
    CommitSig, SignedMsgType,
};

use crate::key::ValidatorKey;

/// Signs a precommit for the block `block_id` at `time`, in round 0. Returns the [`Commit`] that holds it.
pub(crate) fn signed(
    key: &ValidatorKey,
    chain_id: &str,
    height: i64,
    block_id: &BlockId,
    time: Timestamp,
) -> Commit {
    let signature = CommitSig {
        block_id_flag: BlockIdFlag::Commit.into(),
        validator_address: key.address().as_bytes().to_vec(),
        timestamp: Some(time),
        signature: sign(key, chain_id, SignedMsgType::Precommit, height, block_id, time),
    };
    Commit { height, round: 0, block_id: Some(block_id.clone()), signatures: vec![signature] }
}

/// Signs a vote for the block `block_id` at `time`, in round 0. Returns the signature.
pub(crate) fn sign(
    key: &ValidatorKey,
    chain_id: &str,
    kind: SignedMsgType,
    height: i64,
    block_id: &BlockId,
    time: Timestamp,
) -> Vec<u8> {
    let vote = CanonicalVote {
        r#type: kind.into(),
        height,
        round: 0,
        block_id: Some(canonical(block_id)),
        timestamp: Some(time),
        chain_id: chain_id.to_owned(),
    };
    key.sign(&vote.encode_length_delimited_to_vec())
}

/// Renders `commit` as `ProcessProposal` and `FinalizeBlock` carry it. The commit of the first block is empty.
pub(crate) fn info(commit: &Commit, power: i64) -> CommitInfo {
    let votes = commit.signatures.iter().map(|signature| VoteInfo {
        validator: Some(voter(signature, power)),
        block_id_flag: signature.block_id_flag,
    });
    CommitInfo { round: commit.round, votes: votes.collect() }
}

/// Renders `commit` as `PrepareProposal` carries it: as [`info`] does, with empty vote extensions.
pub(crate) fn extended_info(commit: &Commit, power: i64) -> ExtendedCommitInfo {
    let votes = commit.signatures.iter().map(|signature| ExtendedVoteInfo {
        validator: Some(voter(signature, power)),
        block_id_flag: signature.block_id_flag,
        ..ExtendedVoteInfo::default()
    });
    ExtendedCommitInfo { round: commit.round, votes: votes.collect() }
}

fn voter(signature: &CommitSig, power: i64) -> Validator {
    Validator { address: signature.validator_address.clone().into(), power }
}

fn canonical(block_id: &BlockId) -> CanonicalBlockId {
    let parts = block_id.part_set_header.clone().unwrap_or_default();
    CanonicalBlockId {
        hash: block_id.hash.clone(),
        part_set_header: Some(CanonicalPartSetHeader { total: parts.total, hash: parts.hash }),
    }
}
