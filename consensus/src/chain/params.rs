//! Consensus parameters: CometBFT's defaults, merging of updates, limits that follow from them.

use tendermint_proto::google::protobuf::Duration;
use tendermint_proto::v0_38::types::{
    AbciParams, BlockParams, ConsensusParams, EvidenceParams, ValidatorParams, VersionParams,
};

/// Size of the largest block that CometBFT allows, in bytes, and the meaning of `max_bytes = -1`.
pub(crate) const MAX_BLOCK_BYTES: i64 = 104_857_600;

/// Bytes that a block with one validator may need besides its transactions: CometBFT's `MaxOverheadForBlock` (11),
/// `MaxHeaderBytes` (626) and `MaxCommitBytes(1)` (94 + 109).
const BLOCK_OVERHEAD_BYTES: i64 = 11 + 626 + 94 + 109;

/// CometBFT 0.38's default parameters.
pub(crate) fn defaults() -> ConsensusParams {
    ConsensusParams {
        block: Some(BlockParams { max_bytes: 22_020_096, max_gas: -1 }),
        evidence: Some(EvidenceParams {
            max_age_num_blocks: 100_000,
            max_age_duration: Some(Duration { seconds: 172_800, nanos: 0 }),
            max_bytes: 1_048_576,
        }),
        validator: Some(ValidatorParams { pub_key_types: vec!["ed25519".to_owned()] }),
        version: Some(VersionParams { app: 0 }),
        abci: Some(AbciParams { vote_extensions_enable_height: 0 }),
    }
}

/// `current` with every section that `update` names put in its place.
pub(crate) fn merged(
    current: &ConsensusParams,
    update: Option<&ConsensusParams>,
) -> ConsensusParams {
    let Some(update) = update else { return current.clone() };
    ConsensusParams {
        block: update.block.or(current.block),
        evidence: update.evidence.or(current.evidence),
        validator: update.validator.clone().or_else(|| current.validator.clone()),
        version: update.version.or(current.version),
        abci: update.abci.or(current.abci),
    }
}

/// Returns the reason for which solo consensus cannot use `params`, or `None` if it can.
pub(crate) fn fault(params: &ConsensusParams) -> Option<String> {
    let block = params.block.unwrap_or_default();
    if block.max_bytes != -1 && !(1..=MAX_BLOCK_BYTES).contains(&block.max_bytes) {
        return Some(format!(
            "block.max_bytes is {}; it must be -1 or from 1 to {MAX_BLOCK_BYTES}",
            block.max_bytes
        ));
    }
    if block.max_gas < -1 {
        return Some(format!("block.max_gas is {}; it must be -1 or more", block.max_gas));
    }
    if params.abci.unwrap_or_default().vote_extensions_enable_height != 0 {
        return Some("vote extensions are enabled, which solo consensus does not offer".to_owned());
    }
    None
}

/// Returns the most bytes that the transactions of a block may take, with their protobuf overhead.
pub(crate) fn max_data_bytes(params: &ConsensusParams) -> i64 {
    let max_bytes = params.block.unwrap_or_default().max_bytes;
    let limit = if max_bytes == -1 { MAX_BLOCK_BYTES } else { max_bytes };
    (limit - BLOCK_OVERHEAD_BYTES).max(0)
}

/// Returns the most gas that the transactions of a block may want together, or `None` if there is no limit.
pub(crate) fn max_gas(params: &ConsensusParams) -> Option<i64> {
    let max_gas = params.block.unwrap_or_default().max_gas;
    (max_gas >= 0).then_some(max_gas)
}

/// Returns the bytes that a transaction takes in an encoded block: its own, a field tag and its length.
pub(crate) fn tx_size_in_block(tx_bytes: usize) -> i64 {
    let size = 1 + prost::length_delimiter_len(tx_bytes) + tx_bytes;
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_replaces_only_the_sections_it_names() {
        let block = BlockParams { max_bytes: 1000, max_gas: 7 };
        let update = ConsensusParams { block: Some(block), ..ConsensusParams::default() };
        let params = merged(&defaults(), Some(&update));
        assert_eq!(params.block, Some(block));
        assert_eq!(params.evidence, defaults().evidence);
        assert_eq!(max_gas(&params), Some(7));
        assert_eq!(max_data_bytes(&params), 160);
        assert_eq!(merged(&params, None), params);
    }

    #[test]
    fn impossible_parameters_are_named() {
        assert_eq!(fault(&defaults()), None);
        let with = |block| ConsensusParams { block: Some(block), ..defaults() };
        assert!(
            fault(&with(BlockParams { max_bytes: 0, max_gas: -1 }))
                .unwrap()
                .contains("block.max_bytes")
        );
        assert!(
            fault(&with(BlockParams { max_bytes: 1, max_gas: -2 }))
                .unwrap()
                .contains("block.max_gas")
        );
        let abci = Some(AbciParams { vote_extensions_enable_height: 5 });
        assert!(
            fault(&ConsensusParams { abci, ..defaults() }).unwrap().contains("vote extensions")
        );
    }

    #[test]
    fn a_transactions_size_in_a_block_is_its_encoded_size() {
        use prost::Message;
        for len in [0_usize, 1, 127, 128, 20_000] {
            let data = tendermint_proto::v0_38::types::Data { txs: vec![vec![7; len]] };
            assert_eq!(tx_size_in_block(len), i64::try_from(data.encoded_len()).unwrap());
        }
    }
}
