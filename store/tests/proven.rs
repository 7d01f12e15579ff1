//! The proven tree: its hashes are IAVL's, and every proof of it is one for verifiers of ICS-23.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, store::Overlay};
use capstan_store::{Error, Expected, Import, Local, Options, PROVEN_STORE, StateView, Store};
use common::Random;
use ics23::{CommitmentProof, HostFunctionsManager, iavl_spec, tendermint_spec};
use prost::Message as _;

type Records = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Commits changes of the proven tree, and a state that differs in every block.
fn commit(store: &Store, height: u64, records: Records) {
    let mut block = store.begin_block();
    block.set(b"height", height.to_be_bytes().to_vec());
    block.set_proven(height, records);
    let prepared = store.prepare(block).unwrap();
    let app_hash = prepared.app_hash();
    store.commit(prepared, height).unwrap();
    assert_eq!(store.app_hash(), app_hash);
}

/// Verifies the proof of `key` at `height` as others do, from the app hash. Returns the value and the proven root.
fn verified(
    state: &StateView,
    app_hash: Hash,
    key: &[u8],
    height: u64,
) -> (Option<Vec<u8>>, Vec<u8>) {
    type Sha = HostFunctionsManager;
    let record = state.record(key, height, true).unwrap().expect("a kept height");
    let proof = record.proof.unwrap();
    let store = CommitmentProof::decode(&*proof.store).unwrap();
    let Some(ics23::commitment_proof::Proof::Exist(exist)) = &store.proof else {
        panic!("{store:?}")
    };
    let (root, name) = (exist.value.clone(), PROVEN_STORE.as_bytes());
    let (simple, iavl) = (tendermint_spec(), iavl_spec());
    let above = app_hash.0.to_vec();
    assert!(ics23::verify_membership::<Sha>(&store, &simple, &above, name, &root));
    let proof = CommitmentProof::decode(&*proof.record).unwrap();
    match &record.value {
        Some(value) => {
            assert!(ics23::verify_membership::<Sha>(&proof, &iavl, &root, key, value));
            assert!(!ics23::verify_membership::<Sha>(&proof, &iavl, &root, key, b"other"));
        }
        None => assert!(ics23::verify_non_membership::<Sha>(&proof, &iavl, &root, key)),
    }
    assert_eq!(state.record(key, height, false).unwrap().unwrap().value, record.value);
    (record.value, root)
}

fn records(changes: &[(&str, Option<&str>)]) -> Records {
    let bytes = |text: &str| text.as_bytes().to_vec();
    changes.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect()
}

/// The file was written by the program beside it.
#[test]
fn roots_are_those_of_iavl() {
    let store = Store::in_memory().unwrap();
    let (mut changes, mut commits) = (Records::new(), 0);
    for line in include_str!("iavl/roots.txt").lines() {
        match *line.split(' ').collect::<Vec<_>>() {
            ["set", key, value] => {
                changes.insert(key.into(), Some(value.into()));
            }
            ["remove", key] => {
                changes.insert(key.into(), None);
            }
            ["commit", version, root] => {
                let height = version.parse().unwrap();
                commit(&store, height, std::mem::take(&mut changes));
                let (_, found) = verified(&store.reader(), store.app_hash(), b"k/none", height);
                assert_eq!(Hash(found.try_into().unwrap()).to_string(), root, "{version}");
                commits += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(commits, 120);
    store.reader().check_integrity().unwrap();
}

/// Changes of a block that depend on its height only, over keys few enough to be hit again.
fn script(height: u64) -> Records {
    let mut random = Random::from(height);
    let count = random.below(12);
    let change = |random: &mut Random| {
        let key = format!("r/{}", random.below(60)).into_bytes();
        (key, (!random.one_in(3)).then(|| format!("{height}").into_bytes()))
    };
    (0..count).map(|_| change(&mut random)).collect()
}

#[test]
fn every_kept_height_proves_what_was_and_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        || Options { retain_heights: 7, journal_bytes: 0, background: false, ..Options::default() };
    let mut store = Store::open(dir.path(), options()).unwrap();
    let mut models = vec![(BTreeMap::<Vec<u8>, Vec<u8>>::new(), store.app_hash())];
    for height in 1..=60 {
        let mut model = models.last().unwrap().0.clone();
        let changes = script(height);
        for (key, value) in &changes {
            match value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(key)),
            }
        }
        commit(&store, height, changes);
        models.push((model, store.app_hash()));
        if height % 20 == 0 {
            drop(store);
            store = Store::open(dir.path(), options()).unwrap();
        }
        let state = store.reader();
        for past in height.saturating_sub(7).max(1)..=height {
            let (model, app_hash) = &models[past as usize];
            assert_eq!(state.app_hash_at(past).unwrap().as_ref(), Some(app_hash), "{past}");
            for key in (0..62).step_by(1 + height as usize % 9).map(|n| format!("r/{n}")) {
                if model.is_empty() {
                    continue; // nothing can prove the absence from an empty tree
                }
                let (value, _) = verified(&state, *app_hash, key.as_bytes(), past);
                assert_eq!(value.as_ref(), model.get(key.as_bytes()), "{key} at {past}");
            }
        }
    }
    let state = store.reader();
    assert!(state.record(b"r/1", 61, false).unwrap().is_none(), "not yet");
    assert!(state.record(b"r/1", 51, false).unwrap().is_none(), "no longer");
    assert!(state.first_height().unwrap().unwrap() >= 52);
    state.check_integrity().unwrap();
}

