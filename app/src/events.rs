//! The ABCI events of the application. Their types and attributes are a public interface: `subscribe` and `tx_search`
//! select by them, as in `vat.created.vat_id='v12'`. All attributes are indexed. `docs/events.md` describes each.
//!
//! Capstan's own types are a noun and what happened to it, `vat.created`. Types without a dot are the Cosmos SDK's, with
//! its attributes.

use tendermint_proto::v0_38::abci::{Event, EventAttribute};

/// All events: types in their order, each with the attributes that it can have.
pub const EVENTS: &[(&str, &[&str])] = &[
    ("account.created", &["address"]),
    ("account.provisioned", &["account", "amount"]),
    ("block.run", &["cranks", "computrons", "idle"]),
    ("bundle.installed", &["bundle_id", "submitter", "size"]),
    ("burn", &["burner", "amount"]),
    ("chain.overridden", &["sha256"]),
    ("channel.acknowledged", &["subcluster_id", "channel", "sender", "through"]),
    ("channel.written", &["subcluster_id", "channel", "sender", "lines", "closed"]),
    ("coin_received", &["receiver", "amount", "msg_index"]),
    ("coin_spent", &["spender", "amount", "msg_index"]),
    ("fee.paid", &["payer", "amount"]),
    ("message", &["action", "sender", "module", "msg_index"]),
    ("message.resolved", &["account", "promise", "status", "tx_hash", "message_index", "vat_id"]),
    ("message.sent", &["sender", "target", "method", "promise", "message_index"]),
    ("meter.funded", &["meter_id", "payer", "computrons", "amount", "remaining"]),
    ("meter.returned", &["meter_id", "owner", "computrons", "amount"]),
    ("object.revoked", &["kref", "owner"]),
    ("outbox.acknowledged", &["account", "through"]),
    ("outbox.posted", &["account", "number"]),
    ("promise.resolved", &["account", "promise"]),
    ("reference.dropped", &["account", "reference"]),
    ("subcluster.bootstrapped", &["subcluster_id", "name", "owner"]),
    ("subcluster.failed", &["subcluster_id", "name", "owner", "reason"]),
    ("subcluster.launched", &["subcluster_id", "name", "owner"]),
    ("subcluster.terminated", &["subcluster_id", "name", "owner", "reason"]),
    ("transfer", &["recipient", "sender", "amount", "msg_index"]),
    ("tx", &["fee", "fee_payer", "acc_seq", "signature"]),
    ("upload.begun", &["upload_id", "submitter", "bundle_id", "deadline_height"]),
    ("upload.chunk", &["upload_id", "index", "missing"]),
    ("upload.expired", &["upload_id", "submitter"]),
    ("upload.failed", &["upload_id", "submitter"]),
    ("validator.misbehaved", &["address", "kind", "height", "removed"]),
    ("vat.created", &["vat_id", "name", "bundle_id"]),
    ("vat.introduced", &["vat_id", "account", "tx_hash", "message_index", "subcluster_id"]),
    ("vat.terminated", &["vat_id", "kind", "failure", "reason"]),
    ("vat.upgrade_failed", &["vat_id", "bundle_id", "cause"]),
    ("vat.upgraded", &["vat_id", "incarnation", "bundle_id"]),
];

/// Builds an [`Event`] of this type with these attributes.
pub(crate) fn event(kind: &str, attributes: &[(&str, String)]) -> Event {
    debug_assert!(attributes.iter().all(|(key, _)| is_listed(kind, key)), "{kind}: {attributes:?}");
    let attribute = |(key, value): &(&str, String)| EventAttribute {
        key: (*key).to_owned(),
        value: value.clone(),
        index: true,
    };
    Event { r#type: kind.to_owned(), attributes: attributes.iter().map(attribute).collect() }
}

/// Returns whether events of a type can have an attribute.
fn is_listed(kind: &str, key: &str) -> bool {
    let found = EVENTS.binary_search_by(|(listed, _)| (*listed).cmp(kind));
    found.is_ok_and(|at| EVENTS[at].1.contains(&key))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/events.md");

    /// Returns the texts between backticks.
    fn names(cell: &str) -> Vec<&str> {
        cell.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_document_has_each_event_with_its_attributes() {
        let mut documented: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in DOCUMENT.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split('|').collect();
            documented.push((names(cells[1])[0], names(cells[2])));
        }
        documented.sort_unstable();
        let listed: Vec<(&str, Vec<&str>)> =
            EVENTS.iter().map(|(kind, keys)| (*kind, keys.to_vec())).collect();
        assert_eq!(documented, listed);
    }

    /// Returns the code of the sources below a directory.
    fn sources(dir: &Path) -> String {
        let mut code = String::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => code.push_str(&sources(&path)),
                false if path.ends_with("src/events.rs") => {}
                false => code.push_str(&fs::read_to_string(&path).unwrap()),
            }
        }
        code
    }

    #[test]
    fn each_event_is_built_somewhere() {
        let code = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        for (kind, keys) in EVENTS {
            for name in keys.iter().chain([kind]) {
                assert!(code.contains(&format!("\"{name}\"")), "{kind}: {name}");
            }
        }
    }
}
