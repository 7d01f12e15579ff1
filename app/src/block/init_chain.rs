//! The chain's first state, which InitChain writes.

use capstan_genesis::AppState;
use capstan_kernel::subcluster::LaunchError;
use capstan_kernel_ports::{Hash, VatId, host::VatHost};
use capstan_store::Block;
use tendermint_proto::v0_38::abci::ValidatorUpdate;

use crate::{
    block::{
        consensus::{Consensus, Stage},
        genesis, proven, validators,
    },
    fault::{Failure, NodeFault},
    records::{
        account,
        chain::{self, ChainRecord},
    },
};

/// The part of the genesis document that CometBFT reads: everything but the application's own state.
#[derive(Debug)]
pub(crate) struct ConsensusGenesis {
    /// Validators of the first block.
    pub(crate) validators: Vec<ValidatorUpdate>,
    /// Upper bound of the gas in a block, or `None` without a bound.
    pub(crate) max_gas: Option<u64>,
    /// Genesis time, in seconds since 1970.
    pub(crate) time: Option<u64>,
}

impl<H: VatHost> Consensus<H> {
    /// Writes the chain's first state, without committing it. Returns its root [`struct@Hash`].
    ///
    /// # Errors
    /// [`NodeFault::Genesis`] if the genesis document is wrong, or another fault of the node.
    pub(crate) fn init_chain(
        &mut self,
        chain: &ChainRecord,
        app_state: &AppState,
        consensus: &ConsensusGenesis,
    ) -> Result<Hash, NodeFault> {
        self.reset();
        if let Some(slog) = &self.slog {
            slog.bootstrap(consensus.time);
        }
        let mut block = self.store.begin_block();
        self.write_first_state(&mut block, chain, app_state, consensus)?;
        proven::note(&self.store.reader(), &mut block, chain.initial_height)?;
        // The root is needed before the first block, whose writes come on top. So it is computed from one copy, and
        // the block continues from another.
        let prepared = self.store.prepare(block)?;
        let root = prepared.app_hash();
        self.store.discard(prepared);
        self.kernel.take_notices();
        let mut block = self.store.begin_block();
        self.write_first_state(&mut block, chain, app_state, consensus)?;
        self.stage = Stage::Genesis(Box::new(block));
        if let Some(slog) = &self.slog {
            slog.bootstrapped(consensus.time);
        }
        Ok(root)
    }

    /// Writes the state that the genesis document describes, over an empty state or over the one that it continues.
    fn write_first_state(
        &mut self,
        block: &mut Block,
        chain: &ChainRecord,
        app_state: &AppState,
        consensus: &ConsensusGenesis,
    ) -> Result<(), NodeFault> {
        let Some(from) = &app_state.from_state else {
            return self.write_genesis(block, chain, app_state, consensus);
        };
        let (height, root) = (self.store.height(), self.store.app_hash().to_string());
        if (height, &root) != (from.height, &from.root) {
            return Err(NodeFault::Genesis(format!(
                "app_state.from_state is the state {} at height {}; this node has {root} at height {height}",
                from.root, from.height
            )));
        }
        chain::write(block, chain, &app_state.params, consensus.max_gas)?;
        validators::init(block, &app_state.params, &consensus.validators)?;
        for name in &from.uncritical {
            let vat: Result<VatId, _> = name.parse();
            let known = match &vat {
                Ok(vat) => self.kernel.set_critical(block, *vat, false)?,
                Err(_) => false,
            };
            if !known {
                return Err(NodeFault::Genesis(format!(
                    "app_state.from_state.uncritical: there is no vat {name}"
                )));
            }
        }
        Ok(())
    }

    fn write_genesis(
        &mut self,
        block: &mut Block,
        chain: &ChainRecord,
        app_state: &AppState,
        consensus: &ConsensusGenesis,
    ) -> Result<(), NodeFault> {
        chain::write(block, chain, &app_state.params, consensus.max_gas)?;
        validators::init(block, &app_state.params, &consensus.validators)?;
        for entry in &app_state.accounts {
            match account::credit(block, entry.address, entry.balance) {
                Ok(_) => {}
                Err(Failure::Tx(error)) => return Err(NodeFault::Genesis(error.to_string())),
                Err(Failure::Node(fault)) => return Err(fault),
            }
        }
        let config = genesis::kernel_config(app_state, self.kernel.host())?;
        let bootstrapped = self.kernel.initialize(block, &config)?;
        let systems = genesis::system_subclusters(app_state)?;
        if !systems.is_empty() {
            let added = self.kernel.add_system_subclusters(block, &systems, bootstrapped);
            added.map_err(|error| match error {
                LaunchError::Panic(panic) => panic.into(),
                refusal => {
                    NodeFault::Genesis(format!("app_state.kernel.system_subclusters: {refusal}"))
                }
            })?;
        }
        self.poll_timer(block, consensus.time, true)?;
        Ok(())
    }
}