#[test]
fn old_nodes_are_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retain_heights: 3, ..Options::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let count = |store: &Store| {
        use capstan_kernel_ports::store::Read as _;
        store.reader().scan(b"local.proven.").unwrap().len()
    };
    for height in 1..=40 {
        let change = |n: u64| (format!("k{n}").into_bytes(), Some(height.to_string().into()));
        commit(&store, height, (0..20).map(change).collect());
    }
    // Four or five versions of 39 nodes each, a record of each version, its orphans, and what is kept.
    assert!(count(&store) <= 5 * (39 + 2) + 1, "{}", count(&store));
}

#[test]
fn a_block_without_changes_writes_nothing() {
    let store = Store::in_memory().unwrap();
    commit(&store, 1, records(&[("a", Some("1"))]));
    let mut block = store.begin_block();
    block.set_proven(2, records(&[("a", Some("1")), ("b", None)]));
    let prepared = store.prepare(block).unwrap();
    assert_eq!(prepared.app_hash(), store.app_hash());
    store.commit(prepared, 2).unwrap();
    let (value, _) = verified(&store.reader(), store.app_hash(), b"a", 2);
    assert_eq!(value.as_deref(), Some(&b"1"[..]));
    assert_eq!(store.reader().first_height().unwrap(), Some(1));
}

fn imported(chunk: &[u8], app_hash: Hash) -> Result<Store, capstan_store::Error> {
    let dir = tempfile::tempdir().unwrap();
    let expected = Expected { height: 9, app_hash, local: false };
    let mut import = Import::begin(dir.path(), Options::default(), expected)?;
    import.chunk(chunk)?;
    import.finish()
}

#[test]
fn an_export_carries_the_last_version_and_an_import_checks_it() {
    let store = Store::in_memory().unwrap();
    (1..=9).for_each(|height| commit(&store, height, script(height)));
    let stream: Vec<u8> =
        store.reader().export(1 << 20, Local::Without).flat_map(Result::unwrap).collect();
    let copy = imported(&stream, store.app_hash()).unwrap();
    assert_eq!(copy.app_hash(), store.app_hash());
    let again: Vec<u8> =
        copy.reader().export(1 << 20, Local::Without).flat_map(Result::unwrap).collect();
    assert!(again == stream);
    for store in [&store, &copy] {
        (10..=30).for_each(|height| commit(store, height, script(height)));
    }
    assert_eq!(copy.app_hash(), store.app_hash());
    verified(&copy.reader(), copy.app_hash(), b"r/7", 30);

    // A proven value that is not the one under the root.
    let at = stream
        .windows(4)
        .position(|bytes| bytes == b"r/40")
        .or_else(|| stream.windows(2).position(|bytes| bytes == b"r/"));
    let mut forged = stream.clone();
    forged[at.unwrap() + 2] ^= 1;
    let refused = imported(&forged, store.reader().app_hash_at(9).unwrap().unwrap());
    assert!(refused.is_err());
    assert!(imported(&stream, Hash([1; 32])).is_err());
}

