//! Checkpoints: when the state's file is written, and by which thread.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use redb::Database;

use crate::{
    Error, Options, Past, StateView, counts::Counters, disk::checkpoint::Checkpoint,
    threads::STACK_BYTES,
};

/// Schedules checkpoints, each time the journal has become long.
///
/// Only what is durable in the journal may reach the state's file. Otherwise a crash would leave a state that is
/// ahead of its journal. [`Flusher::journaled`] is told what is durable.
pub(crate) struct Flusher {
    db: Arc<Database>,
    path: PathBuf,
    counters: Arc<Counters>,
    /// Journal size that triggers a checkpoint, in bytes.
    journal_bytes: usize,
    background: bool,
    /// Commits since the last checkpoint: serial and weight.
    behind: VecDeque<(u64, usize)>,
    behind_bytes: usize,
    /// `true` if all commits in `behind` are durable.
    durable: bool,
    running: Option<Running>,
    /// Thread that drops memory which the last checkpoint has made superfluous.
    forgetting: Option<JoinHandle<()>>,
}

/// A checkpoint that is being written.
struct Running {
    result: Receiver<Result<Checkpoint, Error>>,
    thread: JoinHandle<()>,
}

impl Flusher {
    pub(crate) fn new(
        db: Arc<Database>,
        path: PathBuf,
        options: &Options,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            db,
            path,
            counters,
            journal_bytes: options.journal_bytes,
            background: options.background,
            behind: VecDeque::new(),
            behind_bytes: 0,
            durable: true,
            running: None,
            forgetting: None,
        }
    }

    /// Records that the journal has the entry `serial`, and whether it is durable together with all earlier ones.
    pub(crate) fn journaled(&mut self, serial: u64, weight_bytes: usize, durable: bool) {
        self.durable = durable;
        self.behind.push_back((serial, weight_bytes));
        self.behind_bytes += weight_bytes;
    }

    /// Returns whether the journal is so long that the next commit has to be durable.
    pub(crate) fn is_due(&self) -> bool {
        self.behind_bytes >= self.journal_bytes && !self.behind.is_empty()
    }

    /// Returns the finished checkpoint, if there is one. It must be called before each commit over `state`.
    ///
    /// If the file lags behind, it waits a little for a checkpoint that is being written. If the file lags far
    /// behind, it waits to the end.
    pub(crate) fn settle(&mut self, state: &StateView) -> Result<Option<Arc<Checkpoint>>, Error> {
        let checkpoint = match &self.running {
            Some(running) => match running.wait(self.patience()) {
                Some(result) => {
                    self.end_running();
                    result?
                }
                None => return Ok(None),
            },
            None if self.is_due() && self.durable => {
                if self.background && self.patience().is_some() {
                    return Ok(None); // begins after the commit
                }
                state.write_checkpoint(&self.db, &self.path, &self.counters)?
            }
            None => return Ok(None),
        };
        self.written(checkpoint.meta.serial);
        Ok(Some(Arc::new(checkpoint)))
    }

    /// Records that the state's file has the commits up to `serial`.
    fn written(&mut self, serial: u64) {
        while let Some((_, weight_bytes)) =
            self.behind.pop_front_if(|(behind, _)| *behind <= serial)
        {
            self.behind_bytes -= weight_bytes;
        }
    }

    /// Begins a checkpoint of `state` if one is due and none is being written. It must be called after each commit.
    ///
    /// Returns the state on which the next commits build.
    pub(crate) fn begin(&mut self, state: StateView) -> StateView {
        if !self.background || !self.is_due() || !self.durable || self.running.is_some() {
            return state;
        }
        let (db, path, written) = (self.db.clone(), self.path.clone(), state.clone());
        let counters = self.counters.clone();
        let (sender, result) = mpsc::channel();
        let work = move || {
            // The receiver is gone if the store is being closed.
            let _ = sender.send(written.write_checkpoint(&db, &path, &counters));
        };
        match named("store-state").spawn(work) {
            Ok(thread) => {
                self.running = Some(Running { result, thread });
                state.seal()
            }
            Err(_) => state, // without a thread the next commits do it
        }
    }

    /// Drops `state` in a thread of its own. Its memory is hundreds of thousands of small pieces, for which no commit
    /// needs to wait.
    pub(crate) fn forget(&mut self, state: StateView) {
        self.end_forgetting();
        // If no thread can be started, the state is dropped at once.
        let work = move || drop(state);
        self.forgetting = named("store-forget").spawn(work).ok();
    }

    /// Writes a last checkpoint if the journal is longer than `left_bytes`, so that the next opening has less to replay.
    /// All commits must be durable. A failure changes nothing: the journal has all that the checkpoint lacks.
    pub(crate) fn close(&mut self, past: &Past, left_bytes: usize) {
        if let Some(running) = self.running.take() {
            let result = running.wait(None);
            let _ = running.thread.join();
            match result {
                Some(Ok(checkpoint)) => self.written(checkpoint.meta.serial),
                _ => return,
            }
        }
        if self.behind_bytes <= left_bytes {
            return;
        }
        let first = self.behind.front().map_or(u64::MAX, |(serial, _)| *serial);
        let state = past.oldest_within(left_bytes).filter(|state| state.meta().serial >= first);
        if let Some(Ok(checkpoint)) =
            state.map(|state| state.write_checkpoint(&self.db, &self.path, &self.counters))
        {
            self.written(checkpoint.meta.serial);
        }
    }

    /// Waits until the thread of a checkpoint has ended, so that it does not hold the file any more.
    fn end_running(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
    }

    fn end_forgetting(&mut self) {
        if let Some(thread) = self.forgetting.take() {
            let _ = thread.join();
        }
    }

    /// Returns how long a commit may wait for a checkpoint that is being written, or `None` if it must wait to the
    /// end.
    ///
    /// The longest wait grows with the lag. Commits that come faster than checkpoints are thus slowed down a little
    /// each, instead of one of them by much.
    fn patience(&self) -> Option<Duration> {
        let times = |number: usize| self.journal_bytes.saturating_mul(number);
        let more = self.behind_bytes.saturating_sub(times(BEHIND)) as u64;
        let most = (times(FAR) - times(BEHIND)).max(1) as u64;
        let is_far = self.behind_bytes >= times(FAR);
        (!is_far).then(|| Duration::from_micros(LONGEST_PAUSE_MICROS * more / most))
    }
}

impl Running {
    /// Returns the result if it arrives in time, or `None` if not.
    fn wait(&self, patience: Option<Duration>) -> Option<Result<Checkpoint, Error>> {
        let result = match patience {
            Some(pause) => self.result.recv_timeout(pause),
            None => self.result.recv().map_err(RecvTimeoutError::from),
        };
        match result {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(Error::Thread {
                what: "the thread that writes the state's file",
                why: "it panicked".to_owned(),
            })),
        }
    }
}

impl Drop for Flusher {
    /// Waits for both threads, so that the file is closed when the store is gone. Changes that are not in the
    /// checkpoint are in the journal.
    fn drop(&mut self) {
        self.end_running();
        self.end_forgetting();
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES)
}

/// Lag at which commits begin to wait, as a multiple of `journal_bytes`.
const BEHIND: usize = 2;

/// Lag at which commits wait to the end, as a multiple of `journal_bytes`.
const FAR: usize = 5;

/// Longest wait of a commit below [`FAR`], in microseconds.
const LONGEST_PAUSE_MICROS: u64 = 60_000;
