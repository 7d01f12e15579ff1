//! Answers of the object, from its program to a block of the chain.

use serde_json::{Value, json};

use super::journal::{Answer, MAX_WAITING_BYTES, Pending};
use super::planted;
use super::service::Service;

impl Service {
    /// Does what the object's program says.
    pub(super) fn told(&mut self, told: &Value) -> anyhow::Result<()> {
        match told["t"].as_str().unwrap_or_default() {
            "answer" => self.answered(told["entry"].as_u64().unwrap_or_default(), told),
            "settle" => self.settled(text(told, "promise"), told),
            "send" => self.queue(told),
            "drop" => {
                self.queue_drop(text(told, "reference"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Journals an answer. A second one, as after a timeout, is left out.
    fn answered(&mut self, number: u64, told: &Value) -> anyhow::Result<()> {
        let Some(promise) = self.journal.record.started.remove(&number) else { return Ok(()) };
        self.calls.end(number);
        match promise {
            Some(promise) => {
                let answer = self.checked(answer(promise, told));
                drop(self.journal.record.answers.insert(number, answer));
            }
            None => drop(self.journal.record.done.insert(number)),
        }
        self.journal.save()?;
        planted("answered");
        Ok(())
    }

    /// Answers a call by a rejection of the server's own.
    pub(super) fn reject(&mut self, number: u64, why: &str) -> anyhow::Result<()> {
        let Answer { body, .. } = Answer::error(String::new(), why);
        self.answered(number, &json!({"rejected": true, "body": body, "slots": []}))
    }

    /// Journals the settlement of a promise that the object made.
    fn settled(&mut self, promise: String, told: &Value) -> anyhow::Result<()> {
        // A promise that was not passed on is nobody's.
        if !self.journal.record.open.contains(&promise) {
            return Ok(());
        }
        let answer = self.checked(answer(promise, told));
        self.journal.record.own.push(answer);
        self.journal.save()
    }

    /// Returns an answer, or a rejection that says why the answer cannot be sent.
    fn checked(&mut self, answer: Answer) -> Answer {
        let bytes = answer.bytes();
        let why = if bytes > self.chain.max_answer {
            let limit = self.chain.max_answer;
            format!(
                "the account's object answered with too much: it has {bytes} bytes, and the chain takes {limit}"
            )
        } else if self.journal.record.waiting_bytes() + bytes > MAX_WAITING_BYTES {
            "too many bytes of answers of this account wait to be sent".to_owned()
        } else if !self.journal.export(&answer.slots) {
            "too many promises of this account wait to be settled".to_owned()
        } else {
            return answer;
        };
        Answer::error(answer.promise, &why)
    }

    /// Rejects in place of answers of an earlier run that the chain does not take by now.
    pub(super) fn refit(&mut self) {
        let limit = self.chain.max_answer;
        let record = &mut self.journal.record;
        for answer in record.answers.values_mut().chain(&mut record.own) {
            if answer.bytes() > limit {
                let why =
                    format!("the answer has {} bytes, and the chain takes {limit}", answer.bytes());
                *answer = Answer::error(std::mem::take(&mut answer.promise), &why);
            }
        }
    }

    /// Notes that answers are in a block.
    pub(super) fn answers_taken(&mut self, pending: &Pending, height: u64) {
        planted("committed");
        self.alone = self.alone.saturating_sub(1);
        self.journal.settled(pending);
        let entries = &pending.answers;
        let count = entries.len() + pending.own;
        if count > 0 {
            let text = format!("answered: entries {entries:?} in block {height}");
            self.say("answered", json!({"entries": entries, "height": height}), &text);
        }
    }

    /// Sends each answer alone that the chain did not take together with others, and gives up one that it did not take
    /// alone: it would be refused again, and each attempt has a fee.
    pub(super) fn answers_refused(
        &mut self,
        pending: &Pending,
        problem: &str,
    ) -> anyhow::Result<()> {
        match (&pending.answers[..], pending.own) {
            ([], 0) => anyhow::bail!("the chain does not take the acknowledgement: {problem}"),
            ([number], 0) => self.give_up(*number, problem),
            ([], 1) => {
                if let Some(promise) = self.journal.give_up_own() {
                    self.dropped(&promise, problem);
                }
            }
            (answers, own) => {
                self.alone = answers.len() + own;
                return Ok(());
            }
        }
        self.alone = self.alone.saturating_sub(1);
        Ok(())
    }

    /// Replaces an answer that the chain does not take by a rejection that says so, or drops it if it is one.
    fn give_up(&mut self, number: u64, problem: &str) {
        let record = &mut self.journal.record;
        let Some(answer) = record.answers.get_mut(&number) else { return };
        let promise = answer.promise.clone();
        if answer.last {
            record.answers.remove(&number);
            record.done.insert(number);
            self.dropped(&promise, problem);
        } else {
            let why = format!("the chain did not take the answer: {problem}");
            *answer = Answer { last: true, ..Answer::error(promise, &why) };
            let text = format!("failed: the answer to entry {number}: {problem}");
            self.say("failed", json!({"entry": number, "error": problem}), &text);
        }
    }

    fn dropped(&self, promise: &str, problem: &str) {
        let text =
            format!("dropped: the settlement of {promise}, which is not tried again: {problem}");
        self.say("dropped", json!({"promise": promise, "error": problem}), &text);
    }
}

pub(super) fn text(told: &Value, field: &str) -> String {
    told[field].as_str().unwrap_or_default().to_owned()
}

pub(super) fn slots(told: &Value) -> Vec<String> {
    let all = told["slots"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn answer(promise: String, told: &Value) -> Answer {
    let rejected = told["rejected"] == true;
    Answer { promise, rejected, body: text(told, "body"), slots: slots(told), last: false }
}
