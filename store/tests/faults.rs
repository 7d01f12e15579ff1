//! Failures of the medium reach the caller with their kind.
#![allow(clippy::unwrap_used, reason = "tests")]

use capstan_kernel_ports::store::{Overlay, StoreFault};
use capstan_store::{Error, Options, Store};
use capstan_test_disk::Disk;

/// Commits a block that does not fit in memory pages already allocated, on a disk that `break_disk` has broken.
fn commit_on(break_disk: impl FnOnce(&Disk)) -> Error {
    let disk = Disk::default();
    let options = Options { background: false, ..Options::default() };
    let store = Store::on_backends(disk.file(0), disk.file(1), options).unwrap();
    let mut block = store.begin_block();
    (0..64_u8).for_each(|i| block.set(&[1, i], vec![i; 64 << 10]));
    let prepared = store.prepare(block).unwrap();
    break_disk(&disk);
    store.commit(prepared, 1).unwrap_err()
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let error = commit_on(|disk| disk.set_capacity(Some(disk.size_bytes())));
    assert!(matches!(error, Error::DiskFull(_)), "{error:?}");
    assert!(matches!(StoreFault::from(error), StoreFault::DiskFull(_)));

    let error = commit_on(|disk| disk.fail_after(0));
    assert!(matches!(error, Error::DatabaseIo(_)), "{error:?}");
    assert!(matches!(StoreFault::from(error), StoreFault::Io(_)));
}

#[test]
fn damage_and_misuse_are_faults_of_their_own() {
    let damaged = StoreFault::from(Error::Damaged("a page".to_owned()));
    assert!(matches!(damaged, StoreFault::Damaged(_)));
    assert!(damaged.cause().downcast_ref::<Error>().is_some());
    assert!(matches!(StoreFault::from(Error::EmptyKey), StoreFault::Misuse(_)));
}
