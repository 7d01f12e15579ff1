//! A snapshot restores the very state, and whatever is changed in it is noticed at the chunk where it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use capstan_kernel_ports::{
    Hash,
    artifact::{ArtifactError, ArtifactSink, ArtifactSource, WriteLocal},
    store::{Entry, LOCAL, Overlay, PROVEN, Read},
};
use capstan_store::{
    ChunkError, Error, Options, Restore, Restored, SnapshotHead, StateView, Store, chunk_hash,
    forget_restoration,
};
use capstan_test_disk::Disk;
use common::Random;

/// Prefix of the entries that bind blobs.
const BLOBS: &[u8] = b"blob.";
/// Prefix of the entries from which node-local ones follow.
const DERIVED: &[u8] = b"d.";
const CHUNK_BYTES: u32 = 2048;

/// The blobs that the state names, in the order of its keys.
#[derive(Clone, Default)]
struct Blobs {
    after: Vec<u8>,
}

impl Blobs {
    fn next_hash(&mut self, state: &(impl Read + ?Sized)) -> Result<Option<Hash>, ArtifactError> {
        let after = if self.after.is_empty() { BLOBS.to_vec() } else { self.after.clone() };
        let Some((key, value)) = state.next_after(BLOBS, &after)? else { return Ok(None) };
        self.after = key;
        let hash = value.try_into().map_err(|_| ArtifactError::Wrong("no hash".into()))?;
        Ok(Some(Hash(hash)))
    }
}

impl ArtifactSource for Blobs {
    fn next(&mut self, state: &dyn Read) -> Result<Option<Vec<u8>>, ArtifactError> {
        let Some(hash) = self.next_hash(state)? else { return Ok(None) };
        Ok(state.blob(&hash)?)
    }
}

impl ArtifactSink for Blobs {
    fn entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        state: &mut dyn WriteLocal,
    ) -> Result<(), ArtifactError> {
        if key.starts_with(DERIVED) {
            state.set_local(&derived_key(key), value)?;
        }
        Ok(())
    }

    fn artifact(&mut self, bytes: &[u8], state: &mut dyn WriteLocal) -> Result<(), ArtifactError> {
        let wanted = self.next_hash(state)?;
        match wanted == Some(chunk_hash(bytes)) {
            true => Ok(state.put_blob(bytes).map(drop)?),
            false => Err(ArtifactError::Wrong("a blob is not what its hash says".into())),
        }
    }

    fn finish(&mut self, state: &mut dyn WriteLocal) -> Result<(), ArtifactError> {
        match self.next_hash(state)? {
            None => Ok(()),
            Some(_) => Err(ArtifactError::Wrong("a blob is missing".into())),
        }
    }

    fn position(&self) -> Vec<u8> {
        self.after.clone()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), ArtifactError> {
        self.after = position.to_vec();
        Ok(())
    }
}

fn derived_key(key: &[u8]) -> Vec<u8> {
    [LOCAL, key].concat()
}

/// Commits scripted blocks: entries, long keys, long values, blobs, records of the proven tree and node-local entries.
fn commit_scripted(store: &Store, heights: std::ops::RangeInclusive<u64>) {
    for height in heights {
        let mut block = common::scripted_block(store, height);
        let mut random = Random::from(height + 1000);
        for _ in 0..3 {
            let blob = random.bytes(3000);
            let hash = block.put_blob(blob);
            block.set(&[BLOBS, &hash.0].concat(), hash.0.to_vec());
        }
        for _ in 0..4 {
            let key = [vec![b'k'; 250], random.bytes(40)].concat();
            block.set(&key, random.bytes(30));
            let name = format!("d.{}", random.below(20)).into_bytes();
            block.set(&name, random.bytes(10));
            block.set(&derived_key(&name), block.get(&name).unwrap().unwrap());
        }
        block.set(b"zz.long", random.bytes(9000));
        block.set(b"local.own", random.bytes(10));
        let records: BTreeMap<_, _> = (0..20)
            .map(|_| {
                let key = format!("r/{}", random.below(60)).into_bytes();
                (key, (!random.one_in(5)).then(|| random.bytes(30)))
            })
            .collect();
        block.set_proven(height, records);
        let prepared = store.prepare(block).unwrap();
        store.commit(prepared, height).unwrap();
    }
}

