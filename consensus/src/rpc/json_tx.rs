//! JSON of transactions and their results, which is written without a tree of values. These are the answers that a busy node gives
//! most.

use serde::{Serialize, Serializer};
use tendermint_proto::v0_38::abci::{Event, EventAttribute, ExecTxResult, ResponseCheckTx};

use super::json;
use crate::chain::block_store::TxPosition;

/// A 64-bit integer as a text.
struct Decimal<T>(T);

/// Bytes as base64, or null if there are none.
struct Data<'a>(&'a [u8]);

/// A list of events.
pub(super) struct Events<'a>(pub(super) &'a [Event]);

#[derive(Serialize)]
struct OneEvent<'a> {
    r#type: &'a str,
    attributes: Attributes<'a>,
}

struct Attributes<'a>(&'a [EventAttribute]);

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: &'a str,
    index: bool,
}

/// The result of a transaction.
#[derive(Serialize)]
pub(super) struct TxResult<'a> {
    code: u32,
    data: Data<'a>,
    log: &'a str,
    info: &'a str,
    gas_wanted: Decimal<i64>,
    gas_used: Decimal<i64>,
    events: Events<'a>,
    codespace: &'a str,
}

/// A transaction with its result.
#[derive(Serialize)]
struct Found<'a> {
    hash: String,
    height: Decimal<i64>,
    index: u32,
    tx_result: TxResult<'a>,
    tx: String,
}

/// What became of a transaction that was sent.
#[derive(Serialize)]
struct Broadcast<'a> {
    code: u32,
    data: String,
    log: &'a str,
    codespace: &'a str,
    hash: String,
}

impl<T: std::fmt::Display> Serialize for Decimal<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [] => to.serialize_unit(),
            bytes => to.serialize_str(&json::base64(bytes)),
        }
    }
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|event| OneEvent {
            r#type: &event.r#type,
            attributes: Attributes(&event.attributes),
        }))
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|EventAttribute { key, value, index }| Attribute {
            key,
            value,
            index: *index,
        }))
    }
}

impl<'a> TxResult<'a> {
    pub(super) fn of(result: &'a ExecTxResult) -> Self {
        Self {
            code: result.code,
            data: Data(&result.data),
            log: &result.log,
            info: &result.info,
            gas_wanted: Decimal(result.gas_wanted),
            gas_used: Decimal(result.gas_used),
            events: Events(&result.events),
            codespace: &result.codespace,
        }
    }
}

/// Returns the text of a transaction with its result.
pub(super) fn found(
    (height, index): TxPosition,
    hash: &[u8],
    tx: &[u8],
    result: &ExecTxResult,
) -> String {
    text(&Found {
        hash: json::hash(hash),
        height: Decimal(height),
        index,
        tx_result: TxResult::of(result),
        tx: json::base64(tx),
    })
}

/// Returns the text of the answer to a broadcast.
pub(super) fn broadcast(check: &ResponseCheckTx, hash: &[u8]) -> String {
    text(&Broadcast {
        code: check.code,
        data: json::hash(&check.data),
        log: &check.log,
        codespace: &check.codespace,
        hash: json::hash(hash),
    })
}

fn text(written: &impl Serialize) -> String {
    // Texts, numbers, lists and members with names can be represented.
    serde_json::to_string(written).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transaction_is_written_as_cometbft_writes_it() {
        let attribute = EventAttribute { key: "k\"".into(), value: "ü\n".into(), index: true };
        let events = vec![
            Event { r#type: "t".into(), attributes: vec![attribute] },
            Event { r#type: String::new(), attributes: vec![] },
        ];
        let result = ExecTxResult {
            code: 7,
            data: vec![1, 2].into(),
            log: "a log".into(),
            gas_wanted: i64::MAX,
            gas_used: -1,
            events,
            codespace: "c".into(),
            ..ExecTxResult::default()
        };
        let written = found((i64::MAX, 3), &[0xab; 2], b"tx", &result);
        let expected = json!({
            "hash": "ABAB",
            "height": "9223372036854775807",
            "index": 3,
            "tx_result": {
                "code": 7,
                "data": "AQI=",
                "log": "a log",
                "info": "",
                "gas_wanted": "9223372036854775807",
                "gas_used": "-1",
                "events": [
                    {"type": "t", "attributes": [{"key": "k\"", "value": "ü\n", "index": true}]},
                    {"type": "", "attributes": []},
                ],
                "codespace": "c",
            },
            "tx": "dHg=",
        });
        // The order of members counts too.
        assert_eq!(written, expected.to_string());
    }

    #[test]
    fn an_answer_to_a_broadcast_has_the_hash_and_what_was_wrong() {
        let check = ResponseCheckTx {
            code: 5,
            log: "\"no\"".into(),
            codespace: "c".into(),
            data: vec![1].into(),
            ..ResponseCheckTx::default()
        };
        let expected =
            json!({"code": 5, "data": "01", "log": "\"no\"", "codespace": "c", "hash": "FF"});
        assert_eq!(broadcast(&check, &[0xff]), expected.to_string());
    }
}
