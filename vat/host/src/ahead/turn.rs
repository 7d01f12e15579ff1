//! The runs that are ahead, and the turn of each.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use capstan_abi::{Delivery, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, VatId,
    ahead::{Ahead, AheadPlan, Expected, Made},
    host::Syscalls,
};

use crate::{
    Usage,
    ahead::attempt::{Attempt, Call, Done, Question, Reached, Rest, Start},
    ahead::chaos::Chaos,
    ahead::pool::{Pool, Work},
    ahead::task::{self, Back, Task, Tasks},
    delivery::Ran,
    memory::share::Running,
};

/// Vats whose deliveries are under way or wait for their turn, for each thread.
const ATTEMPTS_A_THREAD: usize = 2;

/// The average computrons of a delivery from which handing it to another thread gains time.
const WORTH_A_THREAD: Computrons = Computrons(10_000);

/// The most that a run ahead may spend, in computrons. One that needs more is lost, and made again with its own limit.
///
/// A run that is lost occupies a thread until its end if it calls nothing meanwhile.
const MOST_AHEAD: Computrons = Computrons(100_000_000);

/// The same where there is trouble for tests, in some runs.
const MOST_IN_TROUBLE: Computrons = Computrons(100_000);

/// Time for which the kernel's thread keeps its seat while it waits. Waking another thread for less costs more than that thread
/// would gain.
const PATIENCE: Duration = Duration::from_millis(1);

/// How many times what a delivery may spend at its turn the limit of its run may be, if the kernel is to wait for it.
const MOST_BEYOND: u64 = 4;

/// The runs of a host that are ahead.
pub(crate) struct Runs {
    threads: usize,
    pool: Pool,
    attempts: BTreeMap<VatId, Arc<Attempt>>,
    /// The memory of the vats whose worker goes on after a run that counted, in bytes before that.
    memory_bytes: BTreeMap<VatId, u64>,
    tasks: Tasks,
    chaos: Option<Chaos>,
    usage: Arc<Usage>,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs")
            .field("threads", &self.threads)
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}

/// The turn of a vat whose delivery was run ahead.
pub(crate) enum Ended {
    /// No thread had taken up the work. The worker is as it was.
    Untouched(Running),
    /// The run counts. The worker is `None` if another run follows.
    Counts(Option<Running>, Ran),
    /// The kernel has ended the run.
    Unwound,
    /// The run is lost.
    Lost(Vec<Made>),
}

/// The reason why a run does not go on.
enum Halt {
    Unwound,
    Lost,
}

impl Runs {
    /// Makes room for runs on so many threads, of which the caller's is one. With fewer than two there are none. `chaos` is the
    /// seed of trouble for tests.
    pub(crate) fn new(threads: usize, chaos: Option<u64>, usage: Arc<Usage>) -> Self {
        let chaos = chaos.map(Chaos::new);
        let (attempts, memory_bytes, tasks) = Default::default();
        // Each attempt may ask the kernel, and wait for its turn.
        let pool = Pool::new(threads, threads.saturating_mul(ATTEMPTS_A_THREAD));
        Self { threads, pool, attempts, memory_bytes, tasks, chaos, usage }
    }

    pub(crate) fn plan(&self) -> AheadPlan {
        let is_reckless = self.chaos.is_some();
        match self.threads {
            0 | 1 => AheadPlan::NONE,
            threads => AheadPlan {
                capacity: threads * ATTEMPTS_A_THREAD,
                at_least: if is_reckless { Computrons(0) } else { WORTH_A_THREAD },
                is_reckless,
            },
        }
    }

    pub(crate) fn contains(&self, vat: VatId) -> bool {
        self.attempts.contains_key(&vat)
    }

    /// Begins a run. Returns the worker if the system starts no thread.
    pub(crate) fn begin(&mut self, ahead: Ahead, running: Running) -> Option<Running> {
        let Ahead { vat, mut first, mut then, answers, then_snapshot } = ahead;
        let (delay, overtaken, most) = match &mut self.chaos {
            Some(chaos) => {
                let most = if chaos.once_in(8) { MOST_IN_TROUBLE } else { MOST_AHEAD };
                (chaos.delay(), chaos.below(4) as usize, most)
            }
            None => (Duration::ZERO, 0, MOST_AHEAD),
        };
        let lower = |expected: &mut Expected| expected.limit = expected.limit.min(most);
        lower(&mut first);
        then.iter_mut().for_each(lower);
        let start = Start { running, answers };
        let attempt = Arc::new(Attempt::new(first, then, start, then_snapshot));
        match self.pool.add(Work::Attempt(Arc::clone(&attempt)), delay, overtaken) {
            Ok(()) => {
                self.attempts.insert(vat, attempt);
                None
            }
            Err(error) => {
                tracing::warn!("vats run on one thread: the system starts no others: {error}");
                self.threads = 1;
                attempt.take_start().map(|start| start.running)
            }
        }
    }

