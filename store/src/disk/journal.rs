//! The journal's file: the changes of each commit, until a checkpoint has them.
//!
//! A durable commit writes one frame ([`crate::disk::frame`]) and syncs once. The next frame is written only when that
//! has succeeded. So a crash can leave one torn frame, which is that of the last commit, and its checksum tells. A
//! commit that does not wait for the disk stays in memory and goes into the frame of the next durable one.
//!
//! A frame is not written over before a checkpoint has its commits, and the last frame is not written over at all before
//! another one is durable. So the file always has the last commit. The places of frames are nowhere recorded: an
//! opening finds them by their heads and orders them by their serials.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
};

use redb::StorageBackend;

use crate::{
    Error,
    disk::{
        entry::Entry,
        frame::{BLOCK_BYTES, Content, Frame},
        meta::{FORMAT, Meta},
    },
};

/// An open journal.
pub(crate) struct Journal {
    file: Box<dyn StorageBackend>,
    path: PathBuf,
    /// Length of the file in blocks.
    blocks: u64,
    /// Frames that are not to be written over, by serial. The last one is always there.
    frames: VecDeque<Frame>,
    /// The same by place: first block, and number of blocks.
    used: BTreeMap<u64, u64>,
    /// The state that the last commit led to.
    last: Meta,
    /// Commits that are not in the file yet, and the serial of the first one.
    pending: Content,
    first_pending: Option<u64>,
    /// A checkpoint has the commits up to this serial.
    done: u64,
    /// `true` after a failure. What the disk has is unknown then, until the file is opened again.
    failed: bool,
}

impl Journal {
    /// Creates an empty journal, which begins at the state of `meta`. What the file has is lost.
    pub(crate) fn create(
        file: Box<dyn StorageBackend>,
        path: &Path,
        meta: &Meta,
    ) -> Result<Self, Error> {
        let mut journal = Self {
            file,
            path: path.to_owned(),
            blocks: 0,
            frames: VecDeque::new(),
            used: BTreeMap::new(),
            last: meta.clone(),
            pending: Content::new(),
            first_pending: None,
            done: meta.serial,
            failed: false,
        };
        journal.begin(meta)?;
        Ok(journal)
    }

    /// Empties the journal. It begins at the state of `meta` then.
    pub(crate) fn begin(&mut self, meta: &Meta) -> Result<(), Error> {
        self.frames.clear();
        self.used.clear();
        self.guard(|journal| {
            journal.file.set_len(0)?;
            journal.blocks = 0;
            journal.extend(FIRST)?;
            journal.file.write(0, &header())
        })?;
        self.commit(&Entry::default(), meta, true).map(drop)
    }

    /// Opens a journal.
    ///
    /// If the last frame is torn, the frame before it is the last one, and the torn one is erased.
    pub(crate) fn open(file: Box<dyn StorageBackend>, path: &Path) -> Result<Self, Error> {
        let blocks = file.len().map_err(io)? / BLOCK_BYTES as u64;
        check_header(&*file, blocks, path)?;
        let mut found = Vec::new();
        let mut at = FIRST;
        while at < blocks {
            let frame = Frame::at(&*file, at, blocks).map_err(io)?;
            at = frame.as_ref().map_or(at + 1, Frame::end);
            found.extend(frame);
        }
        found.sort_by_key(|frame| *frame.serials.start());
        if let Some(frame) = found.last()
            && frame.read(&*file).map_err(io)?.is_none()
        {
            file.write(frame.start * BLOCK_BYTES as u64, &[0; BLOCK_BYTES]).map_err(io)?;
            // Else there could be two torn frames after a further crash.
            file.sync_data().map_err(io)?;
            found.pop();
        }
        let last = found.last().ok_or_else(|| {
            Error::Damaged(format!("{} has no whole record of a commit", path.display()))
        })?;
        let last = entries(&*file, last)?.pop().ok_or_else(|| damaged(*last.serials.end()))?.0;
        // Frames that the last ones continue without a gap. Those before are left over from earlier.
        let mut frames = VecDeque::new();
        let mut from = last.serial.saturating_add(1);
        while let Some(frame) =
            found.pop_if(|frame| frame.serials.end().checked_add(1) == Some(from))
        {
            from = *frame.serials.start();
            frames.push_front(frame);
        }
        let used = frames.iter().map(|frame| (frame.start, frame.blocks)).collect();
        Ok(Self {
            file,
            path: path.to_owned(),
            blocks,
            frames,
            used,
            done: 0,
            last,
            pending: Content::new(),
            first_pending: None,
            failed: false,
        })
    }

