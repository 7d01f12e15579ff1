//! Comparing what happened with what was recorded.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// SwingSet remembers only in memory what has to be collected after a call from the host, so that a
/// promise released just before a restart stays for ever. Capstan's restart changes nothing.
pub const FORGOTTEN_PROMISE: &str =
    "a promise that SwingSet forgets to collect at a restart is collected";
/// SwingSet documents `adminNode.adminData()` and has lost it; Capstan has it.
pub const ADMIN_DATA: &str = "adminNode.adminData() exists";
/// SwingSet's local worker does not force garbage collection: its bringOutYourDead may find nothing.
pub const LOCAL_GC: &str = "the recording's local worker collected nothing in a bringOutYourDead: the engine is not asked to";
/// SwingSet's dump fails while a terminated vat awaits its cleanup.
pub const DUMP_OF_DEAD_VAT: &str =
    "a dump that SwingSet refuses while a terminated vat awaits cleanup is given";

/// The first difference between two sequences of cranks; none if they are equal in all that counts.
pub fn cranks(expected: &[Value], got: &[Value]) -> Option<String> {
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        if let Some(difference) = crank(expected, got) {
            return Some(format!("crank {index}: {difference}"));
        }
    }
    let (wanted, made) = (expected.len(), got.len());
    let next = expected.get(made).or(got.get(wanted)).map(|crank| crank["message"].to_string());
    next.map(|next| {
        format!("{wanted} cranks expected, {made} made; the first without a pair: {next}")
    })
}

fn crank(expected: &Value, got: &Value) -> Option<String> {
    let fields = ["crankNum", "crankType"];
    let differs = fields.iter().find_map(|name| field(name, &expected[*name], &got[*name]));
    let message = || field("message", &by_phase(&expected["message"]), &by_phase(&got["message"]));
    if let Some(difference) = differs.or_else(message) {
        return Some(difference);
    }
    let empty = Vec::new();
    let wanted = expected["deliveries"].as_array().unwrap_or(&empty);
    let made = got["deliveries"].as_array().unwrap_or(&empty);
    if wanted.len() != made.len() {
        return Some(format!("{} deliveries expected, {} made", wanted.len(), made.len()));
    }
    wanted.iter().zip(made).find_map(|(wanted, made)| delivery(wanted, made))
}

/// A message in which a budget of cleanup is given for each phase, without a default.
fn by_phase(message: &Value) -> Value {
    let mut message = message.clone();
    if message["budget"].is_object() {
        let phases = ["exports", "imports", "promises", "kv", "snapshots", "transcripts"];
        let budget = &message["budget"];
        let limit = |phase: &str| budget.get(phase).unwrap_or(&budget["default"]).clone();
        message["budget"] =
            phases.iter().map(|phase| ((*phase).to_owned(), limit(phase))).collect();
    }
    message
}

fn delivery(expected: &Value, got: &Value) -> Option<String> {
    let vat = expected["vatID"].as_str().unwrap_or_default();
    let number = &expected["deliveryNum"];
    let place = |difference: String| format!("{vat} delivery {number}: {difference}");
    for name in ["vatID", "deliveryNum", "kd", "vd"] {
        if let Some(difference) = field(name, &expected[name], &got[name]) {
            return Some(place(difference));
        }
    }
    let (wanted, made) = (syscalls(expected, vat), syscalls(got, vat));
    for (index, (wanted, made)) in wanted.iter().zip(&made).enumerate() {
        for name in ["vsc", "vsr"] {
            if let Some(difference) = field(name, &wanted[name], &made[name]) {
                return Some(place(format!("syscall {index}: {difference}")));
            }
        }
    }
    if wanted.len() != made.len() {
        let next = wanted.get(made.len()).or(made.get(wanted.len())).map(|s| s["vsc"].to_string());
        let (wanted, made) = (wanted.len(), made.len());
        let next = next.unwrap_or_default();
        return Some(place(format!(
            "{wanted} syscalls expected, {made} made; the first without a pair: {next}"
        )));
    }
    let result = field("dr", &expected["dr"][0], &got["dr"][0]);
    result.or_else(|| log(&expected["log"], &got["log"])).map(place)
}

/// A difference in what vats logged for tests. An `undefined` is nothing to SwingSet's local worker
/// and `null` to its others.
fn log(expected: &Value, got: &Value) -> Option<String> {
    let nothing = |value: &Value| match value.as_array() {
        Some(lines) => lines.iter().map(|line| line.to_string().replace("null", "")).collect(),
        None => Vec::new(),
    };
    match nothing(expected) == nothing(got) {
        true => None,
        false => field("log", expected, got),
    }
}

/// The syscalls that count: the vatAdmin vat's own store is its own business.
fn syscalls(delivery: &Value, vat: &str) -> Vec<Value> {
    let all = delivery["syscalls"].as_array().into_iter().flatten();
    let counts = |row: &&Value| {
        let name = row["vsc"][0].as_str().unwrap_or_default();
        vat != "v2" || !name.starts_with("vatstore")
    };
    all.filter(counts).cloned().collect()
}

