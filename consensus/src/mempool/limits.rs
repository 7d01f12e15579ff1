//! The bounds of the mempool.

/// The bounds of the mempool. The defaults are those of CometBFT, but a transaction may have 8 MiB, for bundles.
#[derive(Clone, Copy, Debug)]
pub struct MempoolLimits {
    /// Maximum number of waiting transactions.
    pub max_txs: usize,
    /// Maximum size of a transaction, in bytes.
    pub max_tx_bytes: usize,
    /// Maximum size of all waiting transactions together, in bytes.
    pub max_total_bytes: usize,
    /// Number of hashes of past transactions that are remembered to refuse duplicates.
    pub cache_size: usize,
}

impl Default for MempoolLimits {
    fn default() -> Self {
        Self { max_txs: 5_000, max_tx_bytes: 8 << 20, max_total_bytes: 1 << 30, cache_size: 10_000 }
    }
}
