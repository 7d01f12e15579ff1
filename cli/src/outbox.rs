//! `capstan outbox` and `capstan query outbox`: the entries of an account's outbox, a page of them or one by one as they
//! come.

mod entry;
mod seen;

use std::io::ErrorKind;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use capstan_client::{Address, Client, ClientError, Deadline, Delivery, OutboxEntry};
use serde_json::{Value, json};

use crate::output::{Output, warn};
use crate::process::on_signal;
use crate::tx::NodeArgs;
use crate::{Common, keys};

pub(crate) use entry::{line, record};
use seen::Seen;

/// The part of both help texts that says how entries look.
macro_rules! notation {
    () => {
        "\
A line names the entry's number, its kind, and what it tells:
  7 message ro+1.hello(\"world\",@ro-51) result rp-60
  8 notify rp-59 of ro-51.increment fulfilled 42
  9 dropExports ro+1
A call that waits for the account's answer ends with `unanswered`. A notify names the account's message that it answers.
Values have the notation of `capstan tx send`. `capstan tx resolve rp-60 VALUE` answers the call, `capstan tx reject rp-60 TEXT`
refuses it, and `capstan tx ack 9` removes entries up to 9. --calls lists calls alone, and --unanswered those that wait.

--follow begins after the last acknowledged entry, or after --after. It tries again while the node is away.

With --json a page is {\"entries\":[…],\"next\":9}, and --follow prints one line for each entry. An entry is {\"number\":7,\"kind\":\"message\",\"target\":…,\"method\":…,\"args\":[…],\"result\":…,\"unanswered\":true,\"delivery\":[…]}.
Each of the \"resolutions\" of a notify has the \"call\" that it answers, with \"target\", \"method\", \"tx_hash\" and \"index\"."
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
    "A star marks an entry that this command has not shown before. Lists by --calls and --unanswered change no marks.\n",
    "Entries that were acknowledged are gone. In JSON the mark is `seen`.\n\n",
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
    /// Leave out all but calls of the account's objects.
    #[arg(long)]
    calls: bool,
    /// Leave out all but calls that wait for the account's answer.
    #[arg(long)]
    unanswered: bool,
}

impl Outbox {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let (client, address) = (self.node.client()?, keys::find_address(common, &self.account)?);
        let seen = Seen::read(common, &client, &address)?;
        self.entries.show(&client, &address, output, Some(seen))
    }
}

impl Entries {
    /// Returns whether an entry is one of those that are asked for.
    fn wants(&self, entry: &OutboxEntry) -> bool {
        let is_call = matches!(entry.delivery, Delivery::Message { .. });
        (is_call || !self.calls) && (entry.unanswered || !self.unanswered)
    }

    /// Returns whether all entries are asked for.
    fn wants_all(&self) -> bool {
        !self.calls && !self.unanswered
    }

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
    fn forms(&self, entry: &OutboxEntry) -> (Value, String) {
        let (mut record, mut line) = (record(entry), line(entry));
        if let Some(seen) = &self.seen {
            let is_seen = seen.has(entry.number);
            record["seen"] = is_seen.into();
            line.insert_str(0, if is_seen { "  " } else { "* " });
        }
        (record, line)
    }

    /// Notes that all entries up to one were shown.
    fn note(&mut self, number: u64) -> anyhow::Result<()> {
        self.seen.as_mut().map_or(Ok(()), |seen| seen.note(number))
    }
}

/// Time in which a loss of the node is noticed.
const STEP: Duration = Duration::from_millis(500);

/// Time that a call of the node may still take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);

/// Number of entries that are listed if no number is asked for.
const LISTED: usize = 100;

/// The longest page that a node gives.
const MAX_PAGE: u32 = 1000;

/// Entries of an outbox.
struct Listed {
    entries: Vec<OutboxEntry>,
    /// Value of `--after` for the next ones, or 0 if there are none.
    next: u64,
}

/// Returns the entries that are asked for. Reads on where some are left out.
fn read(client: &Client, address: &Address, asked: &Entries) -> anyhow::Result<Listed> {
    let most = if asked.limit == 0 { LISTED } else { asked.limit as usize };
    let (mut entries, mut after) = (Vec::<OutboxEntry>::new(), asked.after);
    loop {
        let limit = if asked.wants_all() { asked.limit } else { MAX_PAGE };
        let page = client.outbox(address, after, limit)?;
        for entry in page.entries {
            let entry = OutboxEntry::read(entry)?;
            match entries.last() {
                Some(last) if asked.wants(&entry) && entries.len() >= most => {
                    return Ok(Listed { next: last.number, entries });
                }
                _ if asked.wants(&entry) => entries.push(entry),
                _ => {}
            }
        }
        after = page.next;
        if after == 0 || asked.wants_all() {
            return Ok(Listed { entries, next: after });
        }
    }
}

/// Prints a page of the outbox.
fn list(
    client: &Client,
    address: &Address,
    asked: &Entries,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let page = read(client, address, asked)?;
    let output = printer.output;
    let last = page.entries.last().map(|entry| entry.number);
    if let (Some(seen), Some(last), 0, true) =
        (&mut printer.seen, last, page.next, asked.wants_all())
    {
        seen.compare(last);
    }
    let (mut records, mut lines) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        let (record, line) = printer.forms(entry);
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
    match last.filter(|_| asked.wants_all()) {
        Some(last) => printer.note(last),
        None => Ok(()),
    }
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
            Ok(Some(entry)) => {
                if asked.wants(&entry) {
                    let (record, line) = printer.forms(&entry);
                    match output.stream(&record, || line) {
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                        other => other.context("cannot write to standard output")?,
                    }
                    left -= 1;
                }
                last.store(entry.number, Ordering::Relaxed);
                if asked.wants_all() {
                    printer.note(entry.number)?;
                }
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
