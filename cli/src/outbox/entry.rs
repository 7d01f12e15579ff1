//! The entries of an outbox, for people and for programs.

use capstan_abi::json::delivery_to_json;
use capstan_client::{CapData, Delivery, OutboxEntry, Resolution, SettledCall};
use serde_json::{Value, json};

use crate::passable;

/// Maximum number of characters of an entry for people.
const LINE_CHARS: usize = 1000;

/// Returns an entry for programs: what it tells, decoded, and the delivery itself.
pub(crate) fn record(entry: &OutboxEntry) -> Value {
    let OutboxEntry { number, delivery, unanswered, .. } = entry;
    let kind = delivery_to_json(delivery)[0].clone();
    let mut record = json!({"number": number, "kind": kind, "unanswered": unanswered});
    match delivery {
        Delivery::Message { target, message } => {
            let call = decoded(&message.methargs);
            record["target"] = target.as_str().into();
            record["method"] = call[0].clone();
            record["args"] = call[1].clone();
            record["result"] = message.result.as_deref().into();
        }
        Delivery::Notify { resolutions } => {
            let one = |Resolution { promise, rejected, data }: &Resolution| {
                let call = settled_call(entry, promise).map(|call| {
                    json!({"target": call.target, "method": call.method, "tx_hash": call.tx_hash, "index": call.index})
                });
                json!({"promise": promise, "rejected": rejected, "value": decoded(data), "call": call})
            };
            record["resolutions"] = resolutions.iter().map(one).collect();
        }
        other => record["refs"] = delivery_to_json(other)[1].clone(),
    }
    record["delivery"] = delivery_to_json(delivery);
    record
}

/// Returns an entry for people, on one line.
pub(crate) fn line(entry: &OutboxEntry) -> String {
    let OutboxEntry { number, delivery, unanswered, .. } = entry;
    let raw = delivery_to_json(delivery);
    let kind = raw[0].as_str().unwrap_or_default();
    let told = match delivery {
        Delivery::Message { target, message } => {
            let result = message.result.as_deref();
            let result = result.map(|promise| format!(" result {promise}")).unwrap_or_default();
            format!("{target}{}{result}", call(&message.methargs))
        }
        Delivery::Notify { resolutions } => {
            let told = resolutions.iter().map(|one| settlement(entry, one));
            told.collect::<Vec<_>>().join("; ")
        }
        _ => raw[1].as_array().map_or_else(String::new, |refs| {
            refs.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }),
    };
    let told = match told.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}… (--json prints all)", &told[..end]),
        None => told,
    };
    let mark = if *unanswered { " unanswered" } else { "" };
    format!("{number} {kind} {told}{mark}")
}

/// Returns `.method(arguments)`.
fn call(methargs: &CapData) -> String {
    let methargs = passable::decode_exactly(&methargs.body, &methargs.slots);
    let args: Vec<String> =
        methargs[1].as_array().into_iter().flatten().map(passable::typed).collect();
    let args = args.join(",");
    match &methargs[0] {
        Value::String(name) if is_identifier(name) => format!(".{name}({args})"),
        // A call of the object itself.
        method if *method == json!({"@undefined": true}) => format!("({args})"),
        other => format!("[{}]({args})", passable::typed(other)),
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
}

/// Returns a settled promise for people, with the call that it answers, if that is known.
fn settlement(entry: &OutboxEntry, resolution: &Resolution) -> String {
    let Resolution { promise, rejected, data: CapData { body, slots } } = resolution;
    let how = if *rejected { "rejected" } else { "fulfilled" };
    let value = passable::text(body, slots);
    match settled_call(entry, promise) {
        Some(SettledCall { target, method, .. }) => {
            format!("{promise} of {target}.{method} {how} {value}")
        }
        None => format!("{promise} {how} {value}"),
    }
}

/// Returns the call of the account's own that a promise of the entry answers.
fn settled_call<'a>(entry: &'a OutboxEntry, promise: &str) -> Option<&'a SettledCall> {
    entry.settles.iter().find(|call| call.promise == promise)
}

fn decoded(data: &CapData) -> Value {
    passable::decode(&data.body, &data.slots)
}

#[cfg(test)]
mod tests {
    use capstan_abi::json::delivery_from_json;

    use super::*;

