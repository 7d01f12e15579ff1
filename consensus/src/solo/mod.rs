//! Consensus of one validator in one process.
//!
//! ```no_run
//! use capstan_consensus::solo::{GenesisDoc, Solo, SoloConfig};
//! # fn run(app: impl tendermint_abci::Application) -> Result<(), Box<dyn std::error::Error>> {
//! let genesis = br#"{"chain_id":"dev-1","genesis_time":"2025-01-01T00:00:00Z","app_state":{}}"#;
//! let genesis = GenesisDoc::from_json(genesis)?;
//! let solo = Solo::start(app, SoloConfig::new("home", "127.0.0.1:26657".parse()?, genesis))?;
//! println!("RPC at http://{}", solo.rpc_addr());
//! solo.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! * **Blocks** are CometBFT 0.38 blocks. They are hashed and signed as CometBFT does it, so light clients can verify
//!   them.
//! * **Timing**: a block is made at once if a transaction waits, or if the block before changed the app hash
//!   (CometBFT's proof block). This is how a run queue that is not empty continues by itself. Otherwise the chain is
//!   idle and makes no blocks. The first block is made at once, as in CometBFT.
//! * **Transactions that are left out** by `PrepareProposal` stay in the mempool for the next block. If a block takes
//!   none of those that it was offered, they are dropped, because waiting for them would make blocks without end.
//! * **Validators**: the node's own key is the only validator, with the power that it began with. Updates by the
//!   application are recorded in the results of the block and logged, and change nothing else. An update that CometBFT
//!   would refuse ends consensus with an error.
//! * **Durability**: a block is on disk before the application executes it, its results before the application commits.
//!   A crash at any instruction is repaired at the next start, which executes the last block again.
//! * **Panics**: a panic of the application ends the process with exit code 101. Nothing of the running block is
//!   committed. A node without its application would be worse than none.
//! * **Reads**: queries and `CheckTx` run on threads of their own with a clone of the application. They never wait for
//!   `FinalizeBlock`.
//!
//! All functions here block. Asynchronous code must call them through `spawn_blocking`.

mod clock;
mod config;
mod handle;
mod maker;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{BlockPolicy, SoloConfig};
pub use handle::{Solo, Stopper};

pub use crate::chain::{BlockStoreError, GenesisDoc, GenesisDocError, SoloError};
pub use crate::mempool::{CheckOnly, MempoolLimits};
pub use crate::rpc::{Caller, RpcLimits};
