//! Bringing the application and the block store to the same height at the start.

use std::sync::Arc;

use tendermint_proto::v0_38::abci::{RequestInitChain, ResponseFinalizeBlock};
use tendermint_proto::v0_38::types::{Block, BlockId, PartSetHeader};

use super::abci::Abci;
use super::block_store::{BlockStore, BlockStoreError, InitialState};
use super::execution::{Chain, Tip, Validator};
use crate::key::ValidatorKey;

use super::{GenesisDoc, SoloError, merkle, params};

impl Chain {
    /// Opens the chain by the handshake of ABCI.
    ///
    /// Calls `Info`, and `InitChain` if the application is at height 0. Then it executes every stored block again that
    /// the application does not have. Each must give the recorded results.
    pub(crate) fn open(
        app: Arc<dyn Abci>,
        store: Arc<BlockStore>,
        genesis: GenesisDoc,
        key: ValidatorKey,
    ) -> Result<Self, SoloError> {
        check_genesis(&store, &genesis)?;
        let validator = Validator::new(key, &genesis)?;
        let info = app.info();
        let base = genesis.initial_height - 1;
        let (first, stored) = store.heights()?.unwrap_or((base + 1, base));
        let recorded = store.last_results_height()?.unwrap_or(base);
        // An application at height 0 has no state, whatever the initial height of the chain.
        let app_height = info.last_block_height.max(base);
        if app_height > recorded {
            return Err(SoloError::AppAhead { app: app_height, store: recorded });
        }
        // What follows needs the block of the application's height, or the first of all.
        if app_height.max(base + 1) < first {
            return Err(SoloError::AppBehind { app: app_height, first });
        }
        let mut app_version = info.app_version;
        let initial = if info.last_block_height == 0 {
            init_chain(app.as_ref(), &store, &genesis, &validator, &mut app_version)?
        } else {
            store
                .initial()?
                .ok_or_else(|| BlockStoreError::Damaged("no record of InitChain".to_owned()))?
        };
        let tip = if app_height == base {
            Tip::initial(&genesis, initial, app_version)
        } else {
            Tip::stored(&store, app_height)?
        };
        let mut chain = Self { app, store, genesis, validator, tip };
        if info.last_block_height > 0 {
            check_app_hash(app_height, &chain.tip.app_hash, &info.last_block_app_hash)?;
        }
        chain.catch_up(app_height + 1, recorded, stored)?;
        Ok(chain)
    }

    /// Executes the blocks `from..=stored` again. Those up to `recorded` must give the recorded results.
    fn catch_up(&mut self, from: i64, recorded: i64, stored: i64) -> Result<(), SoloError> {
        for height in from..=stored {
            tracing::info!(height, "running a stored block again");
            let (block, block_id) = stored_block(&self.store, height)?;
            let results = self.finalize(&block, &block_id)?;
            if height > recorded {
                self.record(&block, &results)?;
            } else {
                self.check_replay(height, &results)?;
            }
            self.commit(&block, block_id, &results)?;
        }
        Ok(())
    }

    fn check_replay(&self, height: i64, results: &ResponseFinalizeBlock) -> Result<(), SoloError> {
        let before = stored_results(&self.store, height)?;
        check_app_hash(height, &before.app_hash, &results.app_hash)?;
        if merkle::results_hash(&before.tx_results) == merkle::results_hash(&results.tx_results) {
            return Ok(());
        }
        Err(SoloError::Results { height })
    }
}

impl Tip {
    /// The tip before the first block, which the application makes in `app_version`.
    fn initial(genesis: &GenesisDoc, state: InitialState, app_version: u64) -> Self {
        Self {
            height: genesis.initial_height - 1,
            block_id: BlockId { hash: Vec::new(), part_set_header: Some(PartSetHeader::default()) },
            time: genesis.time,
            header_app_hash: state.app_hash.clone(),
            app_hash: state.app_hash,
            results_hash: merkle::results_hash(&[]).to_vec(),
            params: state.params,
            app_version,
        }
    }

    /// The tip after the stored block at `height`, which has results.
    fn stored(store: &BlockStore, height: i64) -> Result<Self, SoloError> {
        let (block, block_id) = stored_block(store, height)?;
        let results = stored_results(store, height)?;
        let params = store.params(height + 1)?;
        let params =
            params.ok_or_else(|| BlockStoreError::Damaged("no consensus parameters".to_owned()))?;
        Ok(Self::after(&block, block_id, &results, params)?)
    }
}

/// Stores the genesis document, or compares it with the stored one.
fn check_genesis(store: &BlockStore, genesis: &GenesisDoc) -> Result<(), SoloError> {
    let Some(stored) = store.genesis()? else {
        return Ok(store.set_genesis(genesis.document().to_string().as_bytes())?);
    };
    let before: serde_json::Value = serde_json::from_slice(&stored)
        .map_err(|error| BlockStoreError::Damaged(format!("genesis document: {error}")))?;
    if before == *genesis.document() {
        return Ok(());
    }
    Err(SoloError::GenesisChanged {
        stored: before["chain_id"].as_str().unwrap_or_default().to_owned(),
    })
}

fn init_chain(
    app: &dyn Abci,
    store: &BlockStore,
    genesis: &GenesisDoc,
    validator: &Validator,
    app_version: &mut u64,
) -> Result<InitialState, SoloError> {
    let response = app.init_chain(RequestInitChain {
        time: Some(genesis.time.into()),
        chain_id: genesis.chain_id().to_owned(),
        consensus_params: Some(genesis.params.clone()),
        validators: vec![validator.update()],
        app_state_bytes: genesis.app_state.clone().into(),
        initial_height: genesis.initial_height,
    });
    let broken = |why: String| SoloError::Abci { height: 0, why };
    if response.validators.iter().any(|update| *update != validator.update()) {
        return Err(broken(
            "InitChain names other validators; solo consensus has only its own".to_owned(),
        ));
    }
    let params = params::merged(&genesis.params, response.consensus_params.as_ref());
    if response.consensus_params.is_some() {
        *app_version = params.version.unwrap_or_default().app;
    }
    if let Some(why) = params::fault(&params) {
        return Err(broken(format!("InitChain's consensus parameters: {why}")));
    }
    let app_hash = if response.app_hash.is_empty() {
        genesis.app_hash.clone()
    } else {
        response.app_hash.to_vec()
    };
    let state = InitialState { app_hash, params };
    match store.initial()? {
        // The application lost its state, or never committed any. Its initial state must not have changed.
        Some(recorded) => check_app_hash(0, &recorded.app_hash, &state.app_hash)?,
        None => store.set_initial(&state, genesis.initial_height)?,
    }
    Ok(state)
}

fn check_app_hash(height: i64, expected: &[u8], got: &[u8]) -> Result<(), SoloError> {
    if expected == got {
        return Ok(());
    }
    Err(SoloError::AppHash { height, expected: hex::encode(expected), got: hex::encode(got) })
}

fn stored_block(store: &BlockStore, height: i64) -> Result<(Block, BlockId), BlockStoreError> {
    let missing = || BlockStoreError::Damaged(format!("block {height} is missing"));
    let block = store.block(height)?.ok_or_else(missing)?;
    Ok((block, store.block_id(height)?.ok_or_else(missing)?))
}

fn stored_results(
    store: &BlockStore,
    height: i64,
) -> Result<ResponseFinalizeBlock, BlockStoreError> {
    store.results(height)?.ok_or_else(|| {
        BlockStoreError::Damaged(format!("the results of block {height} are missing"))
    })
}
