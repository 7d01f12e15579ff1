//! ABCI 2.0: every method answered on purpose.

use std::{collections::BTreeSet, time::Instant};

use capstan_genesis::AppState;
use capstan_kernel_ports::host::VatHost;
use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    RequestApplySnapshotChunk, RequestCheckTx, RequestEcho, RequestExtendVote,
    RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestLoadSnapshotChunk,
    RequestOfferSnapshot, RequestPrepareProposal, RequestProcessProposal, RequestQuery,
    RequestVerifyVoteExtension, ResponseApplySnapshotChunk, ResponseCheckTx, ResponseCommit,
    ResponseEcho, ResponseExtendVote, ResponseFinalizeBlock, ResponseFlush, ResponseInfo,
    ResponseInitChain, ResponseListSnapshots, ResponseLoadSnapshotChunk, ResponseOfferSnapshot,
    ResponsePrepareProposal, ResponseProcessProposal, ResponseQuery, ResponseVerifyVoteExtension,
    response_apply_snapshot_chunk, response_offer_snapshot,
    response_process_proposal::ProposalStatus, response_verify_vote_extension::VerifyStatus,
};

use crate::{
    app::{App, Committed},
    block::EngineGenesis,
    chain::ChainRecord,
    check,
    fault::NodeFault,
    query,
    tx::{Tx, TxHash},
};

/// Counts incompatible versions of the app: of what it writes, and of what it accepts.
pub const APP_VERSION: u64 = 1;

impl<H: VatHost + Send + 'static> Application for App<H> {
    fn echo(&self, request: RequestEcho) -> ResponseEcho {
        ResponseEcho { message: request.message }
    }

    fn flush(&self) -> ResponseFlush {
        // Every answer is given at once; nothing is held back.
        ResponseFlush {}
    }

    /// Where the app stands. From this the engine knows which blocks to execute again.
    fn info(&self, _request: RequestInfo) -> ResponseInfo {
        let committed = self.committed();
        let height = self.own_height(&committed);
        let hash = if height == 0 { Vec::new() } else { committed.state.root().0.to_vec() };
        ResponseInfo {
            data: "capstan".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app_version: APP_VERSION,
            last_block_height: i64::try_from(height).unwrap_or(i64::MAX),
            last_block_app_hash: hash.into(),
        }
    }

    /// Writes the chain's first state. Validators and consensus parameters stay as in the genesis
    /// document. A wrong document stops the node: ABCI has no other way to say so.
    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        let root = self.with_consensus("InitChain", |consensus| {
            let chain = ChainRecord {
                chain_id: request.chain_id.clone(),
                initial_height: u64::try_from(request.initial_height).unwrap_or(1).max(1),
            };
            let genesis = AppState::from_json(&request.app_state_bytes)
                .map_err(|e| NodeFault::Genesis(e.to_string()))?;
            let block = request.consensus_params.as_ref().and_then(|params| params.block.as_ref());
            let engine = EngineGenesis {
                validators: request.validators.clone(),
                // -1 says that there is no bound.
                max_gas: block.and_then(|block| u64::try_from(block.max_gas).ok()),
                time: seconds(request.time.as_ref()),
            };
            consensus.init_chain(&chain, &genesis, &engine)?.map_err(NodeFault::Genesis)
        });
        ResponseInitChain {
            consensus_params: None,
            validators: Vec::new(),
            app_hash: root.0.to_vec().into(),
        }
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        query::answer(&self.committed().state, &request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        let committed = self.check_state().committed();
        let Some(chain) = &committed.chain else {
            return check::unavailable("the chain has no block yet; try again after the first one");
        };
        // Decoding needs no lock: only the check against the accounts does.
        let tx = match Tx::decode(&request.tx, &chain.params) {
            Ok(tx) => tx,
            Err(error) => return check::refused(&error),
        };
        let outcome = self.check_state().check(&tx);
        match outcome {
            Ok(Ok(())) => check::accepted(&tx),
            Ok(Err(error)) => check::refused(&error),
            Err(fault) => check::unavailable(&fault.to_string()),
        }
    }

    /// Takes the transactions in the mempool's order as long as they fit, by their size and their gas. Those
    /// that no honest proposer takes are left out: other validators would refuse the block.
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        let committed = self.committed();
        let mut room = Room::of(&committed);
        room.engine_bytes = u64::try_from(request.max_tx_bytes).unwrap_or(0);
        let mut txs = Vec::with_capacity(request.txs.len());
        for tx in request.txs {
            match room.take(&committed, &tx) {
                Ok(()) => txs.push(tx),
                Err(Unfit::Never) => {}
                // What follows a transaction that does not fit may be of its sender: the order matters.
                Err(Unfit::NoRoom) => break,
            }
        }
        ResponsePrepareProposal { txs }
    }

    /// Refuses a block that no honest proposer makes: over a limit, with a transaction twice, or with one that
    /// cannot be decoded.
    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        let committed = self.committed();
        let mut room = Room::of(&committed);
        let sound = request.txs.iter().all(|tx| room.take(&committed, tx).is_ok());
        let status = if sound { ProposalStatus::Accept } else { ProposalStatus::Reject };
        ResponseProcessProposal { status: status.into() }
    }

    /// Capstan's votes carry nothing.
    fn extend_vote(&self, _request: RequestExtendVote) -> ResponseExtendVote {
        ResponseExtendVote::default()
    }

    /// Since our votes carry nothing, a vote that carries something is not of this chain.
    fn verify_vote_extension(
        &self,
        request: RequestVerifyVoteExtension,
    ) -> ResponseVerifyVoteExtension {
        let status = match request.vote_extension.is_empty() {
            true => VerifyStatus::Accept,
            false => VerifyStatus::Reject,
        };
        ResponseVerifyVoteExtension { status: status.into() }
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        let began = Instant::now();
        let executed = self.with_consensus("FinalizeBlock", |consensus| {
            let wrong = || NodeFault::Damaged(format!("block height {}", request.height));
            let height = u64::try_from(request.height).map_err(|_| wrong())?;
            let time = seconds(request.time.as_ref());
            consensus.finalize(height, time, &request.txs, &request.misbehavior)
        });
        self.metrics().finalized(began.elapsed());
        ResponseFinalizeBlock {
            events: executed.events,
            tx_results: executed.results,
            validator_updates: executed.validator_updates,
            consensus_param_updates: None,
            app_hash: executed.root.0.to_vec().into(),
        }
    }

    fn commit(&self) -> ResponseCommit {
        let began = Instant::now();
        let codes = self.with_consensus("Commit", |consensus| {
            let (snapshot, codes) = consensus.commit()?;
            // While consensus is held, so that heights become visible in order.
            self.publish(snapshot)?;
            Ok(codes)
        });
        self.metrics().committed(began.elapsed(), &codes);
        // The engine may keep all blocks: transactions are found in them.
        ResponseCommit { retain_height: 0 }
    }

    /// There are no snapshots: a new node executes the blocks.
    fn list_snapshots(&self) -> ResponseListSnapshots {
        ResponseListSnapshots { snapshots: Vec::new() }
    }

    /// None is accepted, whatever its format.
    fn offer_snapshot(&self, _request: RequestOfferSnapshot) -> ResponseOfferSnapshot {
        ResponseOfferSnapshot { result: response_offer_snapshot::Result::Reject.into() }
    }

    /// An empty chunk: there are no snapshots.
    fn load_snapshot_chunk(&self, _request: RequestLoadSnapshotChunk) -> ResponseLoadSnapshotChunk {
        ResponseLoadSnapshotChunk::default()
    }

    /// No snapshot was accepted, so there is nothing that a chunk could belong to.
    fn apply_snapshot_chunk(
        &self,
        _request: RequestApplySnapshotChunk,
    ) -> ResponseApplySnapshotChunk {
        ResponseApplySnapshotChunk {
            result: response_apply_snapshot_chunk::Result::Abort.into(),
            refetch_chunks: Vec::new(),
            reject_senders: Vec::new(),
        }
    }
}

