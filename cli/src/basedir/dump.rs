//! The kernel's tables for people.

use capstan_kernel::view;
use capstan_kernel_ports::VatId;
use capstan_store::StateView;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::Value;

use crate::passable;

/// Renders all tables of a [`StateView`]. Empty ones are only named.
pub(crate) fn tables(state: &StateView, vats: &[(VatId, String)]) -> anyhow::Result<String> {
    let dump = view::dump(state)?;
    let name = |id: &str| match vats.iter().find(|(vat, _)| vat.to_string() == id) {
        Some((_, name)) if !name.is_empty() => format!("{id} {name}"),
        _ => id.to_owned(),
    };
    let rows = |field: &str| dump[field].as_array().cloned().unwrap_or_default();
    let vat_rows = rows("vatTables")
        .into_iter()
        .map(|row| vec![name(&text(&row["vatID"])), text(&row["transcriptEntries"])]);
    let object_rows = rows("objects")
        .into_iter()
        .map(|row| vec![text(&row[0]), name(&text(&row[1])), text(&row[2]), text(&row[3])]);
    let promise_rows = rows("promises").into_iter().map(|row| {
        let about = match row["state"].as_str() {
            Some("unresolved") => unresolved(&row, &name),
            _ => data(&row["data"]),
        };
        vec![text(&row["id"]), text(&row["state"]), text(&row["refCount"]), about]
    });
    let clist_rows = rows("kernelTable")
        .into_iter()
        .map(|row| vec![text(&row[0]), name(&text(&row[1])), text(&row[2])]);
    let mut queue = rows("acceptanceQueue");
    queue.extend(rows("runQueue"));
    let queue_rows = queue.into_iter().map(|event| event_row(&event, &name));
    let plain = |field: &str| rows(field).iter().map(|row| vec![text(row)]).collect::<Vec<_>>();
    Ok([
        table("vats", &["vat", "transcript entries"], vat_rows.collect()),
        table("objects", &["object", "owner", "reachable", "recognizable"], object_rows.collect()),
        table("promises", &["promise", "state", "references", "about"], promise_rows.collect()),
        table("c-lists", &["kernel's", "vat", "vat's"], clist_rows.collect()),
        table("garbage collection", &["action"], plain("gcActions")),
        table("vats to reap", &["vat"], plain("reapQueue")),
        table("run queue", &["event", "to", "what", "result"], queue_rows.collect()),
    ]
    .join("\n"))
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return format!("{title}: (none)");
    }
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(columns);
    table.add_rows(rows);
    format!("{title}:\n{table}")
}

/// Renders who decides a promise, who subscribes to it, and what is queued on it.
fn unresolved(row: &Value, name: &impl Fn(&str) -> String) -> String {
    let mut about = vec![match row["decider"].as_str() {
        Some(decider) => format!("decided by {}", name(decider)),
        None => "decided by whoever gets it".to_owned(),
    }];
    let list = |field: &str| row[field].as_array().cloned().unwrap_or_default();
    let waiting: Vec<String> = list("subscribers").iter().map(|vat| name(&text(vat))).collect();
    if !waiting.is_empty() {
        about.push(format!("awaited by {}", waiting.join(", ")));
    }
    about.extend(
        list("queue").iter().map(|message| format!("queued: {}", call(&message["methargs"]))),
    );
    about.join("\n")
}

/// An event of a queue: what kind, to whom, what, and the promise for the result.
fn event_row(event: &Value, name: &impl Fn(&str) -> String) -> Vec<String> {
    let (kind, to) = (text(&event["type"]), text(&event["target"]));
    match kind.as_str() {
        "send" => vec![kind, to, call(&event["msg"]["methargs"]), text(&event["msg"]["result"])],
        "notify" => vec![kind, name(&text(&event["vatID"])), text(&event["kpid"]), String::new()],
        _ => vec![kind, name(&text(&event["vatID"])), String::new(), String::new()],
    }
}

/// `["method",[args]]` as a call.
fn call(methargs: &Value) -> String {
    match decoded(methargs).as_array().map(Vec::as_slice) {
        Some([Value::String(method), Value::Array(args)]) => {
            let args: Vec<String> = args.iter().map(passable::typed).collect();
            cut(&format!("{method}({})", args.join(", ")))
        }
        _ => data(methargs),
    }
}

fn data(data: &Value) -> String {
    cut(&passable::typed(&decoded(data)))
}

fn decoded(data: &Value) -> Value {
    let slots = data["slots"].as_array().into_iter().flatten().filter_map(Value::as_str);
    passable::decode_exactly(data["body"].as_str().unwrap_or_default(), &slots.collect::<Vec<_>>())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Number of characters of a value that are shown.
const CELL_CHARS: usize = 80;
