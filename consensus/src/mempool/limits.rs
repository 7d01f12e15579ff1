//! The bounds of the mempool.

/// What the mempool takes. The defaults are CometBFT's, except that transactions may have 8 MiB,
/// for bundles.
#[derive(Clone, Copy, Debug)]
pub struct MempoolLimits {
    /// How many transactions wait at most.
    pub max_txs: usize,
    /// How many bytes a transaction has at most.
    pub max_tx_bytes: usize,
    /// How many bytes all waiting transactions have together at most.
    pub max_total_bytes: usize,
    /// How many hashes of past transactions are remembered to refuse duplicates.
    pub cache_size: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self { max_txs: 5_000, max_tx_bytes: 8 << 20, max_total_bytes: 1 << 30, cache_size: 10_000 }
    }
}
