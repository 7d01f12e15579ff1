//! The receiver of a snapshot: it rebuilds what follows from the state, and checks the artifacts.

use std::collections::BTreeMap;

use capstan_abi::Delivery;
use capstan_kernel_ports::{
    Hash,
    artifact::{ArtifactError, ArtifactSink, WriteLocal},
};
use sha2::{Digest, Sha256};

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        clist::{ClistEntry, is_export},
        handle::{decode, encode, get_record},
        keys,
        remote::OutboxEntry,
        vat::PAGE_BYTES,
    },
    sync::{
        artifact_error,
        cursor::{Cursor, Wanted, checked_entry, last_entry},
    },
    vats::heap,
};

/// Takes the entries and artifacts of a snapshot.
#[derive(Debug)]
pub struct Sink {
    cursor: Cursor,
}

impl Default for Sink {
    /// Begins with the first artifact.
    fn default() -> Self {
        Self { cursor: Cursor::new() }
    }
}

impl ArtifactSink for Sink {
    fn entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        state: &mut dyn WriteLocal,
    ) -> std::result::Result<(), ArtifactError> {
        derive(key, value, state).map_err(artifact_error)
    }

    fn artifact(
        &mut self,
        bytes: &[u8],
        state: &mut dyn WriteLocal,
    ) -> std::result::Result<(), ArtifactError> {
        let cursor = &mut self.cursor;
        let wanted = cursor.wanted(state, &BTreeMap::new()).map_err(artifact_error)?;
        let wanted = wanted.ok_or_else(|| {
            ArtifactError::Wrong("there are more artifacts than the state has".to_owned())
        })?;
        take(&wanted, bytes, state)
            .and_then(|()| cursor.advance(&wanted, bytes))
            .map_err(artifact_error)
    }

    fn finish(&mut self, state: &mut dyn WriteLocal) -> std::result::Result<(), ArtifactError> {
        match self.cursor.wanted(state, &BTreeMap::new()).map_err(artifact_error)? {
            Some(wanted) => Err(ArtifactError::Wrong(format!("{} is missing", wanted.name()))),
            None => Ok(()),
        }
    }

    fn position(&self) -> Vec<u8> {
        // A cursor consists of numbers and bytes, which can always be encoded.
        borsh::to_vec(&self.cursor).unwrap_or_default()
    }

    fn resume(&mut self, position: &[u8]) -> std::result::Result<(), ArtifactError> {
        let wrong = |error| ArtifactError::Wrong(format!("a place among the artifacts: {error}"));
        self.cursor = borsh::from_slice(position).map_err(wrong)?;
        Ok(())
    }
}

/// Maximum length of a heap without its pages, in bytes. It has the globals of a module, which are a thousand at most.
const MAX_HEAP_BYTES: u64 = 64 << 10;

/// Checks an artifact against what the state binds, and writes it.
fn take(wanted: &Wanted, bytes: &[u8], state: &mut dyn WriteLocal) -> Result<()> {
    let wrong = || inconsistent(format!("{} is not what its hash says", wanted.name()));
    match wanted {
        Wanted::Bundle { hash, .. } => {
            if Hash(Sha256::digest(bytes).into()) != *hash {
                return Err(wrong());
            }
            state.put_blob(bytes)?;
        }
        Wanted::Heap { vat, hash, pages } => {
            let key = keys::heap(*vat);
            // Nothing but the host can tell whether the rest belongs to the hash.
            let most = pages.saturating_mul(heap::LISTED_PAGE_BYTES).saturating_add(MAX_HEAP_BYTES);
            if bytes.len() as u64 > most {
                return Err(wrong());
            }
            let own = heap::parse(&key, bytes, *hash)?;
            if own.len() as u64 != *pages {
                return Err(inconsistent(format!(
                    "{} has {} pages, where the state says {pages}",
                    wanted.name(),
                    own.len()
                )));
            }
            state.set_local(&key, bytes)?;
            for page in own {
                let key = keys::heap_page_count(&page);
                let count: u32 = get_record(state, &key)?.unwrap_or(0);
                state.set_local(&key, &encode(&count.saturating_add(1))?)?;
            }
        }
        Wanted::Entry { vat, span } => {
            let (_, entry) = checked_entry(*vat, span, bytes)?;
            state.set_local(&keys::transcript(*vat, last_entry(span)), entry)?
        }
        Wanted::Page(hash) => {
            // The hash comes from the list of a heap, which nothing has checked yet.
            if bytes.len() as u64 > PAGE_BYTES || heap::page_hash(bytes) != *hash {
                return Err(wrong());
            }
            state.set_local(&keys::heap_page(hash), bytes)?;
        }
    }
    Ok(())
}

