//! When and how the state's file catches up with the journal.

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

use crate::{Error, Options, StateView, disk::checkpoint::Checkpoint, threads::STACK_BYTES};

/// Writes the state's file each time the journal has become long, in a thread of its own if wanted.
///
/// Nothing that is not on disk in the journal may reach the state's file, or a crash would leave a
/// state that is ahead of its journal: [`Flusher::journaled`] is told what is.
pub(crate) struct Flusher {
    db: Arc<Database>,
    path: PathBuf,
    /// So long a journal is a reason to write.
    journal_bytes: usize,
    background: bool,
    /// The commits since the checkpoint, with the weight of each.
    behind: VecDeque<(u64, usize)>,
    behind_bytes: usize,
    /// Whether all of them are on disk.
    durable: bool,
    /// Entries of the journal that the checkpoint makes superfluous.
    done: Vec<u64>,
    running: Option<Running>,
    /// Lets go of what was in memory.
    forgetting: Option<JoinHandle<()>>,
}

/// A writing that is under way.
struct Running {
    result: Receiver<Result<Checkpoint, Error>>,
    thread: JoinHandle<()>,
}

impl Flusher {
    /// `done` are entries of the journal to be removed.
    pub(crate) fn new(db: Arc<Database>, path: PathBuf, options: &Options, done: Vec<u64>) -> Self {
        Self {
            db,
            path,
            journal_bytes: options.journal_bytes,
            background: options.background,
            behind: VecDeque::new(),
            behind_bytes: 0,
            durable: true,
            done,
            running: None,
            forgetting: None,
        }
    }

    /// Notes that the journal has an entry, and whether it is on disk with all before.
    pub(crate) fn journaled(&mut self, serial: u64, weight_bytes: usize, durable: bool) {
        self.durable = durable;
        self.behind.push_back((serial, weight_bytes));
        self.behind_bytes += weight_bytes;
    }

    /// Whether the journal is so long that the next commit has to be on disk.
    pub(crate) fn is_due(&self) -> bool {
        self.behind_bytes >= self.journal_bytes && !self.behind.is_empty()
    }

    /// The entries of the journal that the next commit should remove: more than it adds, but few.
    pub(crate) fn done(&self) -> &[u64] {
        &self.done[self.done.len().saturating_sub(REMOVALS)..]
    }

    /// Notes that they are removed.
    pub(crate) fn forget_done(&mut self) {
        self.done.truncate(self.done.len().saturating_sub(REMOVALS));
    }

    /// To be called before a commit over `state`: the file's new content, if it has any. Waits a little for
    /// it if the file is behind, and until it is there if it is far behind.
    pub(crate) fn settle(&mut self, state: &StateView) -> Result<Option<Arc<Checkpoint>>, Error> {
        let checkpoint = match &self.running {
            Some(running) => match running.wait(self.patience()) {
                Some(result) => {
                    self.running = None;
                    result?
                }
                None => return Ok(None),
            },
            None if self.is_due() && self.durable => {
                if self.background && self.patience().is_some() {
                    return Ok(None); // begins after the commit
                }
                state.write_checkpoint(&self.db, &self.path)?
            }
            None => return Ok(None),
        };
        while let Some((serial, weight_bytes)) =
            self.behind.pop_front_if(|(serial, _)| *serial <= checkpoint.meta.serial)
        {
            self.behind_bytes -= weight_bytes;
            self.done.push(serial);
        }
        Ok(Some(Arc::new(checkpoint)))
    }

    /// To be called after a commit that led to `state`: begins to write it, if that is due and no writing is
    /// under way. Gives the state to go on from.
    pub(crate) fn begin(&mut self, state: StateView) -> StateView {
        if !self.background || !self.is_due() || !self.durable || self.running.is_some() {
            return state;
        }
        let (db, path, written) = (self.db.clone(), self.path.clone(), state.clone());
        let (sender, result) = mpsc::channel();
        let work = move || {
            // Nobody waits any more if the store is being closed.
            let _ = sender.send(written.write_checkpoint(&db, &path));
        };
        match named("store-state").spawn(work) {
            Ok(thread) => {
                self.running = Some(Running { result, thread });
                state.seal()
            }
            Err(_) => state, // without a thread the next commits do it
        }
    }

    /// Lets go of a state that has much in memory which the file has now: hundreds of thousands of small
    /// pieces, for which no commit needs to wait.
    pub(crate) fn forget(&mut self, state: StateView) {
        self.end_forgetting();
        // If there can be no thread, it goes at once.
        let work = move || drop(state);
        self.forgetting = named("store-forget").spawn(work).ok();
    }

    fn end_forgetting(&mut self) {
        if let Some(thread) = self.forgetting.take() {
            let _ = thread.join();
        }
    }

    /// How long a commit waits for a writing that is under way; none: to its end.
    ///
    /// The further the file is behind, the longer: commits that come faster than it can follow are slowed
    /// down a little each, instead of one of them by much.
    fn patience(&self) -> Option<Duration> {
        let times = |number: usize| self.journal_bytes.saturating_mul(number);
        let more = self.behind_bytes.saturating_sub(times(BEHIND)) as u64;
        let most = (times(FAR) - times(BEHIND)).max(1) as u64;
        let is_far = self.behind_bytes >= times(FAR);
        (!is_far).then(|| Duration::from_micros(LONGEST_PAUSE_MICROS * more / most))
    }
}

impl Running {
    /// What came of it, if it ends in time.
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
    /// Waits, so that the file is closed when the store is gone. What was not written is in the journal.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.thread.join();
        }
        self.end_forgetting();
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES)
}

/// The file is behind when the journal is so many times as long as is a reason to write.
const BEHIND: usize = 2;

/// And far behind when it is so many times as long.
const FAR: usize = 5;

/// What a commit waits at most while the file is not far behind, in microseconds.
const LONGEST_PAUSE_MICROS: u64 = 60_000;

/// So many entries of the journal a commit removes.
const REMOVALS: usize = 4;