    /// Returns the records of the state that the journal leads to.
    pub(crate) fn last(&self) -> &Meta {
        &self.last
    }

    /// Records that a checkpoint has all commits up to `serial`, so that their frames can be written over.
    pub(crate) fn release(&mut self, serial: u64) {
        self.done = serial;
        while self.frames.len() > 1
            && let Some(frame) = self.frames.pop_front_if(|frame| *frame.serials.end() <= serial)
        {
            self.used.remove(&frame.start);
        }
    }

    /// Makes what was found at the opening durable. A process that was killed may have left it to the system to write.
    ///
    /// The last frame is written again first. After a sync that failed, the system takes blocks for written that it has
    /// in memory alone.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let last = self.frames.back().map(|frame| (frame.start, frame.blocks));
        self.guard(|journal| {
            if let Some((start, blocks)) = last {
                let mut bytes = vec![0; blocks as usize * BLOCK_BYTES];
                journal.file.read(start * BLOCK_BYTES as u64, &mut bytes)?;
                journal.file.write(start * BLOCK_BYTES as u64, &bytes)?;
            }
            journal.file.sync_data()
        })
    }

    /// Writes the commit that leads to `meta`. It and all before it are durable when this returns, if `durable` is set.
    /// Returns the length of its entry.
    pub(crate) fn commit(
        &mut self,
        entry: &Entry,
        meta: &Meta,
        durable: bool,
    ) -> Result<u64, Error> {
        if self.failed {
            return Err(redb::Error::PreviousIo.into());
        }
        let before = self.pending.buffer().len();
        entry.encode(meta, self.pending.buffer());
        let bytes = self.pending.buffer().len() - before;
        self.first_pending.get_or_insert(meta.serial);
        self.last = meta.clone();
        if durable {
            self.write()?;
        }
        Ok(bytes as u64)
    }

    /// Writes the commits that are in memory alone, in one frame. All commits are durable when this returns.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.failed {
            return Err(redb::Error::PreviousIo.into());
        }
        let Some(first) = self.first_pending.take() else { return Ok(()) };
        let serials = first..=self.last.serial;
        let bytes = self.pending.blocks(serials.clone());
        let blocks = (bytes.len() / BLOCK_BYTES) as u64;
        let frame = Frame { start: self.place(blocks), blocks, serials };
        self.guard(|journal| {
            journal.extend(frame.end())?;
            journal.file.write(frame.start * BLOCK_BYTES as u64, &bytes)?;
            journal.file.sync_data()
        })?;
        self.used.insert(frame.start, frame.blocks);
        self.frames.push_back(frame);
        self.release(self.done);
        Ok(())
    }

    /// Returns where a frame of `blocks` blocks is written: at the beginning of the file, after the last frame or after
    /// all frames.
    ///
    /// Whatever is written over begins where a frame in use ends. So no head is left of an old frame that is written over
    /// in part.
    fn place(&self, blocks: u64) -> u64 {
        let next = |from: u64| self.used.range(from..).next().map(|(start, _)| *start);
        let fits = |from: u64| next(from).is_none_or(|start| from + blocks <= start);
        let after = self.frames.back().map_or(FIRST, Frame::end);
        [FIRST, after].into_iter().find(|from| fits(*from)).unwrap_or_else(|| self.end())
    }

    /// Returns the block after all frames.
    fn end(&self) -> u64 {
        self.used.last_key_value().map_or(FIRST, |(start, blocks)| start + blocks)
    }

    /// Makes the file at least so many blocks long.
    fn extend(&mut self, blocks: u64) -> std::io::Result<()> {
        if blocks > self.blocks {
            let blocks = blocks.next_multiple_of(GROWTH_BLOCKS);
            self.file.set_len(blocks * BLOCK_BYTES as u64)?;
            self.blocks = blocks;
        }
        Ok(())
    }

    /// Reads the commits after `serial`, the oldest first, and gives each of them to `take`.
    pub(crate) fn read_after(
        &self,
        serial: u64,
        mut take: impl FnMut(Meta, Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = serial.saturating_add(1);
        for frame in self.frames.iter().filter(|frame| *frame.serials.end() > serial) {
            for (meta, entry) in entries(&*self.file, frame)? {
                if meta.serial <= serial {
                    continue;
                }
                if meta.serial != next {
                    return Err(damaged(next));
                }
                next = next.saturating_add(1);
                take(meta, entry)?;
            }
        }
        Ok(())
    }

    /// Does something with the file, and remembers a failure.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> std::io::Result<()>) -> Result<(), Error> {
        work(self).map_err(|error| {
            self.failed = true;
            io(error)
        })
    }
}

