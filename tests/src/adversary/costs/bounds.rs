//! What inputs may cost.
//!
//! The goals: the dearest computron takes at most four times the cheapest, and a block at most three times what its computrons
//! say. The calibration is ordinary work, whose computron is neither the cheapest nor the dearest of honest work. [`RATIO`] is the
//! goal for a block with a third more for what else the machine does. What a block costs besides its transactions and cranks is
//! measured in computrons too, as its allowance.

use std::time::Duration;

use capstan_client::Params;

/// The most CPU time over that which the counted computrons take in the calibration.
const RATIO: f64 = 4.0;
/// Computrons that a block may take for itself: its root, its commit.
const BLOCK: u64 = 300_000;
/// Memory that a node may take for a while, besides the heaps of its vats: of the largest crank's data, several copies.
const MEMORY: u64 = 768 << 20;
/// Bytes of an export of the state, tree nodes included, for each byte that was paid for.
const DISK_RATIO: u64 = 6;
/// Bytes by which the state may grow with each block and each message, for the records of blocks and results.
const DISK_BLOCK: u64 = 4_000;
/// The same for each message.
const DISK_MESSAGE: u64 = 8_000;

/// What an input cost a node, and its owner.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// CPU time of the measured blocks, commits included.
    pub cpu: Duration,
    /// The most in one block.
    pub worst_block: Duration,
    /// The computrons that this block counted.
    pub worst_counted: u64,
    /// Computrons that the measured blocks counted.
    pub counted: u64,
    /// Number of the blocks.
    pub blocks: u64,
    /// Number of the transactions.
    pub txs: u64,
    /// Number of the messages in them.
    pub messages: u64,
    /// Bytes of the transactions, and of the bundles in them, uncompressed.
    pub tx_bytes: u64,
    /// The price in ucap: fees as low as the chain accepts, and what meters lost.
    pub ucap: u64,
    /// Bytes of the entries that blocks changed.
    pub written: u64,
    /// Bytes by which an export of the state is longer, over the whole input.
    pub grown: u64,
    /// Computrons and bytes of transactions before the measured blocks.
    pub paid_before: u64,
    /// Memory at its peak, over that before.
    pub peak: u64,
    /// Why transactions were refused, which paid nothing then.
    pub refused: Vec<String>,
    /// Bytes of the heaps of the input's vats at the end.
    pub heaps: u64,
}

/// Time that a computron of ordinary work takes, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Calibration(pub f64);

/// A bound that an input exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excess {
    /// CPU time for counted computrons.
    Time,
    /// CPU time of a block, for what it counted or the chain's budget.
    Block,
    /// CPU time for coins.
    Coins,
    /// Resident memory.
    Memory,
    /// Growth of the state, for bytes that were paid for.
    Disk,
}

/// A verdict: each excess, with the ratio of the cost to its bound.
pub type Verdict = Vec<(Excess, f64)>;

impl Cost {
    /// Computrons that were counted, and those that blocks may take besides.
    pub fn allowed(&self) -> u64 {
        self.counted + BLOCK * self.blocks
    }

    /// Computrons that transactions counted besides their cranks.
    pub(super) fn of_transactions(&self, params: &Params) -> u64 {
        params.tx_computrons * self.txs + params.tx_byte_computrons * self.tx_bytes
    }

    /// CPU time over that of the allowed computrons in the calibration.
    pub fn ratio(&self, calibration: Calibration) -> f64 {
        self.cpu.as_nanos() as f64 / (self.allowed() as f64 * calibration.0)
    }

    /// Nanoseconds for a coin.
    pub fn per_ucap(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.ucap.max(1) as f64
    }

    /// Bytes of growth for a coin.
    pub fn bytes_per_ucap(&self) -> f64 {
        self.grown as f64 / self.ucap.max(1) as f64
    }

    fn disk_bound(&self, params: &Params) -> u64 {
        let cranks = self.counted.saturating_sub(self.of_transactions(params));
        let counted = (cranks + self.paid_before) / params.write_byte_computrons.max(1);
        DISK_RATIO * (counted + self.tx_bytes)
            + DISK_BLOCK * self.blocks
            + DISK_MESSAGE * self.messages
    }
}

/// Judges a cost on a chain with these parameters.
pub fn judge(cost: &Cost, calibration: Calibration, params: &Params) -> Verdict {
    let nanos = |computrons: u64| computrons as f64 * calibration.0;
    let (cpu, block) = (cost.cpu.as_nanos() as f64, cost.worst_block.as_nanos() as f64);
    // A block has an allowance of its own.
    let besides = cost.allowed() - cost.counted;
    let full = cost.worst_counted.max(params.block_computrons) + besides;
    // The price of computrons, of which a coin buys so many.
    let bought = 1_000_000 / u64::try_from(params.fees.per_mega_computron.0.max(1)).unwrap();
    let coins = cost.ucap.saturating_mul(bought) + BLOCK * cost.blocks;
    [
        (Excess::Time, cpu / (RATIO * nanos(cost.allowed()))),
        (Excess::Block, block / (RATIO * nanos(full))),
        (Excess::Coins, cpu / (RATIO * nanos(coins))),
        (Excess::Memory, cost.peak as f64 / (MEMORY + 2 * cost.heaps) as f64),
        (Excess::Disk, cost.grown as f64 / cost.disk_bound(params) as f64),
    ]
    .into_iter()
    .filter(|(what, ratio)| *ratio > 1.0 && (*what != Excess::Coins || cost.refused.is_empty()))
    .collect()
}
