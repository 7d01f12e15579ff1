//! An import gives the exported state, or is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{fs, path::Path};

use capstan_kernel_ports::{
    Hash,
    store::{Overlay, Read},
};
use capstan_store::{Error, Expected, FILE, Import, Local, Options, Store};
use common::Random;

/// Returns a store with long keys, a large blob, an empty value, node-local keys and several blocks.
fn source() -> Store {
    let store = Store::in_memory().unwrap();
    for height in 1..=12 {
        let mut block = common::scripted_block(&store, height);
        block.set(&vec![b'k'; 300 + height as usize], vec![height as u8; 3]);
        block.set(b"empty", Vec::new());
        store.commit(store.prepare(block).unwrap(), height).unwrap();
    }
    common::commit(&store, |block| {
        block.put_blob(Random::from(1).bytes(300_000));
    });
    store
}

fn expected(store: &Store, local: bool) -> Expected {
    Expected { height: store.height(), app_hash: store.app_hash(), local }
}

fn chunks(store: &Store, size: usize, local: bool) -> Vec<Vec<u8>> {
    store
        .reader()
        .export(size, if local { Local::all() } else { Local::Without })
        .map(Result::unwrap)
        .collect()
}

fn import(dir: &Path, expected: Expected, chunks: &[Vec<u8>]) -> Result<Store, Error> {
    let mut import = Import::begin(dir, Options::default(), expected)?;
    for chunk in chunks {
        import.chunk(chunk)?;
    }
    import.finish()
}

#[test]
fn gives_the_same_state_whatever_the_chunk_size() {
    let source = source();
    for (size, local) in [(1 << 20, true), (50_000, false), (997, true), (64, false)] {
        let dir = tempfile::tempdir().unwrap();
        let chunks = chunks(&source, size, local);
        assert!(chunks.iter().all(|chunk| chunk.len() <= size));
        let copy = import(dir.path(), expected(&source, local), &chunks).unwrap();
        assert_eq!((copy.height(), copy.root()), (source.height(), source.root()));
        let mut entries = common::all(&source.reader());
        entries.retain(|(key, _)| local || !key.starts_with(b"local."));
        assert_eq!(common::all(&copy.reader()), entries);
        for height in 1..=12 {
            let blob = common::script_blob(height);
            let hash = source.begin_block().put_blob(blob.clone());
            assert_eq!(copy.reader().blob(&hash).unwrap(), Some(blob));
        }
    }
}

#[test]
fn the_copy_goes_on_like_the_original() {
    // Later roots depend on the shape of the tree, which depends on its history. So the export must contain it.
    let source = source();
    let dir = tempfile::tempdir().unwrap();
    let copy = import(dir.path(), expected(&source, true), &chunks(&source, 4096, true)).unwrap();
    for height in 14..60 {
        for store in [&source, &copy] {
            let prepared = store.prepare(common::scripted_block(store, height)).unwrap();
            store.commit(prepared, height).unwrap();
        }
        assert_eq!(source.root(), copy.root(), "at height {height}");
    }
    let reopened = {
        drop(copy);
        Store::open(dir.path(), Options::default()).unwrap()
    };
    reopened.reader().check_integrity().unwrap();
    assert_eq!(chunks(&reopened, 9999, true), chunks(&source, 9999, true));
}

#[test]
fn the_empty_state_can_travel_too() {
    let source = Store::in_memory().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = import(dir.path(), expected(&source, false), &chunks(&source, 100, false)).unwrap();
    assert_eq!((copy.height(), copy.root()), (0, Hash::default()));
}

#[test]
fn an_export_is_of_its_snapshot_while_the_chain_goes_on() {
    let source = source();
    let expected = expected(&source, false);
    let mut export = source.reader().export(1000, Local::Without);
    let mut chunks = vec![export.next().unwrap().unwrap()];
    common::commit_entries(&source, &[(b"later", b"x"), (b"height", b"other")]);
    chunks.extend(export.map(Result::unwrap));
    let dir = tempfile::tempdir().unwrap();
    let copy = import(dir.path(), expected, &chunks).unwrap();
    assert_eq!(copy.reader().get(b"later").unwrap(), None);
    assert_ne!(copy.root(), source.root());
}

