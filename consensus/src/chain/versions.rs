//! The versions that the chain's node reports of itself.

/// CometBFT 0.38's block protocol version.
pub(crate) const BLOCK_PROTOCOL: u64 = 11;

/// The version that the node reports, so that clients choose the 0.38 dialect.
pub(crate) const COMETBFT_VERSION: &str = "0.38.0+capstan.solo";

/// CometBFT 0.38's peer-to-peer protocol version.
pub(crate) const P2P_PROTOCOL: u64 = 8;
