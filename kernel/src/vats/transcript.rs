//! Transcripts: what a vat was told, what it asked and what it got, so that it can be brought back.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};
use capstan_kernel_ports::{Computrons, Hash, VatId};
use sha2::{Digest, Sha256};

use crate::{
    error::{Result, inconsistent},
    state::{
        handle::{State, encode},
        keys,
        vat::{Span, VatConfig, VatState},
    },
};

/// One entry of a transcript. Its position is its delivery number.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// A worker was made from the bundle.
    InitializeWorker {
        /// The bundle.
        bundle_id: String,
        /// The JavaScript engine's image.
        engine: Hash,
    },
    /// A span begins with the heap that the one before ended with.
    LoadSnapshot {
        /// The heap's hash.
        heap: Hash,
    },
    /// A span ends: nodes agree on the heap.
    SaveSnapshot {
        /// The heap's hash.
        heap: Hash,
    },
    /// The worker was stopped for an upgrade.
    ShutdownWorker,
    /// A [`Delivery`] was made.
    Delivery {
        /// The [`Delivery`], as the vat saw it.
        delivery: Delivery,
        /// Its syscalls and their results, in order.
        syscalls: Vec<(Syscall, SyscallResult)>,
        /// Its result.
        result: DeliveryResult,
        /// The computrons that it spent.
        computrons: Option<Computrons>,
    },
}

impl Span {
    /// Returns the hash of a [`Span`] without entries.
    pub fn first_hash() -> Hash {
        Hash(Sha256::digest(b"start of transcript span").into())
    }

    /// Returns the hash of a span that goes on with an entry: SHA-256 of the hash so far and of the SHA-256
    /// of the entry's borsh. [`Span::hash`] holds it.
    pub fn next_hash(hash: Hash, entry: &[u8]) -> Hash {
        Hash(
            Sha256::new()
                .chain_update(hash.0)
                .chain_update(Sha256::digest(entry))
                .finalize()
                .into(),
        )
    }

    /// Returns the number of its entries.
    pub fn entries(&self) -> u64 {
        self.end - self.start
    }
}

impl State<'_> {
    /// Records a new vat whose name is in `config`, with the first entry of its transcript.
    pub(crate) fn begin_vat(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        let name = config.name.as_deref().unwrap_or_default();
        config.check_transcript().map_err(|lack| inconsistent(format!("vat {name}: {lack}")))?;
        self.add_vat(vat, config)?;
        self.begin_transcript(vat, config)
    }

    /// Writes the first entry of an incarnation's transcript, unless it is there: a worker is to be made.
    pub(crate) fn begin_transcript(&mut self, vat: VatId, config: &VatConfig) -> Result<()> {
        if !config.use_transcript || self.vat(vat)?.span.entries() > 0 {
            return Ok(());
        }
        let entry =
            Entry::InitializeWorker { bundle_id: config.bundle_id.clone(), engine: config.engine };
        self.append_entry(vat, &entry)
    }

    /// Appends an entry to the vat's transcript, and counts its bytes: they are written and kept as other entries are, but are
    /// node-local. The answers to syscalls are among them.
    pub(crate) fn append_entry(&mut self, vat: VatId, entry: &Entry) -> Result<()> {
        let bytes = encode(entry)?;
        let price = self.globals().options.billing.write_byte;
        self.count(Computrons(price.saturating_mul(bytes.len() as u64)));
        let mut position = 0;
        self.update_vat(vat, |state| {
            position = state.span.end;
            state.span.end += 1;
            state.span.hash = Span::next_hash(state.span.hash, &bytes);
            if let Entry::Delivery { computrons: Some(computrons), .. } = entry {
                state.replay_debt = state.replay_debt.saturating_add(computrons.0);
            }
        })?;
        self.over.set(&keys::transcript(vat, position), bytes);
        Ok(())
    }

    /// Ends the span. The next entry begins a new one.
    pub(crate) fn roll_span(&mut self, vat: VatId) -> Result<()> {
        self.update_vat(vat, |state| {
            let at = state.span.end;
            state.span = Span { start: at, end: at, hash: Span::first_hash() };
        })
    }

    /// Notes that no replay needs the entries before position `from`.
    pub(crate) fn prune_transcript(&mut self, vat: VatId, from: u64) -> Result<()> {
        let kept_from = self.vat(vat)?.kept_from;
        self.delete_entries(vat, kept_from..from);
        self.update_vat(vat, |state| {
            state.kept_from = from;
            state.replay_debt = 0;
        })
    }

    /// Deletes up to `limit` of the kept entries of a vat that ended. Returns how many.
    pub(crate) fn clean_transcript(&mut self, vat: VatId, limit: u64) -> Result<u64> {
        let VatState { kept_from, span, .. } = self.vat(vat)?;
        let until = span.end.min(kept_from.saturating_add(limit));
        self.delete_entries(vat, kept_from..until);
        self.update_vat(vat, |state| state.kept_from = until)?;
        Ok(until - kept_from)
    }

    /// The state says which entries are kept. Whether they are deleted is each node's own choice.
    fn delete_entries(&mut self, vat: VatId, positions: std::ops::Range<u64>) {
        if !self.archive {
            positions.for_each(|position| self.over.delete(&keys::transcript(vat, position)));
        }
    }
}
