//! Tests of the journal: torn writes at every byte, damage, and the places of frames.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use capstan_test_random::Random;
use redb::StorageBackend;

use crate::{
    Error,
    disk::{entry::Entry, frame::BLOCK_BYTES, journal::Journal, meta::Meta},
};

/// A file in memory, whose handles see the same bytes.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Memory {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let from = offset as usize;
        out.copy_from_slice(&self.0.lock().unwrap()[from..from + out.len()]);
        Ok(())
    }
    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Memory {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(bytes.to_vec())))
    }

    fn create(&self) -> Journal {
        Journal::create(Box::new(self.clone()), Path::new("journal"), &Meta::default()).unwrap()
    }

    fn open(&self) -> Result<Journal, Error> {
        Journal::open(Box::new(self.clone()), Path::new("journal"))
    }
}

fn meta(serial: u64) -> Meta {
    Meta { height: 10 * serial, serial, ..Meta::default() }
}

fn entry(value: Vec<u8>) -> Entry {
    Entry { flat: vec![(b"key"[..].into(), Some(value.into()))], blobs: Vec::new() }
}

fn all_after(journal: &Journal, serial: u64) -> Vec<(Meta, Entry)> {
    let mut all = Vec::new();
    journal
        .read_after(serial, |meta, entry| {
            all.push((meta, entry));
            Ok(())
        })
        .unwrap();
    all
}

/// Returns a journal's bytes before its last commit and after it. The last frame lies in place of an older one.
fn before_and_after(bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let file = Memory::default();
    let mut journal = file.create();
    for serial in 1..=3 {
        journal.commit(&entry(vec![serial as u8; 9_000]), &meta(serial), true).unwrap();
    }
    journal.release(3);
    let before = file.bytes();
    journal.commit(&entry(vec![4; bytes]), &meta(4), true).unwrap();
    (before, file.bytes())
}

#[test]
fn a_write_that_is_torn_at_any_byte_leaves_the_commit_before() {
    let (before, after) = before_and_after(5_000);
    // What comes after the frame in its last block is of no use.
    let end = after[..3 * BLOCK_BYTES].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let changed: Vec<usize> = (0..end).filter(|at| before[*at] != after[*at]).collect();
    assert!(
        changed.len() > 5_000 && before[..end] != [0; 3 * BLOCK_BYTES][..end],
        "over old frames"
    );
    // Both a write that ends and one that begins late, at each byte that it changes.
    for at in &changed {
        let beginning = [&after[..*at], &before[*at..]].concat();
        let end = [&before[..=*at], &after[*at + 1..]].concat();
        for torn in [beginning, end] {
            let journal = Memory::of(&torn).open().unwrap();
            assert_eq!(*journal.last(), meta(3), "torn at {at}");
            assert_eq!(all_after(&journal, 2), [(meta(3), entry(vec![3; 9_000]))]);
        }
    }
    let journal = Memory::of(&after).open().unwrap();
    assert_eq!(all_after(&journal, 3), [(meta(4), entry(vec![4; 5_000]))]);
}

