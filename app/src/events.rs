//! The ABCI events of the application. Their types and attributes are a public interface: `subscribe` and `tx_search`
//! select by them, as in `vat.created.vat_id='v12'`. All attributes are indexed.
//!
//! Capstan's own types are a noun and what happened to it, `vat.created`. Types without a dot are the Cosmos SDK's, with
//! its attributes.
//!
//! | type | attributes | where |
//! |---|---|---|
//! | `fee.paid` | `payer`, `amount` (as in `1500ucap`) | transaction, also one that failed |
//! | `account.provisioned` | `account`, `amount` | transaction, also one that failed |
//! | `tx` | `fee` and `fee_payer`; `acc_seq` (`ADDRESS/SEQUENCE`); `signature` (base64): an event for each | transaction, also one that failed |
//! | `burn` | `burner`, `amount`: of the fee | transaction, also one that failed |
//! | `coin_spent` | `spender`, `amount`, `msg_index` | transaction, for its fee also one that failed |
//! | `coin_received` | `receiver`, `amount`, `msg_index` | transaction |
//! | `transfer` | `recipient`, `sender`, `amount`, `msg_index` | transaction |
//! | `message` | `action` (a type URL), `sender`, `module` (`bank`, `capstan`), `msg_index` | transaction |
//! | `account.created` | `address` | transaction |
//! | `bundle.installed` | `bundle_id`, `submitter`, `size` | transaction |
//! | `upload.begun` | `upload_id`, `submitter`, `bundle_id`, `deadline_height` | transaction |
//! | `upload.chunk` | `upload_id`, `index`, `missing` | transaction |
//! | `upload.failed` | `upload_id`, `submitter` | transaction that completed the upload and failed |
//! | `upload.expired` | `upload_id`, `submitter` | block |
//! | `message.sent` | `sender`, `target`, `method`, `promise`, `message_index` | transaction |
//! | `meter.funded` | `meter_id`, `payer`, `computrons`, `amount`, `remaining` | transaction |
//! | `promise.resolved` | `account`, `promise` | transaction |
//! | `reference.dropped` | `account`, `reference` | transaction |
//! | `outbox.acknowledged` | `account`, `through` | transaction |
//! | `channel.written` | `subcluster_id`, `channel`, `sender`, `lines` (their number), `closed` (`true`, `false`) | transaction |
//! | `channel.acknowledged` | `subcluster_id`, `channel`, `sender`, `through` | transaction |
//! | `message.resolved` | `account`, `promise`, `status` (`fulfilled`, `rejected`), `tx_hash`, `message_index` | block |
//! | `outbox.posted` | `account`, `number` | block |
//! | `vat.created` | `vat_id`, `name`, `bundle_id` | block |
//! | `vat.upgraded` | `vat_id`, `incarnation`, `bundle_id` | block |
//! | `vat.upgrade_failed` | `vat_id`, `bundle_id`, `cause` | block |
//! | `vat.terminated` | `vat_id`, `kind` (`exited`, `terminated`, `failed`), `failure` (`true` if it failed), `reason` | block |
//! | `meter.returned` | `meter_id`, `owner`, `computrons`, `amount`: the rest of a meter whose vat has ended | block |
//! | `object.revoked` | `kref`, `owner` (empty for an orphan) | block |
//! | `subcluster.launched` | `subcluster_id`, `name`, `owner` (an address, `system` or `host`) | block |
//! | `subcluster.bootstrapped` | `subcluster_id`, `name`, `owner` | block |
//! | `subcluster.failed` | `subcluster_id` (absent if it got none), `name`, `owner`, `reason` | block |
//! | `subcluster.terminated` | `subcluster_id`, `name`, `owner`, `reason` | block |
//! | `validator.misbehaved` | `address`, `kind` (`duplicate-vote`, `light-client-attack`, `unknown`), `height`, `removed` (`true`, `false`) | block |
//! | `chain.overridden` | `sha256`: of the override that the validators agreed on | block |
//! | `block.run` | `cranks`, `computrons`, `idle` | block, if there was work |

use tendermint_proto::v0_38::abci::{Event, EventAttribute};

/// Builds an [`Event`] of this type with these attributes.
pub(crate) fn event(kind: &str, attributes: &[(&str, String)]) -> Event {
    let attribute = |(key, value): &(&str, String)| EventAttribute {
        key: (*key).to_owned(),
        value: value.clone(),
        index: true,
    };
    Event { r#type: kind.to_owned(), attributes: attributes.iter().map(attribute).collect() }
}
