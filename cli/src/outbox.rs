//! `capstan outbox` and `capstan query outbox`: the entries of an account's outbox, a page of them or one by one as they
//! come.

mod seen;

use std::io::ErrorKind;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use capstan_abi::json::{delivery_from_json, delivery_to_json};
use capstan_client::{
    Address, CapData, Client, ClientError, Deadline, Delivery, OutboxEntry, Resolution,
};
use serde_json::{Value, json};

use crate::output::{Output, warn};
use crate::process::on_signal;
use crate::tx::NodeArgs;
use crate::{Common, keys, passable};

use seen::Seen;

/// The part of both help texts that says how entries look.
macro_rules! notation {
    () => {
        "\
A line names the entry's number, its kind, and what it tells:
  7 message ro+1.hello(\"world\",@ro-51) result rp-60
  8 notify rp+3 fulfilled 42
  9 dropExports ro+1
Values have the notation of `capstan tx send`. `capstan tx resolve rp-60 VALUE` answers the call, `capstan tx reject rp-60 TEXT`
refuses it, and `capstan tx ack 9` removes entries up to 9.

--follow begins after the last acknowledged entry, or after --after. It tries again while the node is away.

With --json a page is {\"entries\":[…],\"next\":9}, and --follow prints one line for each entry. An entry is {\"number\":7,\"kind\":\"message\",\"target\":…,\"method\":…,\"args\":[…],\"result\":…,\"delivery\":[…]}."
    };
}

/// The help of `capstan query outbox`.
pub(crate) const HELP: &str = concat!(
    "Examples:\n  capstan query outbox alice --limit 10\n  capstan query outbox alice --follow --after 12\n\n",
    notation!()
);

/// The help of `capstan outbox`.
const MARKED_HELP: &str = concat!(
    "Examples:\n  capstan outbox alice\n  capstan outbox alice --follow\n\n",
    "A star marks an entry that this command has not shown before. A call that waits for the account's answer ends with\n",
    "`unanswered`. Entries that were acknowledged are gone. In JSON the marks are `seen` and `unanswered`.\n\n",
    notation!()
);

/// Arguments of `capstan outbox`.
#[derive(clap::Args, Debug)]
#[command(after_help = MARKED_HELP)]
pub(crate) struct Outbox {
    /// An address, or a key's name.
    account: String,
    #[command(flatten)]
    entries: Entries,
    #[command(flatten)]
    node: NodeArgs,
}

/// The entries that are asked for.
#[derive(clap::Args, Debug)]
pub(crate) struct Entries {
    /// List what comes after the entry with this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Maximum number of entries. 0: 100, or all that come with --follow.
    #[arg(long, default_value_t = 0)]
    limit: u32,
    /// Go on with entries that come later, until Ctrl-C or --limit.
    #[arg(long)]
    follow: bool,
}

impl Outbox {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let (client, address) = (self.node.client()?, keys::find_address(common, &self.account)?);
        let seen = Seen::read(common, &client, &address)?;
        self.entries.show(&client, &address, output, Some(seen))
    }
}

impl Entries {
    /// Prints the entries. Marks those that were not shown before if `seen` says which were.
    pub(crate) fn show(
        &self,
        client: &Client,
        address: &Address,
        output: Output,
        seen: Option<Seen>,
    ) -> anyhow::Result<()> {
        let printer = Printer { output, seen };
        match self.follow {
            true => follow(client, address, self, printer),
            false => list(client, address, self, printer),
        }
    }
}

/// Prints entries, with marks if `seen` is there.
struct Printer {
    output: Output,
    seen: Option<Seen>,
}

impl Printer {
    /// Returns the entry for programs and for people.
    fn forms(
        &self,
        number: u64,
        delivery: &Delivery,
        is_unanswered: Option<bool>,
    ) -> (Value, String) {
        let (mut record, mut line) = (record(number, delivery), line(number, delivery));
        if let Some(is_unanswered) = is_unanswered {
            record["unanswered"] = is_unanswered.into();
        }
        if let Some(seen) = &self.seen {
            let is_seen = seen.has(number);
            record["seen"] = is_seen.into();
            line.insert_str(0, if is_seen { "  " } else { "* " });
            if is_unanswered == Some(true) {
                line.push_str(" unanswered");
            }
        }
        (record, line)
    }

    fn note(&mut self, number: u64) -> anyhow::Result<()> {
        self.seen.as_mut().map_or(Ok(()), |seen| seen.note(number))
    }
}

/// Time in which a loss of the node is noticed.
const STEP: Duration = Duration::from_millis(500);

/// Time that a call of the node may still take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);

/// Maximum number of characters of an entry for people.
const LINE_CHARS: usize = 1000;

/// Prints a page of the outbox.
fn list(
    client: &Client,
    address: &Address,
    asked: &Entries,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let page = client.outbox(address, asked.after, asked.limit)?;
    let output = printer.output;
    let last = page.entries.last().map(|entry| entry.number);
    if let (Some(seen), Some(last), 0) = (&mut printer.seen, last, page.next) {
        seen.compare(last);
    }
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        let delivery = delivery_from_json(entry.delivery_json.as_bytes())
            .with_context(|| format!("entry {}", entry.number))?;
        let (record, line) = printer.forms(entry.number, &delivery, Some(entry.unanswered));
        records.push(record);
        lines.push(line);
    }
    if output.is_json() {
        output.record(&json!({"entries": records, "next": page.next}));
    } else if lines.is_empty() {
        output.either(&Value::Null, "(none)");
    }
    if !output.is_json() {
        for line in &lines {
            output.either(&Value::Null, line);
        }
        if page.next > 0 {
            warn(&format!("There is more: --after {}", page.next));
        }
    }
    last.map_or(Ok(()), |last| printer.note(last))
}