/// The whole seconds of a time; none before 1970.
fn seconds(time: Option<&Timestamp>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.seconds).ok())
}

/// What a transaction takes up in a block, as CometBFT counts it (`ComputeProtoSizeForTxs`): a field's tag of
/// one byte, the length as a varint, and the bytes. If a proposal is over the engine's limit by this count,
/// CometBFT makes none: with a mempool that stays full the chain would stand still.
fn encoded_size(tx: &[u8]) -> u64 {
    (1 + prost::length_delimiter_len(tx.len()) + tx.len()) as u64
}

/// What a block has room for still.
struct Room {
    /// By the app's count: of the transactions alone.
    bytes: u64,
    /// By the engine's: [`encoded_size`].
    engine_bytes: u64,
    gas: u64,
    taken: BTreeSet<TxHash>,
}

/// Why a transaction is not for this block.
enum Unfit {
    /// It is for none.
    Never,
    /// It may be for the next.
    NoRoom,
}

impl Room {
    /// An empty block. Before the first commit the app's limits are not known here and execution alone decides.
    fn of(committed: &Committed) -> Self {
        let chain = committed.chain.as_ref();
        Self {
            bytes: chain.map_or(u64::MAX, |chain| chain.params.max_block_bytes),
            engine_bytes: u64::MAX,
            gas: chain.and_then(|chain| chain.max_gas).unwrap_or(u64::MAX),
            taken: BTreeSet::new(),
        }
    }

    fn take(&mut self, committed: &Committed, bytes: &[u8]) -> Result<(), Unfit> {
        let gas = match &committed.chain {
            Some(chain) => Tx::decode(bytes, &chain.params).map_err(|_| Unfit::Never)?.gas_limit,
            None => 0,
        };
        if !self.taken.insert(TxHash::of(bytes)) {
            return Err(Unfit::Never);
        }
        let less = |room: u64, taken: u64| room.checked_sub(taken).ok_or(Unfit::NoRoom);
        let engine_bytes = less(self.engine_bytes, encoded_size(bytes))?;
        let bytes = less(self.bytes, bytes.len() as u64)?;
        let gas = less(self.gas, gas)?;
        *self = Self { bytes, engine_bytes, gas, taken: std::mem::take(&mut self.taken) };
        Ok(())
    }
}
