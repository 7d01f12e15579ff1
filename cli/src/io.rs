//! `capstan io`: the outer ends of a subcluster's io channels.

use std::io::BufRead as _;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use capstan_client::proto::{ChannelLine, QueryChannelResponse};
use capstan_client::{Client, ClientError, Deadline, Wallet};
use clap::Subcommand;
use serde_json::json;

use crate::failure::{flag, usage};
use crate::output::Output;
use crate::progress::during;
use crate::tx::NodeArgs;
use crate::{Common, keys};

/// Interval at which a channel is queried for further lines.
const PAUSE: Duration = Duration::from_millis(300);

/// Lines of standard input that are read ahead.
const READ_AHEAD: usize = 256;

/// Arguments of `capstan io`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    capstan io write s1 console 'hello' --from alice\n  \
    capstan io read s1 console --follow --from alice\n\n\
    The account that launched the subcluster has the channels' outer ends. Those of a subcluster of the chain are its\n\
    governors'. Everybody may read.")]
pub(crate) struct Io {
    #[command(subcommand)]
    action: Action,
    /// The key that signs: alice, bob, carol, or one of `capstan keys`. With it, `read` removes what it has printed.
    #[arg(long, global = true, value_name = "KEY")]
    from: Option<String>,
    #[command(flatten)]
    node: NodeArgs,
    /// Maximum time to wait for a block, and for room in a full channel, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// An io channel of a subcluster.
#[derive(clap::Args, Debug)]
struct ChannelArgs {
    /// Id of the subcluster.
    subcluster: String,
    /// Name of the channel in the subcluster.
    channel: String,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Write lines for the vats to read. Waits for room if the channel is full.
    #[command(after_help = "Examples:\n  \
        capstan io write s1 console 'hello' --from alice\n  \
        cat lines.txt | capstan io write s1 console - --close --from alice\n\n\
        If --timeout ends the waiting for a block, its lines may still be written.")]
    Write {
        #[command(flatten)]
        channel: ChannelArgs,
        /// The text, or - for the lines of standard input.
        #[arg(allow_hyphen_values = true)]
        text: Option<String>,
        /// End the input after the lines. A vat then reads null.
        #[arg(long)]
        close: bool,
    },
    /// Print what vats wrote. With --from, acknowledge it, so that it is removed and makes room.
    #[command(after_help = "Examples:\n  \
        capstan io read s1 console\n  \
        capstan io read s1 console --follow --from alice --json")]
    Read {
        #[command(flatten)]
        channel: ChannelArgs,
        /// Go on with what is written later.
        #[arg(long)]
        follow: bool,
        /// Print lines with greater numbers than this one.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
}

impl Io {
    pub(crate) fn run(self, common: &Common, output: Output) -> anyhow::Result<()> {
        let client = self.node.client()?;
        let limit = Duration::from_secs(self.timeout);
        let wallet = match &self.from {
            Some(name) => {
                let key = keys::find(common, name).with_context(|| flag("--from", name))?;
                Some(Wallet::new(&client, key).with_timeout(limit))
            }
            None => None,
        };
        match self.action {
            Action::Write { channel, text, close } => {
                let wallet = wallet.ok_or_else(|| {
                    usage("who signs? Give a key with --from, as in --from alice")
                })?;
                Writer { wallet, client, channel, limit, written: 0, waiting: 0 }.run(
                    text.as_deref(),
                    close,
                    output,
                )
            }
            Action::Read { channel, follow, after } => {
                Reader { client, wallet, channel, output }.run(after, follow)
            }
        }
    }
}

struct Writer {
    wallet: Wallet,
    client: Client,
    channel: ChannelArgs,
    limit: Duration,
    /// Lines that were written.
    written: u64,
    /// Lines that no vat had read after the last transaction.
    waiting: u64,
}

impl Writer {
    fn run(mut self, text: Option<&str>, close: bool, output: Output) -> anyhow::Result<()> {
        match text {
            None if !close => {
                return Err(usage(
                    "what is to be written? Give a text, - for standard input, or --close",
                ));
            }
            None => self.write(&[], true)?,
            Some("-") => {
                self.copy(&stdin_lines())?;
                if close {
                    self.write(&[], true)?;
                }
            }
            Some(text) => {
                let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
                let last = lines.len().saturating_sub(1);
                for (number, line) in lines.iter().enumerate() {
                    self.write(std::slice::from_ref(line), close && number == last)?;
                }
            }
        }
        output.record(&json!({
            "lines": self.written, "closed": close, "waiting": self.waiting,
        }));
        Ok(())
    }

    /// Writes lines as they come in. Those that have come while a block was waited for go into one transaction.
    fn copy(&mut self, lines: &Receiver<anyhow::Result<String>>) -> anyhow::Result<()> {
        let mut next = lines.recv().ok().transpose()?;
        while let Some(first) = next.take() {
            let mut room = self.room(first.len() as u64, 1)?;
            room.take(&first);
            let mut batch = vec![first];
            while let Ok(line) = lines.try_recv() {
                let line = line?;
                if !room.take(&line) {
                    next = Some(line);
                    break;
                }
                batch.push(line);
            }
            self.submit(&batch, false)?;
            if next.is_none() {
                next = lines.recv().ok().transpose()?;
            }
        }
        Ok(())
    }

