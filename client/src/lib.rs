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
//! let vat = alice.create_vat(&CreateVat { name: "counter".into(), ..CreateVat::of(&bundle.id) })?;
//! let answer = alice.send(&vat.root, "increment", &Args::json("[1]"))?;
//! println!("{}: {}", answer.status, answer.value.body);
//! println!("{} computrons", client.vat_stats(&vat.vat_id)?.computrons_total);
//! # Ok(())
//! # }
//! ```
//!
//! * [`Key`]: secp256k1 keys from a mnemonic, from hexadecimal, or new; [`Key::dev`] are the
//!   well-known accounts of development chains.
//! * [`TxBuilder`]: Cosmos SDK transactions, SIGN_MODE_DIRECT.
//! * [`Client`]: the calls of the JSON-RPC with their types, Capstan's queries,
//!   [`Client::subscribe`].
//! * [`Wallet`]: a client and a key; signs with the right sequence and fee, waits for blocks and
//!   results.
//!
//! The API blocks, and everything that waits has a deadline.
//!
//! # Transport
//! `tendermint-rpc` gives the types of requests and responses, not the transport: its `http-client`
//! feature brings `reqwest` 0.11 with a second `hyper`, `rustls` and `ring`, its `websocket-client`
//! a second `tungstenite` with TLS. A node's RPC is plain HTTP on the same machine or behind a
//! proxy that does TLS. So requests go over `ureq` without TLS, and events over the `tungstenite`
//! that the node uses for its own side.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bundle;
mod client;
mod deadline;
mod error;
mod events;
mod key;
mod query;
mod transport;
mod tx;
mod wallet;

pub use bundle::{Bundle, BundleError};
pub use capstan_proto::v1 as proto;
pub use capstan_proto::{ADDRESS_PREFIX, Address, Amount, DENOM, Fees, Params};
pub use client::{AbciQuery, Client, TxInfo};
pub use deadline::Deadline;
pub use error::ClientError;
pub use events::{Event, EventKind, Subscription};
pub use key::{DEV_MNEMONIC, DEV_NAMES, Key, KeyError};
pub use query::{Account, MessageResult, Status};
pub use tendermint::Hash;
pub use tx::{SignedTx, SignerData, TxBuilder};
pub use wallet::{Args, CreateVat, FundedMeter, TxOutcome, UpgradeVat, Wallet};
