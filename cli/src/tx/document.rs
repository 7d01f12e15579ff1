//! Transactions and signatures as JSON files, in the form of the Cosmos SDK's tools: protobuf's JSON with the names of
//! the `.proto` files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use capstan_client::StagedTx;
use cosmrs::proto::cosmos::tx::v1beta1::Tx;
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::failure::usage;

/// Upper bound of a file. No chain takes a transaction of more than 8 MiB, whose bytes base64 makes a third longer.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Upper bound of the values in a file. Each takes many times its bytes when it is read.
const MAX_VALUES: usize = 100_000;

/// Returns the JSON form of a message.
///
/// # Errors
/// It holds a message of a type that the chain does not know, or is too large.
pub(super) fn to_value<M: Message + Name>(message: &M) -> anyhow::Result<Value> {
    let bytes = message.encode_to_vec();
    let most = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
    let json = capstan_gateway::to_json(descriptor::<M>()?, &bytes, most);
    let json = json.map_err(|status| anyhow!("{}", status.message()))?;
    Ok(serde_json::from_slice(&json)?)
}

/// Reads the JSON form of a message.
fn from_value<M: Message + Name + Default>(value: Value) -> anyhow::Result<M> {
    let dynamic = DynamicMessage::deserialize(descriptor::<M>()?, value)?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

fn descriptor<M: Name>() -> anyhow::Result<MessageDescriptor> {
    let pool = capstan_gateway::descriptor_pool()?;
    let name = M::full_name();
    pool.get_message_by_name(&name).ok_or_else(|| anyhow!("there is no descriptor of {name}"))
}

/// Reads a transaction from a file, or from standard input if its name is `-`.
///
/// # Errors
/// The file cannot be read, is too large, or is no transaction.
pub(super) fn read_tx(path: &Path) -> anyhow::Result<StagedTx> {
    let mut value = read_value(path)?;
    if value.get("body").is_none() && value["signatures"].is_array() {
        return Err(usage(format!(
            "{} has signatures without a transaction, as `tx sign --signature-only` and `--multisig` print them; join those of a multisig with their transaction by `capstan tx multisign`",
            path.display()
        )));
    }
    // Later versions of the SDK write these two. Their default values change nothing, and others are refused below.
    if let Some(body) = value.get_mut("body").and_then(Value::as_object_mut) {
        body.retain(|name, value| match name.as_str() {
            "unordered" => *value != Value::Bool(false),
            "timeout_timestamp" => !value.is_null(),
            _ => true,
        });
    }
    if let Some(gas) = value.pointer("/auth_info/fee/gas_limit").filter(|gas| !is_count(gas)) {
        let gas: String = gas.to_string().chars().take(40).collect();
        return Err(usage(format!(
            "{}: auth_info.fee.gas_limit is {gas}; it must be a whole number below 2^64",
            path.display()
        )));
    }
    let not_one = || {
        format!("{} is no transaction as `--generate-only` or `tx sign` print it", path.display())
    };
    let tx: Tx = from_value(value).map_err(|e| usage(format!("{}: {e}", not_one())))?;
    StagedTx::from_proto(tx).with_context(not_one)
}

/// Returns whether a value of protobuf's JSON is a `uint64`, which may be written as a text.
fn is_count(value: &Value) -> bool {
    value.as_u64().is_some() || value.as_str().is_some_and(|text| text.parse::<u64>().is_ok())
}

/// Reads a message from a file.
///
/// # Errors
/// As [`read_tx`].
pub(super) fn read<M: Message + Name + Default>(path: &Path, what: &str) -> anyhow::Result<M> {
    from_value(read_value(path)?)
        .map_err(|error| usage(format!("{} is no {what}: {error}", path.display())))
}

fn read_value(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let read = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = match path.to_str() == Some("-") {
        true => read(&mut io::stdin()),
        false => File::open(path).and_then(|mut file| read(&mut file)),
    };
    let bytes = bytes.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(usage(format!(
            "{shown} has more than {MAX_FILE_BYTES} bytes, which no transaction has"
        )));
    }
    if values(&bytes) > MAX_VALUES {
        return Err(usage(format!(
            "{shown} has more than {MAX_VALUES} values, which no transaction has"
        )));
    }
    serde_json::from_slice(&bytes).map_err(|error| usage(format!("{shown} is no JSON: {error}")))
}

/// Returns an upper bound of the number of values in JSON. Texts are one value each.
fn values(json: &[u8]) -> usize {
    let (mut count, mut in_text, mut is_escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use capstan_client::{Address, Amount, Args, Messages, TxBuilder};
    use serde_json::json;

    use super::*;

    fn staged() -> StagedTx {
        let make = Messages::new(&Address([7; 20]));
        let send = make.send("ro-51", "increment", &Args::new([2.into()]).unwrap());
        let tx = TxBuilder::new()
            .message(&make.transfer(&Address([8; 20]), Amount(5)))
            .message(&send)
            .memo("hello")
            .fee(Amount(1_500))
            .gas_limit(900);
        StagedTx::new(&tx).unwrap()
    }

    fn written(value: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), value.to_string()).unwrap();
        file
    }

    #[test]
    fn a_transaction_has_the_json_form_of_the_sdk() {
        let value = to_value(&staged().to_proto()).unwrap();
        assert_eq!(value["body"]["messages"][0]["@type"], "/cosmos.bank.v1beta1.MsgSend");
        assert_eq!(
            value["body"]["messages"][0]["amount"],
            json!([{"denom": "ucap", "amount": "5"}])
        );
        assert_eq!(value["body"]["messages"][1]["@type"], "/capstan.v1.MsgSend");
        assert_eq!(
            (&value["body"]["memo"], &value["body"]["timeout_height"]),
            (&json!("hello"), &json!("0"))
        );
        assert_eq!(value["auth_info"]["signer_infos"], json!([]));
        assert_eq!(value["auth_info"]["fee"]["gas_limit"], "900");
        assert_eq!(value["signatures"], json!([]));
        assert_eq!(read_tx(written(&value).path()).unwrap(), staged());
    }

    #[test]
    fn the_values_of_a_file_are_counted_before_it_is_read() {
        for (json, count) in [("1", 1), ("[1,2]", 3), (r#"{"a":"[,{\"[,"}"#, 2), ("[[],{}]", 5)] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
        let infos = vec!["{}"; MAX_VALUES].join(",");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!(r#"{{"body":{{"messages":[{infos}]}}}}"#)).unwrap();
        let error = read_tx(file.path()).unwrap_err().to_string();
        assert!(error.contains("100000 values"), "{error}");
        let long = format!(r#"{{"body":{{"memo":"{}"}}}}"#, "x".repeat(16 << 20));
        std::fs::write(file.path(), long).unwrap();
        let error = read_tx(file.path()).unwrap_err().to_string();
        assert!(error.contains("more than 16777216 bytes"), "{error}");
    }

    #[test]
    fn fields_of_later_versions_are_taken_with_their_default_values_only() {
        let mut value = to_value(&staged().to_proto()).unwrap();
        value["body"]["unordered"] = json!(false);
        value["body"]["timeout_timestamp"] = json!(null);
        assert_eq!(read_tx(written(&value).path()).unwrap(), staged());
        value["body"]["unordered"] = json!(true);
        let error = read_tx(written(&value).path()).unwrap_err().to_string();
        assert!(error.contains("unordered"), "{error}");
        for bad in [json!({}), json!([]), json!({"body": {"messages": [{"@type": "/x.Y"}]}})] {
            assert!(read_tx(written(&bad).path()).is_err(), "{bad}");
        }
    }
}
