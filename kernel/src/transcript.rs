//! Transcripts: what a vat was told, what it asked and what it got, so that it can be brought back.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};
use capstan_kernel_ports::{Computrons, Hash, VatId, host::Syscalls};
use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    keys,
    state::{State, encode},
    vat::Span,
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
    /// A delivery.
    Delivery {
        /// What the vat was told.
        delivery: Delivery,
        /// What it asked and got.
        syscalls: Vec<(Syscall, SyscallResult)>,
        /// How it ended.
        result: DeliveryResult,
        /// What it spent.
        computrons: Option<Computrons>,
    },
}

impl Span {
    /// The hash of a span without entries.
    pub fn first_hash() -> Hash {
        Hash(Sha256::digest(b"start of transcript span").into())
    }

    /// The number of its entries.
    pub fn entries(&self) -> u64 {
        self.end - self.start
    }
}

impl State<'_> {
    /// Appends an entry to the vat's transcript.
    pub(crate) fn append_entry(&mut self, vat: VatId, entry: &Entry) -> Result<()> {
        let bytes = encode(entry)?;
        let mut position = 0;
        self.update_vat(vat, |state| {
            position = state.span.end;
            state.span.end += 1;
            let mut hasher = Sha256::new();
            hasher.update(state.span.hash.0);
            hasher.update(Sha256::digest(&bytes));
            state.span.hash = Hash(hasher.finalize().into());
            if let Entry::Delivery { computrons: Some(computrons), .. } = entry {
                state.replay_debt = state.replay_debt.saturating_add(computrons.0);
            }
        })?;
        self.over.set(&keys::transcript(vat, position), bytes);
        Ok(())
    }

    /// Ends the span; the next entry begins a new one.
    pub(crate) fn roll_span(&mut self, vat: VatId) -> Result<()> {
        self.update_vat(vat, |state| {
            let at = state.span.end;
            state.span = Span { start: at, end: at, hash: Span::first_hash() };
        })
    }

    /// Ends the incarnation's transcript: nothing before is ever replayed.
    pub(crate) fn prune_transcript(&mut self, vat: VatId) -> Result<()> {
        let state = self.vat(vat)?;
        for position in state.kept_from..state.span.end {
            self.over.delete(&keys::transcript(vat, position));
        }
        self.update_vat(vat, |state| {
            state.kept_from = state.span.end;
            state.replay_debt = 0;
        })
    }
}

/// Answers a replayed delivery's syscalls from the transcript, and notes the first difference.
pub(crate) struct Replay<'a> {
    recorded: std::slice::Iter<'a, (Syscall, SyscallResult)>,
    count: usize,
    /// The first difference.
    pub(crate) problem: Option<String>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(recorded: &'a [(Syscall, SyscallResult)]) -> Self {
        Self { recorded: recorded.iter(), count: 0, problem: None }
    }

    /// The difference found, or that syscalls are missing.
    pub(crate) fn finish(self) -> Option<String> {
        let missing = self.recorded.len();
        let shortfall = || format!("missing {missing} syscalls after {}", self.count);
        self.problem.or_else(|| (missing > 0).then(shortfall))
    }

    fn differ(&mut self, problem: String) -> Option<SyscallResult> {
        self.problem = Some(problem);
        None
    }
}

impl Syscalls for Replay<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let number = self.count;
        self.count += 1;
        match self.recorded.next() {
            Some((recorded, result)) if *recorded == syscall => Some(result.clone()),
            Some((recorded, _)) => {
                let (made, recorded) = (show(&syscall), show(recorded));
                self.differ(format!("wrong syscall {number}: got {made}, expected {recorded}"))
            }
            None => self.differ(format!("extra syscall {number}: {}", show(&syscall))),
        }
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.differ(format!("malformed syscall {}: {problem}", self.count))
    }
}

fn show(syscall: &Syscall) -> String {
    capstan_abi::json::syscall_to_json(syscall).to_string()
}
