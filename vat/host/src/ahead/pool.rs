//! The threads that run deliveries ahead.
//!
//! They and the kernel's thread share as many seats as there may be threads at work. A thread that waits for the kernel leaves its
//! seat meanwhile, and so does the kernel's if it waits for long. What was added last is taken up first: the kernel's thread takes
//! what comes next itself, and comes last to what is behind.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use capstan_kernel_ports::host::HostFault;

use crate::{
    ahead::attempt::{Attempt, Done, Rest, Start},
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
    queue: Arc<Queue>,
    is_started: bool,
}

/// The work that waits, and the seats.
pub(crate) struct Queue {
    seats: usize,
    /// Threads of the pool. There are more than seats, so that one is left when others wait for the kernel.
    threads: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    /// Jobs that come before all others. The oldest is taken up first.
    urgent: VecDeque<Job>,
    /// The other jobs. The newest is taken up first.
    jobs: VecDeque<Job>,
    /// Seats that are taken. A thread that comes back to its own may make them more than there are, for as long as it works.
    taken: usize,
    /// Threads that have nothing to do, or no seat.
    idle: usize,
    is_closed: bool,
}

/// Work, and how long it is to be put off.
type Job = (Work, Duration);

/// Work for a thread.
#[derive(Clone)]
pub(crate) enum Work {
    /// Deliveries to a vat.
    Attempt(Arc<Attempt>),
    /// Anything else.
    Task(Arc<Task>),
}

impl Work {
    /// Returns whether nobody has taken the work up yet.
    fn is_waiting(&self) -> bool {
        match self {
            Self::Attempt(attempt) => attempt.is_waiting(),
            Self::Task(task) => task.is_waiting(),
        }
    }

    fn run(self, queue: &Queue) {
        match self {
            Self::Attempt(attempt) => {
                // The kernel's thread may have taken the delivery back.
                if let Some(start) = attempt.take_start() {
                    run(&attempt, start, queue);
                }
            }
            Self::Task(task) => {
                task.run();
            }
        }
    }
}

impl Pool {
    /// Makes a pool of which so many threads are at work, the kernel's included, while up to `askers` wait for the kernel.
    pub(crate) fn new(seats: usize, askers: usize) -> Self {
        let (urgent, jobs, idle, is_closed) = Default::default();
        // The kernel's thread has a seat.
        let waiting = Mutex::new(Waiting { urgent, jobs, taken: 1, idle, is_closed });
        let threads = seats.saturating_add(askers);
        let queue = Queue { seats, threads, waiting, changed: Condvar::new() };
        Self { queue: Arc::new(queue), is_started: false }
    }

    /// Lends the seat of the kernel's thread to another one until `wait` is over.
    pub(crate) fn lend_seat<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.queue.without_seat(wait)
    }

    /// Has a thread take up the work after `delay`, and after the last `overtaken` ones that were added before.
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
        // What the kernel's thread took back would stay as long as there is something newer to do.
        waiting.jobs.retain(|(work, _)| work.is_waiting());
        let at = waiting.jobs.len().saturating_sub(overtaken);
        waiting.jobs.insert(at, (work, delay));
        self.queue.call_one(waiting);
        Ok(())
    }

    /// Has a thread take up the work after `delay`, before all that is not urgent.
    pub(crate) fn add_urgent(&mut self, work: Work, delay: Duration) -> std::io::Result<()> {
        self.start()?;
        let mut waiting = self.queue.waiting();
        waiting.urgent.push_back((work, delay));
        self.queue.call_one(waiting);
        Ok(())
    }

    fn start(&mut self) -> std::io::Result<()> {
        if self.is_started {
            return Ok(());
        }
        for number in 0..self.queue.threads {
            let queue = Arc::clone(&self.queue);
            let thread = thread::Builder::new().name("vats".to_owned()).stack_size(STACK_BYTES);
            match thread.spawn(move || queue.work()) {
                Ok(_) => self.is_started = true,
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    let threads = self.queue.threads;
                    tracing::warn!("only {number} of {threads} threads for vats: {error}");
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

impl Waiting {
    fn take_next(&mut self) -> Option<Job> {
        self.urgent.pop_front().or_else(|| self.jobs.pop_back())
    }
}

/// A seat that is left when this is dropped.
struct Seat<'q>(&'q Queue);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.taken -= 1;
        // Unless it panics, the thread looks for work itself.
        if thread::panicking() {
            self.0.call_one(waiting);
        }
    }
}

/// A seat that is taken again when this is dropped.
struct Return<'q>(&'q Queue);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        self.0.waiting().taken += 1;
    }
}