#[test]
fn nothing_can_be_proved_about_an_empty_tree() {
    let store = Store::in_memory().unwrap();
    commit(&store, 1, Records::new());
    let state = store.reader();
    assert!(matches!(state.record(b"a", 1, true), Err(capstan_store::Error::NothingToProve)));
    assert_eq!(state.record(b"a", 1, false).unwrap().unwrap().value, None);
}

#[test]
fn past_states_are_read_within_the_bounds() {
    use capstan_kernel_ports::store::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { retain_heights: 5, background: false, ..Options::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    let past = store.past();
    for height in 1..=20 {
        commit(&store, height, Records::new());
        for kept in height.saturating_sub(5).max(1)..=height {
            let state = past.at(kept).unwrap();
            assert_eq!(state.get(b"height").unwrap(), Some(kept.to_be_bytes().to_vec()));
        }
        assert!(height < 6 || past.at(height - 6).is_none());
        assert!(past.at(height + 1).is_none());
    }
    assert_eq!(past.first_height(), Some(15));
    let before: Vec<_> = (15..=20).map(|at| common::all(&past.at(at).unwrap())).collect();
    drop((past, store));
    // The journal has all heights, so an opening makes their states again, but for their trees.
    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!((store.past().first_height(), store.height()), (Some(15), 20));
    for height in 15..=20u64 {
        let state = store.past().at(height).unwrap();
        assert_eq!(state.get(b"height").unwrap(), Some(height.to_be_bytes().to_vec()));
        let known = store.reader().app_hash_at(height).unwrap().unwrap();
        assert_eq!((state.height(), state.app_hash()), (height, known));
        assert_eq!(common::all(&state), before[height as usize - 15]);
        let checked = state.check_integrity();
        match height {
            20 => assert!(checked.is_ok()),
            _ => assert!(matches!(checked, Err(Error::NoTree(at)) if at == height)),
        }
    }
    drop(store);
    // Fewer, if fewer are asked for.
    let fewer = Options { retain_heights: 2, ..options() };
    assert_eq!(Store::open(dir.path(), fewer).unwrap().past().first_height(), Some(18));
    // With a small journal, what changed between the states is too much to keep more than one.
    let store = Store::open(dir.path(), Options { journal_bytes: 0, ..options() }).unwrap();
    (21..=25).for_each(|height| commit(&store, height, Records::new()));
    assert_eq!(store.past().first_height(), Some(25));
}

#[test]
fn an_opening_makes_past_states_from_the_last_checkpoint_on() {
    use capstan_kernel_ports::store::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let journal = 12 << 10;
    let options = || Options {
        journal_bytes: journal,
        background: false,
        retain_heights: 8,
        ..Options::default()
    };
    let mut seen = std::collections::BTreeSet::new();
    for height in 1..=40 {
        let store = Store::open(dir.path(), options()).unwrap();
        let past = store.past();
        let first = past.first_height().unwrap();
        assert_eq!(store.height(), height - 1);
        for height in first.max(1)..height {
            let state = past.at(height).unwrap();
            assert_eq!(state.get(b"height").unwrap(), Some(height.to_be_bytes().to_vec()));
        }
        store.reader().check_integrity().unwrap();
        seen.insert(store.height() - first);
        commit(&store, height, Records::new());
    }
    assert!(seen.len() > 2 && seen.contains(&0), "heights before the last one: {seen:?}");
}

#[test]
fn blocks_that_change_nothing_have_past_states_after_an_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    commit(&store, 1, Records::new());
    for height in 2..=4 {
        store.commit(store.prepare(store.begin_block()).unwrap(), height).unwrap();
    }
    commit(&store, 5, Records::new());
    let before: Vec<_> = (1..=5).map(|at| store.past().at(at).unwrap().app_hash()).collect();
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    for (height, app_hash) in (1..).zip(before) {
        let state = store.past().at(height).unwrap();
        assert_eq!((state.height(), state.app_hash()), (height, app_hash));
    }
    assert!(store.past().at(6).is_none());
}