#[test]
fn a_forged_value_is_found_under_the_right_root() {
    // grovedb-merk 6.1.1's own restorer accepts this: all hashes of the tree are right, but the
    // value next to them is not.
    let source = source();
    let honest = chunks(&source, usize::MAX, false).concat();
    for forged in [
        replace(&honest, b"\x0C", b"\x0D", b"height\0\0\0\0\0\0\0"),
        replace(&honest, b"k\x0C\x0C\x0C", b"k\x0C\x0C\x0D", b""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = import(dir.path(), expected(&source, false), &[forged]).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
        assert_nothing_left(dir.path());
    }
}

/// Returns `stream` with the first `from` after `after` replaced by `to`.
fn replace(stream: &[u8], from: &[u8], to: &[u8], after: &[u8]) -> Vec<u8> {
    let wanted = [after, from].concat();
    let at = stream.windows(wanted.len()).position(|window| window == wanted);
    let at = at.expect("the bytes to replace are in the stream") + after.len();
    [&stream[..at], to, &stream[at + from.len()..]].concat()
}

#[test]
fn any_change_to_the_stream_is_found() {
    let source = source();
    let expected = expected(&source, false);
    let honest = chunks(&source, usize::MAX, false).concat();
    let mut random = Random::seeded(9);
    for round in 0..150 {
        let mut bytes = honest.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, random.number() as u8),
        }
        if bytes == honest {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let result = import(dir.path(), expected, &[bytes]);
        assert!(result.is_err(), "round {round}: a change at {at} was not found");
        drop(result);
        assert_nothing_left(dir.path());
    }
}

#[test]
fn more_or_other_chunks_are_refused() {
    let source = source();
    let chunks = chunks(&source, 1000, false);
    let ask = expected(&source, false);
    let refused = |expected: Expected, chunks: &[Vec<u8>]| {
        let dir = tempfile::tempdir().unwrap();
        let error = import(dir.path(), expected, chunks).unwrap_err();
        assert_nothing_left(dir.path());
        error.to_string()
    };
    assert!(refused(ask, &[]).contains("ends early"));
    assert!(refused(ask, &chunks[..5]).contains("ends early"));
    let twice = [chunks.clone(), chunks.clone()].concat();
    assert!(refused(ask, &twice).contains("out of order"));
    let extra = [chunks.clone(), vec![vec![1]]].concat();
    assert!(refused(ask, &extra).contains("ends early"));
    let height = Expected { height: 3, ..ask };
    assert!(refused(height, &chunks).contains("of height 13, expected 3"));
    let root = Expected { app_hash: Hash([9; 32]), ..ask };
    assert!(refused(root, &chunks).contains("its root is"));
    let local = self::chunks(&source, 1000, true);
    assert!(refused(ask, &local).contains("local keys"));
    assert!(refused(ask, &[vec![0xFF; 500]]).contains("unknown kind"));
    assert!(refused(ask, &[vec![4; 500]]).contains("in one part"));
}

#[test]
fn a_directory_that_is_in_use_is_refused() {
    let source = source();
    let dir = tempfile::tempdir().unwrap();
    let begin = || Import::begin(dir.path(), Options::default(), expected(&source, false));
    let first = begin().unwrap();
    assert!(matches!(begin(), Err(Error::Locked { .. })));
    drop(first);
    assert_nothing_left(dir.path());
    fs::write(dir.path().join(format!("{FILE}.import")), b"left by a crash").unwrap();
    drop(begin().unwrap());
    drop(Store::open(dir.path(), Options::default()).unwrap());
    assert!(matches!(begin(), Err(Error::Exists { .. })));
}

fn assert_nothing_left(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
