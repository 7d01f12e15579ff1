//! Messages that the object sends, and those that publish it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;
use capstan_client::{Args, Deadline, MessageResult, TxBuilder, proto};
use serde_json::{Value, json};

use super::answers::{slots, text};
use super::chain::Fate;
use super::journal::Pending;
use super::service::{ROOT, Service};

/// Messages of the object that wait.
const MAX_SENDS: usize = 64;
/// References in one transaction that drops them.
const MAX_DROPS: usize = 100;
/// Pause between two looks at a transaction that the start waits for.
const STEP: Duration = Duration::from_millis(100);
/// Time in which the factory must answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

impl Service {
    /// Keeps a message of the object until it is its turn.
    pub(super) fn queue(&mut self, told: &Value) -> anyhow::Result<()> {
        let bytes = text(told, "body").len();
        let error = if self.sends.len() >= MAX_SENDS {
            format!("more than {MAX_SENDS} messages wait to be sent")
        } else if bytes > self.chain.max_answer {
            format!(
                "the message is too large: it has {bytes} bytes, and the chain takes {}",
                self.chain.max_answer
            )
        } else if !self.journal.export(&slots(told)) {
            "too many promises of this account wait to be settled".to_owned()
        } else {
            self.sends.push_back(told.clone());
            return Ok(());
        };
        self.node.tell(&json!({"t": "failed", "id": told["id"], "error": error}))
    }

    /// Keeps a drop until it is its turn, together with others that wait. The service takes no calls while too much waits, so
    /// the object gets no further references either.
    pub(super) fn queue_drop(&mut self, reference: String) {
        keep_drop(&mut self.sends, reference);
    }

    /// Returns true if so much waits to be sent that no further call is taken.
    pub(super) fn is_behind(&self) -> bool {
        self.sends.len() >= MAX_SENDS
    }

    /// Builds the transaction of a message or of drops of the object.
    pub(super) fn forwarded(&self, told: &Value) -> TxBuilder {
        let wallet = &self.chain.wallet;
        if told["t"] == "drop" {
            let refs = slots(told);
            let sender = wallet.address().to_string();
            return TxBuilder::new().message(&proto::MsgDrop { sender, refs });
        }
        let body = text(told, "body");
        let args = Args::smallcaps(body.strip_prefix('#').unwrap_or(&body), slots(told));
        let (target, method) = (text(told, "target"), text(told, "method"));
        TxBuilder::new().message(&wallet.send_message(&target, &method, &args))
    }

