//! The application as threads share it. A panic of the application ends the process.

use std::sync::{Mutex, PoisonError};

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    RequestCheckTx, RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestPrepareProposal,
    RequestProcessProposal, RequestQuery, ResponseCheckTx, ResponseCommit, ResponseFinalizeBlock,
    ResponseInfo, ResponseInitChain, ResponsePrepareProposal, ResponseProcessProposal,
    ResponseQuery,
};

use super::versions::{BLOCK_PROTOCOL, COMETBFT_VERSION, P2P_PROTOCOL};
use crate::panic::or_exit;

/// The methods of an [`Application`] that solo consensus calls, without the type of the application.
pub(crate) trait Abci: Send + Sync {
    fn info(&self) -> ResponseInfo;
    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain;
    fn query(&self, request: RequestQuery) -> ResponseQuery;
    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx;
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal;
    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal;
    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock;
    fn commit(&self) -> ResponseCommit;
}

/// An [`Application`] of which every call gets a clone. The lock is held only while it is cloned.
pub(crate) struct Shared<A>(Mutex<A>);

impl<A: Application> Shared<A> {
    pub(crate) fn new(app: A) -> Self {
        Self(Mutex::new(app))
    }

    fn call<R>(&self, method: &'static str, run: impl FnOnce(&A) -> R) -> R {
        let app = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        or_exit(method, || run(&app))
    }
}

impl<A: Application> Abci for Shared<A> {
    fn info(&self) -> ResponseInfo {
        let request = RequestInfo {
            version: COMETBFT_VERSION.to_owned(),
            block_version: BLOCK_PROTOCOL,
            p2p_version: P2P_PROTOCOL,
            abci_version: "2.0.0".to_owned(),
        };
        self.call("Info", |app| app.info(request))
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.call("InitChain", |app| app.init_chain(request))
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        self.call("Query", |app| app.query(request))
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.call("CheckTx", |app| app.check_tx(request))
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        self.call("PrepareProposal", |app| app.prepare_proposal(request))
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        self.call("ProcessProposal", |app| app.process_proposal(request))
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.call("FinalizeBlock", |app| app.finalize_block(request))
    }

    fn commit(&self) -> ResponseCommit {
        self.call("Commit", Application::commit)
    }
}