fn scripted(options: Options, disk: &Disk) -> Store {
    Store::on_backends(disk.file(0), disk.file(1), options).unwrap()
}

/// A snapshot in memory: its chunks by number.
#[derive(Clone)]
struct Snapshot {
    head: SnapshotHead,
    chunks: Vec<Vec<u8>>,
}

fn snapshot(state: &StateView) -> Snapshot {
    let mut chunks = BTreeMap::new();
    let head = state
        .snapshot(b"about".to_vec(), &mut Blobs::default(), CHUNK_BYTES, &mut |index, bytes| {
            assert!(chunks.insert(index, bytes.to_vec()).is_none());
            Ok(())
        })
        .unwrap();
    let chunks: Vec<_> = chunks.into_values().collect();
    assert_eq!(SnapshotHead::decode(&chunks[0]).unwrap(), head);
    assert_eq!(chunks.len(), head.chunk_count() as usize);
    Snapshot { head, chunks }
}

/// Restores a snapshot on a new disk.
fn restored(snapshot: &Snapshot) -> Result<Restored, ChunkError> {
    on_disk(snapshot, &Disk::default())
}

fn on_disk(snapshot: &Snapshot, disk: &Disk) -> Result<Restored, ChunkError> {
    let mut sink = Blobs::default();
    let head = snapshot.head.clone();
    let (one, other) = (disk.file(0), disk.file(1));
    let mut restore = Restore::on_backends(one, other, options(), head, &mut sink)?;
    for index in restore.next_chunk()..snapshot.head.chunk_count() {
        restore.chunk(index, &snapshot.chunks[index as usize], &mut sink)?;
    }
    Ok(restore.finish()?)
}

fn options() -> Options {
    Options { background: false, ..Options::default() }
}

/// The entries that travel or are derived.
fn kept(state: &StateView) -> Vec<Entry> {
    let mut all = common::all(state);
    all.retain(|(key, _)| !key.starts_with(LOCAL) || key.starts_with(&derived_key(DERIVED)));
    all
}

/// Checks that a restored state is the original one, and goes on as that does.
fn assert_same(original: &Store, restored: Restored) {
    let target = Store::in_memory().unwrap();
    restored.replace(&target).unwrap();
    let (one, other) = (original.reader(), target.reader());
    assert_eq!((one.height(), one.app_hash()), (other.height(), other.app_hash()));
    assert!(kept(&one) == common::all(&other), "the same entries");
    for (_, hash) in one.scan(BLOBS).unwrap() {
        let hash = Hash(hash.try_into().unwrap());
        assert!(one.blob(&hash).unwrap().is_some());
        assert_eq!(one.blob(&hash).unwrap(), other.blob(&hash).unwrap());
    }
    for record in 0..60 {
        let key = format!("r/{record}").into_bytes();
        let read = |state: &StateView| {
            state.record(&key, one.height(), true).map_err(|error| error.to_string())
        };
        assert_eq!(read(&one), read(&other));
    }
    assert!(snapshot(&one).chunks == snapshot(&other).chunks, "a snapshot of the snapshot");
    let next = one.height() + 1;
    for store in [original, &target] {
        commit_scripted(store, next..=next + 3);
    }
    assert_eq!(original.app_hash(), target.app_hash(), "shapes and heights are the same");
    assert_eq!(target.past().first_height(), Some(one.height()));
    target.reader().check_integrity().unwrap();
}

#[test]
fn a_snapshot_restores_the_state_and_the_chain_goes_on_from_it() {
    let store = Store::in_memory().unwrap();
    for last in [1, 2, 7, 30] {
        commit_scripted(&store, store.height() + 1..=last);
        let snapshot = snapshot(&store.reader());
        assert_eq!(snapshot.head.app_hash(), store.app_hash());
        assert_same(&store, restored(&snapshot).unwrap());
    }
}

#[test]
fn an_empty_proven_tree_and_a_tree_of_one_key_are_restored() {
    let store = Store::in_memory().unwrap();
    common::commit_entries(&store, &[(b"only", b"value")]);
    assert_same(&store, restored(&snapshot(&store.reader())).unwrap());
}

