//! The ABCI 2.0 methods of [`App`].

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
    response_process_proposal::ProposalStatus, response_verify_vote_extension::VerifyStatus,
};

use crate::{
    admission::{mempool, proposal},
    app::App,
    block::ConsensusGenesis,
    fault::{Failure, NodeFault},
    observe::AbciMethod,
    records::chain::{APP_VERSION, ChainRecord},
    sync,
    tx::Tx,
};

impl<H> App<H> {
    /// Returns what `CheckTx` would answer. Later checks see nothing of the transaction.
    pub fn check_only(&self, tx: &[u8]) -> ResponseCheckTx {
        self.judge(tx, |tx| self.check_state().checked(tx).map(|_| ()))
    }

    /// Decodes a transaction and answers by the outcome of `check`.
    fn judge(
        &self,
        bytes: &[u8],
        check: impl FnOnce(&Tx) -> Result<(), Failure>,
    ) -> ResponseCheckTx {
        let Some(committed) = self.committed_chain() else {
            return mempool::unavailable(
                "the chain has no block yet; try again after the first one",
            );
        };
        // Decoding needs no lock: only the check against the accounts does.
        match mempool::decode(&committed, bytes).and_then(|tx| check(&tx).map(|()| tx)) {
            Ok(tx) => mempool::accepted(&tx, &committed),
            Err(Failure::Tx(error)) => mempool::refused(&error),
            Err(Failure::Node(fault)) => mempool::unavailable(&fault.to_string()),
        }
    }
}

impl<H: VatHost + Send + 'static> Application for App<H> {
    fn echo(&self, request: RequestEcho) -> ResponseEcho {
        ResponseEcho { message: request.message }
    }

    fn flush(&self) -> ResponseFlush {
        // Every answer is given at once and none is buffered.
        ResponseFlush {}
    }

    /// Returns the last committed height and app hash. From them CometBFT knows which blocks to execute again.
    fn info(&self, _request: RequestInfo) -> ResponseInfo {
        let committed = self.committed();
        let height = self.own_height(&committed);
        let hash = if height == 0 { Vec::new() } else { committed.state.app_hash().0.to_vec() };
        ResponseInfo {
            data: "capstan".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            app_version: APP_VERSION,
            last_block_height: i64::try_from(height).unwrap_or(i64::MAX),
            last_block_app_hash: hash.into(),
        }
    }

    /// Writes the chain's first state. Validators and consensus parameters stay as in the genesis document. A wrong
    /// document stops the node, since ABCI has no error response.
    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        let root = self.with_consensus(AbciMethod::InitChain, |consensus| {
            let chain = ChainRecord {
                chain_id: request.chain_id.clone(),
                initial_height: u64::try_from(request.initial_height).unwrap_or(1).max(1),
            };
            let genesis = AppState::from_json(&request.app_state_bytes)
                .map_err(|e| NodeFault::Genesis(e.to_string()))?;
            let block = request.consensus_params.as_ref().and_then(|params| params.block.as_ref());
            let consensus_genesis = ConsensusGenesis {
                validators: request.validators.clone(),
                // -1 says that there is no bound.
                max_gas: block.and_then(|block| u64::try_from(block.max_gas).ok()),
                time: seconds(request.time.as_ref()),
            };
            consensus.init_chain(&chain, &genesis, &consensus_genesis)
        });
        ResponseInitChain {
            consensus_params: None,
            validators: Vec::new(),
            app_hash: root.0.to_vec().into(),
        }
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        self.answer_query(&request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.judge(&request.tx, |tx| self.check_state().admit(tx))
    }

    /// Selects transactions in the mempool's order as long as their size and gas fit. Leaves out those that no honest
    /// proposer takes, for which other validators would refuse the block.
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        let consensus_bytes = u64::try_from(request.max_tx_bytes).unwrap_or(0);
        let txs = self.or_stop(
            AbciMethod::PrepareProposal,
            proposal::prepare(
                self.committed_chain(),
                self.signatures(),
                request.txs,
                consensus_bytes,
            ),
        );
        ResponsePrepareProposal { txs }
    }

    /// Refuses a block that no honest proposer makes. Such a block exceeds a limit, repeats a transaction, or has one
    /// that cannot be decoded or whose signature, sequence or fee is wrong.
    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        let honest = proposal::is_honest(self.committed_chain(), self.signatures(), &request.txs);
        let status = match self.or_stop(AbciMethod::ProcessProposal, honest) {
            true => ProposalStatus::Accept,
            false => ProposalStatus::Reject,
        };
        ResponseProcessProposal { status: status.into() }
    }

    /// Returns an empty vote extension: Capstan's votes carry no data.
    fn extend_vote(&self, _request: RequestExtendVote) -> ResponseExtendVote {
        ResponseExtendVote::default()
    }

    /// Accepts only empty vote extensions.
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
        let executed = self.metrics().time_finalize(|| {
            self.with_consensus(AbciMethod::FinalizeBlock, |consensus| {
                let wrong = || NodeFault::Damaged(format!("block height {}", request.height));
                let height = u64::try_from(request.height).map_err(|_| wrong())?;
                let time = seconds(request.time.as_ref());
                consensus.finalize(height, time, &request.txs, &request.misbehavior)
            })
        });
        ResponseFinalizeBlock {
            events: executed.events,
            tx_results: executed.results,
            validator_updates: executed.validator_updates,
            consensus_param_updates: None,
            app_hash: executed.root.0.to_vec().into(),
        }
    }

    fn commit(&self) -> ResponseCommit {
        let codes = self.metrics().time_commit(|| {
            self.with_consensus(AbciMethod::Commit, |consensus| {
                let (state, codes) = consensus.commit()?;
                // While consensus is held, so that heights become visible in order.
                self.publish(state.clone())?;
                if let Some(writer) = self.snapshots() {
                    writer.committed(&state);
                }
                Ok(codes)
            })
        });
        self.metrics().committed(&codes);
        let height = self.committed().state.height();
        let retained = self
            .snapshots()
            .map_or(0, |writer| sync::retain_height(writer.options(), height, writer.oldest()));
        ResponseCommit { retain_height: i64::try_from(retained).unwrap_or(0) }
    }

    /// Lists the snapshots of this node.
    fn list_snapshots(&self) -> ResponseListSnapshots {
        self.own_snapshots()
    }

    /// Decides whether to restore a snapshot.
    fn offer_snapshot(&self, request: RequestOfferSnapshot) -> ResponseOfferSnapshot {
        ResponseOfferSnapshot { result: self.consider(request).into() }
    }

    /// Returns a chunk of a snapshot of this node.
    fn load_snapshot_chunk(&self, request: RequestLoadSnapshotChunk) -> ResponseLoadSnapshotChunk {
        ResponseLoadSnapshotChunk { chunk: self.own_chunk(&request).into() }
    }

    /// Takes a chunk of the snapshot that was accepted.
    fn apply_snapshot_chunk(
        &self,
        request: RequestApplySnapshotChunk,
    ) -> ResponseApplySnapshotChunk {
        self.apply(&request)
    }
}

/// Returns the whole seconds of a [`Timestamp`], or `None` before 1970.
fn seconds(time: Option<&Timestamp>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.seconds).ok())
}
