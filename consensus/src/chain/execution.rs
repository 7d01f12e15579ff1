//! The chain as a state machine.
//!
//! Each block takes five steps: propose, save, finalize, record, commit. After a crash between any two of them,
//! [`super::handshake`] continues where they stopped.

use std::sync::Arc;
use std::time::Duration;

use prost::bytes::Bytes;
use tendermint::Time;
use tendermint::block::Header as DomainHeader;
use tendermint::validator::{Info, Set};
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{
    RequestFinalizeBlock, RequestPrepareProposal, RequestProcessProposal, ResponseFinalizeBlock,
    ValidatorUpdate,
};
use tendermint_proto::v0_38::crypto::{PublicKey, public_key};
use tendermint_proto::v0_38::types::{
    Block, BlockId, BlockMeta, Commit, ConsensusParams, Data, EvidenceList, Header, PartSetHeader,
};
use tendermint_proto::v0_38::version::Consensus;

use super::abci::Abci;
use super::block_store::{BlockStore, BlockStoreError};
use crate::key::ValidatorKey;

use super::versions::BLOCK_PROTOCOL;
use super::{GenesisDoc, SoloError, commit, merkle, params};

/// The voting power of the validator if the genesis document does not say.
const DEFAULT_POWER: i64 = 10;

/// The chain with its application and its [`BlockStore`].
pub(crate) struct Chain {
    pub(super) app: Arc<dyn Abci>,
    pub(super) store: Arc<BlockStore>,
    pub(super) genesis: GenesisDoc,
    pub(crate) validator: Validator,
    pub(super) tip: Tip,
}

/// The one validator: its key, its power and the hash of the set that it makes.
#[derive(Clone, Debug)]
pub(crate) struct Validator {
    pub(crate) key: ValidatorKey,
    pub(crate) power: i64,
    pub(crate) set_hash: Vec<u8>,
}

/// The end of the chain: what the next block is built on.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    /// Height of the last block. Before the first block, one less than the initial height.
    pub(crate) height: i64,
    pub(crate) block_id: BlockId,
    pub(crate) time: Time,
    /// The app hash that the last block's header has: the state before that block.
    pub(crate) header_app_hash: Vec<u8>,
    /// The app hash after the last block.
    pub(crate) app_hash: Vec<u8>,
    pub(crate) results_hash: Vec<u8>,
    /// The parameters for the next block.
    pub(crate) params: ConsensusParams,
    /// The application's version for the next block. As in CometBFT, that of the parameters counts only once they change.
    pub(crate) app_version: u64,
}

/// A block with everything that is stored of it before it runs.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) block: Block,
    pub(crate) meta: BlockMeta,
    pub(crate) seen: Commit,
}

impl Validator {
    /// Makes the [`Validator`] of this node. A genesis document that names other validators is refused.
    pub(crate) fn new(key: ValidatorKey, genesis: &GenesisDoc) -> Result<Self, SoloError> {
        let power = match genesis.validators.as_slice() {
            [] => DEFAULT_POWER,
            [only] if only.public_key == key.public_bytes() => only.power,
            others => {
                let own = key.address().to_string();
                return Err(SoloError::GenesisValidators { count: others.len(), own });
            }
        };
        let voting_power = power.try_into().map_err(|_| SoloError::GenesisValidators {
            count: genesis.validators.len(),
            own: key.address().to_string(),
        })?;
        let set = Set::without_proposer(vec![Info::new(key.public_key(), voting_power)]);
        Ok(Self { set_hash: set.hash().as_bytes().to_vec(), power, key })
    }

    /// Returns the validator as ABCI carries it.
    pub(crate) fn update(&self) -> ValidatorUpdate {
        let key = public_key::Sum::Ed25519(self.key.public_bytes().to_vec());
        ValidatorUpdate { pub_key: Some(PublicKey { sum: Some(key) }), power: self.power }
    }
}

impl Proposal {
    /// Returns the id of the block.
    pub(crate) fn block_id(&self) -> BlockId {
        self.meta.block_id.clone().unwrap_or_default()
    }
}

