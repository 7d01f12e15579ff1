//! Events of the chain, as transactions and blocks carry them.

use tendermint::abci::Event;

/// Returns the value of an event's attribute, or an empty text.
pub(crate) fn attribute(event: &Event, key: &str) -> String {
    let found = event.attributes.iter().find(|a| a.key_str().is_ok_and(|found| found == key));
    found.and_then(|a| a.value_str().ok()).unwrap_or_default().to_owned()
}
