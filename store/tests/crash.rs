//! After a crash at any instruction the state is the old or the new one, whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{BufRead, BufReader, Error, Result},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use capstan_store::{Options, Store};
use common::Random;
use redb::StorageBackend;

/// The directory in which [`writer`] writes; without it, it does nothing.
const WRITER: &str = "CAPSTAN_TEST_WRITE";
const COMMITTED: &str = "committed ";

#[test]
fn kill_in_the_middle_of_commits() {
    let mut random = Random::seeded(21);
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture"])
            .env(WRITER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wanted = 1 + random.below(12);
        let mut said = last;
        while wanted > 0 {
            let line = lines.next().expect("the writer writes until it is killed").unwrap();
            if let Some((_, height)) = line.split_once(COMMITTED) {
                said = height.parse().unwrap();
                wanted -= 1;
            }
        }
        // Somewhere within the next commit: spinning, since sleeping is too coarse.
        for _ in 0..random.below(2_000_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert!(store.height() >= said, "round {round}: height {said} was lost");
        common::assert_scripted(&store);
        last = store.height();
    }
    assert!(last >= 25);
}

/// Commits scripted blocks until it is killed.
#[test]
fn writer() {
    let Ok(dir) = std::env::var(WRITER) else {
        return;
    };
    let store = Store::open(dir, Options::default()).unwrap();
    loop {
        let height = store.height() + 1;
        let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
        store.commit(prepared, height).unwrap();
        println!("{COMMITTED}{height}");
    }
}

#[test]
fn a_medium_that_fails_after_any_number_of_operations() {
    let mut random = Random::seeded(22);
    let base = Medium::default();
    {
        let store = Store::on_backend(base.clone(), Options::default()).unwrap();
        for height in 1..=3 {
            let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
            store.commit(prepared, height).unwrap();
        }
    }
    let image = base.image();
    let (mut old, mut new, mut whole) = (0, 0, 0);
    for limit in 0.. {
        let medium = Medium::of(&image, Some(limit));
        let committed = commit_one(&medium);
        let unharmed = committed && !medium.has_failed();
        // What was written since the last sync may or may not have reached the disk, each by itself.
        for _ in 0..3 {
            let after = Medium::of(&medium.crash(&mut random), None);
            let store = Store::on_backend(after, Options::default()).unwrap();
            match store.height() {
                3 if !committed => old += 1,
                4 => new += 1,
                other => panic!("limit {limit}: height {other}, committed: {committed}"),
            }
            common::assert_scripted(&store);
        }
        if unharmed {
            whole += 1;
            if whole == 3 {
                break;
            }
        }
    }
    assert!(old > 30 && new > 3, "{old} old and {new} new: the failures missed the commit");
}

/// Opens the store on `medium` and commits one block; whether the commit was reported as done.
fn commit_one(medium: &Medium) -> bool {
    let Ok(store) = Store::on_backend(medium.clone(), Options::default()) else {
        return false;
    };
    let Ok(prepared) = store.prepare(common::scripted_block(&store, 4)) else {
        return false;
    };
    let root = prepared.root();
    let committed = store.commit(prepared, 4).is_ok();
    if committed {
        assert_eq!((store.height(), store.root()), (4, root));
    }
    committed
}

/// A medium in memory that fails for good after a number of operations, and knows what was synced.
#[derive(Clone, Debug, Default)]
struct Medium(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// What was done since the last sync.
    unsynced: Vec<Change>,
    /// The operations that still succeed; none: all.
    left: Option<u64>,
    failed: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length as usize, 0),
            Self::Write(offset, data) => {
                let end = *offset as usize + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(data);
            }
        }
    }
}

impl Medium {
    fn of(image: &[u8], limit: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Content {
            bytes: image.to_vec(),
            synced: image.to_vec(),
            left: limit,
            ..Content::default()
        })))
    }

    fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    fn has_failed(&self) -> bool {
        self.0.lock().unwrap().failed
    }

    /// What is on the disk after a loss of power now.
    fn crash(&self, random: &mut Random) -> Vec<u8> {
        let content = self.0.lock().unwrap();
        let mut bytes = content.synced.clone();
        for change in &content.unsynced {
            if matches!(change, Change::Length(_)) || random.one_in(2) {
                change.apply(&mut bytes);
            }
        }
        bytes
    }

    /// Counts an operation that changes something, and does it unless the medium has failed.
    fn change(&self, change: Option<Change>) -> Result<()> {
        let mut content = self.0.lock().unwrap();
        match &mut content.left {
            Some(0) => {
                content.failed = true;
                return Err(Error::other("the medium has failed"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        match change {
            Some(change) => {
                change.apply(&mut content.bytes);
                content.unsynced.push(change);
            }
            None => {
                content.synced = content.bytes.clone();
                content.unsynced.clear();
            }
        }
        Ok(())
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let content = self.0.lock().unwrap();
        let from = offset as usize;
        let found = content.bytes.get(from..from + out.len());
        out.copy_from_slice(found.ok_or_else(|| Error::other("read beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change(Some(Change::Length(length)))
    }

    fn sync_data(&self) -> Result<()> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.change(Some(Change::Write(offset, data.to_vec())))
    }
}