impl Drop for Journal {
    /// Writes the commits that are in memory alone. A failure loses them, as a crash would. A file that is far longer
    /// than its frames is cut.
    fn drop(&mut self) {
        if self.write().is_ok() {
            let needed = self.end().next_multiple_of(GROWTH_BLOCKS);
            if needed < self.blocks / 2 {
                let _ = self.file.set_len(needed * BLOCK_BYTES as u64);
            }
        }
        let _ = self.file.close();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Returns the commits of a frame.
fn entries(file: &dyn StorageBackend, frame: &Frame) -> Result<Vec<(Meta, Entry)>, Error> {
    let lost = || damaged(*frame.serials.start());
    let bytes = frame.read(file).map_err(io)?.ok_or_else(lost)?;
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    for serial in frame.serials.clone() {
        let (meta, entry) = Entry::take(&mut rest).ok_or_else(lost)?;
        if meta.serial != serial {
            return Err(lost());
        }
        entries.push((meta, entry));
    }
    if rest.is_empty() { Ok(entries) } else { Err(lost()) }
}

/// Returns the first block of the file, which says what it is.
fn header() -> Vec<u8> {
    let mut header = [MAGIC, &FORMAT.to_be_bytes()].concat();
    header.resize(BLOCK_BYTES, 0);
    header
}

fn check_header(file: &dyn StorageBackend, blocks: u64, path: &Path) -> Result<(), Error> {
    let mut found = [0; BLOCK_BYTES];
    if blocks >= FIRST {
        file.read(0, &mut found).map_err(io)?;
    }
    let Some(rest) = found.strip_prefix(MAGIC) else {
        let reason = "it does not begin like a journal".to_owned();
        return Err(Error::NotAStore { path: path.to_owned(), reason });
    };
    let format = rest.first_chunk().map_or(0, |format| u32::from_be_bytes(*format));
    match format == FORMAT {
        true => Ok(()),
        false => Err(Error::Format { path: path.to_owned(), found: format, expected: FORMAT }),
    }
}

const MAGIC: &[u8] = b"capstan journal\n";

/// Number of the first block of frames. The one before is the header.
const FIRST: u64 = 1;

/// Number of blocks by which the file grows. A file that has its length already is synced faster.
const GROWTH_BLOCKS: u64 = 64;

/// Keeps the kind of a failure as [`Error`] does for the state's file.
fn io(error: std::io::Error) -> Error {
    redb::Error::Io(error).into()
}

fn damaged(serial: u64) -> Error {
    Error::Damaged(format!("the journal's entry {serial} is missing or malformed"))
}
