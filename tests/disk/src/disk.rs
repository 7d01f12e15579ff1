use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::Random;

/// The unit in which a disk writes: a write that was cut off left some of its sectors as they were.
const SECTOR_BYTES: usize = 512;

/// A disk in memory. What was written is safe once it was synced; of the rest a crash keeps any part, sector by sector.
/// Clones are handles of one disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// What reads see.
    bytes: Vec<u8>,
    /// What a crash cannot take away.
    synced: Vec<u8>,
    /// What was done since the last sync, in order.
    unsynced: Vec<Change>,
    /// The operations that still succeed; none: all.
    left: Option<u64>,
    failed: bool,
    operations: u64,
    /// How many bytes fit; none: any number.
    capacity: Option<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    /// A disk that holds this.
    pub fn of(image: Vec<u8>) -> Self {
        let content = Content { bytes: image.clone(), synced: image, ..Content::default() };
        Self(Arc::new(Mutex::new(content)))
    }

    /// What reads see now.
    pub fn image(&self) -> Vec<u8> {
        self.content().bytes.clone()
    }

    /// Lets so many further operations that change something succeed, and none after them.
    pub fn fail_after(&self, operations: u64) {
        self.content().left = Some(operations);
    }

    /// Lets no more than so many bytes fit; what is there stays.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.content().capacity = bytes;
    }

    /// Whether an operation has failed.
    pub fn has_failed(&self) -> bool {
        self.content().failed
    }

    /// How many operations changed something so far.
    pub fn operations(&self) -> u64 {
        self.content().operations
    }

    /// Takes the power away: nothing reaches this disk any more. Gives the disk as it is found afterwards.
    pub fn crash(&self, random: &mut Random) -> Self {
        let mut content = self.content();
        content.left = Some(0);
        let mut bytes = content.synced.clone();
        for change in &content.unsynced {
            match change {
                // A file's length is known to the file system, not to the sectors.
                Change::Length(_) => change.apply(&mut bytes),
                Change::Write(offset, data) => match random.below(3) {
                    0 => {}
                    1 => change.apply(&mut bytes),
                    _ => torn(*offset, data, &mut bytes, random),
                },
            }
        }
        Self::of(bytes)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Whoever panicked did so outside of an operation, which are all whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and does it unless the disk has failed.
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
        let end = change.as_ref().map_or(0, Change::end);
        if end > content.bytes.len() && content.capacity.is_some_and(|capacity| end > capacity) {
            content.failed = true;
            return Err(Error::from(ErrorKind::StorageFull));
        }
        content.operations += 1;
        match change {
            Some(change) => {
                change.apply(&mut content.bytes);
                content.unsynced.push(change);
            }
            None => {
                let changes = std::mem::take(&mut content.unsynced);
                changes.iter().for_each(|change| change.apply(&mut content.synced));
            }
        }
        Ok(())
    }
}

impl Change {
    /// How long the disk must be for it.
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

/// Writes some of the sectors that `data` touches.
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
        Ok(self.content().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let content = self.content();
        let from = offset as usize;
        let found = content.bytes.get(from..from + out.len());
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
