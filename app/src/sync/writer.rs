//! The thread that writes snapshots while blocks go on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use capstan_store::StateView;

use crate::{
    observe::{StateSnapshots, metrics::Metrics},
    sync::{SnapshotError, Snapshots, SyncOptions},
};

/// Writes a snapshot every so many blocks. It lags behind or leaves one out, but never holds up a block.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    options: SyncOptions,
    shared: Arc<Written>,
    worker: Mutex<Option<Worker>>,
}

/// The state that the writing thread shares with the application.
#[derive(Debug)]
struct Written {
    snapshots: Snapshots,
    /// Height of the oldest snapshot, or 0 if there is none.
    oldest: AtomicU64,
    stopping: AtomicBool,
    metrics: Metrics,
}

#[derive(Debug)]
struct Worker {
    views: SyncSender<StateView>,
    thread: JoinHandle<()>,
}

impl SnapshotWriter {
    /// Removes what an interrupted writing left. The thread begins with the first snapshot.
    pub(crate) fn new(options: SyncOptions, metrics: Metrics) -> Self {
        let snapshots = Snapshots::new(&options.dir);
        if let Err(error) = snapshots.clear() {
            tracing::warn!(%error, "what is left of old snapshots cannot be removed");
        }
        let stopping = AtomicBool::new(false);
        let shared = Arc::new(Written { snapshots, oldest: AtomicU64::new(0), stopping, metrics });
        shared.look();
        Self { options, shared, worker: Mutex::new(None) }
    }

    pub(crate) fn options(&self) -> &SyncOptions {
        &self.options
    }

    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.shared.snapshots
    }

    pub(crate) fn metrics(&self) -> &StateSnapshots {
        self.shared.metrics.state_snapshots()
    }

    /// Returns the height of the oldest snapshot, or `None` if there is none.
    pub(crate) fn oldest(&self) -> Option<u64> {
        Some(self.shared.oldest.load(Ordering::Relaxed)).filter(|height| *height > 0)
    }

    /// Has a snapshot of a committed state written, if one is due. Leaves it out if the last one is not finished.
    pub(crate) fn committed(&self, state: &StateView) {
        let interval = self.options.interval;
        if interval == 0 || self.options.keep == 0 || !state.height().is_multiple_of(interval) {
            return;
        }
        let mut worker = self.lock();
        if worker.is_none() {
            *worker = self.start();
        }
        let Some(running) = worker.as_ref() else { return };
        match running.views.try_send(state.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(state)) => {
                self.shared.metrics.state_snapshots().skipped();
                tracing::warn!(
                    height = state.height(),
                    "no snapshot of this height is written, because the last one is not finished; a longer state_sync.interval helps"
                );
            }
            // The thread panicked, and said why. The next one begins anew.
            Err(TrySendError::Disconnected(_)) => *worker = None,
        }
    }

    fn start(&self) -> Option<Worker> {
        let (views, received) = sync_channel(1);
        let (shared, keep) = (self.shared.clone(), self.options.keep);
        let work = move || write_all(&shared, keep, &received);
        match thread::Builder::new().name("snapshots".to_owned()).spawn(work) {
            Ok(thread) => Some(Worker { views, thread }),
            Err(error) => {
                tracing::warn!(%error, "no snapshot can be written: there is no thread for it");
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Worker>> {
        // A worker is put in whole.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SnapshotWriter {
    /// Ends a snapshot that is being written, so that the state's files are closed.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(Worker { views, thread }) = self.lock().take() {
            drop(views);
            // A panic in it was printed.
            let _ = thread.join();
        }
    }
}

impl Written {
    /// Looks which snapshots there are.
    fn look(&self) {
        match self.snapshots.heights() {
            Ok(heights) => {
                let oldest = heights.first().copied().unwrap_or(0);
                self.oldest.store(oldest, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "the snapshots cannot be listed"),
        }
    }
}

fn write_all(shared: &Written, keep: usize, received: &Receiver<StateView>) {
    while let Ok(state) = received.recv() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        write_one(shared, keep, &state);
        shared.look();
    }
}

fn write_one(shared: &Written, keep: usize, state: &StateView) {
    let height = state.height();
    let go_on = |_| !shared.stopping.load(Ordering::Relaxed);
    let written = shared.metrics.state_snapshots().time(|| shared.snapshots.create(state, &go_on));
    match written {
        Ok(snapshot) => {
            shared.metrics.state_snapshots().written(height, snapshot.head.bytes);
            tracing::info!(height, bytes = snapshot.head.bytes, hash = %snapshot.hash, "snapshot written");
        }
        // It was written before this node executed the block again.
        Err(SnapshotError::Stopped | SnapshotError::Exists { .. }) => return,
        Err(error) => {
            shared.metrics.state_snapshots().skipped();
            tracing::error!(height, %error, "the snapshot could not be written");
            return;
        }
    }
    if let Err(error) = shared.snapshots.keep(keep) {
        tracing::error!(%error, "an old snapshot could not be removed");
    }
}
