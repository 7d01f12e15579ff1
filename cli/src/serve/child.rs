//! The Node process that runs the account's object.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::bundle::find_script;

/// Time in which the file must be loaded.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Interval of the questions whether the process still answers.
const PING_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Node {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    asked: Instant,
    answered: Instant,
    pub(super) idempotent: bool,
}

impl Node {
    /// Starts the file. Its objects get numbers from `first` on.
    pub(super) fn start(
        file: &Path,
        root: &str,
        first: u64,
        imports: &[String],
    ) -> anyhow::Result<Self> {
        let script = find_script(None, "serve.mjs")?;
        let mut child = Command::new("node")
            .arg(script)
            .arg(file)
            .args([root, &first.to_string(), &json!(imports).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node; serving needs Node 20 or newer")?;
        let (Some(input), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("node has no pipes");
        };
        // Bounded: a program that says more than is taken waits.
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let now = Instant::now();
        let mut node = Self { child, input, lines, asked: now, answered: now, idempotent: false };
        match node.next(START_LIMIT)? {
            Some(ready) if ready["t"] == "ready" => {
                node.idempotent = ready["idempotent"] == true;
                Ok(node)
            }
            _ => bail!("{} did not get ready within {START_LIMIT:?}", file.display()),
        }
    }

    pub(super) fn tell(&mut self, message: &Value) -> anyhow::Result<()> {
        writeln!(self.input, "{message}").context("the object's program ended")
    }

    /// Waits for the next message of the program.
    pub(super) fn next(&mut self, limit: Duration) -> anyhow::Result<Option<Value>> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(serde_json::from_str(&line).context("the object's program")?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                bail!("the object's program ended ({status}); what it said is above")
            }
        }
    }

    /// Asks whether the program answers, and fails if it has not for `limit`.
    pub(super) fn watch(&mut self, limit: Duration) -> anyhow::Result<()> {
        if self.asked.elapsed() > PING_PAUSE {
            self.asked = Instant::now();
            self.tell(&json!({"t": "ping"}))?;
        }
        if self.answered.elapsed() > limit + 2 * PING_PAUSE {
            bail!("the object's program does not answer: a method of it never yields");
        }
        Ok(())
    }

    pub(super) fn answers(&mut self) {
        self.answered = Instant::now();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
