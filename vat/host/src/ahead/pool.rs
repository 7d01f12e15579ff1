//! The threads that run deliveries ahead.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use capstan_kernel_ports::host::HostFault;

use crate::{
    ahead::attempt::{Attempt, Done, Job, Rest},
    ahead::bench::Bench,
    ahead::task::Task,
    delivery::{self, Ran},
    memory::share::Running,
};

/// The stack of each thread, in bytes. It holds this crate's own frames. wasmer runs vats on stacks of its own, which are
/// as large on every thread.
const STACK_BYTES: usize = 8 << 20;

/// A number of threads, which start with the first run and end with the pool.
pub(crate) struct Pool {
    threads: usize,
    queue: Arc<Queue>,
    is_started: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<(Work, Duration)>,
    /// Threads that have nothing to do.
    idle: usize,
    is_closed: bool,
}

/// Work for a thread.
#[derive(Clone)]
pub(crate) enum Work {
    /// Deliveries to a vat.
    Attempt(Arc<Attempt>),
    /// Anything else.
    Task(Arc<Task>),
}

impl Work {
    fn run(self) {
        match self {
            Self::Attempt(attempt) => {
                // The kernel's thread may have taken the job back.
                if let Some(job) = attempt.take_job() {
                    run(&attempt, job);
                }
            }
            Self::Task(task) => task.run(),
        }
    }
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads, queue: Arc::default(), is_started: false }
    }

    /// Has a thread take up the work after `delay`, before the last `overtaken` ones that wait.
    ///
    /// The error is the system's, if not a single thread can be started.
    pub(crate) fn add(
        &mut self,
        work: Work,
        delay: Duration,
        overtaken: usize,
    ) -> std::io::Result<()> {
        self.start()?;
        let mut waiting = self.queue.waiting();
        let at = waiting.jobs.len().saturating_sub(overtaken);
        waiting.jobs.insert(at, (work, delay));
        let is_awaited = waiting.idle > 0;
        drop(waiting);
        if is_awaited {
            self.queue.changed.notify_one();
        }
        Ok(())
    }

    fn start(&mut self) -> std::io::Result<()> {
        if self.is_started {
            return Ok(());
        }
        for number in 0..self.threads {
            let queue = Arc::clone(&self.queue);
            let thread = thread::Builder::new().name("vats".to_owned()).stack_size(STACK_BYTES);
            match thread.spawn(move || queue.work()) {
                Ok(_) => self.is_started = true,
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    tracing::warn!("only {number} of {} threads for vats: {error}", self.threads);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.waiting().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn work(&self) {
        while let Some((work, delay)) = self.next() {
            if !delay.is_zero() {
                thread::sleep(delay);
            }
            work.run();
        }
    }

    fn next(&self) -> Option<(Work, Duration)> {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(next) = waiting.jobs.pop_front() {
                return Some(next);
            }
            waiting.idle += 1;
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an attempt to its end, and then the next one if it went well and is still wanted. A panic is handed over as a fault.
/// The delivery is then made again on the kernel's thread, where the same panic ends the process.
fn run(attempt: &Attempt, job: Job) {
    let Job { mut running, answers } = job;
    let mut bench = Bench::new(attempt, answers);
    let ran = catch_unwind(AssertUnwindSafe(|| deliver(attempt, &mut running, &mut bench)));
    let ran = ran.unwrap_or_else(|_| {
        Err(HostFault::Engine("a delivery that was run ahead panicked".to_owned()))
    });
    let (calls, answers) = bench.end();
    let goes_on = !attempt.is_cancelled() && ran.as_ref().is_ok_and(Ran::is_well);
    let next = attempt.next.as_ref().filter(|_| goes_on);
    if let (Ok(ran), Some(next)) = (&ran, next) {
        let worker = Rest::Next(running.worker.memory().len() as u64);
        attempt.end(calls, Ok(Box::new(Done { ran: ran.clone(), worker })));
        return run(next, Job { running, answers });
    }
    // The answers go first: whoever gets the end may want to be the only one who reads the vat's store.
    drop(answers);
    let done = |ran| Box::new(Done { ran, worker: Rest::Here(Box::new(running)) });
    attempt.end(calls, ran.map(done));
}

/// Makes the delivery. After a collection the heap is made ready for a snapshot.
fn deliver(
    attempt: &Attempt,
    running: &mut Running,
    bench: &mut Bench<'_>,
) -> Result<Ran, HostFault> {
    let ran = delivery::run(&mut running.worker, &attempt.delivery, attempt.limit, bench)?;
    if attempt.is_collection() && ran.is_well() && !attempt.is_cancelled() {
        running.prepare_snapshot()?;
    }
    Ok(ran)
}
