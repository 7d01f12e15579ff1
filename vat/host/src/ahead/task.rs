//! Work before its turn that is no delivery: workers that come back into memory, and sources that are loaded.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use capstan_kernel_ports::VatId;

use crate::memory::share::Running;

/// A worker that was brought into memory, and the number that the kernel wanted to know.
pub(crate) struct Back {
    pub(crate) running: Running,
    pub(crate) number: u64,
}

/// The work itself. Returns `None` if there is no worker to be handed over.
pub(crate) type Work = Box<dyn FnOnce() -> Option<Back> + Send>;

/// Some work, as the pool's thread and the kernel's share it.
#[derive(Default)]
pub(crate) struct Task {
    work: Mutex<Option<Work>>,
    /// The result is not wanted any more.
    is_cancelled: AtomicBool,
    /// The result, once it is there.
    end: Mutex<Option<Option<Back>>>,
    changed: Condvar,
}

impl Task {
    pub(crate) fn new(work: Work) -> Arc<Self> {
        Arc::new(Self { work: Mutex::new(Some(work)), ..Self::default() })
    }

    /// Takes the work, unless a thread has it.
    fn take_work(&self) -> Option<Work> {
        lock(&self.work).take()
    }

    /// Does the work, unless another thread has it. A panic makes it fail. The kernel's thread then does the same, and fails
    /// there if it has to.
    pub(crate) fn run(&self) {
        let Some(work) = self.take_work() else { return };
        let back = catch_unwind(AssertUnwindSafe(work)).unwrap_or(None);
        // What nobody wants goes at once.
        let back = back.filter(|_| !self.is_cancelled.load(Ordering::Relaxed));
        *lock(&self.end) = Some(back);
        self.changed.notify_all();
    }

    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        drop(self.take_work());
        // The thread may have ended it at the same time.
        drop(lock(&self.end).take());
    }

    /// Returns whether the result is there.
    fn is_over(&self) -> bool {
        lock(&self.end).is_some()
    }

    fn wait(&self) -> Option<Back> {
        let mut end = lock(&self.end);
        loop {
            match end.take() {
                Some(back) => return back,
                None => end = self.changed.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// What became of a worker that a thread was to bring into memory.
pub(crate) struct Brought {
    /// The worker, if it could be brought.
    pub(crate) back: Option<Back>,
    /// The kernel's thread had to wait for it.
    pub(crate) waited: bool,
}

/// The tasks of a host.
#[derive(Default)]
pub(crate) struct Tasks {
    workers: BTreeMap<VatId, Arc<Task>>,
    loads: Vec<Weak<Task>>,
}

impl Tasks {
    pub(crate) fn add_worker(&mut self, vat: VatId, task: Arc<Task>) {
        if let Some(old) = self.workers.insert(vat, task) {
            old.cancel();
        }
    }

    /// Notes a load, unless as many as `most` are under way.
    pub(crate) fn add_load(&mut self, task: &Arc<Task>, most: usize) -> bool {
        self.loads.retain(|load| load.strong_count() > 0);
        let fits = self.loads.len() < most;
        if fits {
            self.loads.push(Arc::downgrade(task));
        }
        fits
    }

    /// Takes the worker of a vat. Returns `None` if there is no task for it, or no thread had begun with it.
    pub(crate) fn take(&mut self, vat: VatId) -> Option<Brought> {
        let task = self.workers.remove(&vat)?;
        if task.take_work().is_some() {
            return None;
        }
        let waited = !task.is_over();
        Some(Brought { back: task.wait(), waited })
    }

    /// Gives the worker of a vat up. Returns whether there was one.
    pub(crate) fn drop_worker(&mut self, vat: VatId) -> bool {
        let task = self.workers.remove(&vat);
        task.inspect(|task| task.cancel()).is_some()
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.workers.values().for_each(|task| task.cancel());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
