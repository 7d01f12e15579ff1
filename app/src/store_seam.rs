//! Stands in for the store crate until it lands.
use std::{collections::BTreeMap, sync::Arc};

use capstan_kernel_ports::{
    Hash,
    store::{Entry, LOCAL, Overlay, Read, StoreFault},
};
use sha2::{Digest, Sha256};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    map: Arc<Map>,
    blobs: Arc<BTreeMap<Hash, Vec<u8>>>,
}

#[derive(Debug, Default)]
pub struct Store {
    committed: Snapshot,
    tip: Option<(u64, Hash)>,
    prepared: Option<(Snapshot, u64, Hash)>,
}

#[derive(Debug)]
pub struct Block {
    base: Snapshot,
    levels: Vec<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    blobs: BTreeMap<Hash, Vec<u8>>,
}

impl Store {
    pub fn tip(&self) -> Option<(u64, Hash)> {
        self.tip
    }
    pub fn reader(&self) -> Snapshot {
        self.committed.clone()
    }
    pub fn begin(&self) -> Block {
        Block { base: self.committed.clone(), levels: vec![BTreeMap::new()], blobs: BTreeMap::new() }
    }
    pub fn prepare(&mut self, block: &Block, height: u64) -> Result<Hash, StoreFault> {
        let mut map = (*self.committed.map).clone();
        for (k, v) in &block.levels[0] {
            match v {
                Some(v) => drop(map.insert(k.clone(), v.clone())),
                None => drop(map.remove(k)),
            }
        }
        let mut blobs = (*self.committed.blobs).clone();
        blobs.extend(block.blobs.clone());
        let mut h = Sha256::new();
        for (k, v) in map.iter().filter(|(k, _)| !k.starts_with(LOCAL)) {
            h.update((k.len() as u64).to_be_bytes());
            h.update(k);
            h.update((v.len() as u64).to_be_bytes());
            h.update(v);
        }
        let root = Hash(h.finalize().into());
        self.prepared = Some((Snapshot { map: Arc::new(map), blobs: Arc::new(blobs) }, height, root));
        Ok(root)
    }
    pub fn commit(&mut self) -> Result<(), StoreFault> {
        let (snapshot, height, root) =
            self.prepared.take().ok_or_else(|| StoreFault("nothing prepared".into()))?;
        self.committed = snapshot;
        self.tip = Some((height, root));
        Ok(())
    }
    pub fn discard(&mut self) {
        self.prepared = None;
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.map.get(key).cloned())
    }
    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        use std::ops::Bound::{Excluded, Unbounded};
        let found = self.map.range::<[u8], _>((Excluded(after.max(prefix)), Unbounded)).next();
        Ok(found.filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())))
    }
    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.blobs.get(hash).cloned())
    }
}

impl Read for Block {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        for level in self.levels.iter().rev() {
            if let Some(v) = level.get(key) {
                return Ok(v.clone());
            }
        }
        self.base.get(key)
    }
    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut after = after.max(prefix).to_vec();
        loop {
            let mut best = self.base.next_after(prefix, &after)?.map(|e| e.0);
            for level in &self.levels {
                let found = level.range::<[u8], _>((Excluded(after.as_slice()), Unbounded)).next();
                if let Some((k, _)) = found.filter(|(k, _)| k.starts_with(prefix)) {
                    if best.as_ref().is_none_or(|b| k < b) {
                        best = Some(k.clone());
                    }
                }
            }
            let Some(key) = best else { return Ok(None) };
            if let Some(v) = self.get(&key)? {
                return Ok(Some((key, v)));
            }
            after = key;
        }
    }
    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.blobs.get(hash).cloned().or(self.base.blob(hash)?))
    }
}

impl Overlay for Block {
    fn set(&mut self, key: &[u8], value: Vec<u8>) {
        self.levels.last_mut().unwrap().insert(key.to_vec(), Some(value));
    }
    fn delete(&mut self, key: &[u8]) {
        self.levels.last_mut().unwrap().insert(key.to_vec(), None);
    }
    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash {
        let hash = Hash(Sha256::digest(&bytes).into());
        self.blobs.insert(hash, bytes);
        hash
    }
    fn push(&mut self) -> usize {
        self.levels.push(BTreeMap::new());
        self.levels.len()
    }
    fn rollback(&mut self) {
        assert!(self.levels.len() > 1);
        self.levels.pop();
    }
    fn merge(&mut self) {
        assert!(self.levels.len() > 1);
        let top = self.levels.pop().unwrap();
        self.levels.last_mut().unwrap().extend(top);
    }
    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (k, v) in self.levels.last().unwrap() {
            if !k.starts_with(LOCAL) {
                visit(k, v.as_deref());
            }
        }
    }
}
