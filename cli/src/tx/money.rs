//! What a vat costs: meters that are too small, and the rest that comes back when a vat ends.

use capstan_abi::BundleKind;
use std::time::Duration;

use capstan_client::{Client, ClientError, Deadline, MessageResult, proto};
use serde_json::{Value, json};

use super::Sender;
use crate::events::attribute;

/// Bytes of the heap of an ordinary JavaScript vat at its first snapshots, with classes of exos, rounded up.
const SMALL_HEAP_BYTES: u64 = 2_400_000;

/// Computrons beside the deposit for the heap with which a small vat does some work.
const SOME_WORK: u64 = 100_000_000;

/// Maximum time to wait for the cleanup of a vat.
const CLEANUP: Duration = Duration::from_secs(10);

/// The rest of a meter that went back to its owner.
struct Returned {
    owner: String,
    computrons: String,
    amount: String,
}

impl Sender {
    /// Warns if a new JavaScript vat has a meter that does not cover the deposit for its heap.
    pub(super) fn warn_of_small_meter(&self, vat_id: &str) -> anyhow::Result<()> {
        let client = self.wallet.client();
        let vat = client.vat(vat_id)?;
        let price = client.params()?.deposit_byte_computrons;
        let least = SMALL_HEAP_BYTES.saturating_mul(price).saturating_add(SOME_WORK);
        let kind = BundleKind::from_id(&vat.bundle_id);
        let stats = client.query(&proto::QueryVatStatsRequest { vat_id: vat_id.to_owned() })?;
        // After the first snapshot the heap is paid for.
        if price == 0 || kind != Some(BundleKind::EndoZip) || stats.heap_bytes > 0 {
            return Ok(());
        }
        let meter = client.query(&proto::QueryMeterRequest { meter_id: vat.meter_id.clone() })?;
        let remaining = meter.remaining.parse::<u128>().ok();
        let Some(left) = remaining.filter(|left| *left < u128::from(least)) else { return Ok(()) };
        let text = format!(
            "warning: {} has {left} computrons left, and a JavaScript vat needs up to {least}, most of them as a deposit for its heap at the first snapshot; with less the vat ends there by `meter underflow`: `capstan tx fund-meter {} {}` adds them",
            vat.meter_id,
            vat.meter_id,
            u128::from(least) - left
        );
        self.output.note("warning", &text);
        Ok(())
    }

    /// Prints the answer to the end of a vat, with the rest of the meter that went back to its owner.
    pub(super) fn ended(&self, result: &MessageResult, admin: &str) -> anyhow::Result<()> {
        if result.status == "rejected" {
            return self.answered_by_admin(result, admin, None);
        }
        let meters = meters_of_ended(self.wallet.client(), result)?;
        let returned = match meters.as_slice() {
            [meter] => rest_of(self.wallet.client(), result.settled_height, meter)?,
            _ => None,
        };
        let more = match returned {
            Some(Returned { owner, computrons, amount }) => {
                let text = format!("returned {amount} for {computrons} computrons to {owner}");
                let record = json!({"owner": owner, "computrons": computrons, "amount": amount});
                ("returned", record, text)
            }
            None => {
                let why = match meters.as_slice() {
                    [meter] => format!(
                        "the rest of {meter} goes back when the vat is cleaned up: `capstan query meter {meter}` tells"
                    ),
                    [] => "the vat had no meter".to_owned(),
                    several => format!(
                        "several vats ended: `capstan query meter` tells what went back of {}",
                        several.join(", ")
                    ),
                };
                ("returned", Value::Null, why)
            }
        };
        self.answered_by_admin(result, admin, Some(more))
    }
}

/// Returns the meters of the vats that were terminated in the blocks from the message to its answer. There is one, unless
/// others did the same at the same time.
fn meters_of_ended(client: &Client, result: &MessageResult) -> Result<Vec<String>, ClientError> {
    let mut meters = Vec::new();
    for height in result.height..=result.settled_height {
        let Ok(height) = u32::try_from(height) else { break };
        for event in client.block_results(height)?.finalize_block_events {
            if event.kind == "vat.terminated" && attribute(&event, "kind") == "terminated" {
                meters.push(client.vat(&attribute(&event, "vat_id"))?.meter_id);
            }
        }
    }
    meters.retain(|meter| !meter.is_empty());
    Ok(meters)
}

/// Waits until the rest of the meter went back. Returns `None` if that takes long, as after a large vat.
fn rest_of(client: &Client, first: u64, meter: &str) -> Result<Option<Returned>, ClientError> {
    let mut next = first;
    let look = || {
        let last = client.status()?.height;
        while next <= last {
            let Ok(height) = u32::try_from(next) else { return Ok(None) };
            for event in client.block_results(height)?.finalize_block_events {
                if event.kind == "meter.returned" && attribute(&event, "meter_id") == meter {
                    return Ok(Some(Returned {
                        owner: attribute(&event, "owner"),
                        computrons: attribute(&event, "computrons"),
                        amount: attribute(&event, "amount"),
                    }));
                }
            }
            next += 1;
        }
        Ok(None)
    };
    match Deadline::after(CLEANUP).poll("the rest of the meter", look) {
        Ok(returned) => Ok(Some(returned)),
        Err(ClientError::Timeout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
