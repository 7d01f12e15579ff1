//! What a snapshot of the state carries besides the trees: the other node has all that it needs and no more, and takes
//! nothing that the state does not bind.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod support;

use capstan_kernel::{
    policy::{BlockPolicy, CleanupCounts},
    sync::{Sink, Source},
    view,
};
use capstan_kernel_ports::{
    Hash,
    artifact::{ArtifactError, ArtifactSink as _, ArtifactSource as _, WriteLocal},
    memory::MemoryState,
    store::{Entry, LOCAL, Overlay as _, Read, StoreFault},
};
use serde_json::json;
use support::{hoard::Hoard, script::Stage};

/// A state that is being restored.
#[derive(Default)]
struct Restored(MemoryState);

impl Read for Restored {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        self.0.get(key)
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        self.0.next_after(prefix, after)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        self.0.blob(hash)
    }
}

impl WriteLocal for Restored {
    fn set_local(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
        assert!(key.starts_with(LOCAL));
        self.0.set(key, value.to_vec());
        Ok(())
    }

    fn put_blob(&mut self, bytes: &[u8]) -> Result<Hash, StoreFault> {
        Ok(self.0.put_blob(bytes.to_vec()))
    }
}

fn artifacts(state: &MemoryState) -> Vec<Vec<u8>> {
    let mut source = Source::new(state).unwrap();
    std::iter::from_fn(|| source.next(state).unwrap()).collect()
}

/// Restores a state from its entries and these artifacts. The sink is another one after each of them.
fn restore(state: &MemoryState, artifacts: &[Vec<u8>]) -> Result<Restored, ArtifactError> {
    let (restored, outcome) = attempt(state, artifacts);
    outcome.map(|()| restored)
}

/// The same, with what was written until the error.
fn attempt(state: &MemoryState, artifacts: &[Vec<u8>]) -> (Restored, Result<(), ArtifactError>) {
    let mut restored = Restored::default();
    let outcome = restore_into(&mut restored, state, artifacts);
    (restored, outcome)
}

fn restore_into(
    restored: &mut Restored,
    state: &MemoryState,
    artifacts: &[Vec<u8>],
) -> Result<(), ArtifactError> {
    let mut sink = Sink::default();
    for (key, value) in state.scan(b"").unwrap() {
        if !key.starts_with(LOCAL) {
            restored.0.set(&key, value.clone());
            sink.entry(&key, &value, restored)?;
        }
    }
    for artifact in artifacts {
        sink.artifact(artifact, restored)?;
        let position = sink.position();
        sink = Sink::default();
        sink.resume(&position)?;
    }
    sink.finish(restored)
}

/// The entries of all transcripts.
fn transcripts(state: &Restored) -> Vec<Vec<u8>> {
    state.0.scan(b"local.k.t.").unwrap().into_iter().map(|(_, entry)| entry).collect()
}

fn is_entry(artifact: &[u8], transcripts: &[Vec<u8>]) -> bool {
    artifact.get(32..).is_some_and(|entry| transcripts.iter().any(|other| other == entry))
}

fn assert_same(state: &MemoryState) {
    let restored = restore(state, &artifacts(state)).unwrap();
    let needed = view::NeededLocal::of(state).unwrap();
    let mut expected = state.scan(b"").unwrap();
    expected.retain(|(key, _)| !key.starts_with(LOCAL) || needed.includes(key));
    assert!(restored.0.scan(b"").unwrap() == expected, "the same entries");
    view::check_local(&restored.0).unwrap();
    assert_eq!(artifacts(state), artifacts(&restored.0), "a snapshot of the snapshot");
}

fn stage() -> Stage {
    let mut stage = Stage::new(&["one", "two"], |config| {
        // This host has no images of heaps, and the state binds a transcript only from the last snapshot on.
        config.options.snapshot_initial = 1_000;
        config.options.snapshot_interval = 1_000;
    });
    stage.perform("one", json!([["send", "o-50", "#[\"m\",[\"$0\"]]", ["o+5"], "p+6"]])).unwrap();
    stage.kernel.provision(&mut stage.state, "account").unwrap();
    stage.run();
    stage
}

#[test]
fn another_node_has_the_same_records_whatever_ended() {
    let mut stage = stage();
    assert_same(&stage.state);
    stage.perform("two", json!([["exit", true, "#\"gone\""]])).unwrap_err();
    assert_same(&stage.state);
}

#[test]
fn a_vat_that_is_being_cleaned_up_leaves_nothing_that_is_missed() {
    let mut hoard = Hoard::new(100);
    assert_same(&hoard.state);
    hoard.end();
    while !hoard.is_clean() {
        assert_same(&hoard.state);
        hoard.block(&mut BlockPolicy {
            computrons_left: 1_000_000,
            computrons_spent: 0,
            vat_creation: 0,
            crank: 10,
            write: 0,
            write_byte: 0,
            snapshot: 0,
            page: 0,
            cleanup: Some(CleanupCounts::uniform(3)),
        });
    }
    assert_same(&hoard.state);
}

#[test]
fn an_artifact_that_is_changed_missing_or_elsewhere_is_refused() {
    let state = stage().state;
    let all = artifacts(&state);
    assert!(all.len() > 5, "{} artifacts", all.len());
    for index in 0..all.len() {
        let mut changed = all.clone();
        changed[index].push(0);
        assert!(restore(&state, &changed).is_err(), "{index} is longer");
        let missing = [&all[..index], &all[index + 1..]].concat();
        assert!(restore(&state, &missing).is_err(), "{index} is missing");
        let twice = [&all[..=index], &all[index..]].concat();
        assert!(restore(&state, &twice).is_err(), "{index} comes twice");
    }
    for index in 1..all.len() {
        if all[index - 1] != all[index] {
            let mut swapped = all.clone();
            swapped.swap(index - 1, index);
            assert!(restore(&state, &swapped).is_err(), "{index} is swapped");
        }
    }
    // An entry of a transcript is refused before it is written, also if those after it fit to it.
    let honest = transcripts(&restore(&state, &all).unwrap());
    let entries: Vec<usize> = (0..all.len()).filter(|at| is_entry(&all[*at], &honest)).collect();
    assert!(entries.len() > 5, "{entries:?}");
    for index in entries {
        let mut forged = all.clone();
        let last = forged[index].len() - 1;
        forged[index][last] ^= 1;
        let (restored, outcome) = attempt(&state, &forged);
        assert!(matches!(outcome, Err(ArtifactError::Wrong(_))), "{index}: {outcome:?}");
        let written = transcripts(&restored);
        assert!(written.iter().all(|entry| honest.contains(entry)), "{index} was written");
        let short = [&all[..index], &[vec![0; 31]], &all[index + 1..]].concat();
        assert!(restore(&state, &short).is_err(), "{index} is too short");
    }
    let mut lost = stage().state;
    let (key, _) = lost.scan(b"local.k.t.").unwrap().swap_remove(0);
    lost.delete(&key);
    let mut source = Source::new(&lost).unwrap();
    let missing = loop {
        match source.next(&lost) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing is missing"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(missing.contains("is not on this node"), "{missing}");
}