    /// Returns the size of the memory of a vat between two runs, in bytes.
    pub(crate) fn memory_bytes(&self, vat: VatId) -> Option<u64> {
        self.memory_bytes.get(&vat).copied()
    }

    /// Begins to bring a vat's worker into memory.
    pub(crate) fn prepare(&mut self, vat: VatId, work: task::Work) {
        let task = Task::new(work);
        if self.add_task(&task, false) {
            self.usage.prepared_begun.fetch_add(1, Ordering::Relaxed);
            self.tasks.add_worker(vat, task);
        }
    }

    /// Begins to load a source. Returns false if there is enough to do.
    pub(crate) fn load_ahead(&mut self, work: task::Work) -> bool {
        let (task, most) = (Task::new(work), self.plan().capacity);
        // The kernel's thread does not take a load back.
        let is_begun = self.tasks.add_load(&task, most) && self.add_task(&task, true);
        self.usage.loads_ahead.fetch_add(u64::from(is_begun), Ordering::Relaxed);
        is_begun
    }

    /// Has a thread take up a task, before anything else if it is urgent.
    fn add_task(&mut self, task: &Arc<Task>, is_urgent: bool) -> bool {
        let (delay, overtaken) = match &mut self.chaos {
            Some(chaos) => (chaos.delay(), chaos.below(4) as usize),
            None => (Duration::ZERO, 0),
        };
        let work = Work::Task(Arc::clone(task));
        let is_added = match is_urgent {
            true => self.pool.add_urgent(work, delay),
            false => self.pool.add(work, delay, overtaken),
        };
        if let Err(error) = &is_added {
            tracing::warn!("vats come back on one thread: the system starts no others: {error}");
            self.threads = 1;
        }
        is_added.is_ok()
    }

    /// Takes the worker that was brought into memory for a vat.
    pub(crate) fn take_prepared(&mut self, vat: VatId) -> Option<Back> {
        if self.chaos.as_mut().is_some_and(|chaos| chaos.once_in(6)) {
            self.drop_prepared(vat);
        }
        let task = self.tasks.take(vat)?;
        let waits = !task.is_over();
        self.usage.prepared_awaited.fetch_add(u64::from(waits), Ordering::Relaxed);
        let back = match task.run() || task.wait_for(PATIENCE) {
            true => task.wait(),
            false => self.pool.lend_seat(|| task.wait()),
        };
        self.usage.prepared_counted.fetch_add(u64::from(back.is_some()), Ordering::Relaxed);
        back
    }

    fn drop_prepared(&mut self, vat: VatId) {
        self.tasks.drop_worker(vat);
    }

