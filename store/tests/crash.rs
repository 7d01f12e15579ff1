//! After a crash at any instruction the state is the old or the new one, whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use capstan_store::{Options, Store};
use capstan_test_disk::Disk;
use capstan_test_random::Random;

/// The directory in which [`writer`] writes; without it, it does nothing.
const WRITER: &str = "CAPSTAN_TEST_WRITE";
const COMMITTED: &str = "committed ";

#[test]
fn kill_in_the_middle_of_commits() {
    let mut random = common::Random::seeded(21);
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
    // The state's file is written in the background all the time.
    let store = Store::open(dir, Options { journal_bytes: 70_000, ..Options::default() }).unwrap();
    loop {
        let height = store.height() + 1;
        let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
        store.commit(prepared, height).unwrap();
        println!("{COMMITTED}{height}");
    }
}

#[test]
fn a_disk_that_fails_after_any_number_of_operations() {
    let mut random = Random::seeded(22);
    let base = Disk::default();
    let store = on(&base).unwrap();
    for height in 1..=3 {
        let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
        store.commit(prepared, height).unwrap();
    }
    drop(store);
    // Every other of these commits begins with the state's file.
    for height in 4..=7 {
        sweep(&base, height, &mut random);
        assert!(commit_one(&base, height));
    }
}

/// Lets the disk fail after each single operation of an opening and the commit at `height`.
fn sweep(base: &Disk, height: u64, random: &mut Random) {
    let (mut old, mut new, mut whole) = (0, 0, 0);
    for limit in 0.. {
        let disk = base.copy();
        disk.fail_after(limit);
        let committed = commit_one(&disk, height);
        let unharmed = committed && !disk.has_failed();
        // What was written since the last sync may or may not have reached the disk, each by itself.
        for _ in 0..3 {
            let after = disk.crash(random);
            let store = on(&after).unwrap();
            match store.height() {
                found if found == height - 1 && !committed => old += 1,
                found if found == height => new += 1,
                other => panic!("limit {limit}: height {other}, committed: {committed}"),
            }
            common::assert_scripted(&store);
            // It goes on from there, whatever the state's file had.
            let next = store.height() + 1;
            let prepared = store.prepare(common::scripted_block(&store, next)).unwrap();
            store.commit(prepared, next).unwrap();
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

#[test]
fn a_disk_that_fails_while_the_states_file_is_written_in_the_background() {
    let mut random = Random::seeded(23);
    let (mut reached, mut failed) = (0, 0);
    // Which operations of the two threads come before the limit is another each time, so each is tried often.
    for limit in 0..600 {
        let disk = Disk::default();
        drop(in_background(&disk).unwrap());
        let base = disk.operations();
        disk.fail_after(limit);
        let said = commit_many(&disk, limit);
        reached = said.synced.max(reached);
        failed += u64::from(disk.operations() - base == limit && disk.has_failed());
        for _ in 0..3 {
            let store = in_background(&disk.crash(&mut random)).unwrap();
            let found = store.height();
            assert!(
                (said.synced..=said.tried).contains(&found),
                "limit {limit}: height {found}, on disk {}, tried {}",
                said.synced,
                said.tried
            );
            common::assert_scripted(&store);
            // It goes on from there, whatever the state's file had.
            for height in found + 1..=found + 4 {
                let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
                store.commit(prepared, height).unwrap();
            }
            common::assert_scripted(&store);
        }
    }
    assert!(reached >= 12 && failed > 500, "height {reached}, {failed} failures: they missed");
}

/// How far a run came.
struct Said {
    /// The last height that was reported to be on disk.
    synced: u64,
    /// The last height whose commit was begun.
    tried: u64,
}

/// Commits blocks until the disk fails, some of them unsynced, in a pattern of their own for each `seed`.
fn commit_many(disk: &Disk, seed: u64) -> Said {
    let mut said = Said { synced: 0, tried: 0 };
    let Ok(store) = in_background(disk) else {
        return said;
    };
    let mut random = Random::from(seed);
    for height in 1..=40 {
        let Ok(prepared) = store.prepare(common::scripted_block(&store, height)) else {
            return said;
        };
        said.tried = height;
        let unsynced = random.one_in(3);
        let committed = match unsynced {
            true => store.commit_unsynced(prepared, height),
            false => store.commit(prepared, height),
        };
        if committed.is_err() {
            return said;
        }
        if !unsynced {
            said.synced = height;
        }
    }
    said
}

/// A store that writes the state's file in the background nearly all the time.
fn in_background(disk: &Disk) -> Result<Store, capstan_store::Error> {
    let options = Options { journal_bytes: 70_000, ..Options::default() };
    Store::on_backends(disk.file(0), disk.file(1), options)
}

/// A store that writes the state's file within every other commit.
fn on(disk: &Disk) -> Result<Store, capstan_store::Error> {
    let options = Options { journal_bytes: 100_000, background: false, ..Options::default() };
    Store::on_backends(disk.file(0), disk.file(1), options)
}

/// Opens the store on `disk` and commits one block; whether the commit was reported as done.
fn commit_one(disk: &Disk, height: u64) -> bool {
    let Ok(store) = on(disk) else {
        return false;
    };
    let Ok(prepared) = store.prepare(common::scripted_block(&store, height)) else {
        return false;
    };
    let root = prepared.root();
    let committed = store.commit(prepared, height).is_ok();
    if committed {
        assert_eq!((store.height(), store.root()), (height, root));
    }
    committed
}