/// Writes the node-local entries that follow from an entry of the state.
fn derive(key: &[u8], value: &[u8], state: &mut dyn WriteLocal) -> Result<()> {
    if let Some(name) = key.strip_prefix(keys::CLISTS) {
        return derive_clist(name, key, value, state);
    }
    match key.strip_prefix(keys::OUTBOXES) {
        Some(name) => derive_settled(name, key, value, state),
        None => Ok(()),
    }
}

/// Writes the other direction of a c-list's entry, and that its endpoint imports the object.
fn derive_clist(name: &[u8], key: &[u8], value: &[u8], state: &mut dyn WriteLocal) -> Result<()> {
    let (endpoint, kref) = keys::parse_clist(name)?;
    let ClistEntry { vref, .. } = decode(key, value)?;
    state.set_local(&keys::clist_reverse(endpoint, &vref), &encode(&kref)?)?;
    // Devices are not asked to let go of what they import.
    let is_counted = !matches!(endpoint, Endpoint::Device(_));
    if is_counted && matches!(kref, KRef::Object(_)) && !is_export(&vref) {
        state.set_local(&keys::importer(kref, endpoint), &[])?;
    }
    Ok(())
}

/// Writes which promises of a remote an outbox entry settled.
fn derive_settled(name: &[u8], key: &[u8], value: &[u8], state: &mut dyn WriteLocal) -> Result<()> {
    let (remote, number) = keys::parse_outbox(name)?;
    let OutboxEntry { delivery, .. } = decode(key, value)?;
    let Delivery::Notify { resolutions } = delivery else { return Ok(()) };
    for resolution in resolutions {
        state.set_local(&keys::settled(remote, &resolution.promise), &encode(&number)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use capstan_kernel_ports::{
        VatId,
        memory::MemoryState,
        store::{Entry, Overlay as _, Read, StoreFault},
    };

    use super::*;

    #[derive(Default)]
    struct Restored(MemoryState);

    impl Read for Restored {
        fn get(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, StoreFault> {
            self.0.get(key)
        }

        fn next_after(
            &self,
            prefix: &[u8],
            after: &[u8],
        ) -> std::result::Result<Option<Entry>, StoreFault> {
            self.0.next_after(prefix, after)
        }

        fn blob(&self, hash: &Hash) -> std::result::Result<Option<Vec<u8>>, StoreFault> {
            self.0.blob(hash)
        }
    }

    impl WriteLocal for Restored {
        fn set_local(&mut self, key: &[u8], value: &[u8]) -> std::result::Result<(), StoreFault> {
            self.0.set(key, value.to_vec());
            Ok(())
        }

        fn put_blob(&mut self, bytes: &[u8]) -> std::result::Result<Hash, StoreFault> {
            Ok(self.0.put_blob(bytes.to_vec()))
        }
    }

    #[test]
    fn what_only_the_host_can_check_is_no_longer_than_a_heap_can_be() {
        let mut state = Restored::default();
        let mut page = |length: u64| {
            let bytes = vec![7; length as usize];
            take(&Wanted::Page(heap::page_hash(&bytes)), &bytes, &mut state)
        };
        page(PAGE_BYTES).unwrap();
        page(PAGE_BYTES + 1).unwrap_err();
        let (hash, pages) = (Hash([3; 32]), 2);
        let mut taken = |head: u64| {
            let bytes = heap::tests::kept(pages, hash, head as usize);
            take(&Wanted::Heap { vat: VatId(1), hash, pages }, &bytes, &mut state)
        };
        taken(MAX_HEAP_BYTES / 2).unwrap();
        taken(MAX_HEAP_BYTES + 1).unwrap_err();
    }
}
