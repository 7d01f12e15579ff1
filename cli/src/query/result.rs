//! `capstan query result`: what became of a message. And the data of vats in records, decoded.

use capstan_client::{ClientError, ErrorCode};
use serde_json::Value;

use super::Asker;
use crate::passable;

impl Asker {
    /// Prints what became of a message.
    pub(super) fn result_of(&self, hash: &str, index: u32) -> anyhow::Result<()> {
        let asked = self.record(&format!("txs/{hash}/{index}"));
        let code = |error: &anyhow::Error| match error.downcast_ref::<ClientError>() {
            Some(ClientError::Query { code, .. }) => Some(*code),
            _ => None,
        };
        let Err(error) = asked else { return Ok(()) };
        let parsed = hash.to_uppercase().parse().ok().filter(|_| hash.len() == 64);
        let (Some(parsed), true) = (parsed, code(&error) == Some(ErrorCode::NotFound.number()))
        else {
            return Err(error);
        };
        let why = match self.client.tx(parsed)? {
            Some(tx) if tx.code != 0 => format!(
                "the transaction failed in block {}, so its messages were not sent: {}",
                tx.height, tx.log
            ),
            Some(tx) => format!(
                "the transaction is in block {}; its message {index} was sent to no vat, or what became of it is no longer kept: `capstan query tx {hash}` shows its messages",
                tx.height
            ),
            None => return Err(error),
        };
        Err(error.context(why))
    }
}

/// Adds to all data of vats in a record its value in the notation of arguments, as `decoded`.
pub(super) fn decode(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let body = fields.get("body").and_then(Value::as_str);
            let slots = fields.get("slots").and_then(Value::as_array);
            if let (Some(body), Some(slots), 2) = (body, slots, fields.len()) {
                let slots: Vec<&str> = slots.iter().filter_map(Value::as_str).collect();
                let decoded = passable::decode(body, &slots);
                fields.insert("decoded".to_owned(), decoded);
                return;
            }
            fields.values_mut().for_each(decode);
        }
        Value::Array(items) => items.iter_mut().for_each(decode),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_of_vats_is_decoded_wherever_it_stands() {
        let data = json!({"body": "#[\"$0\",\"+7\"]", "slots": ["ko20"]});
        let mut record = json!({"value": data, "list": [{"info": data}], "body": "x"});
        decode(&mut record);
        let decoded = json!(["@ko20", {"@bigint": "7"}]);
        assert_eq!(record["value"]["decoded"], decoded);
        assert_eq!(record["list"][0]["info"]["decoded"], decoded);
        assert_eq!(record["body"], "x");
    }
}
