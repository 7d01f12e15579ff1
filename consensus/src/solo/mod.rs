//! `solo`: the in-process consensus engine with one validator.
//!
//! ```no_run
//! use capstan_consensus::solo::{Genesis, Solo, SoloConfig};
//! # fn run(app: impl tendermint_abci::Application) -> Result<(), capstan_consensus::solo::SoloError> {
//! let genesis = Genesis::from_json(br#"{"chain_id":"dev-1","genesis_time":"2025-01-01T00:00:00Z","app_state":{}}"#)?;
//! let solo = Solo::start(app, SoloConfig::new("home", "127.0.0.1:26657".parse().expect("an address"), genesis))?;
//! println!("RPC at http://{}", solo.rpc_addr());
//! solo.wait()
//! # }
//! ```
//!
//! * **Blocks** are CometBFT 0.38 blocks, hashed and signed as CometBFT does it, so light clients
//!   can verify them.
//! * **When**: a block is made at once when a transaction waits, or when the block before changed
//!   the app hash (CometBFT's proof block; this is how a queue that is not empty goes on by
//!   itself). Otherwise the chain idles: it makes no blocks. The first block is made at once, like
//!   CometBFT's.
//! * **Left out**: transactions that `PrepareProposal` leaves out stay in the mempool for the next
//!   block; if it takes none into a block, those it was offered are dropped, since waiting for them
//!   would make blocks without end.
//! * **Validators**: the engine's own key is the only one, with the power that it began with. Updates that the
//!   application makes are recorded in the block's results and logged with what they mean here: nothing; the chain goes
//!   on. What CometBFT would refuse as an update ends the engine with an error.
//! * **Durability**: a block is on disk before the application sees it, its results before the
//!   application is told to commit. So a crash at any instruction is repaired at the next start by
//!   running the last block again.
//! * **Panics**: a panic of the application ends the process with exit code 101 after its message
//!   was printed. Nothing of the running block is committed. A node that goes on without its
//!   application would be worse.
//! * **Reads**: queries and `CheckTx` run on threads of their own with a clone of the application;
//!   the engine never makes them wait for `FinalizeBlock`.
//!
//! All functions here block; none may be called from asynchronous code other than through
//! `spawn_blocking`.

mod clock;
mod config;
mod engine;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{BlockPolicy, SoloConfig};
pub use engine::{Solo, Stopper};

pub use crate::chain::{Genesis, GenesisError, SoloError, StoreError};
pub use crate::mempool::MempoolLimits;
pub use crate::rpc::RpcLimits;