impl Chain {
    /// Returns whether the next block must be made even without transactions.
    ///
    /// This holds for the first block, and for a block after a change of the app hash, so that some header has every
    /// state (CometBFT's `needProofBlock`).
    pub(crate) fn needs_proof_block(&self) -> bool {
        self.next_height() == self.genesis.initial_height
            || self.tip.header_app_hash != self.tip.app_hash
    }

    /// Returns the end of the chain.
    pub(crate) fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Builds the next block from `candidates`. The application may reorder them, leave some out and add others.
    pub(crate) fn propose(&self, candidates: Vec<Bytes>, now: Time) -> Result<Proposal, SoloError> {
        let time = self.next_time(now);
        let last_commit = self.last_commit(time);
        let txs = self.prepared(candidates, time, &last_commit)?;
        let proposal = self.assemble(txs, time, last_commit)?;
        self.check_proposal(&proposal)?;
        Ok(proposal)
    }

    /// Stores a block durably, before the application executes it.
    pub(crate) fn save(&self, proposal: &Proposal) -> Result<(), SoloError> {
        Ok(self.store.save_block(&proposal.block, &proposal.meta, &proposal.seen)?)
    }

    /// Executes a block and checks that the response keeps the rules of ABCI.
    pub(crate) fn finalize(
        &self,
        block: &Block,
        block_id: &BlockId,
    ) -> Result<ResponseFinalizeBlock, SoloError> {
        let header = header_of(block)?;
        let txs = shared_txs(block);
        let tx_count = txs.len();
        let results = self.app.finalize_block(RequestFinalizeBlock {
            txs,
            decided_last_commit: Some(commit::info(&last_commit_of(block), self.validator.power)),
            misbehavior: Vec::new(),
            hash: block_id.hash.clone().into(),
            height: header.height,
            time: header.time,
            next_validators_hash: header.next_validators_hash.clone().into(),
            proposer_address: header.proposer_address.clone().into(),
        });
        self.check_results(header.height, tx_count, &results)?;
        Ok(results)
    }

    /// Stores the results of a block, before the application is told to commit.
    pub(crate) fn record(
        &self,
        block: &Block,
        results: &ResponseFinalizeBlock,
    ) -> Result<(), SoloError> {
        let changed = results.consensus_param_updates.is_some();
        let params = params::merged(&self.tip.params, results.consensus_param_updates.as_ref());
        Ok(self.store.save_results(block, results, changed.then_some(&params))?)
    }

    /// Makes the application commit a recorded block, which becomes the [`Tip`].
    pub(crate) fn commit(
        &mut self,
        block: &Block,
        block_id: BlockId,
        results: &ResponseFinalizeBlock,
    ) -> Result<(), SoloError> {
        self.app.commit();
        let params = params::merged(&self.tip.params, results.consensus_param_updates.as_ref());
        self.explain_updates(self.next_height(), &results.validator_updates);
        self.tip = Tip::after(block, block_id, results, params)?;
        Ok(())
    }

    fn next_height(&self) -> i64 {
        self.tip.height + 1
    }

    /// The first block has the genesis time, as in CometBFT. Each later block is later than the one before.
    fn next_time(&self, now: Time) -> Time {
        if self.next_height() == self.genesis.initial_height {
            return self.genesis.time;
        }
        let earliest = (self.tip.time + Duration::from_millis(1)).unwrap_or(self.tip.time);
        if now.after(earliest) { now } else { earliest }
    }

    /// The commit of the last block as the next one includes it. A header's time is by CometBFT's
    /// rules the median time of this commit, so the vote is signed with the new block's time.
    fn last_commit(&self, time: Time) -> Commit {
        if self.next_height() == self.genesis.initial_height {
            let block_id =
                Some(BlockId { hash: Vec::new(), part_set_header: Some(PartSetHeader::default()) });
            return Commit { block_id, ..Commit::default() };
        }
        self.signed(self.tip.height, &self.tip.block_id, time.into())
    }

    fn signed(&self, height: i64, block_id: &BlockId, time: Timestamp) -> Commit {
        commit::signed(&self.validator.key, self.genesis.chain_id(), height, block_id, time)
    }

