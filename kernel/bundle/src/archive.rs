//! Zip archives in the form of Endo's tools: uncompressed files, one after the other.
//!
//! Layout (little-endian, from PKWARE's APPNOTE 4.3 and @endo/zip):
//!
//! ```text
//! for each file: "PK\3\4", headers, name, contents
//! for each file: "PK\1\2", 2 bytes made by, headers, 2 bytes comment length, 2 disk, 2 + 4 attributes,
//!                4 offset of "PK\3\4", name
//! "PK\5\6", 2 disk, 2 disk, 2 files, 2 files, 4 directory length, 4 directory offset, 2 comment length
//!
//! headers: 2 bytes version needed, 2 flags, 2 compression, 4 time, 4 CRC-32, 4 compressed length,
//!          4 length, 2 name length, 2 extra length
//! ```

use std::collections::BTreeMap;

/// The reason for refusing an archive. It is part of a [`BundleError`](crate::BundleError).
///
/// All readers of an accepted archive see the same files. Its parts follow each other without gap or overlap, both
/// headers of a file agree, and no name occurs twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The archive does not end with the end record of a zip without comment. It may be truncated.
    #[error("it does not end in a zip's end record: it is cut off, or no zip, or has a comment")]
    End,
    /// The end record contradicts the rest of the archive.
    #[error("its end record does not fit its contents")]
    Directory,
    /// A file's header is missing at this offset, or the archive is truncated there.
    #[error("it is damaged at byte {0}")]
    Damaged(usize),
    /// A file's name is not UTF-8, is empty, or is that of a folder. The number is the offset.
    #[error("a file at byte {0} has no proper name")]
    Name(usize),
    /// Two files have the same name.
    #[error("two files have the name {0:?}")]
    Duplicate(String),
    /// The two headers of a file differ.
    #[error("the two headers of the file {0:?} differ")]
    Mismatch(String),
    /// A file is compressed. Endo's reader accepts only stored files.
    #[error("the file {0:?} is compressed; files must be stored")]
    Compressed(String),
    /// A file is encrypted, has extra fields, or uses another feature that bundles may not use.
    #[error("the file {0:?} uses a zip feature that bundles may not use")]
    Feature(String),
    /// A file's content does not have the checksum of its header.
    #[error("the contents of the file {0:?} do not have the checksum of its header")]
    Checksum(String),
}

const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const CENTRAL_SIGNATURE: &[u8] = b"PK\x01\x02";
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const HEADERS_LENGTH: usize = 26;
const END_LENGTH: usize = 22;

/// Flag of a name in UTF-8. It is the only flag that does not change how a file is read.
const FLAG_UTF8: u16 = 0x0800;
/// MS-DOS attribute of a folder.
const ATTRIBUTE_FOLDER: u32 = 0x10;

/// The `version made by` that Endo writes: 3.0, on Unix.
const MADE_BY: [u8; 2] = [30, 3];
/// The `version needed` that Endo writes.
const VERSION_NEEDED: u16 = 10;
/// The external attributes that Endo writes: a regular file with mode 644.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// Reads an archive and returns its files by name.
pub(crate) fn read(zip: &[u8]) -> Result<BTreeMap<&str, &[u8]>, ArchiveError> {
    let directory_end = zip.len().checked_sub(END_LENGTH).ok_or(ArchiveError::End)?;
    let (count, directory_start) = read_end(zip, directory_end)?;
    let mut directory = Cursor { bytes: &zip[..directory_end], position: directory_start };
    let mut contents = Cursor { bytes: &zip[..directory_start], position: 0 };
    let mut files = BTreeMap::new();
    for _ in 0..count {
        let (name, bytes) = read_file(&mut directory, &mut contents)?;
        if files.insert(name, bytes).is_some() {
            return Err(ArchiveError::Duplicate(name.to_string()));
        }
    }
    match directory.position == directory_end && contents.position == directory_start {
        true => Ok(files),
        false => Err(ArchiveError::Directory),
    }
}

