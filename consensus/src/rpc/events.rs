//! The events of a block as subscribers get them: `NewBlock`, `NewBlockHeader`, `NewBlockEvents`, a `Tx` for each
//! transaction, and those of the round in which CometBFT would have agreed on it.

use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::Event;

use super::context::Committed;
use super::{json, rounds};
use crate::chain::execution::txs_of;
use crate::chain::merkle::sha256;
use crate::chain::query::EventMap;

/// One event: the attributes that queries match, and the message that is sent.
#[derive(Clone, Debug)]
pub(crate) struct BusEvent {
    /// All attributes by composite key, with `tm.event` and, as CometBFT adds them, `tx.hash`,
    /// `tx.height`.
    pub(crate) map: EventMap,
    /// The members `data` and `events` of the message, as JSON without the braces. All subscribers share it.
    pub(crate) members: String,
}

impl BusEvent {
    /// Returns the message about the event to a subscription.
    pub(crate) fn message(&self, id: &Value, query: &str) -> String {
        let query = Value::from(query);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"query":{query},{}}}}}"#, self.members)
    }
}

/// Renders the events of a committed block, in the order in which CometBFT fires them.
pub(crate) fn render(committed: &Committed) -> Vec<BusEvent> {
    let Some(header) = &committed.block.header else { return Vec::new() };
    let height = header.height.to_string();
    let results = &committed.results;
    let new_block = json!({
        "block": json::block(&committed.block),
        "block_id": json::block_id(&committed.block_id),
        "result_finalize_block": json::finalize_block(results),
    });
    let block_events = json!({
        "height": height,
        "events": json::sparse_events(&results.events),
        "num_txs": txs_of(&committed.block).len().to_string(),
    });
    let mut events = rounds::before(committed, header);
    events.extend([
        event("NewBlock", &results.events, &[], new_block),
        event("NewBlockHeader", &[], &[], json!({"header": json::header(header)})),
        event("NewBlockEvents", &results.events, &[], block_events),
    ]);
    for (index, (tx, result)) in
        txs_of(&committed.block).iter().zip(&results.tx_results).enumerate()
    {
        let value = json!({"TxResult": json::tx_event(header.height, index, tx, result)});
        let extra = [("tx.hash", json::hash(&sha256(tx))), ("tx.height", height.clone())];
        events.push(event("Tx", &result.events, &extra, value));
    }
    events.extend(rounds::after(committed, header));
    events
}

/// Makes an event of consensus, which has no attributes.
pub(super) fn of_consensus(kind: &str, type_name: &str, value: &Value) -> BusEvent {
    let map = EventMap::from([("tm.event".to_owned(), vec![kind.to_owned()])]);
    let data = json!({"type": format!("tendermint/event/{type_name}"), "value": value});
    let members = format!(r#""data":{data},"events":{}"#, json!(map));
    BusEvent { map, members }
}

fn event(kind: &str, abci: &[Event], extra: &[(&str, String)], value: Value) -> BusEvent {
    let mut map = EventMap::new();
    for event in abci.iter().filter(|event| !event.r#type.is_empty()) {
        for attribute in event.attributes.iter().filter(|attribute| !attribute.key.is_empty()) {
            let key = format!("{}.{}", event.r#type, attribute.key);
            map.entry(key).or_default().push(attribute.value.clone());
        }
    }
    for (key, value) in extra {
        map.entry((*key).to_owned()).or_default().push(value.clone());
    }
    map.entry("tm.event".to_owned()).or_default().push(kind.to_owned());
    let data = json!({"type": format!("tendermint/event/{kind}"), "value": value});
    let members = format!(r#""data":{data},"events":{}"#, json!(map));
    BusEvent { map, members }
}