    fn write(&mut self, lines: &[String], close: bool) -> anyhow::Result<()> {
        let bytes = lines.iter().map(|line| line.len() as u64).sum();
        self.room(bytes, lines.len() as u64 + u64::from(close))?;
        self.submit(lines, close)
    }

    fn submit(&mut self, lines: &[String], close: bool) -> anyhow::Result<()> {
        let ChannelArgs { subcluster, channel } = &self.channel;
        let write = || self.wallet.write_channel(subcluster, channel, lines, close);
        self.waiting = during("waiting for the transaction's block", write)?.waiting;
        self.written += lines.len() as u64;
        Ok(())
    }

    /// Waits until so many lines and bytes fit. What fits in no channel is left to the chain to refuse.
    fn room(&self, bytes: u64, lines: u64) -> anyhow::Result<Room> {
        let ChannelArgs { subcluster, channel } = &self.channel;
        let what = format!("room in channel {channel} of {subcluster}, whose vats have not read");
        let waited = during(format!("waiting for {what}"), || {
            self.poll(&what, |state| {
                let room = Room {
                    lines: state.max_lines.saturating_sub(state.input_lines),
                    bytes: state.max_bytes.saturating_sub(state.input_bytes),
                };
                let fits = room.lines >= lines.min(state.max_lines)
                    && room.bytes >= bytes.min(state.max_bytes);
                fits.then_some(room)
            })
        })?;
        waited.ok_or_else(|| {
            anyhow!("vats only write to channel {channel} of {subcluster}: it takes no lines")
        })
    }

    /// Queries the channel until `is` gives something. Returns `None` if the channel takes no lines.
    fn poll(
        &self,
        what: &str,
        is: impl Fn(&QueryChannelResponse) -> Option<Room>,
    ) -> Result<Option<Room>, ClientError> {
        let ChannelArgs { subcluster, channel } = &self.channel;
        Deadline::after(self.limit).poll(what, || {
            let state = self.client.channel(subcluster, channel, u64::MAX, 1)?;
            Ok(match state.direction.as_str() {
                "out" => Some(None),
                _ => is(&state).map(Some),
            })
        })
    }
}

/// The room that a channel has for further lines.
#[derive(Clone, Copy, Debug)]
struct Room {
    lines: u64,
    bytes: u64,
}

impl Room {
    /// Takes room for a line. Returns false if there is not enough.
    fn take(&mut self, line: &str) -> bool {
        let left = (self.lines.checked_sub(1), self.bytes.checked_sub(line.len() as u64));
        match left {
            (Some(lines), Some(bytes)) => {
                *self = Self { lines, bytes };
                true
            }
            _ => false,
        }
    }
}

/// Reads standard input line by line, in a thread, as far ahead as the receiver allows.
fn stdin_lines() -> Receiver<anyhow::Result<String>> {
    let (send, receive) = sync_channel(READ_AHEAD);
    std::thread::spawn(move || {
        for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
            let line: anyhow::Result<String> =
                line.with_context(|| format!("line {number} of standard input"));
            let is_last = line.is_err();
            if send.send(line).is_err() || is_last {
                return;
            }
        }
    });
    receive
}

struct Reader {
    client: Client,
    wallet: Option<Wallet>,
    channel: ChannelArgs,
    output: Output,
}

impl Reader {
    fn run(self, mut after: u64, follow: bool) -> anyhow::Result<()> {
        let ChannelArgs { subcluster, channel } = &self.channel;
        loop {
            let page = self.client.channel(subcluster, channel, after, 0)?;
            if page.direction == "in" {
                bail!("vats only read channel {channel} of {subcluster}: they write nothing to it");
            }
            let Ok(()) = self.print(&page.lines) else {
                // Whoever read the output has gone. What it did not take stays in the channel.
                return Ok(());
            };
            if let Some(last) = page.lines.last() {
                after = last.number;
                if let Some(wallet) = &self.wallet {
                    let acknowledge = || wallet.acknowledge_channel(subcluster, channel, after);
                    during("waiting for the transaction's block", acknowledge)?;
                }
            }
            match (page.next, follow) {
                (0, false) => return Ok(()),
                (0, true) => std::thread::sleep(PAUSE),
                _ => {}
            }
        }
    }

    fn print(&self, lines: &[ChannelLine]) -> std::io::Result<()> {
        for ChannelLine { number, text } in lines {
            let line = json!({"number": number, "text": text});
            self.output.stream(&line, || text.clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_until_a_line_does_not_fit() {
        let mut room = Room { lines: 2, bytes: 3 };
        assert!(room.take("ab") && !room.take("cd") && room.take("c") && !room.take(""));
    }
}
