//! The simulated disk.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use capstan_test_random::Random;

/// Size of a sector, the unit in which a torn write takes effect.
const SECTOR_BYTES: usize = 512;

/// A handle to a file on a simulated disk, usable as redb's [`StorageBackend`].
///
/// Synced writes survive a crash. Of the unsynced ones, a crash keeps an arbitrary part, sector by sector. Clones are
/// handles to the same file. [`Disk::file`] returns handles to other files of the disk, which crash, fail and run full
/// together.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    content: Arc<Mutex<Content>>,
    /// The number of the file.
    file: usize,
}

#[derive(Debug, Default)]
struct Content {
    /// The files by number. A file beyond the end is empty.
    files: Vec<File>,
    /// The number of changes that still succeed, or `None` for all.
    left: Option<u64>,
    failed: bool,
    operations: u64,
    /// The capacity in bytes, or `None` for an unlimited disk.
    capacity: Option<usize>,
}

#[derive(Debug, Default)]
struct File {
    /// The content that reads see.
    bytes: Vec<u8>,
    /// The content that survives a crash.
    synced: Vec<u8>,
    /// The changes since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    /// Returns a handle to another file of the same disk.
    pub fn file(&self, number: usize) -> Self {
        Self { content: self.content.clone(), file: number }
    }

    /// Returns a new [`Disk`] without faults, whose files have the content that reads see now.
    pub fn copy(&self) -> Self {
        let copy = Self::with(self.content().files.iter().map(|file| file.bytes.clone()));
        copy.file(self.file)
    }

    /// Returns the total length of all files in bytes.
    pub fn size_bytes(&self) -> usize {
        self.content().size_bytes()
    }

    /// Lets the next `operations` changes succeed, and makes all later ones fail.
    pub fn fail_after(&self, operations: u64) {
        self.content().left = Some(operations);
    }

    /// Sets the capacity, or removes it if `bytes` is `None`. Existing content stays.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.content().capacity = bytes;
    }

    /// Returns whether an operation has failed, because of [`Disk::fail_after`], [`Disk::set_capacity`] or a crash.
    pub fn has_failed(&self) -> bool {
        self.content().failed
    }

    /// Returns the number of successful changes so far, syncs included.
    pub fn operations(&self) -> u64 {
        self.content().operations
    }

    /// Simulates a power loss. All later changes to this disk fail. Returns the [`Disk`] as it is found afterwards.
    pub fn crash(&self, random: &mut Random) -> Self {
        let mut content = self.content();
        content.left = Some(0);
        let after = Self::with(content.files.iter().map(|file| file.crash(random)));
        after.file(self.file)
    }

    fn with(images: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let file = |image: Vec<u8>| File { bytes: image.clone(), synced: image, ..File::default() };
        let content =
            Content { files: images.into_iter().map(file).collect(), ..Content::default() };
        Self { content: Arc::new(Mutex::new(content)), file: 0 }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // No operation panics half-way, so the content behind a poisoned lock is consistent.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and applies a change, unless the disk has failed or is full. `None` is a sync.
    fn change(&self, change: Option<Change>) -> Result<()> {
        let mut content = self.content();
        match &mut content.left {
            Some(0) => {
                content.failed = true;
                return Err(Error::other("the disk has failed"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let (capacity, used) = (content.capacity, content.size_bytes());
        if content.files.len() <= self.file {
            content.files.resize_with(self.file + 1, File::default);
        }
        let end = change.as_ref().map_or(0, Change::end);
        let more = end.saturating_sub(content.files[self.file].bytes.len());
        if more > 0 && capacity.is_some_and(|capacity| used + more > capacity) {
            content.failed = true;
            return Err(Error::from(ErrorKind::StorageFull));
        }
        content.operations += 1;
        content.files[self.file].change(change);
        Ok(())
    }
}

impl Content {
    fn size_bytes(&self) -> usize {
        self.files.iter().map(|file| file.bytes.len()).sum()
    }
}

impl File {
    /// Applies a change. `None` is a sync.
    fn change(&mut self, change: Option<Change>) {
        match change {
            Some(change) => {
                change.apply(&mut self.bytes);
                self.unsynced.push(change);
            }
            None => {
                let changes = std::mem::take(&mut self.unsynced);
                changes.iter().for_each(|change| change.apply(&mut self.synced));
            }
        }
    }

    /// Returns the content that a power loss leaves.
    fn crash(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.unsynced {
            match change {
                // The file system records a file's length, so no sector of it can be torn.
                Change::Length(_) => change.apply(&mut bytes),
                Change::Write(offset, data) => match random.below(3) {
                    0 => {}
                    1 => change.apply(&mut bytes),
                    _ => torn(*offset, data, &mut bytes, random),
                },
            }
        }
        bytes
    }
}

impl Change {
    /// Returns the length that the file must have for this change.
    fn end(&self) -> usize {
        match self {
            Self::Length(length) => *length,
            Self::Write(offset, data) => offset + data.len(),
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, data) => put(*offset, data, bytes),
        }
    }
}

fn put(offset: usize, data: &[u8], bytes: &mut Vec<u8>) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// Writes a random subset of the sectors that `data` touches.
fn torn(offset: usize, data: &[u8], bytes: &mut Vec<u8>, random: &mut Random) {
    let mut from = 0;
    while from < data.len() {
        let in_sector = SECTOR_BYTES - (offset + from) % SECTOR_BYTES;
        let to = data.len().min(from + in_sector);
        if random.one_in(2) {
            put(offset + from, &data[from..to], bytes);
        }
        from = to;
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.content().files.get(self.file).map_or(0, |file| file.bytes.len()) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let content = self.content();
        let from = offset as usize;
        let file = content.files.get(self.file);
        let found = file.and_then(|file| file.bytes.get(from..from + out.len()));
        out.copy_from_slice(found.ok_or_else(|| Error::other("read beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change(Some(Change::Length(length as usize)))
    }

    fn sync_data(&self) -> Result<()> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.change(Some(Change::Write(offset as usize, data.to_vec())))
    }
}
