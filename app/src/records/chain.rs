//! The records of the chain itself: its id, its first height and its parameters.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_genesis::Params;
use capstan_kernel_ports::store::{Overlay, Read};

use crate::{
    fault::NodeFault,
    records::{keys, record},
};

/// Version of the state format and of the transactions that [`App`](crate::App) accepts.
pub const APP_VERSION: u64 = 1;

/// Constant properties of a chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChainRecord {
    /// Id of the chain, which every signature covers.
    pub(crate) chain_id: String,
    /// Height of the chain's first block.
    pub(crate) initial_height: u64,
}

/// [`ChainRecord`] and [`Params`] of the chain, which every check needs.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) id: String,
    pub(crate) initial_height: u64,
    pub(crate) params: Params,
    /// Upper bound of the gas that the transactions of a block may declare together. `None` sets no bound.
    pub(crate) max_gas: Option<u64>,
}

impl Chain {
    /// Loads the record and the parameters. Returns `None` before InitChain.
    pub(crate) fn load(state: &(impl Read + ?Sized)) -> Result<Option<Self>, NodeFault> {
        let Some(chain) = record::get::<ChainRecord>(state, keys::CHAIN)? else {
            return Ok(None);
        };
        let damaged = |what: String| NodeFault::Damaged(format!("parameters: {what}"));
        let json = state.get(keys::PARAMS)?.ok_or_else(|| damaged("missing".to_owned()))?;
        let params = serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        let ChainRecord { chain_id: id, initial_height } = chain;
        let max_gas = record::get(state, keys::MAX_GAS)?;
        Ok(Some(Self { id, initial_height, params, max_gas }))
    }
}

/// Writes the chain's record and parameters.
pub(crate) fn write(
    state: &mut dyn Overlay,
    chain: &ChainRecord,
    params: &Params,
    max_gas: Option<u64>,
) -> Result<(), NodeFault> {
    record::set(state, keys::CHAIN, chain)?;
    match max_gas {
        Some(max_gas) => record::set(state, keys::MAX_GAS, &max_gas)?,
        None => state.delete(keys::MAX_GAS),
    }
    let json = serde_json::to_vec(params);
    let json = json.map_err(|e| NodeFault::Damaged(format!("parameters: {e}")))?;
    state.set(keys::PARAMS, json);
    Ok(())
}
