//! When and how the state's file catches up with the journal.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use redb::Database;

use crate::{Error, Options, Snapshot, checkpoint::Checkpoint};

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
    running: Option<JoinHandle<Result<Checkpoint, Error>>>,
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

    /// The entries of the journal that the next commit should remove.
    pub(crate) fn done(&self) -> &[u64] {
        &self.done
    }

    /// Notes that they are removed.
    pub(crate) fn forget_done(&mut self) {
        self.done.clear();
    }

    /// To be called before a commit over `state`: the file's new content, if it has any. Waits for it if the
    /// file is far behind.
    pub(crate) fn settle(&mut self, state: &Snapshot) -> Result<Option<Arc<Checkpoint>>, Error> {
        let far_behind = self.behind_bytes >= self.journal_bytes.saturating_mul(FAR);
        let checkpoint = match self.running.take_if(|thread| far_behind || thread.is_finished()) {
            Some(thread) => join(thread)?,
            None if self.running.is_none() && self.is_due() && self.durable => {
                if self.background && !far_behind {
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
    /// under way.
    pub(crate) fn begin(&mut self, state: &Snapshot) {
        if !self.background || !self.is_due() || !self.durable || self.running.is_some() {
            return;
        }
        let (db, path, state) = (self.db.clone(), self.path.clone(), state.clone());
        let work = move || state.write_checkpoint(&db, &path);
        // Without a thread the next commits do it.
        self.running = thread::Builder::new().name("store-state".into()).spawn(work).ok();
    }
}

impl Drop for Flusher {
    /// Waits, so that the file is closed when the store is gone. What was not written is in the journal.
    fn drop(&mut self) {
        if let Some(thread) = self.running.take() {
            let _ = thread.join();
        }
    }
}

/// A journal that is so many times as long as is a reason to write is far ahead.
const FAR: usize = 4;

fn join(thread: JoinHandle<Result<Checkpoint, Error>>) -> Result<Checkpoint, Error> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::Tree("the thread that writes the state's file has panicked".into())),
    }
}