    fn entry(number: u64, json: &str) -> OutboxEntry {
        let delivery = delivery_from_json(json.as_bytes()).unwrap();
        OutboxEntry { number, delivery, unanswered: false, settles: Vec::new() }
    }

    #[test]
    fn entries_are_lines_for_people_and_records_for_programs() {
        for (delivery, expected) in [
            (
                r##"["message","ro+1",{"methargs":{"body":"#[\"hello\",[\"world\",\"$0\",\"+7\"]]","slots":["ro-51"]},"result":"rp-60"}]"##,
                r#"1 message ro+1.hello("world",@ro-51,7n) result rp-60"#,
            ),
            (
                r##"["message","ro+1",{"methargs":{"body":"#[\"two words\",[]]","slots":[]},"result":null}]"##,
                r#"1 message ro+1["two words"]()"#,
            ),
            (
                r##"["message","ro+1",{"methargs":{"body":"#[\"#undefined\",[1]]","slots":[]},"result":null}]"##,
                "1 message ro+1(1)",
            ),
            (
                r##"["notify",[["rp+3",false,{"body":"#42","slots":[]}],["rp-4",true,{"body":"#{\"#error\":\"no\",\"name\":\"Error\"}","slots":[]}]]]"##,
                r#"1 notify rp+3 fulfilled 42; rp-4 rejected {"@error":"no","name":"Error"}"#,
            ),
            (r#"["dropExports",["ro+1","ro+2"]]"#, "1 dropExports ro+1 ro+2"),
            (r#"["retireImports",["ro-51"]]"#, "1 retireImports ro-51"),
        ] {
            let parsed = entry(1, delivery);
            assert_eq!(line(&parsed), expected);
            let record = record(&parsed);
            assert_eq!(record["delivery"], serde_json::from_str::<Value>(delivery).unwrap());
        }
    }

    #[test]
    fn a_record_has_what_a_program_needs() {
        let message = entry(
            7,
            r##"["message","ro+1",{"methargs":{"body":"#[\"hello\",[\"$0\"]]","slots":["ro-51"]},"result":"rp-60"}]"##,
        );
        let record = record(&message);
        assert_eq!((&record["kind"], &record["number"]), (&json!("message"), &json!(7)));
        assert_eq!((&record["target"], &record["method"]), (&json!("ro+1"), &json!("hello")));
        assert_eq!((&record["args"], &record["result"]), (&json!(["@ro-51"]), &json!("rp-60")));
    }

    #[test]
    fn an_answer_names_its_call_and_a_call_says_that_it_waits() {
        let json = r##"["notify",[["rp-60",false,{"body":"#42","slots":[]}],["rp-61",false,{"body":"#1","slots":[]}]]]"##;
        let call = SettledCall {
            promise: "rp-60".to_owned(),
            tx_hash: "AB".to_owned(),
            index: 1,
            target: "ro-51".to_owned(),
            method: "increment".to_owned(),
        };
        let notify = OutboxEntry { settles: vec![call], ..entry(3, json) };
        let shown = "3 notify rp-60 of ro-51.increment fulfilled 42; rp-61 fulfilled 1";
        assert_eq!(line(&notify), shown);
        let resolutions = &record(&notify)["resolutions"];
        let expected = json!({"target":"ro-51","method":"increment","tx_hash":"AB","index":1});
        assert_eq!((&resolutions[0]["call"], &resolutions[1]["call"]), (&expected, &Value::Null));
        let call = r##"["message","ro+1",{"methargs":{"body":"#[\"hi\",[]]","slots":[]},"result":"rp-9"}]"##;
        let call = OutboxEntry { unanswered: true, ..entry(4, call) };
        assert_eq!(line(&call), "4 message ro+1.hi() result rp-9 unanswered");
        assert_eq!(record(&call)["unanswered"], true);
    }

    #[test]
    fn a_long_entry_is_cut_for_people() {
        let body = json!(format!("#[\"hello\",[{:?}]]", "é".repeat(5000)));
        let json = format!(
            r#"["message","ro+1",{{"methargs":{{"body":{body},"slots":[]}},"result":"rp-60"}}]"#
        );
        let shown = line(&entry(1, &json));
        assert!(shown.chars().count() < LINE_CHARS + 100 && shown.contains("--json"), "{shown}");
    }
}
