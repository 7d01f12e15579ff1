use std::path::PathBuf;

use capstan_app::App;
use capstan_genesis::Genesis;
use capstan_store::Store;
use capstan_vat_host::WasmHost;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    RequestFinalizeBlock, RequestInfo, RequestInitChain, ResponseFinalizeBlock,
};

use crate::Options;

/// The application over a store on disk, without an engine: blocks are handed to it, its hashes come back.
#[derive(Debug)]
pub struct BareApp {
    state: PathBuf,
    _dir: tempfile::TempDir,
    app: Option<App<WasmHost>>,
}

impl BareApp {
    /// A new chain.
    pub fn start(genesis: &Genesis, options: &Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let app = options.app_at(&state);
        app.init_chain(RequestInitChain {
            chain_id: genesis.chain_id.clone(),
            initial_height: genesis.initial_height,
            app_state_bytes: serde_json::to_vec(&genesis.app_state).unwrap().into(),
            ..RequestInitChain::default()
        });
        Self { state, _dir: dir, app: Some(app) }
    }

    /// Closes everything and opens it again from disk.
    pub fn restart(&mut self, options: &Options) {
        // The store can be open once only.
        self.app = None;
        self.app = Some(options.app_at(&self.state));
    }

    /// Executes a block without committing it, as before a crash; gives the app hash after it.
    pub fn finalize(&self, height: i64, txs: &[Vec<u8>]) -> Vec<u8> {
        self.execute(height, txs).app_hash.to_vec()
    }

    /// Executes and commits a block; gives the app hash after it.
    pub fn block(&self, height: i64, txs: &[Vec<u8>]) -> Vec<u8> {
        self.block_results(height, txs).app_hash.to_vec()
    }

    /// Executes and commits a block; gives all that it came to.
    pub fn block_results(&self, height: i64, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        let results = self.execute(height, txs);
        self.app().commit();
        let info = self.app().info(RequestInfo::default());
        assert_eq!(
            (info.last_block_height, info.last_block_app_hash),
            (height, results.app_hash.clone())
        );
        results
    }

    /// Closes the application: what it committed, and the directory in which that lies.
    pub fn into_store(self) -> (tempfile::TempDir, Store) {
        let Self { state, _dir: dir, app } = self;
        // The store can be open once only.
        drop(app);
        let store = Store::open(state, capstan_store::Options::default()).unwrap();
        (dir, store)
    }

    /// The application.
    pub fn app(&self) -> &App<WasmHost> {
        self.app.as_ref().expect("it is only gone within `restart`")
    }

    fn execute(&self, height: i64, txs: &[Vec<u8>]) -> ResponseFinalizeBlock {
        let txs = txs.iter().map(|tx| tx.clone().into()).collect();
        let request = RequestFinalizeBlock { height, txs, ..RequestFinalizeBlock::default() };
        self.app().finalize_block(request)
    }
}