#[test]
fn nodes_with_other_options_and_restarts_write_the_same_bytes() {
    let plain = Store::in_memory().unwrap();
    commit_scripted(&plain, 1..=20);
    let expected = snapshot(&plain.reader()).chunks;
    let others = [
        Options { journal_bytes: 60_000, background: false, ..Options::default() },
        Options { journal_bytes: 200_000, tree_nodes: 3, ..Options::default() },
        Options { retain_heights: 0, cache_bytes: 1 << 20, ..Options::default() },
    ];
    for options in others {
        let disk = Disk::default();
        for height in 1..=20 {
            // Opened anew for each block: nothing is in memory.
            commit_scripted(&scripted(options.clone(), &disk), height..=height);
        }
        let store = scripted(options.clone(), &disk);
        let past = store.reader();
        commit_scripted(&store, 21..=40);
        assert!(snapshot(&past).chunks == expected, "{options:?}");
    }
}

/// Names the records of a snapshot's stream: kind, start and end of its key and of its value.
fn records(stream: &[u8]) -> Vec<(u8, usize, usize, usize)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < stream.len() {
        let length =
            |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (key, value) = (length(at + 1), length(at + 5));
        found.push((stream[at], at, at + 9 + key, at + 9 + key + value));
        at += 9 + key + value;
    }
    found
}

/// The chunks and the head of a stream, as a liar makes them who names whatever he sends.
fn lying(honest: &Snapshot, stream: &[u8]) -> Snapshot {
    let chunks: Vec<_> = stream.chunks(CHUNK_BYTES as usize).map(<[u8]>::to_vec).collect();
    let head = SnapshotHead {
        bytes: stream.len() as u64,
        chunks: chunks.iter().map(|chunk| chunk_hash(chunk)).collect(),
        ..honest.head.clone()
    };
    Snapshot { chunks: [vec![head.encode()], chunks].concat(), head }
}