    fn prepared(
        &self,
        txs: Vec<Bytes>,
        time: Time,
        last_commit: &Commit,
    ) -> Result<Vec<Bytes>, SoloError> {
        let max_tx_bytes = params::max_data_bytes(&self.tip.params);
        let response = self.app.prepare_proposal(RequestPrepareProposal {
            max_tx_bytes,
            txs,
            local_last_commit: Some(commit::extended_info(last_commit, self.validator.power)),
            misbehavior: Vec::new(),
            height: self.next_height(),
            time: Some(time.into()),
            next_validators_hash: self.validator.set_hash.clone().into(),
            proposer_address: self.address().into(),
        });
        let bytes: i64 = response.txs.iter().map(|tx| params::tx_size_in_block(tx.len())).sum();
        if bytes > max_tx_bytes {
            let why = format!(
                "PrepareProposal returned {bytes} bytes of transactions; {max_tx_bytes} are allowed"
            );
            return Err(SoloError::Abci { height: self.next_height(), why });
        }
        Ok(response.txs)
    }

    fn assemble(
        &self,
        txs: Vec<Bytes>,
        time: Time,
        last_commit: Commit,
    ) -> Result<Proposal, SoloError> {
        let header = Header {
            version: Some(Consensus { block: BLOCK_PROTOCOL, app: self.tip.app_version }),
            chain_id: self.genesis.chain_id().to_owned(),
            height: self.next_height(),
            time: Some(time.into()),
            last_block_id: Some(self.tip.block_id.clone()),
            last_commit_hash: merkle::commit_hash(&last_commit).to_vec(),
            data_hash: merkle::data_hash(&txs).to_vec(),
            validators_hash: self.validator.set_hash.clone(),
            next_validators_hash: self.validator.set_hash.clone(),
            consensus_hash: merkle::consensus_hash(&self.tip.params).to_vec(),
            app_hash: self.tip.app_hash.clone(),
            last_results_hash: self.tip.results_hash.clone(),
            evidence_hash: merkle::root(&[[0_u8; 0]; 0]).to_vec(),
            proposer_address: self.address(),
        };
        let hash = header_hash(&header)?;
        let num_txs = i64::try_from(txs.len()).unwrap_or(i64::MAX);
        let block = Block {
            header: Some(header.clone()),
            data: Some(Data { txs: txs.iter().map(|tx| tx.to_vec()).collect() }),
            evidence: Some(EvidenceList::default()),
            last_commit: Some(last_commit),
        };
        let (parts, size) = merkle::part_set(&block);
        let block_id = BlockId { hash, part_set_header: Some(parts) };
        let seen = self.signed(header.height, &block_id, time.into());
        let block_size = i64::try_from(size).unwrap_or(i64::MAX);
        let meta =
            BlockMeta { block_id: Some(block_id), block_size, header: Some(header), num_txs };
        Ok(Proposal { block, meta, seen })
    }

    fn check_proposal(&self, proposal: &Proposal) -> Result<(), SoloError> {
        let header = header_of(&proposal.block)?;
        let response = self.app.process_proposal(RequestProcessProposal {
            txs: shared_txs(&proposal.block),
            proposed_last_commit: Some(commit::info(
                &last_commit_of(&proposal.block),
                self.validator.power,
            )),
            misbehavior: Vec::new(),
            hash: proposal.block_id().hash.into(),
            height: header.height,
            time: header.time,
            next_validators_hash: header.next_validators_hash.clone().into(),
            proposer_address: header.proposer_address.clone().into(),
        });
        if response.status() == ProposalStatus::Accept {
            return Ok(());
        }
        let why = "ProcessProposal refused the block that PrepareProposal made".to_owned();
        Err(SoloError::Abci { height: header.height, why })
    }

