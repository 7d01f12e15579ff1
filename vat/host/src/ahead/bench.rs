//! The answers to the syscalls of a run that is ahead of its turn.

use capstan_abi::{Syscall, SyscallResult};
use capstan_kernel_ports::{ahead::Answers, host::Syscalls};

use crate::ahead::{
    attempt::{Attempt, Call, Question},
    pool::Queue,
};

/// Bytes of printed lines that a run keeps before it waits for its turn. [`Answers`] bounds the syscalls.
const MAX_LINE_BYTES: usize = 4 << 20;

/// What a line counts for besides its texts, in bytes.
const LINE_BYTES: usize = 128;

/// Keeps the calls of a run for its turn. What only the kernel can answer waits for the turn.
pub(crate) struct Bench<'a> {
    attempt: &'a Attempt,
    answers: Box<dyn Answers>,
    /// The pool's queue, where this thread leaves its seat while it waits.
    queue: &'a Queue,
    calls: Vec<Call>,
    line_bytes: usize,
}

impl<'a> Bench<'a> {
    /// The run begins.
    pub(crate) fn new(
        attempt: &'a Attempt,
        mut answers: Box<dyn Answers>,
        queue: &'a Queue,
    ) -> Self {
        answers.computes(true);
        Self { attempt, answers, queue, calls: Vec::new(), line_bytes: 0 }
    }

    /// Ends the run. Returns the calls that the kernel has not taken.
    pub(crate) fn end(mut self) -> (Vec<Call>, Box<dyn Answers>) {
        self.answers.computes(false);
        (self.calls, self.answers)
    }

    fn ask(&mut self, question: Question) -> Option<SyscallResult> {
        self.line_bytes = 0;
        self.answers.computes(false);
        let calls = std::mem::take(&mut self.calls);
        let answer = self.queue.without_seat(|| self.attempt.ask(calls, question));
        self.answers.computes(true);
        answer
    }

    /// Makes room for a line of so many bytes. Returns `None` if the worker is to be unwound.
    fn make_room(&mut self, bytes: usize) -> Option<()> {
        self.line_bytes = self.line_bytes.saturating_add(bytes + LINE_BYTES);
        if self.line_bytes > MAX_LINE_BYTES {
            self.ask(Question::Room)?;
        }
        Some(())
    }
}

impl Syscalls for Bench<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        if self.attempt.is_cancelled() {
            return None;
        }
        let Some(result) = self.answers.answer(&syscall) else {
            return self.ask(Question::Syscall(syscall));
        };
        self.calls.push(Call::Syscall(syscall, result.clone()));
        Some(result)
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.ask(Question::Malformed(problem.to_owned()))
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        // A worker that is to be unwound learns it from its next syscall.
        if self.make_room(source.len() + level.len() + text.len()).is_some() {
            let [source, level, text] = [source, level, text].map(str::to_owned);
            self.calls.push(Call::Line { source, level, text });
        }
    }
}
