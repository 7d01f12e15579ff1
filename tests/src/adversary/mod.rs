//! A standing adversary: one seed makes a chain, vats and transactions that aim at everything that could stop a node.
//!
//! [`Twins`] are two nodes of the chain that differ in all that nodes may choose. An [`Attacker`] is an account whose vats do
//! what its transactions tell them, at the edge of what is allowed or beyond. A [`Siege`] hands random blocks to the nodes.
//! After each block both have the same results and app hash, and the vats of the system run; now and then a node is ended and
//! started again, and somebody who has nothing to do with it all still gets vats, answers and wakeups.
//!
//! Since what is looked for may end the process, a siege runs in a process of its own: see [`watch`].

mod canary;
pub mod costs;
mod counts;
mod program;
mod siege;
mod traffic;
mod twins;
mod vats;
mod watch;
mod yard;

pub use counts::{Differences, differences};
pub use program::Sizes;
pub use siege::{Profile, Siege};
pub use traffic::Attacker;
pub use twins::Twins;
pub use vats::{js_vat, wasm_vat};
pub use watch::{besieged, watch, watch_search};
pub use yard::Yard;
