//! What the adversary's inputs cost a node: they are weighed, judged against bounds, and the dearest are searched for.
//!
//! An [`Input`] is self-contained: vats, transactions before, and the transactions that are measured. [`Scales`] run it on a
//! fresh node with a copy of one chain's state, and give its [`Cost`]: CPU time, counted computrons, coins, memory and disk.
//! A [`Verdict`] is in ratios to a [`Calibration`] of the same minutes, and counts only if it comes again.
//!
//! ```text
//! dearest/*.json ──► Input ──► Scales ──► Cost ──► judge ──► Excess, or none
//!        random ──►   ▲                    │
//!                     └── changed ◄── kept if it is the dearest of its kind
//! ```

mod bounds;
mod chain;
mod change;
mod corpus;
mod gauge;
mod input;
mod run;
mod scales;
mod search;
mod transactions;

pub use bounds::{Calibration, Cost, Excess, Verdict, judge};
pub use corpus::{dearest, weigh_dearest, weigh_file, weigh_known};
pub use input::{Input, Message, Vat};
pub use scales::Scales;
pub use search::search;
