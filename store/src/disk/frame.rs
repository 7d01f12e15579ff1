//! Frames: the form of commits in the journal's file.
//!
//! A frame is a run of whole blocks. The first byte of a block tells whether a frame begins or goes on there. So no byte
//! of a user can be taken for the beginning of a frame, wherever old frames are written over in part. Two frames share
//! no block, so that a torn write of one does not touch the other.

use std::ops::RangeInclusive;

use grovedb_merk::tree::value_hash;
use redb::StorageBackend;

/// Size of a block in bytes. It is a multiple of what disks and file systems write at once.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// First byte of a block with which a frame begins.
const BEGINS: u8 = 1;
/// First byte of a block with which a frame goes on.
const GOES_ON: u8 = 2;

/// The place of a frame, and the commits that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Number of its first block in the file.
    pub(crate) start: u64,
    /// Number of its blocks.
    pub(crate) blocks: u64,
    /// Serials of its commits.
    pub(crate) serials: RangeInclusive<u64>,
}

/// Content of a frame that is being filled. The first bytes are left free for the head.
pub(crate) struct Content(Vec<u8>);

/// The head of a frame: what stands before its commits.
struct Head {
    /// Number of the bytes after the head.
    length: u64,
    serials: RangeInclusive<u64>,
    /// BLAKE3 of these bytes.
    checksum: [u8; 32],
}

impl Content {
    pub(crate) fn new() -> Self {
        Self(vec![0; HEAD_BYTES])
    }

    /// Returns the buffer, to which commits are appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Returns the blocks of the frame with these commits, and empties the content.
    pub(crate) fn blocks(&mut self, serials: RangeInclusive<u64>) -> Vec<u8> {
        let content = &mut self.0;
        let (length, checksum) = (content.len() - HEAD_BYTES, hash(&content[HEAD_BYTES..]));
        let head = Head { length: length as u64, serials, checksum };
        content[..HEAD_BYTES].copy_from_slice(&head.encode());
        let mut blocks = Vec::with_capacity(content.len().div_ceil(CONTENT_BYTES) * BLOCK_BYTES);
        for part in content.chunks(CONTENT_BYTES) {
            blocks.push(if blocks.is_empty() { BEGINS } else { GOES_ON });
            blocks.extend_from_slice(part);
        }
        blocks.resize(blocks.len().next_multiple_of(BLOCK_BYTES), 0);
        content.truncate(HEAD_BYTES);
        blocks
    }
}

impl Frame {
    /// Returns the number of the block after the frame.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.blocks
    }

    /// Returns the frame that begins with block `start`, if one does. Only its head is read and checked.
    pub(crate) fn at(
        file: &dyn StorageBackend,
        start: u64,
        blocks_in_file: u64,
    ) -> std::io::Result<Option<Self>> {
        let mut bytes = [0; 1 + HEAD_BYTES];
        file.read(start * BLOCK_BYTES as u64, &mut bytes)?;
        let Some(head) = (bytes[0] == BEGINS).then(|| Head::decode(&bytes[1..])).flatten() else {
            return Ok(None);
        };
        let blocks = head.length.saturating_add(HEAD_BYTES as u64).div_ceil(CONTENT_BYTES as u64);
        // A frame that the file is too short for is a torn one. Reading it tells.
        let blocks = blocks.min(blocks_in_file.saturating_sub(start));
        Ok(Some(Self { start, blocks, serials: head.serials }))
    }

    /// Reads the frame's commits. Returns `None` if they are not what was written.
    pub(crate) fn read(&self, file: &dyn StorageBackend) -> std::io::Result<Option<Vec<u8>>> {
        let mut blocks = vec![0; self.blocks as usize * BLOCK_BYTES];
        file.read(self.start * BLOCK_BYTES as u64, &mut blocks)?;
        let mut content = Vec::with_capacity(blocks.len());
        for (number, block) in blocks.chunks(BLOCK_BYTES).enumerate() {
            let Some((kind, part)) = block.split_first() else { return Ok(None) };
            if *kind != if number == 0 { BEGINS } else { GOES_ON } {
                return Ok(None);
            }
            content.extend_from_slice(part);
        }
        let Some(head) = Head::decode(&content) else { return Ok(None) };
        content.drain(..HEAD_BYTES);
        content.truncate(usize::try_from(head.length).unwrap_or(usize::MAX));
        let whole = content.len() as u64 == head.length && hash(&content) == head.checksum;
        Ok((whole && head.serials == self.serials).then_some(content))
    }
}

impl Head {
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (checksum, fields) = bytes.split_at_mut(CHECKSUM_BYTES);
        fields[..8].copy_from_slice(&self.length.to_le_bytes());
        fields[8..16].copy_from_slice(&self.serials.start().to_le_bytes());
        fields[16..24].copy_from_slice(&self.serials.end().to_le_bytes());
        fields[24..].copy_from_slice(&self.checksum);
        checksum.copy_from_slice(&hash(fields));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let (checksum, fields) = bytes.split_at(CHECKSUM_BYTES);
        if hash(fields) != *checksum {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(*fields.get(at..)?.first_chunk()?));
        let serials = number(8)?..=number(16)?;
        let checksum = *fields.get(24..)?.first_chunk()?;
        (!serials.is_empty()).then_some(Self { length: number(0)?, serials, checksum })
    }
}

fn hash(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    value_hash(bytes).value
}

const CHECKSUM_BYTES: usize = 32;

/// Size of a head: its checksum, a length, two serials, and the checksum of the commits.
const HEAD_BYTES: usize = CHECKSUM_BYTES + 8 + 16 + CHECKSUM_BYTES;

/// Bytes of a block without the first one.
const CONTENT_BYTES: usize = BLOCK_BYTES - 1;
