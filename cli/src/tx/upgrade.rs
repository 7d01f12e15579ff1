//! The cause of a failed upgrade, which the rejection does not name.

use anyhow::Context as _;
use capstan_client::{Client, ClientError, MessageResult};

use super::Sender;
use crate::events::attribute;

/// Upper bound of the blocks that are searched for the event.
const MAX_BLOCKS: u64 = 100;

impl Sender {
    /// Prints the answer to an upgrade. That of one that failed is SwingSet's, and names no cause.
    pub(super) fn upgraded(
        &self,
        result: &MessageResult,
        admin: &str,
        bundle: &str,
    ) -> anyhow::Result<()> {
        let answered = self.answered_by_admin(result, admin, None);
        if answered.is_ok() || !result.value.body.contains("vat-upgrade failure") {
            return answered;
        }
        let causes = causes(self.wallet.client(), result, bundle)?;
        answered.with_context(|| {
            format!("the new code failed, and the old code goes on: {}", causes.join("; "))
        })
    }
}

/// Returns the causes of the failed upgrades to a bundle in the blocks from the transaction to the answer. There is
/// one, unless others tried the same at the same time.
///
/// # Errors
/// [`ClientError`] if the node does not answer.
fn causes(
    client: &Client,
    result: &MessageResult,
    bundle_id: &str,
) -> Result<Vec<String>, ClientError> {
    let last = result.settled_height;
    let first = result.height.max(last.saturating_sub(MAX_BLOCKS));
    let mut causes = Vec::new();
    for height in first..=last {
        let Ok(height) = u32::try_from(height) else { break };
        let results = client.block_results(height)?;
        for event in results.finalize_block_events {
            if event.kind != "vat.upgrade_failed" {
                continue;
            }
            let find = |key: &str| attribute(&event, key);
            if find("bundle_id") == bundle_id {
                causes.push(format!("{}: {}", find("vat_id"), find("cause")));
            }
        }
    }
    Ok(causes)
}