/// Prints entries as they come, until the user stops it, `limit` entries were printed or nobody reads any more.
fn follow(
    client: &Client,
    address: &Address,
    asked: &Entries,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let (after, limit, output) = (asked.after, asked.limit, printer.output);
    // A wrong address of the node is told at once. Only a node that was there is waited for.
    client.status()?;
    let mut follower = client.follow_outbox(address).after(after);
    let last = Arc::new(AtomicU64::new(after));
    let (stopper, seen) = (follower.stopper(), Arc::clone(&last));
    on_signal(move || {
        stopper.stop();
        std::thread::sleep(GRACE);
        // The node does not answer. There is nothing to save.
        goodbye(seen.load(Ordering::Relaxed), output);
        exit(0);
    })?;
    let mut left = if limit == 0 { u64::MAX } else { limit.into() };
    let mut lost = false;
    while left > 0 {
        match follower.next_before(Deadline::after(STEP)) {
            Ok(Some(OutboxEntry { number, delivery })) => {
                let (record, line) = printer.forms(number, &delivery, None);
                match output.stream(&record, || line) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    other => other.context("cannot write to standard output")?,
                }
                last.store(number, Ordering::Relaxed);
                printer.note(number)?;
                left -= 1;
            }
            Ok(None) => {
                goodbye(last.load(Ordering::Relaxed), output);
                return Ok(());
            }
            Err(ClientError::Timeout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tell_outage(follower.outage(), &mut lost, client, output);
    }
    Ok(())
}

/// Says once that the node is away, and once that it is back.
fn tell_outage(error: Option<&ClientError>, lost: &mut bool, client: &Client, output: Output) {
    match (error, *lost) {
        (Some(error), false) => output.note("lost", &format!("{error}; trying again")),
        (None, true) => output.note("back", &format!("the node at {} is back", client.addr())),
        _ => {}
    }
    *lost = error.is_some();
}

fn goodbye(last: u64, output: Output) {
    if last > 0 && !output.is_json() {
        warn(&format!("Stopped. To go on: --after {last}"));
    }
}

/// Returns an entry for programs: what it tells, decoded, and the delivery itself.
pub(crate) fn record(number: u64, delivery: &Delivery) -> Value {
    let kind = delivery_to_json(delivery)[0].clone();
    let mut record = json!({"number": number, "kind": kind});
    match delivery {
        Delivery::Message { target, message } => {
            let call = decoded(&message.methargs);
            record["target"] = target.as_str().into();
            record["method"] = call[0].clone();
            record["args"] = call[1].clone();
            record["result"] = message.result.as_deref().into();
        }
        Delivery::Notify { resolutions } => {
            let one = |Resolution { promise, rejected, data }: &Resolution| json!({"promise": promise, "rejected": rejected, "value": decoded(data)});
            record["resolutions"] = resolutions.iter().map(one).collect();
        }
        other => record["refs"] = delivery_to_json(other)[1].clone(),
    }
    record["delivery"] = delivery_to_json(delivery);
    record
}

/// Returns an entry for people, on one line.
pub(crate) fn line(number: u64, delivery: &Delivery) -> String {
    let raw = delivery_to_json(delivery);
    let kind = raw[0].as_str().unwrap_or_default();
    let told = match delivery {
        Delivery::Message { target, message } => {
            let result = message.result.as_deref();
            let result = result.map(|promise| format!(" result {promise}")).unwrap_or_default();
            format!("{target}{}{result}", call(&message.methargs))
        }
        Delivery::Notify { resolutions } => {
            resolutions.iter().map(settlement).collect::<Vec<_>>().join("; ")
        }
        _ => raw[1].as_array().map_or_else(String::new, |refs| {
            refs.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }),
    };
    let told = match told.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}… (--json prints all)", &told[..end]),
        None => told,
    };
    format!("{number} {kind} {told}")
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

fn settlement(resolution: &Resolution) -> String {
    let how = if resolution.rejected { "rejected" } else { "fulfilled" };
    let CapData { body, slots } = &resolution.data;
    format!("{} {how} {}", resolution.promise, passable::text(body, slots))
}

fn decoded(data: &CapData) -> Value {
    passable::decode(&data.body, &data.slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Delivery {
        delivery_from_json(json.as_bytes()).unwrap()
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
            let parsed = parse(delivery);
            assert_eq!(line(1, &parsed), expected);
            let record = record(1, &parsed);
            assert_eq!(record["delivery"], serde_json::from_str::<Value>(delivery).unwrap());
        }
    }

    #[test]
    fn a_record_has_what_a_program_needs() {
        let message = parse(
            r##"["message","ro+1",{"methargs":{"body":"#[\"hello\",[\"$0\"]]","slots":["ro-51"]},"result":"rp-60"}]"##,
        );
        let record = record(7, &message);
        assert_eq!((&record["kind"], &record["number"]), (&json!("message"), &json!(7)));
        assert_eq!((&record["target"], &record["method"]), (&json!("ro+1"), &json!("hello")));
        assert_eq!((&record["args"], &record["result"]), (&json!(["@ro-51"]), &json!("rp-60")));
    }

    #[test]
    fn a_long_entry_is_cut_for_people() {
        let body = json!(format!("#[\"hello\",[{:?}]]", "é".repeat(5000)));
        let json = format!(
            r#"["message","ro+1",{{"methargs":{{"body":{body},"slots":[]}},"result":"rp-60"}}]"#
        );
        let shown = line(1, &parse(&json));
        assert!(shown.chars().count() < LINE_CHARS + 100 && shown.contains("--json"), "{shown}");
    }
}