#[test]
fn every_flipped_byte_is_noticed_by_its_chunk_whoever_flipped_it() {
    let store = Store::in_memory().unwrap();
    commit_scripted(&store, 1..=4);
    let honest = snapshot(&store.reader());
    let stream = honest.chunks[1..].concat();
    let records = records(&stream);
    let kinds: std::collections::BTreeSet<u8> = records.iter().map(|record| record.0).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let mut random = Random::seeded(81);
    // Every byte of the first record of each kind, and of one more: head, key and value.
    let mut flips: Vec<usize> = Vec::new();
    for kind in 1..=6 {
        let of_kind: Vec<_> = records.iter().filter(|record| record.0 == kind).collect();
        for (_, start, _, end) in [of_kind[0], *random.choose(&of_kind)] {
            let step = 1 + (end - start) / 150;
            flips.extend((*start..*end).step_by(step));
        }
    }
    for at in flips {
        let mut changed = stream.clone();
        changed[at] ^= 1 << random.below(8);
        // Somebody on the way: the chunk is not the one that the head names.
        let index = at / CHUNK_BYTES as usize + 1;
        let chunk = changed.chunks(CHUNK_BYTES as usize).nth(index - 1).unwrap();
        let mut damaged = honest.clone();
        damaged.chunks[index] = chunk.to_vec();
        match restored(&damaged) {
            Err(ChunkError::Other { index: named, .. }) => assert_eq!(named as usize, index),
            other => panic!("byte {at}: {other:?}"),
        }
        // The maker of the snapshot: what it names is not the state.
        let forged = lying(&honest, &changed);
        match restored(&forged) {
            // A changed length is noticed when the record seems to be complete, or at the end.
            Err(ChunkError::Forged { index: named, .. }) => assert!(named as usize >= index),
            Err(ChunkError::Node(Error::Snapshot(_))) => {}
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn chunks_that_are_missing_reordered_or_cut_are_named() {
    let store = Store::in_memory().unwrap();
    commit_scripted(&store, 1..=6);
    let honest = snapshot(&store.reader());
    let mut sink = Blobs::default();
    let disk = Disk::default();
    let mut restore =
        Restore::on_backends(disk.file(0), disk.file(1), options(), honest.head.clone(), &mut sink)
            .unwrap();
    let count = honest.head.chunk_count();
    assert!(count > 8, "{count} chunks");
    restore.chunk(1, &honest.chunks[1], &mut sink).unwrap();
    let early = restore.chunk(3, &honest.chunks[3], &mut sink);
    assert!(matches!(early, Err(ChunkError::Early { index: 3, next: 2 })), "{early:?}");
    for wrong in [&honest.chunks[3][..], &honest.chunks[2][..2000], &[], &honest.chunks[0]] {
        let other = restore.chunk(2, wrong, &mut sink);
        assert!(matches!(other, Err(ChunkError::Other { index: 2, .. })), "{other:?}");
    }
    let beyond = restore.chunk(count, &honest.chunks[1], &mut sink);
    assert!(matches!(beyond, Err(ChunkError::Beyond(_))), "{beyond:?}");
    // The right one still counts, and one that came before is passed over.
    restore.chunk(2, &honest.chunks[2], &mut sink).unwrap();
    restore.chunk(1, &honest.chunks[9], &mut sink).unwrap();
    assert_eq!(restore.next_chunk(), 3);
    let error = restore.finish().unwrap_err().to_string();
    assert!(error.contains("ends early"), "{error}");
}

#[test]
fn a_lying_head_is_refused() {
    let store = Store::in_memory().unwrap();
    commit_scripted(&store, 1..=3);
    let honest = snapshot(&store.reader());
    let (head, bytes) = (&honest.head, &honest.chunks[0]);
    // Another root is another app hash.
    let other = SnapshotHead { root: Hash([7; 32]), ..head.clone() };
    assert_ne!(other.app_hash(), store.app_hash());
    for (wrong, part) in [
        (bytes[..10].to_vec(), "does not begin"),
        (bytes[..bytes.len() - 1].to_vec(), "malformed"),
        ([&bytes[..], &[0]].concat(), "malformed"),
        (SnapshotHead { format: 1, ..head.clone() }.encode(), "format 1"),
        (SnapshotHead { bytes: head.bytes + 5000, ..head.clone() }.encode(), "number of chunks"),
        (SnapshotHead { chunk_bytes: 3, ..head.clone() }.encode(), "too short"),
        (SnapshotHead { chunk_bytes: u32::MAX, ..head.clone() }.encode(), "too long"),
    ] {
        let error = SnapshotHead::decode(&wrong).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // A stream without its end, one with a record twice, and one with sections in another order.
    let stream = honest.chunks[1..].concat();
    let parts: Vec<_> = records(&stream)
        .into_iter()
        .map(|(kind, start, _, end)| (kind, &stream[start..end]))
        .collect();
    let joined =
        |parts: &[(u8, &[u8])]| parts.iter().map(|part| part.1).collect::<Vec<_>>().concat();
    let first_of = |kind: u8| parts.iter().position(|part| part.0 == kind).unwrap();
    let mut forgeries = vec![joined(&parts[..parts.len() - 1])];
    for kind in 1..=6 {
        let at = first_of(kind);
        forgeries.push(joined(&[&parts[..at], &parts[at..=at], &parts[at..]].concat()));
        forgeries.push(joined(&[&parts[..at], &parts[at + 1..]].concat()));
        if at > 0 {
            forgeries.push(joined(&[&parts[at..=at], &parts[..at], &parts[at + 1..]].concat()));
        }
    }
    // A key where none belongs, and a record that announces more than any state has.
    for kind in 4..=6 {
        let (at, part) = (first_of(kind), parts[first_of(kind)].1);
        let with_key = [&[kind], &1u32.to_le_bytes()[..], &part[5..9], b"k", &part[9..]].concat();
        let (before, after) = (joined(&parts[..at]), joined(&parts[at + 1..]));
        forgeries.push([before.clone(), with_key, after].concat());
        let endless =
            [&[kind], &0u32.to_le_bytes()[..], &(300u32 << 20).to_le_bytes()[..]].concat();
        forgeries.push([before, endless].concat());
    }
    for (number, forged) in forgeries.iter().enumerate() {
        let refused = restored(&lying(&honest, forged));
        let is_refused = matches!(
            refused,
            Err(ChunkError::Forged { .. } | ChunkError::Node(Error::Snapshot(_)))
        );
        assert!(is_refused, "{number}: {refused:?}");
    }
}

#[test]
fn a_crash_after_any_write_leaves_whole_chunks_and_the_rest_follows() {
    let store = Store::in_memory().unwrap();
    commit_scripted(&store, 1..=5);
    let honest = snapshot(&store.reader());
    let mut random = Random::seeded(82);
    let whole = Disk::default();
    on_disk(&honest, &whole).unwrap();
    let operations = whole.operations();
    let (mut resumed, mut step) = (0, 0);
    while step < operations + 3 {
        let disk = Disk::default();
        disk.fail_after(step);
        let mut sink = Blobs::default();
        let reached = Restore::on_backends(
            disk.file(0),
            disk.file(1),
            options(),
            honest.head.clone(),
            &mut sink,
        )
        .map(|mut restore| {
            let mut next = restore.next_chunk();
            while next < honest.head.chunk_count()
                && restore.chunk(next, &honest.chunks[next as usize], &mut sink).is_ok()
            {
                next += 1;
            }
            if next == honest.head.chunk_count() {
                drop(restore.finish());
            }
            next
        });
        let after = disk.crash(&mut random);
        let mut sink = Blobs::default();
        let (one, other) = (after.file(0), after.file(1));
        let head = honest.head.clone();
        let restore = Restore::on_backends(one, other, options(), head, &mut sink);
        let after = match (reached, restore) {
            (Ok(reached), Ok(restore)) => {
                // What was reported as taken is there, but for a record that is not complete.
                assert!(restore.next_chunk() + 6 >= reached, "{} {reached}", restore.next_chunk());
                resumed += u64::from(restore.next_chunk() > 1);
                after
            }
            (Ok(_), Err(error)) => panic!("step {step}: {error}"),
            // The files were not even made: a restoration in a directory replaces them.
            (Err(_), _) => Disk::default(),
        };
        let again = on_disk(&honest, &after).unwrap();
        assert_eq!(again.state().app_hash(), store.app_hash());
        step += 1 + random.below(1 + operations / 150);
    }
    assert!(resumed > 20, "{resumed} restorations went on in the middle");
}

#[test]
fn a_restoration_goes_on_beside_an_empty_store_and_takes_its_place() {
    let original = Store::in_memory().unwrap();
    commit_scripted(&original, 1..=6);
    let honest = snapshot(&original.reader());
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let take = |snapshot: &Snapshot, until: u32| {
        let mut sink = Blobs::default();
        let head = snapshot.head.clone();
        let mut restore = Restore::begin(dir.path(), options(), head, &mut sink).unwrap();
        let first = restore.next_chunk();
        for index in first..until.min(snapshot.head.chunk_count()) {
            restore.chunk(index, &snapshot.chunks[index as usize], &mut sink).unwrap();
        }
        (first, restore)
    };
    assert_eq!(take(&honest, 4).0, 1);
    // Another one at a time is refused by its lock.
    let (first, open) = take(&honest, 5);
    assert!((2..=4).contains(&first), "it goes on: {first}");
    drop(open);
    // One of another snapshot begins anew.
    commit_scripted(&original, 7..=8);
    let later = snapshot(&original.reader());
    assert_eq!(take(&later, 3).0, 1);
    let (first, restore) = take(&later, u32::MAX);
    assert!((2..=3).contains(&first), "{first}");
    // Finished twice, as after a crash in between.
    drop(restore.finish().unwrap());
    let (first, restore) = take(&later, u32::MAX);
    assert_eq!(first, later.head.chunk_count());
    let restored = restore.finish().unwrap();
    assert_eq!(store.height(), 0, "the store is as it was");
    let old = store.reader();
    restored.replace(&store).unwrap();
    assert_eq!((store.height(), old.height()), (8, 0));
    commit_scripted(&original, 9..=12);
    commit_scripted(&store, 9..=12);
    assert_eq!(store.app_hash(), original.app_hash());
    drop((store, old));
    let store = Store::open(dir.path(), Options { check_integrity: true, ..options() }).unwrap();
    assert_eq!((store.height(), store.app_hash()), (12, original.app_hash()));
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(common::all(&store.reader()).iter().all(|(key, _)| !key.starts_with(PROVEN)));
    take(&honest, 3);
    forget_restoration(dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}