#[test]
fn sectors_of_a_write_that_are_lost_leave_the_commit_before_and_the_next_one_holds() {
    let mut random = Random::from(5);
    let (before, after) = before_and_after(20_000);
    for _ in 0..2_000 {
        let mut torn = before.clone();
        for (at, sector) in after.chunks(512).enumerate() {
            if random.one_in(2) {
                torn[at * 512..][..sector.len()].copy_from_slice(sector);
            }
        }
        let file = Memory::of(&torn);
        let mut journal = file.open().unwrap();
        let last = journal.last().serial;
        assert!(last == 3 || torn == after, "a torn frame was taken");
        journal.release(3);
        // Of any length, so that what is left of the torn frame lies behind it at times.
        let length = random.below(20_000) as usize;
        let next = (meta(last + 1), entry(vec![5; length]));
        journal.commit(&next.1, &next.0, true).unwrap();
        assert_eq!(all_after(&file.open().unwrap(), last), [next]);
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_loses_the_last_commit_alone() {
    let file = Memory::default();
    let mut journal = file.create();
    for serial in 1..=3 {
        journal.commit(&entry(vec![serial as u8; 700]), &meta(serial), true).unwrap();
    }
    drop(journal);
    let (bytes, mut refused) = (file.bytes(), 0);
    for at in 0..5 * BLOCK_BYTES {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Ok(journal) = Memory::of(&damaged).open() else {
            refused += 1;
            continue;
        };
        let mut found = Vec::new();
        let read = journal.read_after(0, |meta, entry| {
            found.push((meta, entry));
            Ok(())
        });
        refused += usize::from(read.is_err());
        for (number, (meta, entry)) in (1..).zip(found) {
            assert_eq!(meta, self::meta(number), "a flip at {at}");
            assert_eq!(entry, self::entry(vec![number as u8; 700]), "a flip at {at}");
        }
        assert!(read.is_err() || journal.last().serial >= 2, "a flip at {at}");
    }
    assert!(refused > 1_500, "{refused}");
}

#[test]
fn any_sequence_of_commits_releases_and_openings_keeps_what_is_needed() {
    let mut random = Random::from(6);
    let file = Memory::default();
    let mut journal = file.create();
    // Values that look like frames, as a user can write them.
    let (_, forged) = before_and_after(100);
    let (mut kept, mut done, mut longest) = (Vec::new(), 0, 0);
    for serial in 1..=3_000 {
        let most = if random.one_in(20) { 60_000 } else { 3_000 };
        let length = random.below(most) as usize;
        let value = match random.one_in(3) {
            true => {
                forged.iter().copied().skip(random.below(9_000) as usize).take(length).collect()
            }
            false => vec![serial as u8; length],
        };
        kept.push((meta(serial), entry(value)));
        let (meta, entry) = kept.last().unwrap();
        journal.commit(entry, meta, random.one_in(2)).unwrap();
        if random.one_in(10) {
            journal.write().unwrap();
            done += random.below(serial - done + 1);
            journal.release(done);
            kept.retain(|(meta, _)| meta.serial > done);
        }
        if random.one_in(30) {
            drop(journal);
            journal = file.open().unwrap();
            assert_eq!(journal.last().serial, serial);
            assert_eq!(all_after(&journal, done), kept);
            journal.release(done);
        }
        longest = file.bytes().len().max(longest);
    }
    assert!(longest < 8 << 20, "{longest} bytes, where at most a hundred commits are needed");
}

#[test]
fn after_a_failure_nothing_is_written() {
    let disk = capstan_test_disk::Disk::default();
    let path = Path::new("journal");
    let mut journal = Journal::create(Box::new(disk.clone()), path, &Meta::default()).unwrap();
    disk.fail_after(1);
    assert!(matches!(journal.commit(&entry(vec![1]), &meta(1), true), Err(Error::DatabaseIo(_))));
    assert!(matches!(journal.commit(&entry(vec![2]), &meta(2), true), Err(Error::DatabaseIo(_))));
}

#[test]
fn an_opening_writes_the_last_frame_again_before_others_rely_on_it() {
    // After a sync that failed, the system takes the frame for written, which the disk does not have.
    let disk = capstan_test_disk::Disk::default();
    let path = Path::new("journal");
    let mut journal = Journal::create(Box::new(disk.clone()), path, &Meta::default()).unwrap();
    journal.commit(&entry(vec![1; 9_000]), &meta(1), true).unwrap();
    drop(journal);
    let mut journal = Journal::open(Box::new(disk.clone()), path).unwrap();
    // A write and a sync: the first alone is not enough.
    for allowed in 0..2 {
        disk.fail_after(allowed);
        let mut journal = Journal::open(Box::new(disk.clone()), path).unwrap();
        assert!(matches!(journal.sync(), Err(Error::DatabaseIo(_))), "{allowed}");
    }
    disk.fail_after(2);
    journal.sync().unwrap();
}

#[test]
fn a_torn_head_is_erased_even_if_the_file_is_too_short_for_its_frame() {
    let (_, after) = before_and_after(900_000);
    // The head of the last frame is on the disk, and the file's new length is not.
    let file = Memory::of(&after[..64 * BLOCK_BYTES]);
    let begins = |file: &Memory, block: usize| file.bytes()[block * BLOCK_BYTES] == 1;
    let heads: Vec<usize> = (1..64).filter(|block| begins(&file, *block)).collect();
    let journal = file.open().unwrap();
    assert_eq!(*journal.last(), meta(3));
    let last = *heads.last().unwrap();
    assert!(!begins(&file, last), "the torn head is left at {last}");
    assert!(heads[..heads.len() - 1].iter().all(|block| begins(&file, *block)));
}
