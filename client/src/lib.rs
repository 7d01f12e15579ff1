//! A client of a Capstan chain: keys, transactions, queries and events over the JSON-RPC of a node.
//!
//! ```no_run
//! use std::time::Duration;
//! use capstan_client::{Args, Bundle, Client, CreateVat, Key, Wallet};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("http://127.0.0.1:26657")?;
//! let alice = Wallet::new(&client, Key::dev(0));
//! let bundle = Bundle::from_endo_json(&std::fs::read("counter.bundle.json")?)?;
//! alice.install_bundle(&bundle)?;
//! let vat = alice.create_vat(&CreateVat { name: "counter".into(), ..CreateVat::new(&bundle.id) })?;
//! let answer = alice.send(&vat.root, "increment", &Args::new([5.into()])?)?;
//! println!("{}: {:?}", answer.status, answer.passable()?);
//! println!("{} computrons", client.vat_stats(&vat.vat_id)?.computrons_total);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Key`] is a secp256k1 key from a mnemonic, from hexadecimal, or from the system's randomness. [`Key::dev`] returns
//!   the well-known accounts of development chains.
//! * [`Args`] encodes [`Passable`] values as arguments.
//! * [`TxBuilder`] builds and signs transactions of the Cosmos SDK in `SIGN_MODE_DIRECT`.
//! * [`StagedTx`] is made, signed and sent in steps, by a single key or the keys of a [`Multisig`].
//! * [`Client`] makes calls of the JSON-RPC, sends Capstan's queries, and subscribes to events.
//! * [`Client::proven_record`] verifies a record under the app hash of a trusted header.
//! * [`OutboxFollower`] reads an account's outbox entry by entry, and [`OutboxStream`] does so asynchronously.
//! * [`Wallet`] signs with the right sequence and fee, and waits for blocks and results.
//!
//! All calls block, and everything that waits has a [`Deadline`]. Only [`OutboxStream`] is asynchronous. `examples/counter.rs` is a whole program.
//!
//! # Transport
//! `tendermint-rpc` provides the types of requests and responses, but not the transport. Its `http-client` feature brings
//! `reqwest` 0.11 with a second `hyper`, `rustls` and `ring`, and its `websocket-client` a second `tungstenite` with TLS.
//! A node's RPC is plain HTTP on the same machine or behind a proxy that does TLS. So requests go over `ureq` without
//! TLS, and events over the `tungstenite` that the node itself uses.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod args;
mod armor;
mod bundle;
mod client;
mod deadline;
mod error;
mod events;
mod kernel_error;
mod key;
mod key_path;
mod messages;
mod outbox;
mod outbox_stream;
mod outcome;
mod proof;
mod query;
mod resolver;
mod settlement;
mod signing;
mod staged;
mod terms;
mod transport;
mod tx;
mod vat;
mod wallet;

pub use args::Args;
pub use armor::{ArmorError, MAX_ARMOR_BYTES};
pub use bundle::{Bundle, BundleError};
pub use capstan_abi::{CapData, Delivery, Message, Resolution};
pub use capstan_passable::{Malformed, Passable};
pub use capstan_proto::v1 as proto;
pub use capstan_proto::v1::SettledCall;
pub use capstan_proto::{
    ADDRESS_PREFIX, Address, Amount, DENOM, ErrorCode, Fees, GasPrice, MAX_MULTISIG_KEYS, Multisig,
    NotAPublicKey, Params, PublicKey,
};
pub use client::{AbciQuery, Client, TxInfo};
pub use deadline::Deadline;
pub use error::ClientError;
pub use events::{Event, EventKind, Subscription};
pub use futures_core::Stream;
pub use kernel_error::{KernelError, KernelErrorCode};
pub use key::{DEV_MNEMONIC, DEV_NAMES, Key, KeyError};
pub use key_path::{COIN_TYPE, KeyPath, NotAKeyPath};
pub use messages::Messages;
pub use outbox::{OutboxEntry, OutboxFollower, OutboxStopper};
pub use outbox_stream::OutboxStream;
pub use outcome::TxOutcome;
pub use proof::{NotAHeader, PROVEN_STORE, ProofError, ProvenRecord, TrustedHeader, verify_record};
pub use query::{Account, MessageResult, Status};
pub use settlement::Settlement;
pub use signing::{KeySignature, SignMode};
pub use staged::StagedTx;
pub use tendermint::Hash;
pub use terms::{FeeRule, GasLimit, Terms};
pub use tx::{DEFAULT_GAS_LIMIT, SignedTx, SignerData, TxBuilder};
pub use vat::{CreateVat, FundedMeter, UpgradeVat};
pub use wallet::Wallet;