impl Queue {
    fn work(&self) {
        while let Some((work, delay)) = self.next() {
            let seat = Seat(self);
            if !delay.is_zero() {
                thread::sleep(delay);
            }
            work.run(self);
            drop(seat);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_closed {
                return None;
            }
            if waiting.taken < self.seats
                && let Some(next) = waiting.take_next()
            {
                waiting.taken += 1;
                return Some(next);
            }
            waiting.idle += 1;
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    /// Leaves the seat of the thread that calls it to another one until `wait` is over.
    pub(crate) fn without_seat<T>(&self, wait: impl FnOnce() -> T) -> T {
        let mut waiting = self.waiting();
        waiting.taken -= 1;
        self.call_one(waiting);
        // Whatever ends the wait, the thread that called has its seat again.
        let _back = Return(self);
        wait()
    }

    /// Wakes a thread up if there is work and a seat for it.
    fn call_one(&self, waiting: MutexGuard<'_, Waiting>) {
        let Waiting { urgent, jobs, taken, idle, .. } = &*waiting;
        let has_work = !urgent.is_empty() || !jobs.is_empty();
        let is_wanted = has_work && *idle > 0 && *taken < self.seats;
        drop(waiting);
        // Waking nobody would be a call of the system all the same.
        if is_wanted {
            self.changed.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an attempt to its end, and then the next one if it went well and is still wanted. A panic is handed over as a fault.
/// The delivery is then made again on the kernel's thread, where the same panic ends the process.
fn run(attempt: &Attempt, start: Start, queue: &Queue) {
    let Start { mut running, answers } = start;
    let mut bench = Bench::new(attempt, answers, queue);
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
        return run(next, Start { running, answers }, queue);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Returns a task that says when it begins, and lasts until it is told to end.
    fn task(begun: &Sender<u32>, number: u32) -> (Arc<Task>, Sender<()>) {
        let (begun, (end, told)) = (begun.clone(), channel());
        let work = Box::new(move || {
            begun.send(number).unwrap();
            told.recv().unwrap();
            None
        });
        (Task::new(work), end)
    }

    /// Tasks, each with what ends it.
    type Tasks = Vec<(Arc<Task>, Sender<()>)>;

    /// Returns a pool of one thread and so many tasks, the first of which has begun.
    fn busy(count: u32) -> (Pool, Receiver<u32>, Tasks) {
        let mut pool = Pool::new(2, 0);
        let (begins, begun) = channel();
        let tasks: Tasks = (0..count).map(|number| task(&begins, number)).collect();
        add(&mut pool, &tasks[0].0);
        assert_eq!(next(&begun), 0);
        (pool, begun, tasks)
    }

    fn add(pool: &mut Pool, task: &Arc<Task>) {
        pool.add(Work::Task(Arc::clone(task)), Duration::ZERO, 0).unwrap();
    }

    /// Waits for the beginning of the next task.
    fn next(begun: &Receiver<u32>) -> u32 {
        begun.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn is_idle(pool: &Pool) -> bool {
        (0..600).any(|_| {
            thread::sleep(Duration::from_millis(100));
            pool.queue.waiting().taken == 1
        })
    }

    #[test]
    fn a_thread_takes_the_newest_work_and_the_seat_of_one_that_waits() {
        let (mut pool, begun, tasks) = busy(4);
        tasks[1..].iter().for_each(|(task, _)| add(&mut pool, task));
        assert_eq!(pool.queue.waiting().jobs.len(), 3, "the kernel's thread has the other seat");
        pool.lend_seat(|| assert_eq!(next(&begun), 3));
        assert_eq!(pool.queue.waiting().taken, 3, "whoever has begun goes on");
        tasks[0].1.send(()).unwrap();
        assert!(tasks[0].0.wait().is_none());
        assert_eq!(pool.queue.waiting().jobs.len(), 2);
        tasks[3].1.send(()).unwrap();
        assert_eq!(next(&begun), 2);
        tasks[1..3].iter().for_each(|(_, end)| end.send(()).unwrap());
        assert_eq!(next(&begun), 1);
        assert!(is_idle(&pool), "all seats but the kernel's are free");
    }

    #[test]
    fn a_thread_that_waits_for_the_kernel_leaves_its_seat() {
        // One more could ask.
        let mut pool = Pool::new(2, 1);
        let (begins, begun) = channel();
        let (waits, end) = task(&begins, 0);
        let queue = Arc::clone(&pool.queue);
        let asks = Task::new(Box::new(move || {
            queue.without_seat(|| waits.run());
            None
        }));
        let (other, ends) = task(&begins, 1);
        add(&mut pool, &asks);
        assert_eq!(next(&begun), 0);
        add(&mut pool, &other);
        assert_eq!(next(&begun), 1);
        [end, ends].iter().for_each(|end| end.send(()).unwrap());
        assert!(is_idle(&pool));
    }

    #[test]
    fn work_that_was_taken_back_does_not_pile_up_behind_newer_work() {
        let (mut pool, _begun, tasks) = busy(100);
        for (task, end) in &tasks[1..] {
            add(&mut pool, task);
            end.send(()).unwrap();
            assert!(task.run(), "it runs here");
            assert_eq!(pool.queue.waiting().jobs.len(), 1);
        }
        tasks[0].1.send(()).unwrap();
        assert!(is_idle(&pool));
    }

    #[test]
    fn urgent_work_comes_first_and_a_panic_leaves_the_seat() {
        let (mut pool, begun, tasks) = busy(3);
        pool.add_urgent(Work::Task(Arc::clone(&tasks[1].0)), Duration::ZERO).unwrap();
        add(&mut pool, &tasks[2].0);
        for (number, (_, end)) in tasks.iter().enumerate() {
            end.send(()).unwrap();
            if number < 2 {
                assert_eq!(next(&begun), number as u32 + 1);
            }
        }
        assert!(is_idle(&pool));
        let fails = |queue: &Queue| {
            let _seat = Seat(queue);
            queue.waiting().taken += 1;
            queue.without_seat(|| panic!("on purpose"))
        };
        assert!(catch_unwind(AssertUnwindSafe(|| fails(&pool.queue))).is_err());
        assert_eq!(pool.queue.waiting().taken, 1);
    }
}