/// The first difference between two dumps. A deviation on purpose is noted instead.
pub fn dump(expected: &Value, got: &Value, deviations: &mut BTreeSet<String>) -> Option<String> {
    let mut expected = expected.clone();
    let there = |row: &Value| {
        got["promises"].as_array().into_iter().flatten().any(|other| other["id"] == row["id"])
    };
    let promises = expected["promises"].as_array().cloned().unwrap_or_default();
    let (forgotten, kept): (Vec<Value>, Vec<Value>) =
        promises.into_iter().partition(|row| row["refCount"] == 0 && !there(row));
    if !forgotten.is_empty() {
        deviations.insert(FORGOTTEN_PROMISE.to_owned());
        expected["promises"] = kept.into();
        let_go_of(&mut expected["objects"], &forgotten);
    }
    for row in expected["vatTables"].as_array_mut().into_iter().flatten() {
        *row = json!({"vatID": row["vatID"], "transcriptEntries": row["transcriptEntries"]});
    }
    let tables = [
        "kernelTable",
        "promises",
        "objects",
        "gcActions",
        "reapQueue",
        "runQueue",
        "acceptanceQueue",
        "vatTables",
    ];
    tables.iter().find_map(|name| {
        let (wanted, made) = (&expected[*name], &got[*name]);
        let empty = Vec::new();
        let (wanted_rows, made_rows) =
            (wanted.as_array().unwrap_or(&empty), made.as_array().unwrap_or(&empty));
        let rows = wanted_rows.iter().zip(made_rows).find_map(|(w, m)| field(name, w, m));
        rows.or_else(|| {
            let (w, m) = (wanted_rows.len(), made_rows.len());
            let next = wanted_rows.get(m).or(made_rows.get(w)).map(ToString::to_string);
            next.map(|next| format!("{name}: {w} rows expected, {m} there: {next}"))
        })
    })
}

/// Takes what promises hold by their resolutions off the counts of a dump's `[kref, owner, reachable,
/// recognizable]`.
fn let_go_of(objects: &mut Value, promises: &[Value]) {
    let held =
        promises.iter().flat_map(|row| row["data"]["slots"].as_array().into_iter().flatten());
    for kref in held {
        let rows = objects.as_array_mut().into_iter().flatten();
        for row in rows.filter(|row| row[0] == *kref).filter_map(Value::as_array_mut) {
            for count in row.iter_mut().skip(2) {
                *count = count.as_u64().map_or(Value::Null, |count| count.saturating_sub(1).into());
            }
        }
    }
}

/// A difference in one field.
pub fn field(name: &str, expected: &Value, got: &Value) -> Option<String> {
    if same(expected, got) {
        return None;
    }
    Some(format!("{name}: expected {}, got {}", short(expected), short(got)))
}

/// A difference in what a step threw. SwingSet hides some values in its texts: `(a string)`.
pub fn thrown(expected: &Value, got: &Value) -> Option<String> {
    let hides = |text: &str, shown: &str| {
        let mut rest = Some(shown);
        for (index, part) in text.split("(a string)").enumerate() {
            rest = rest.and_then(|rest| match index {
                0 => rest.strip_prefix(part),
                _ => rest.find(part).map(|at| &rest[at + part.len()..]),
            });
        }
        rest.is_some()
    };
    match (expected.as_str(), got.as_str()) {
        (Some(expected), Some(got)) if hides(expected, got) || hides(got, expected) => None,
        _ => field("threw", expected, got),
    }
}

/// Returns `true` if two values are equal, where null fields count as absent and a recorded long string is
/// given by its length and hash.
pub fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => {
            expected == got || is_digest(expected, got) || is_admin_data(expected, got)
        }
        (Value::Object(_), Value::String(got)) => is_digest(&expected.to_string(), got),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(e, g)| same(e, g))
        }
        (Value::Object(expected), Value::Object(got)) => {
            let keys = expected.keys().chain(got.keys());
            let at =
                |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
            keys.into_iter().all(|key| same(&at(expected, key), &at(got, key)))
        }
        _ => expected == got,
    }
}

/// Returns `true` if the texts differ by [`ADMIN_DATA`] alone: both are rejections of `adminData()`.
fn is_admin_data(expected: &str, got: &str) -> bool {
    lacks_admin_data(expected) && got.contains("adminData")
}

/// Returns `true` if a recorded text says that an adminNode has no `adminData` method.
pub fn lacks_admin_data(recorded: &str) -> bool {
    recorded.contains("has no method") && recorded.contains("adminData")
}

/// Returns `true` if a recorded text stands for a longer one by naming its SHA-256.
fn is_digest(recorded: &str, text: &str) -> bool {
    text.len() > 3_000 && recorded.contains(&hex::encode(Sha256::digest(text)))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(2000) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
