//! What an account decides and was told: promises that it settles, entries that it acknowledges.

use capstan_client::{Delivery, OutboxEntry};

use super::values::{arguments, reference, settled_value};
use super::{BLOCK, Sender};
use crate::failure::usage;
use crate::progress::during;

/// Maximum number of calls that a warning names.
const NAMED: usize = 5;

pub(super) const RESOLVE_HELP: &str = "\
Examples:
  capstan tx resolve rp-61 42 --from alice
  capstan tx resolve rp-61 '{\"price\":7n,\"from\":@ro+2}' --from alice
  capstan tx resolve rp-61 'no such city' --reject --from alice

A promise is settled once. Only the account that decides it can settle it, and not to another promise.";

/// Refuses references that are not dropped but settled.
///
/// # Errors
/// One of them is a promise, or an object of the account's own.
pub(super) fn refuse_to_drop(refs: &[String]) -> anyhow::Result<()> {
    for reference in refs {
        if reference.starts_with("rp") {
            return Err(usage(format!(
                "{reference} is a promise, which is not dropped: `capstan tx resolve {reference} VALUE` or `capstan tx reject {reference} TEXT` settles one that the account decides; any other goes when its settlement is acknowledged"
            )));
        }
        if reference.starts_with("ro+") {
            return Err(usage(format!(
                "{reference} is an object of the account's own, which others hold: the outbox tells by dropExports when nobody does any more"
            )));
        }
    }
    Ok(())
}

impl Sender {
    pub(super) fn resolve(
        &self,
        promise: &str,
        value: Option<&str>,
        reject: bool,
    ) -> anyhow::Result<()> {
        let promise = reference(promise);
        if !promise.starts_with("rp") {
            return Err(usage(format!(
                "{promise:?} is not a promise: it is written rp-60 or rp+1; `capstan query outbox` shows the results of calls"
            )));
        }
        let value = arguments(settled_value(value, reject))?;
        let settle = || match reject {
            true => self.wallet.reject(promise, &value),
            false => self.wallet.resolve(promise, &value),
        };
        self.done(&during(BLOCK, settle)?)
    }

    /// Acknowledges entries of the outbox. Warns of calls among them that wait for an answer.
    pub(super) fn acknowledge(&self, through: u64) -> anyhow::Result<()> {
        if let Some(warning) = unanswered_text(&self.unanswered(through)?) {
            self.output.note("warning", &warning);
        }
        self.done(&during(BLOCK, || self.wallet.acknowledge(through))?)
    }

    /// Returns the calls up to an entry that wait for an answer: their numbers and promises.
    fn unanswered(&self, through: u64) -> anyhow::Result<Vec<(u64, String)>> {
        let (mut calls, mut after) = (Vec::new(), 0);
        loop {
            let page = self.wallet.client().outbox(&self.wallet.address(), after, 0)?;
            for entry in page.entries.into_iter().filter(|entry| entry.unanswered) {
                if entry.number > through {
                    return Ok(calls);
                }
                let OutboxEntry { number, delivery, .. } = OutboxEntry::read(entry)?;
                if let Delivery::Message { message, .. } = delivery {
                    calls.extend(message.result.map(|promise| (number, promise)));
                }
            }
            after = page.next;
            if after == 0 || after >= through {
                return Ok(calls);
            }
        }
    }
}

/// Returns the warning about calls that are acknowledged before they are answered. Returns `None` if there are none.
fn unanswered_text(calls: &[(u64, String)]) -> Option<String> {
    let (_, first) = calls.first()?;
    let named = calls.iter().take(NAMED).map(|(number, promise)| format!("{number} ({promise})"));
    let more = match calls.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "warning: calls that still wait for an answer leave the outbox: {}{more}; `capstan tx resolve {first} VALUE` still answers the first",
        named.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_the_first_calls() {
        assert_eq!(unanswered_text(&[]), None);
        let calls: Vec<(u64, String)> = (1..=7).map(|n| (n, format!("rp-{}", 60 + n))).collect();
        let text = unanswered_text(&calls).unwrap();
        assert!(text.contains("1 (rp-61), 2 (rp-62)") && text.contains("and 2 more"), "{text}");
        assert!(text.contains("tx resolve rp-61"), "{text}");
    }

    #[test]
    fn promises_and_own_objects_are_not_dropped() {
        let refused = |text: &str| refuse_to_drop(&[text.to_owned()]).unwrap_err().to_string();
        assert!(refused("rp+1").contains("capstan tx resolve rp+1"));
        assert!(refused("ro+1").contains("dropExports"));
        assert!(refuse_to_drop(&["ro-51".to_owned()]).is_ok());
    }
}