    /// Tells the object what became of its message.
    pub(super) fn forwarded_is(&mut self, told: &Value, fate: Fate) -> anyhow::Result<()> {
        let error = match fate {
            Fate::Block(info) if info.code == 0 => {
                if told["t"] != "send" {
                    return Ok(());
                }
                let outcome = info.outcome(self.chain.wallet.client().addr())?;
                let promise = outcome.response::<proto::MsgSendResponse>(0)?.result;
                return self.node.tell(&json!({"t": "sent", "id": told["id"], "promise": promise}));
            }
            Fate::Block(info) => info.log,
            Fate::Refused(error) | Fate::Poor(error) => error,
            Fate::Displaced => "another transaction of the account used the sequence".to_owned(),
        };
        match told["t"].as_str() {
            Some("send") => {
                self.node.tell(&json!({"t": "failed", "id": told["id"], "error": error}))
            }
            Some(_) => {
                let references = slots(told);
                if references.len() > 1 {
                    // One of them may be at fault.
                    let alone =
                        |reference| json!({"t": "drop", "slots": [reference], "alone": true});
                    self.sends.extend(references.into_iter().map(alone));
                    return Ok(());
                }
                let text = format!("failed: the drop of {}: {error}", references.join(", "));
                self.say("failed", json!({"references": references, "error": error}), &text);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Publishes the object under each name that it does not have yet.
    pub(super) fn publish(&mut self, names: &[String], stop: &AtomicBool) -> anyhow::Result<()> {
        self.finish(stop)?;
        let address = self.chain.wallet.address();
        // The first message of an account makes its endpoint.
        if self.chain.wallet.client().account(&address)?.remote.is_empty() {
            self.ask("__getMethodNames__", &Args::default(), stop)?;
        }
        for name in names {
            if self.journal.record.published.contains(name) {
                continue;
            }
            let object = json!([name, "$0.Alleged: served"]).to_string();
            let args = Args::smallcaps(&object, vec![ROOT.to_owned()]);
            let answer = self.ask("publish", &args, stop)?;
            // A run that crashed may have published it.
            if answer.status == "rejected" && !self.is_published(name, stop)? {
                bail!("{name:?} cannot be published: {}", answer.value.body);
            }
            self.journal.record.published.insert(name.clone());
            self.journal.save()?;
            self.say("published", json!({"name": name}), &format!("published: {address}/{name}"));
        }
        Ok(())
    }

    fn is_published(&mut self, name: &str, stop: &AtomicBool) -> anyhow::Result<bool> {
        let full = format!("{}/{name}", self.chain.wallet.address());
        let args = Args::smallcaps(&json!([full]).to_string(), Vec::new());
        let found = self.ask("lookup", &args, stop)?;
        Ok(found.status == "fulfilled" && found.value.slots == [ROOT])
    }

    /// Calls the account's factory and waits for the answer.
    fn ask(
        &mut self,
        method: &str,
        args: &Args,
        stop: &AtomicBool,
    ) -> anyhow::Result<MessageResult> {
        let message = self.chain.wallet.send_message("factory", method, args);
        let tx = TxBuilder::new().message(&message);
        loop {
            let signed = self.chain.sign(&mut self.journal, &tx, &Pending::default())?;
            let Some(mut flight) = signed else {
                bail!(
                    "the fee of the start ({method}) would exceed --max-fee-per-hour {}; allow more, or start again when an hour has passed",
                    self.chain.max_fee
                );
            };
            let fate = loop {
                if let Some(fate) = self.chain.look(&mut flight)? {
                    break fate;
                }
                if stop.load(Ordering::Relaxed) {
                    bail!("stopped before the object was published");
                }
                std::thread::sleep(STEP);
            };
            self.ended(&flight, &fate);
            self.journal.save()?;
            match fate {
                Fate::Block(info) if info.code == 0 => {
                    let client = self.chain.wallet.client();
                    let deadline = Deadline::after(ANSWER_LIMIT);
                    return Ok(client.wait_result(info.hash, 0, deadline)?);
                }
                Fate::Block(info) => bail!("{method} failed: {}", info.log),
                Fate::Refused(log) | Fate::Poor(log) => bail!("{method} is refused: {log}"),
                Fate::Displaced => {}
            }
        }
    }
}

/// Adds a drop to the one that waits last, if that has room. A message before it may still mention the reference.
fn keep_drop(sends: &mut VecDeque<Value>, reference: String) {
    let last = sends.back_mut().filter(|told| told["t"] == "drop" && told["alone"] != true);
    match last.and_then(|told| told["slots"].as_array_mut()) {
        Some(references) if references.len() < MAX_DROPS => references.push(reference.into()),
        _ => sends.push_back(json!({"t": "drop", "slots": [reference]})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_wait_together_and_messages_keep_their_order() {
        let mut sends = VecDeque::from([json!({"t": "send", "id": 1})]);
        for number in 0..250 {
            keep_drop(&mut sends, format!("ro-{number}"));
            if number == 150 {
                sends.push_back(json!({"t": "send", "id": 2}));
            }
        }
        let kinds: Vec<&str> = sends.iter().filter_map(|told| told["t"].as_str()).collect();
        assert_eq!(kinds, ["send", "drop", "drop", "send", "drop"]);
        let dropped: Vec<String> = sends.iter().flat_map(slots).collect();
        assert_eq!(dropped, (0..250).map(|number| format!("ro-{number}")).collect::<Vec<_>>());
    }
}
