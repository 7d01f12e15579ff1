//! The Node process that runs the account's object.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::inbox::Event;
use crate::bundle::find_script;
use crate::keys;

/// Time in which the file must be loaded.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Interval of the questions whether the process still answers.
const PING_PAUSE: Duration = Duration::from_secs(5);
/// Lines that the process has not taken. Fewer than half of them are entries.
const MAX_LINES: usize = 256;

#[derive(Debug)]
pub(super) struct Node {
    child: Child,
    /// Lines for the process. A thread writes them, since the process may not read.
    lines: SyncSender<String>,
    waiting: Arc<AtomicUsize>,
    asked: Instant,
    /// The time of a question that was not answered.
    unanswered: Option<Instant>,
    pub(super) idempotent: bool,
}

impl Node {
    /// Starts the file. Its objects get numbers above `first`. What it says are events.
    pub(super) fn start(
        file: &Path,
        root: &str,
        first: u64,
        imports: &[String],
        sender: SyncSender<Event>,
    ) -> anyhow::Result<Self> {
        let script = find_script(None, "serve.mjs")?;
        // The program answers strangers, and needs no key.
        let mut child = Command::new("node")
            .env_remove(keys::PASSPHRASE_VARIABLE)
            .arg(script)
            .arg(file)
            .args([root, &first.to_string(), &json!(imports).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node; serving needs Node 20 or newer")?;
        let (Some(mut input), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("node has no pipes");
        };
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(Event::Said(line)).is_err() {
                    return;
                }
            }
            // If nobody receives, nobody needs to know.
            let _ = sender.send(Event::Ended);
        });
        let (lines, taken) = sync_channel::<String>(MAX_LINES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in taken {
                if writeln!(input, "{line}").is_err() {
                    return;
                }
                left.fetch_sub(1, Ordering::Relaxed);
            }
        });
        let asked = Instant::now();
        Ok(Self { child, lines, waiting, asked, unanswered: None, idempotent: false })
    }

    /// Waits until the file is loaded. Returns what the object said before.
    pub(super) fn wait_until_ready(
        &mut self,
        file: &Path,
        events: &Receiver<Event>,
    ) -> anyhow::Result<Vec<Value>> {
        let deadline = Instant::now() + START_LIMIT;
        let mut early = Vec::new();
        loop {
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Said(line)) => {
                    let told = parse(&line)?;
                    if told["t"] == "ready" {
                        self.idempotent = told["idempotent"] == true;
                        return Ok(early);
                    }
                    early.push(told);
                    if early.len() > MAX_LINES {
                        bail!("makeObject of {} sends too many messages", file.display());
                    }
                }
                Ok(_) => return Err(self.ended()),
                Err(_) => bail!(
                    "{} did not get ready within {START_LIMIT:?}; makeObject must not wait for answers of the chain",
                    file.display()
                ),
            }
        }
    }

    pub(super) fn tell(&mut self, message: &Value) -> anyhow::Result<()> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.lines
            .try_send(message.to_string())
            .map_err(|_| anyhow::anyhow!("the object's program ended, or takes nothing any more"))
    }

    /// Returns whether the process can take another entry.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MAX_LINES / 2
    }

    /// Asks whether the program answers, and fails if it has not for `limit`.
    pub(super) fn watch(&mut self, limit: Duration) -> anyhow::Result<()> {
        if self.unanswered.is_none() && self.asked.elapsed() > PING_PAUSE {
            self.asked = Instant::now();
            self.unanswered = Some(self.asked);
            self.tell(&json!({"t": "ping"}))?;
        }
        if self.unanswered.is_some_and(|at| at.elapsed() > limit + PING_PAUSE) {
            bail!("the object's program does not answer: a method of it never yields");
        }
        Ok(())
    }

    /// Reads a line that the program said.
    pub(super) fn said(&mut self, line: &str) -> anyhow::Result<Value> {
        self.unanswered = None;
        parse(line)
    }

    /// Returns the error that the program ended.
    pub(super) fn ended(&mut self) -> anyhow::Error {
        match self.child.wait() {
            Ok(status) => {
                anyhow::anyhow!("the object's program ended ({status}); what it said is above")
            }
            Err(error) => error.into(),
        }
    }
}

fn parse(line: &str) -> anyhow::Result<Value> {
    serde_json::from_str(line).context("the object's program wrote to file descriptor 1, over which it is connected; print with console.log")
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::serve::inbox::CAPACITY;

    /// Upper bound for a machine under load. It is no limit of the code.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_program_that_says_much_does_not_keep_one_from_telling_it_more() {
        const CALLS: u64 = 120;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("object.mjs");
        std::fs::write(&file, "export const makeObject = () => ({ echo: text => text });").unwrap();
        let (sender, events) = sync_channel(CAPACITY);
        let mut node = Node::start(&file, "ro+1", 2, &[], sender).unwrap();
        node.wait_until_ready(&file, &events).unwrap();
        let (done, finished) = channel();
        std::thread::spawn(move || {
            let body = format!("#[\"echo\",[\"{}\"]]", "x".repeat(100_000));
            for entry in 0..CALLS {
                let methargs = json!({"body": body, "slots": []});
                let message = json!({"methargs": methargs, "result": format!("rp-{entry}")});
                let delivery = json!(["message", "ro+1", message]);
                node.tell(&json!({"t": "entry", "entry": entry, "delivery": delivery})).unwrap();
                node.tell(&json!({"t": "start", "entry": entry})).unwrap();
            }
            let said = |_: &u64| matches!(events.recv_timeout(PATIENCE).unwrap(), Event::Said(_));
            done.send((0..CALLS).filter(said).count()).unwrap();
        });
        assert_eq!(finished.recv_timeout(PATIENCE).unwrap(), CALLS as usize);
    }
}
