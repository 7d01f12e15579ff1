//! Work before its turn that is no delivery: workers that come back into memory, and sources that are loaded.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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

    /// Returns whether nobody has taken the work up.
    pub(crate) fn is_waiting(&self) -> bool {
        lock(&self.work).is_some()
    }

    /// Does the work, unless another thread has it. Returns whether it did. A panic makes it fail. The kernel then brings the vat
    /// back without a task, and fails there if it has to.
    pub(crate) fn run(&self) -> bool {
        let Some(work) = self.take_work() else { return false };
        let back = catch_unwind(AssertUnwindSafe(work)).unwrap_or(None);
        // What nobody wants goes at once.
        let back = back.filter(|_| !self.is_cancelled.load(Ordering::Relaxed));
        *lock(&self.end) = Some(back);
        self.changed.notify_all();
        true
    }

    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        drop(self.take_work());
        // The thread may have ended it at the same time.
        drop(lock(&self.end).take());
    }

    /// Returns whether the result is there.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.end).is_some()
    }

    /// Waits for the result for so long at most. Returns whether it is there.
    pub(crate) fn wait_for(&self, time: Duration) -> bool {
        let is_running = |end: &mut Option<_>| end.is_none();
        let waited = self.changed.wait_timeout_while(lock(&self.end), time, is_running);
        let (end, _) = waited.unwrap_or_else(PoisonError::into_inner);
        end.is_some()
    }

    /// Waits for the result. `None` says that there is no worker to be handed over.
    pub(crate) fn wait(&self) -> Option<Back> {
        let mut end = lock(&self.end);
        loop {
            match end.take() {
                Some(back) => return back,
                None => end = self.changed.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
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

    /// Takes the task of bringing a vat into memory. Returns `None` if there is none.
    pub(crate) fn take(&mut self, vat: VatId) -> Option<Arc<Task>> {
        self.workers.remove(&vat)
    }

    /// Gives the worker of a vat up.
    pub(crate) fn drop_worker(&mut self, vat: VatId) {
        if let Some(task) = self.workers.remove(&vat) {
            task.cancel();
        }
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