/// Returns the canonical archive of `files`, in the given order.
pub(crate) fn write(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in files {
        // The files were read from an archive, so every length and offset fits.
        let offset = zip.len() as u32;
        let headers = canonical_headers(name, bytes);
        zip.extend_from_slice(LOCAL_SIGNATURE);
        zip.extend_from_slice(&headers);
        zip.extend_from_slice(name.as_bytes());
        zip.extend_from_slice(bytes);
        directory.extend_from_slice(CENTRAL_SIGNATURE);
        directory.extend_from_slice(&MADE_BY);
        directory.extend_from_slice(&headers);
        directory.extend_from_slice(&[0; 6]); // comment length, disk, internal attributes
        directory.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let count = (files.len() as u16).to_le_bytes();
    let start = (zip.len() as u32).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    zip.append(&mut directory);
    zip.extend_from_slice(END_SIGNATURE);
    zip.extend_from_slice(&[0; 4]); // disks
    zip.extend_from_slice(&[count, count].concat());
    zip.extend_from_slice(&[length, start].concat());
    zip.extend_from_slice(&[0; 2]); // comment length
    zip
}

fn canonical_headers(name: &str, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_le_bytes();
    let mut headers = Vec::with_capacity(HEADERS_LENGTH);
    headers.extend_from_slice(&VERSION_NEEDED.to_le_bytes());
    headers.extend_from_slice(&[0; 8]); // flags, compression, time
    headers.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    headers.extend_from_slice(&[length, length].concat());
    headers.extend_from_slice(&(name.len() as u16).to_le_bytes());
    headers.extend_from_slice(&[0; 2]); // extra length
    headers
}

/// Reads the end record at `position`. Returns the number of files and the start of the central directory.
fn read_end(zip: &[u8], position: usize) -> Result<(u16, usize), ArchiveError> {
    let mut end = Cursor { bytes: zip, position };
    end.signature(END_SIGNATURE).map_err(|_| ArchiveError::End)?;
    let [disk, directory_disk, count_here, count] =
        [end.u16()?, end.u16()?, end.u16()?, end.u16()?];
    let [length, start] = [end.u32()? as usize, end.u32()? as usize];
    if end.u16()? != 0 {
        return Err(ArchiveError::End);
    }
    let fits = start.checked_add(length) == Some(position);
    match fits && disk == 0 && directory_disk == 0 && count_here == count {
        true => Ok((count, start)),
        false => Err(ArchiveError::Directory),
    }
}

/// Reads the next entry of the central directory, and its file, which must be the next in the archive.
fn read_file<'a>(
    directory: &mut Cursor<'a>,
    contents: &mut Cursor<'a>,
) -> Result<(&'a str, &'a [u8]), ArchiveError> {
    let entry = directory.position;
    directory.signature(CENTRAL_SIGNATURE)?;
    directory.take(MADE_BY.len())?;
    let headers = Headers::read(directory)?;
    let comment_length = directory.u16()?;
    let disk = directory.u16()?;
    directory.take(2)?; // internal attributes
    let attributes = directory.u32()?;
    let offset = directory.u32()?;
    let name = std::str::from_utf8(directory.take(headers.name_length)?).unwrap_or_default();
    if name.is_empty() || name.ends_with('/') || attributes & ATTRIBUTE_FOLDER != 0 {
        return Err(ArchiveError::Name(entry));
    }
    if comment_length != 0 || disk != 0 {
        return Err(ArchiveError::Feature(name.to_string()));
    }
    headers.check(name)?;
    if offset as usize != contents.position {
        return Err(ArchiveError::Damaged(entry));
    }
    contents.signature(LOCAL_SIGNATURE)?;
    let local = Headers::read(contents)?;
    if !local.agrees_with(&headers) || contents.take(local.name_length)? != name.as_bytes() {
        return Err(ArchiveError::Mismatch(name.to_string()));
    }
    let bytes = contents.take(headers.length as usize)?;
    match crc32fast::hash(bytes) == headers.crc32 {
        true => Ok((name, bytes)),
        false => Err(ArchiveError::Checksum(name.to_string())),
    }
}

/// The fields that both headers of a file have.
struct Headers {
    flags: u16,
    compression: u16,
    crc32: u32,
    compressed_length: u32,
    length: u32,
    name_length: usize,
    extra_length: u16,
}

impl Headers {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ArchiveError> {
        cursor.u16()?; // version needed
        let [flags, compression] = [cursor.u16()?, cursor.u16()?];
        cursor.u32()?; // time
        Ok(Self {
            flags,
            compression,
            crc32: cursor.u32()?,
            compressed_length: cursor.u32()?,
            length: cursor.u32()?,
            name_length: cursor.u16()?.into(),
            extra_length: cursor.u16()?,
        })
    }

    fn check(&self, name: &str) -> Result<(), ArchiveError> {
        if self.compression != 0 || self.compressed_length != self.length {
            return Err(ArchiveError::Compressed(name.to_string()));
        }
        match self.flags & !FLAG_UTF8 == 0 && self.extra_length == 0 {
            true => Ok(()),
            false => Err(ArchiveError::Feature(name.to_string())),
        }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self.flags == other.flags
            && self.compression == other.compression
            && self.crc32 == other.crc32
            && self.compressed_length == other.compressed_length
            && self.length == other.length
            && self.name_length == other.name_length
            && self.extra_length == other.extra_length
    }
}

/// A reader over bytes, from left to right.
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ArchiveError> {
        let rest = self.bytes.get(self.position..);
        let taken = rest.and_then(|rest| rest.get(..length));
        let taken = taken.ok_or(ArchiveError::Damaged(self.position))?;
        self.position += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, ArchiveError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ArchiveError> {
        self.array().map(u32::from_le_bytes)
    }

    fn signature(&mut self, expected: &[u8]) -> Result<(), ArchiveError> {
        let position = self.position;
        match self.take(expected.len())? == expected {
            true => Ok(()),
            false => Err(ArchiveError::Damaged(position)),
        }
    }
}