    fn check_results(
        &self,
        height: i64,
        txs: usize,
        results: &ResponseFinalizeBlock,
    ) -> Result<(), SoloError> {
        let broken = |why: String| Err(SoloError::Abci { height, why });
        if results.tx_results.len() != txs {
            return broken(format!(
                "FinalizeBlock gave {} results for {txs} transactions",
                results.tx_results.len()
            ));
        }
        if let Some(why) = results.validator_updates.iter().find_map(no_update) {
            return broken(format!("FinalizeBlock's validator updates: {why}"));
        }
        let params = params::merged(&self.tip.params, results.consensus_param_updates.as_ref());
        params::fault(&params)
            .map_or(Ok(()), |why| broken(format!("FinalizeBlock's consensus parameters: {why}")))
    }

    /// Logs what a change of the validators means under solo consensus.
    ///
    /// The change is in the block's results, as the application wrote it. It does not change who signs blocks.
    fn explain_updates(&self, height: i64, updates: &[ValidatorUpdate]) {
        let own = self.validator.update();
        for update in updates.iter().filter(|update| **update != own) {
            let who = if update.pub_key == own.pub_key { "this node's own" } else { "another" };
            tracing::warn!(
                height,
                power = update.power,
                "the application changes {who} validator's power; it is recorded, but solo consensus has one validator, \
                 which goes on signing alone with power {}. On CometBFT (capstan localnet, capstan start) the change takes effect",
                own.power
            );
        }
    }

    fn address(&self) -> Vec<u8> {
        self.validator.key.address().as_bytes().to_vec()
    }
}

impl Tip {
    /// Returns the tip after `block`, with the parameters that hold after it.
    pub(crate) fn after(
        block: &Block,
        block_id: BlockId,
        results: &ResponseFinalizeBlock,
        params: ConsensusParams,
    ) -> Result<Self, BlockStoreError> {
        let header = header_of(block)?;
        let app_version = match &results.consensus_param_updates {
            Some(_) => params.version.unwrap_or_default().app,
            None => header.version.unwrap_or_default().app,
        };
        Ok(Self {
            height: header.height,
            block_id,
            time: header_time(header)?,
            header_app_hash: header.app_hash.clone(),
            app_hash: results.app_hash.to_vec(),
            results_hash: merkle::results_hash(&results.tx_results).to_vec(),
            params,
            app_version,
        })
    }
}

/// Returns the reason for which CometBFT would refuse a validator update, or `None` if it would accept it.
fn no_update(update: &ValidatorUpdate) -> Option<String> {
    let key = update.pub_key.as_ref().and_then(|key| key.sum.as_ref());
    match key {
        Some(public_key::Sum::Ed25519(bytes)) if bytes.len() == 32 && update.power >= 0 => None,
        Some(public_key::Sum::Ed25519(bytes)) if bytes.len() == 32 => {
            Some(format!("a power of {}", update.power))
        }
        _ => Some("a key that is no Ed25519 key".to_owned()),
    }
}

/// Returns the header of a block. Every stored block has one.
pub(crate) fn header_of(block: &Block) -> Result<&Header, BlockStoreError> {
    block
        .header
        .as_ref()
        .ok_or_else(|| BlockStoreError::Damaged("a block without a header".to_owned()))
}

/// Returns the transactions of a block.
pub(crate) fn txs_of(block: &Block) -> &[Vec<u8>] {
    block.data.as_ref().map_or(&[], |data| data.txs.as_slice())
}

fn shared_txs(block: &Block) -> Vec<Bytes> {
    txs_of(block).iter().map(|tx| Bytes::copy_from_slice(tx)).collect()
}

fn last_commit_of(block: &Block) -> Commit {
    block.last_commit.clone().unwrap_or_default()
}

fn header_time(header: &Header) -> Result<Time, BlockStoreError> {
    let damaged = || {
        BlockStoreError::Damaged(format!(
            "the header of height {} has no valid time",
            header.height
        ))
    };
    header.time.ok_or_else(damaged)?.try_into().map_err(|_| damaged())
}

/// The hash of a header: CometBFT's block hash.
pub(crate) fn header_hash(header: &Header) -> Result<Vec<u8>, SoloError> {
    let domain = DomainHeader::try_from(header.clone()).map_err(|error| SoloError::Abci {
        height: header.height,
        why: format!("the header is invalid: {error}"),
    })?;
    Ok(domain.hash().as_bytes().to_vec())
}
