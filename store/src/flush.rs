//! When and how the tree's file catches up with the state.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

use redb::Database;

use crate::{
    Error, Options,
    checkpoint::{Checkpoint, Mark},
    nodes::Nodes,
};

/// Writes the tree's file every so many changed keys, in a thread of its own if wanted.
///
/// Nothing that is not on disk in the state may reach the tree's file, or a crash would leave a tree
/// that is ahead of its state: [`Flusher::journaled`] is told what is.
pub(crate) struct Flusher {
    db: Arc<Database>,
    path: PathBuf,
    /// So many changed keys in the journal are a reason to write.
    journal_keys: usize,
    background: bool,
    /// The commits since the checkpoint that changed the tree, with how many keys each.
    behind: VecDeque<(u64, usize)>,
    behind_keys: usize,
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
            journal_keys: options.journal_keys,
            background: options.background,
            behind: VecDeque::new(),
            behind_keys: 0,
            durable: true,
            done,
            running: None,
        }
    }

    /// Notes that the journal has an entry, and whether the commits are on disk.
    pub(crate) fn journaled(&mut self, entry: Option<(u64, usize)>, durable: bool) {
        self.durable = durable;
        if let Some((serial, keys)) = entry {
            self.behind.push_back((serial, keys));
            self.behind_keys += keys;
        }
    }

    /// Whether the file is so far behind that the next commit has to be on disk.
    pub(crate) fn is_due(&self) -> bool {
        self.behind_keys >= self.journal_keys
    }

    /// The entries of the journal that the next commit should remove.
    pub(crate) fn done(&self) -> &[u64] {
        &self.done
    }

    /// Notes that they are removed.
    pub(crate) fn forget_done(&mut self) {
        self.done.clear();
    }

    /// To be called before a commit: a checkpoint, if there is a new one. Waits for it if the file is
    /// far behind.
    pub(crate) fn settle(
        &mut self,
        nodes: &Nodes,
        mark: Mark,
    ) -> Result<Option<Arc<Checkpoint>>, Error> {
        let far_behind = self.behind_keys >= self.journal_keys.saturating_mul(FAR);
        let checkpoint = match self.running.take_if(|thread| far_behind || thread.is_finished()) {
            Some(thread) => join(thread)?,
            None if self.running.is_none() && self.is_due() && self.durable => {
                if self.background && !far_behind {
                    return Ok(None); // begins after the commit
                }
                Checkpoint::write(&self.db, &self.path, nodes.layers(), &mark)?
            }
            None => return Ok(None),
        };
        while let Some((serial, keys)) =
            self.behind.pop_front_if(|(serial, _)| *serial <= checkpoint.mark.serial)
        {
            self.behind_keys -= keys;
            self.done.push(serial);
        }
        Ok(Some(Arc::new(checkpoint)))
    }

    /// To be called after a commit: begins to write `nodes`, the tree at `mark`, if that is due and no
    /// writing is under way.
    pub(crate) fn begin(&mut self, nodes: &Nodes, mark: Mark) {
        if !self.background || !self.is_due() || !self.durable || self.running.is_some() {
            return;
        }
        let (db, path, layers) = (self.db.clone(), self.path.clone(), nodes.layers().to_vec());
        let work = move || Checkpoint::write(&db, &path, &layers, &mark);
        // Without a thread the next commit does it.
        self.running = thread::Builder::new().name("store-tree".into()).spawn(work).ok();
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

/// So many times as many keys as are a reason to write are far behind.
const FAR: usize = 4;

fn join(thread: JoinHandle<Result<Checkpoint, Error>>) -> Result<Checkpoint, Error> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => Err(Error::Tree("the thread that writes the tree has panicked".into())),
    }
}
