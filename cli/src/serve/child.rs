//! The Node process that runs the account's object.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
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
    /// To a thread that writes to the program: it may be busy writing itself.
    input: Sender<String>,
    /// Bytes that the program has not read yet.
    backlog: Arc<AtomicUsize>,
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
        let backlog = Arc::new(AtomicUsize::new(0));
        let input = write_to(input, Arc::clone(&backlog));
        let now = Instant::now();
        let mut node =
            Self { child, input, backlog, lines, asked: now, answered: now, idempotent: false };
        match node.next(START_LIMIT)? {
            Some(ready) if ready["t"] == "ready" => {
                node.idempotent = ready["idempotent"] == true;
                Ok(node)
            }
            _ => bail!("{} did not get ready within {START_LIMIT:?}", file.display()),
        }
    }

    pub(super) fn tell(&mut self, message: &Value) -> anyhow::Result<()> {
        let line = format!("{message}\n");
        self.backlog.fetch_add(line.len(), Ordering::Relaxed);
        self.input.send(line).ok().context("the object's program ended")
    }

    /// Returns the number of bytes that the program has not read yet.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
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

/// Starts a thread that writes lines to the program, until the program ends.
fn write_to(mut input: ChildStdin, backlog: Arc<AtomicUsize>) -> Sender<String> {
    let (sender, lines) = channel::<String>();
    std::thread::spawn(move || {
        for line in lines {
            if input.write_all(line.as_bytes()).is_err() {
                return;
            }
            backlog.fetch_sub(line.len(), Ordering::Relaxed);
        }
    });
    sender
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

    /// Upper bound for a machine under load. It is no limit of the code.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_program_that_says_much_does_not_keep_one_from_telling_it_more() {
        const CALLS: u64 = 150;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("object.mjs");
        std::fs::write(&file, "export const makeObject = () => ({ echo: text => text });").unwrap();
        let mut node = Node::start(&file, "ro+1", 2, &[]).unwrap();
        let (done, finished) = channel();
        std::thread::spawn(move || {
            let body = format!("#[\"echo\",[\"{}\"]]", "x".repeat(100_000));
            for entry in 0..CALLS {
                let methargs = json!({"body": body, "slots": []});
                let message = json!({"methargs": methargs, "result": format!("rp-{entry}")});
                let delivery = json!(["message", "ro+1", message]);
                node.tell(&json!({"t": "entry", "entry": entry, "delivery": delivery})).unwrap();
            }
            let answers = (0..CALLS).filter(|_| node.next(PATIENCE).unwrap().is_some()).count();
            done.send(answers).unwrap();
        });
        assert_eq!(finished.recv_timeout(PATIENCE).unwrap(), CALLS as usize);
    }
}
