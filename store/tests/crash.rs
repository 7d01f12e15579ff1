//! A crash at any instruction leaves the old state or the new one, never a mixture.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use capstan_store::{Options, Store};
use capstan_test_disk::Disk;
use capstan_test_random::Random;

/// Environment variable with the directory of [`writer`], which does nothing if it is not set.
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
        let mut reported = last;
        while wanted > 0 {
            let line = lines.next().expect("the writer writes until it is killed").unwrap();
            if let Some((_, height)) = line.split_once(COMMITTED) {
                reported = height.parse().unwrap();
                wanted -= 1;
            }
        }
        // Spins to a point within the next commit, since sleeping is too coarse.
        for _ in 0..random.below(2_000_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert!(store.height() >= reported, "round {round}: height {reported} was lost");
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
    // Checkpoints are written in the background all the time.
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
    // Every other of these commits begins with a checkpoint.
    for height in 4..=7 {
        sweep(&base, height, &mut random);
        assert!(commit_one(&base, height));
    }
}

/// Lets the disk fail after each single operation of opening the store and committing `height`.
fn sweep(base: &Disk, height: u64, random: &mut Random) {
    let (mut old, mut new, mut whole) = (0, 0, 0);
    for limit in 0.. {
        let disk = base.copy();
        disk.fail_after(limit);
        let committed = commit_one(&disk, height);
        let unharmed = committed && !disk.has_failed();
        // Each unsynced write may or may not have reached the disk.
        for _ in 0..3 {
            let after = disk.crash(random);
            let store = on(&after).unwrap();
            match store.height() {
                found if found == height - 1 && !committed => old += 1,
                found if found == height => new += 1,
                other => panic!("limit {limit}: height {other}, committed: {committed}"),
            }
            common::assert_scripted(&store);
            // The next commit succeeds, whatever the last checkpoint had.
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
    // A commit without a checkpoint is one write and one sync.
    assert!(old >= 6 && new > 3, "{old} old and {new} new: the failures missed the commit");
}

#[test]
fn a_disk_that_fails_while_the_states_file_is_written_in_the_background() {
    let mut random = Random::seeded(23);
    let (mut reached, mut failed) = (0, 0);
    // The two threads interleave differently each time, so each limit is tried often.
    for limit in 0..600 {
        let disk = Disk::default();
        drop(in_background(&disk).unwrap());
        let base = disk.operations();
        disk.fail_after(limit);
        let progress = commit_many(&disk, limit);
        reached = progress.synced.max(reached);
        failed += u64::from(disk.operations() - base == limit && disk.has_failed());
        for _ in 0..3 {
            let store = in_background(&disk.crash(&mut random)).unwrap();
            let found = store.height();
            assert!(
                (progress.synced..=progress.started).contains(&found),
                "limit {limit}: height {found}, on disk {}, started {}",
                progress.synced,
                progress.started
            );
            common::assert_scripted(&store);
            // The next commit succeeds, whatever the last checkpoint had.
            for height in found + 1..=found + 4 {
                let prepared = store.prepare(common::scripted_block(&store, height)).unwrap();
                store.commit(prepared, height).unwrap();
            }
            common::assert_scripted(&store);
        }
    }
    assert!(reached >= 12 && failed > 500, "height {reached}, {failed} failures: they missed");
}

/// The progress of a run until the disk failed.
struct Progress {
    /// The last height that was reported as durable.
    synced: u64,
    /// The last height whose commit was started.
    started: u64,
}

/// Commits blocks until the disk fails. `seed` determines which commits are unsynced.
fn commit_many(disk: &Disk, seed: u64) -> Progress {
    let mut progress = Progress { synced: 0, started: 0 };
    let Ok(store) = in_background(disk) else {
        return progress;
    };
    let mut random = Random::from(seed);
    for height in 1..=40 {
        let Ok(prepared) = store.prepare(common::scripted_block(&store, height)) else {
            return progress;
        };
        progress.started = height;
        let unsynced = random.one_in(3);
        let committed = match unsynced {
            true => store.commit_unsynced(prepared, height),
            false => store.commit(prepared, height),
        };
        if committed.is_err() {
            return progress;
        }
        if !unsynced {
            progress.synced = height;
        }
    }
    progress
}

/// Opens a store that writes checkpoints in the background nearly all the time.
fn in_background(disk: &Disk) -> Result<Store, capstan_store::Error> {
    let options = Options { journal_bytes: 70_000, ..Options::default() };
    Store::on_backends(disk.file(0), disk.file(1), options)
}

/// Opens a store that writes a checkpoint within every other commit.
fn on(disk: &Disk) -> Result<Store, capstan_store::Error> {
    let options = Options { journal_bytes: 100_000, background: false, ..Options::default() };
    Store::on_backends(disk.file(0), disk.file(1), options)
}

/// Opens the store on `disk` and commits one block. Returns whether the commit was reported as done.
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
