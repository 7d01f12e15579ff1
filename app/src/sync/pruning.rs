//! Which blocks CometBFT must keep.

use crate::sync::SyncOptions;

/// Returns the lowest height whose block CometBFT must keep, or 0 if it must keep all.
///
/// A node that begins with the oldest snapshot needs all blocks from there on. Evidence of misbehavior and the queries of
/// past heights need blocks too. Without a snapshot, a new node needs all blocks.
pub(crate) fn retain_height(options: &SyncOptions, height: u64, oldest: Option<u64>) -> u64 {
    let Some(oldest) = oldest.filter(|_| options.prune_blocks) else { return 0 };
    let needed = options.evidence_blocks.max(options.retain_heights);
    oldest.min(height.saturating_sub(needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_kept_for_the_oldest_snapshot_for_evidence_and_for_past_heights() {
        let options = SyncOptions {
            dir: "".into(),
            interval: 10,
            keep: 2,
            store_dir: "".into(),
            store: Default::default(),
            prune_blocks: true,
            evidence_blocks: 30,
            retain_heights: 20,
        };
        assert_eq!(retain_height(&options, 100, None), 0);
        assert_eq!(retain_height(&options, 100, Some(60)), 60);
        assert_eq!(retain_height(&options, 100, Some(90)), 70);
        assert_eq!(retain_height(&options, 20, Some(10)), 0);
        let past = SyncOptions { retain_heights: 50, ..options.clone() };
        assert_eq!(retain_height(&past, 100, Some(90)), 50);
        let off = SyncOptions { prune_blocks: false, ..options };
        assert_eq!(retain_height(&off, 100, Some(90)), 0);
    }
}