    /// Gives up what was run ahead for a vat, and its worker that was to come back.
    pub(crate) fn drop_run(&mut self, vat: VatId) {
        self.drop_prepared(vat);
        self.memory_bytes.remove(&vat);
        if let Some(attempt) = self.attempts.remove(&vat) {
            let lost = u64::from(attempt.cancel());
            self.usage.ahead_begun.fetch_add(lost, Ordering::Relaxed);
            self.usage.ahead_lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    /// Ends the run of a vat. Returns `None` if there is none.
    pub(crate) fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Option<Ended> {
        let attempt = self.attempts.remove(&vat)?;
        self.memory_bytes.remove(&vat);
        if let Some(start) = attempt.take_start() {
            return Some(Ended::Untouched(start.running));
        }
        self.usage.ahead_begun.fetch_add(1, Ordering::Relaxed);
        let is_lost = self.chaos.as_mut().is_some_and(|chaos| chaos.once_in(6));
        if is_lost || attempt.delivery != *delivery {
            return Some(self.lost(&attempt, Vec::new()));
        }
        // Nobody would pay for waiting on a run that goes on long beyond what it may spend now.
        let is_beyond = attempt.limit.0 / MOST_BEYOND > limit.0;
        if is_beyond && !attempt.has_reached() {
            return Some(self.lost(&attempt, Vec::new()));
        }
        let waits = !attempt.has_reached();
        self.usage.ahead_awaited.fetch_add(u64::from(waits), Ordering::Relaxed);
        let mut made = Vec::new();
        Some(match self.follow(&attempt, limit, syscalls, &mut made) {
            Ok(Done { worker, ran }) => {
                self.usage.ahead_counted.fetch_add(1, Ordering::Relaxed);
                if attempt.is_chained {
                    self.usage.ahead_chained.fetch_add(1, Ordering::Relaxed);
                }
                Ended::Counts(self.after(vat, &attempt, worker), ran)
            }
            Err(Halt::Unwound) => {
                attempt.cancel();
                Ended::Unwound
            }
            Err(Halt::Lost) => self.lost(&attempt, made),
        })
    }

    /// Returns the worker, or notes the attempt that it goes on with.
    fn after(&mut self, vat: VatId, attempt: &Attempt, worker: Rest) -> Option<Running> {
        match (worker, &attempt.next) {
            (Rest::Here(running), _) => Some(*running),
            (Rest::Next(bytes), next) => {
                if next.as_ref().is_some_and(|next| next.is_collection()) {
                    self.usage.ahead_snapshots.fetch_add(1, Ordering::Relaxed);
                }
                self.memory_bytes.insert(vat, bytes);
                self.attempts.extend(next.clone().map(|next| (vat, next)));
                None
            }
        }
    }

    /// Waits until a run is over or needs the kernel. If that takes long, another thread has the seat meanwhile.
    fn wait(&self, attempt: &Attempt) -> Reached {
        match attempt.wait_for(PATIENCE) {
            true => attempt.wait(),
            false => self.pool.lend_seat(|| attempt.wait()),
        }
    }

    /// Makes the calls of a run until it is over.
    fn follow(
        &mut self,
        attempt: &Attempt,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
        made: &mut Vec<Made>,
    ) -> Result<Done, Halt> {
        loop {
            match self.wait(attempt) {
                // A run with a larger limit counts only if it ends within this one, which its beginning does not show.
                Reached::Question(..) if attempt.limit > limit => return Err(Halt::Lost),
                Reached::Question(calls, question) => {
                    self.make(calls, syscalls, made)?;
                    let answer = match question {
                        Question::Syscall(syscall) => syscalls.syscall(syscall),
                        Question::Malformed(problem) => syscalls.malformed(&problem),
                        Question::Room => {
                            attempt.answer(Some(SyscallResult::Ok(SyscallData::Null)));
                            continue;
                        }
                    };
                    let answer = answer.ok_or(Halt::Unwound)?;
                    made.push(Made::Syscall(answer.clone()));
                    attempt.answer(Some(answer));
                }
                // This node has failed, if it fails when the delivery is made again.
                Reached::End(_, Err(_)) => return Err(Halt::Lost),
                Reached::End(calls, Ok(done)) => {
                    if attempt.limit != limit && !done.ran.fits(limit) {
                        return Err(Halt::Lost);
                    }
                    self.make(calls, syscalls, made)?;
                    return Ok(*done);
                }
            }
        }
    }

    /// Makes calls that the worker has made.
    fn make(
        &mut self,
        calls: Vec<Call>,
        syscalls: &mut dyn Syscalls,
        made: &mut Vec<Made>,
    ) -> Result<(), Halt> {
        for call in calls {
            match call {
                Call::Syscall(syscall, told) => {
                    let result = syscalls.syscall(syscall).ok_or(Halt::Unwound)?;
                    let is_as_told = result == told;
                    made.push(Made::Syscall(result));
                    if !is_as_told || self.chaos.as_mut().is_some_and(|chaos| chaos.once_in(40)) {
                        return Err(Halt::Lost);
                    }
                }
                Call::Line { source, level, text } => {
                    syscalls.console(&source, &level, &text);
                    made.push(Made::Line);
                }
            }
        }
        Ok(())
    }

    fn lost(&self, attempt: &Attempt, made: Vec<Made>) -> Ended {
        self.usage.ahead_lost.fetch_add(1, Ordering::Relaxed);
        attempt.cancel();
        Ended::Lost(made)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for attempt in self.attempts.values() {
            attempt.cancel();
        }
    }
}
