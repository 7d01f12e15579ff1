//! One delivery that is run ahead, as the pool's thread and the kernel's share it. It may be followed by others.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use capstan_abi::{Delivery, Syscall, SyscallResult};
use capstan_kernel_ports::{
    Computrons,
    ahead::{Answers, Expected},
    host::HostFault,
};

use crate::{
    delivery::Ran,
    memory::{linear::MemoryState, share::Running},
};

/// A call that the worker has made.
#[derive(Debug)]
pub(crate) enum Call {
    /// A syscall, with the result that the worker was told.
    Syscall(Syscall, SyscallResult),
    /// A line that it printed.
    Line {
        /// The part of the worker that printed it.
        source: String,
        /// The console's method.
        level: String,
        /// The line.
        text: String,
    },
}

/// A call that the worker waits with until the kernel takes it.
#[derive(Debug)]
pub(crate) enum Question {
    /// A syscall.
    Syscall(Syscall),
    /// A syscall that could not be decoded, with the problem.
    Malformed(String),
    /// Only what was called so far is to be taken, because it is much.
    Room,
}

/// The point that a run has reached when the kernel's thread looks at it.
#[derive(Debug)]
pub(crate) enum Reached {
    /// The worker waits for an answer.
    Question(Vec<Call>, Question),
    /// The run is over.
    End(Vec<Call>, Result<Box<Done>, HostFault>),
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) ran: Ran,
    pub(crate) worker: Rest,
}

/// Where the worker is after a run.
#[derive(Debug)]
pub(crate) enum Rest {
    /// It is handed over.
    Here(Box<Running>),
    /// It goes on with the next attempt. Its memory has so many bytes before that.
    Next(u64),
}

/// The work that no thread has taken up.
pub(crate) struct Start {
    pub(crate) running: Running,
    pub(crate) answers: Box<dyn Answers>,
}

/// A delivery that is run ahead.
pub(crate) struct Attempt {
    pub(crate) delivery: Delivery,
    pub(crate) limit: Computrons,
    /// The attempt that the worker goes on with if this one goes well.
    pub(crate) next: Option<Arc<Attempt>>,
    /// The attempt is the next one of another.
    pub(crate) is_chained: bool,
    /// The run does not count any more.
    is_cancelled: AtomicBool,
    /// What ends a worker that computes on.
    brake: Arc<MemoryState>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

/// The exchange between the two threads.
#[derive(Default)]
struct Progress {
    start: Option<Start>,
    reached: Option<Reached>,
    /// The kernel's thread waits.
    is_awaited: bool,
    /// The answer to the last question. The inner value is `None` if the worker is to be unwound.
    answer: Option<Option<SyscallResult>>,
}

impl Attempt {
    /// Returns an attempt at a delivery, whose worker goes on with those in `then`, and with collecting its garbage if
    /// `then_snapshot` is set.
    pub(crate) fn new(
        first: Expected,
        mut then: Vec<Expected>,
        start: Start,
        then_snapshot: bool,
    ) -> Self {
        let brake = start.running.worker.memory_state();
        if then_snapshot {
            let limit = then.last().unwrap_or(&first).limit;
            then.push(Expected { delivery: Delivery::BringOutYourDead, limit });
        }
        let next = then.into_iter().rev().fold(None, |next, expected| {
            let (brake, is_chained) = (Arc::clone(&brake), true);
            Some(Arc::new(Self::with(expected, brake, None, next, is_chained)))
        });
        Self::with(first, brake, Some(start), next, false)
    }

    fn with(
        expected: Expected,
        brake: Arc<MemoryState>,
        start: Option<Start>,
        next: Option<Arc<Self>>,
        is_chained: bool,
    ) -> Self {
        let progress = Progress { start, ..Progress::default() };
        let Expected { delivery, limit } = expected;
        Self {
            delivery,
            limit,
            next,
            is_chained,
            is_cancelled: AtomicBool::new(false),
            brake,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
        }
    }

    /// Returns whether the delivery is a collection before a snapshot. No other collection is run ahead.
    pub(crate) fn is_collection(&self) -> bool {
        self.delivery == Delivery::BringOutYourDead
    }

    /// Takes the work, unless a thread has it.
    pub(crate) fn take_start(&self) -> Option<Start> {
        self.progress().start.take()
    }

    /// Returns whether nobody has taken the work up.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress().start.is_some()
    }

    /// Returns whether the run is over or waits for the kernel.
    pub(crate) fn has_reached(&self) -> bool {
        self.progress().reached.is_some()
    }

    /// Waits until the run is over or needs the kernel.
    pub(crate) fn wait(&self) -> Reached {
        let mut progress = self.progress();
        loop {
            progress.is_awaited = progress.reached.is_none();
            if let Some(reached) = progress.reached.take() {
                return reached;
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for so long at most. Returns whether [`Attempt::wait`] would return at once.
    pub(crate) fn wait_for(&self, time: Duration) -> bool {
        let mut progress = self.progress();
        progress.is_awaited = progress.reached.is_none();
        let is_running = |progress: &mut Progress| progress.reached.is_none();
        let waited = self.changed.wait_timeout_while(progress, time, is_running);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        progress.reached.is_some()
    }

    /// Answers the question that the run has reached.
    pub(crate) fn answer(&self, answer: Option<SyscallResult>) {
        self.progress().answer = Some(answer);
        self.changed.notify_all();
    }

    /// Gives the run up. A worker that waits is unwound. One that computes ends when it next calls the host, at the
    /// latest at its limit: compiled code has no other place to stop at. More memory is refused to it.
    ///
    /// Returns whether a thread had begun with it.
    pub(crate) fn cancel(&self) -> bool {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.brake.give_up();
        // What was not taken up is dropped here, outside of the lock.
        let start = {
            let mut progress = self.progress();
            progress.answer = Some(None);
            progress.start.take()
        };
        let has_begun = start.is_none();
        drop(start);
        self.changed.notify_all();
        if let Some(next) = &self.next {
            next.cancel();
        }
        has_begun
    }

    /// Returns whether the run was given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Asks the kernel, and waits for its turn. Returns `None` if the worker is to be unwound.
    pub(crate) fn ask(&self, calls: Vec<Call>, question: Question) -> Option<SyscallResult> {
        let mut progress = self.progress();
        if self.is_cancelled() {
            return None;
        }
        progress.answer = None;
        self.reach(&mut progress, Reached::Question(calls, question));
        loop {
            if let Some(answer) = progress.answer.take() {
                return answer;
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands over the end of the run.
    pub(crate) fn end(&self, calls: Vec<Call>, end: Result<Box<Done>, HostFault>) {
        self.reach(&mut self.progress(), Reached::End(calls, end));
    }

    fn reach(&self, progress: &mut Progress, reached: Reached) {
        progress.reached = Some(reached);
        // Waking nobody would be a call of the system all the same.
        if progress.is_awaited {
            self.changed.notify_all();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
