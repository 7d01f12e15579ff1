//! The limits of keys and values, at the last accepted and the first refused length.
#![allow(clippy::unwrap_used)]

mod common;

use capstan_kernel_ports::store::{LOCAL, MAX_KEY_BYTES, MAX_VALUE_BYTES, Overlay, Read};
use capstan_store::{Error, Expected, Import, Local, Options, Store};

/// Returns two keys of this length: a plain one and a node-local one.
fn keys(length: usize) -> [Vec<u8>; 2] {
    [Vec::new(), LOCAL.to_vec()].map(|mut key| {
        key.resize(length, b'k');
        key
    })
}

#[test]
fn keys_up_to_the_limit_go_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let [key, local] = keys(MAX_KEY_BYTES);
    let root = common::commit_entries(&store, &[(&key, b"1"), (&local, b"2"), (b"z", b"3")]);
    drop(store);
    let store =
        Store::open(dir.path(), Options { check_integrity: true, ..Options::default() }).unwrap();
    let state = store.reader();
    assert_eq!(state.root(), root);
    assert_eq!(state.get(&key).unwrap(), Some(b"1".to_vec()));
    assert_eq!(state.get(&local).unwrap(), Some(b"2".to_vec()));
    assert_eq!(state.next_after(b"", &key[..9]).unwrap(), Some((key.clone(), b"1".to_vec())));
    assert_eq!(state.next_after(b"", &key).unwrap().map(|(key, _)| key), Some(local.clone()));
    let copied = tempfile::tempdir().unwrap();
    let expected = Expected { height: store.height(), app_hash: store.app_hash(), local: true };
    let mut import = Import::begin(copied.path(), Options::default(), expected).unwrap();
    for chunk in state.export(10_000, Local::all()) {
        import.chunk(&chunk.unwrap()).unwrap();
    }
    let copy = import.finish().unwrap();
    assert_eq!(common::all(&copy.reader()), common::all(&state));
    common::commit(&copy, |block| [&key, &local].iter().for_each(|key| block.delete(key)));
    assert_eq!(common::all(&copy.reader()), [(b"z".to_vec(), b"3".to_vec())]);
}

#[test]
fn what_is_longer_is_refused_before_anything_is_written() {
    let store = Store::in_memory().unwrap();
    let root = common::commit_entries(&store, &[(b"a", b"1")]);
    let refused = |write: &dyn Fn(&mut capstan_store::Block), length: usize, most: usize| {
        let mut block = store.begin_block();
        write(&mut block);
        let error = store.prepare(block).unwrap_err();
        assert!(
            matches!(error, Error::TooLong { size, limit, .. } if (size, limit) == (length, most)),
            "{error}"
        );
        assert_eq!((store.root(), store.height()), (root, 1));
    };
    for key in keys(MAX_KEY_BYTES + 1) {
        refused(&|block| block.set(&key, Vec::new()), MAX_KEY_BYTES + 1, MAX_KEY_BYTES);
        refused(&|block| block.delete(&key), MAX_KEY_BYTES + 1, MAX_KEY_BYTES);
    }
    // Untouched zero pages take no memory.
    let long = || vec![0; MAX_VALUE_BYTES + 1];
    refused(&|block| block.set(b"b", long()), MAX_VALUE_BYTES + 1, MAX_VALUE_BYTES);
    refused(&|block| block.set(b"local.b", long()), MAX_VALUE_BYTES + 1, MAX_VALUE_BYTES);
    refused(&|block| _ = block.put_blob(long()), MAX_VALUE_BYTES + 1, MAX_VALUE_BYTES);
    common::commit_entries(&store, &[(b"a", b"2")]);
}

#[test]
fn a_vats_longest_key_has_room_for_what_the_kernel_puts_before_it() {
    assert_eq!(MAX_KEY_BYTES, 65_536 + 1_024);
}
