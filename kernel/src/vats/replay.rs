//! Replay: a worker does again what its vat's transcript says was done, and all that it does is compared.
//!
//! So vats come back into memory, and so anyone can check a vat against its recorded past: [`Rehearsal`].

use std::ops::Range;

use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult, json::syscall_to_json};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    host::{Printed, Start, StartCost, Syscalls, VatHost},
    store::Read,
};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    limits,
    state::{
        handle::{get_record, read_globals},
        keys,
        vat::{Span, VatConfig, VatState, all_vats},
    },
    vats::{
        heap,
        source::{worker_options, worker_source},
        transcript::Entry,
    },
};

/// The first difference between a replay and the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A syscall.
    Syscall {
        /// Its number within the delivery, from 0.
        number: usize,
        /// The recorded one, or `None` if the record has no more.
        expected: Option<Syscall>,
        /// The one that was made, or `None` if the delivery ended.
        found: Option<Syscall>,
    },
    /// A syscall that could not be decoded. No such syscall can have been recorded.
    Malformed {
        /// Its number within the delivery, from 0.
        number: usize,
        /// The decoding error.
        problem: String,
    },
    /// The result of the delivery.
    Result {
        /// As recorded.
        expected: DeliveryResult,
        /// As it went.
        found: DeliveryResult,
    },
    /// The computrons that the delivery spent.
    Computrons {
        /// As recorded.
        expected: Option<Computrons>,
        /// As it went.
        found: Option<Computrons>,
    },
    /// The heap after all deliveries before, as a `Hash`.
    Heap {
        /// The one that the nodes agreed on.
        expected: Hash,
        /// The worker's.
        found: Hash,
    },
    /// The entries of the current span do not have the hash in [`VatState::span`].
    Transcript {
        /// The span's hash in the state.
        expected: Hash,
        /// That of the entries on this node.
        found: Hash,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syscall { number, expected, found } => match (expected, found) {
                (Some(expected), Some(found)) => {
                    let (found, expected) = (syscall_to_json(found), syscall_to_json(expected));
                    write!(f, "wrong syscall {number}: got {found}, expected {expected}")
                }
                (Some(expected), None) => {
                    write!(f, "missing syscall {number}: expected {}", syscall_to_json(expected))
                }
                (None, Some(found)) => {
                    write!(f, "extra syscall {number}: {}", syscall_to_json(found))
                }
                (None, None) => write!(f, "syscall {number}"),
            },
            Self::Malformed { number, problem } => {
                write!(f, "malformed syscall {number}: {problem}")
            }
            Self::Result { expected, found } => {
                let [found, expected] = [found, expected].map(ending);
                write!(f, "got {found}, expected {expected}")
            }
            Self::Computrons { expected, found } => {
                let [found, expected] = [found, expected].map(spending);
                write!(f, "spent {found}, expected {expected}")
            }
            Self::Heap { expected, found } => {
                write!(f, "the heap is {found}, expected {expected}")
            }
            Self::Transcript { expected, found } => write!(
                f,
                "the transcript's hash is {found}, in the state it is {expected}: this node's transcript is damaged"
            ),
        }
    }
}

fn ending(result: &DeliveryResult) -> String {
    match result {
        DeliveryResult::Ok => "success".to_owned(),
        DeliveryResult::Error(text) => format!("the error {text:?}"),
    }
}

fn spending(computrons: &Option<Computrons>) -> String {
    computrons.map_or_else(|| "nothing that was counted".to_owned(), |c| format!("{c} computrons"))
}

/// One repeated entry of a transcript.
#[derive(Clone, Debug)]
pub struct Step {
    /// The position in the transcript.
    pub position: u64,
    /// The recorded [`Entry`].
    pub entry: Entry,
    /// The [`Outcome`] of the comparison.
    pub outcome: Outcome,
}

impl Step {
    /// Returns true if the entry is a delivery.
    pub fn is_delivery(&self) -> bool {
        matches!(self.entry, Entry::Delivery { .. })
    }
}

/// The result of repeating one transcript entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The worker did the same as recorded.
    Same,
    /// The worker did something else, the [`Difference`].
    Differs(Difference),
    /// The bundle cannot be started.
    NotStarted(String),
}

/// A walk along entries of a vat's transcript with a worker of a host. The first entry says where the worker
/// comes from: a bundle, or a heap that this node keeps.
pub(crate) struct Replay<'a, R: Read + ?Sized> {
    state: &'a R,
    vat: VatId,
    config: VatConfig,
    limit: Computrons,
    next: u64,
    end: u64,
    has_worker: bool,
    start_cost: Option<StartCost>,
    printed: Vec<Printed>,
}

impl<'a, R: Read + ?Sized> Replay<'a, R> {
    pub(crate) fn new(state: &'a R, vat: VatId, positions: Range<u64>) -> Result<Self> {
        let config: VatConfig = get_record(state, &keys::vat_config(vat))?
            .ok_or_else(|| inconsistent(format!("{vat} does not exist")))?;
        let limit = Computrons(read_globals(state)?.options.crank_limit);
        let Range { start: next, end } = positions;
        Ok(Self {
            state,
            vat,
            config,
            limit,
            next,
            end,
            has_worker: false,
            start_cost: None,
            printed: Vec::new(),
        })
    }

    /// Takes what the bundle printed while it was loaded, if a worker was started from it.
    pub(crate) fn take_printed(&mut self) -> Vec<Printed> {
        std::mem::take(&mut self.printed)
    }

    /// Returns the cost of the last start of a worker from its bundle, if there was one.
    pub(crate) fn start_cost(&self) -> Option<StartCost> {
        self.start_cost
    }

    /// Repeats the next entry. Returns `None` at the end, and after any outcome but [`Outcome::Same`].
    pub(crate) fn step<H: VatHost + ?Sized>(&mut self, host: &mut H) -> Result<Option<Step>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let (position, vat) = (self.next, self.vat);
        let key = keys::transcript(vat, position);
        let entry: Entry = get_record(self.state, &key)?
            .ok_or_else(|| inconsistent(format!("entry {position} of {vat} is missing")))?;
        let outcome = self.apply(host, position, &entry)?;
        self.next = if outcome == Outcome::Same { position + 1 } else { self.end };
        Ok(Some(Step { position, entry, outcome }))
    }

    fn apply<H: VatHost + ?Sized>(
        &mut self,
        host: &mut H,
        position: u64,
        entry: &Entry,
    ) -> Result<Outcome> {
        let vat = self.vat;
        match entry {
            Entry::InitializeWorker { bundle_id, engine } => {
                let source = worker_source(self.state, bundle_id, *engine)?;
                // An archive also has the incarnations before. The first one begins the transcript.
                let config = VatConfig {
                    bundle_id: bundle_id.clone(),
                    is_upgraded: self.config.is_upgraded && position > 0,
                    ..self.config.clone()
                };
                let options = worker_options(self.state, &config)?;
                self.has_worker = true;
                let Start { verdict, cost, printed } = host.start(vat, &source, &options)?;
                self.start_cost = Some(cost);
                self.printed = printed;
                Ok(match verdict {
                    Ok(()) => Outcome::Same,
                    Err(refused) => Outcome::NotStarted(refused.0),
                })
            }
            Entry::LoadSnapshot { heap } if !self.has_worker => {
                // Within an incarnation neither bundle nor engine change.
                let VatConfig { bundle_id, engine, .. } = &self.config;
                let source = worker_source(self.state, bundle_id, *engine)?;
                let options = worker_options(self.state, &self.config)?;
                heap::restore(self.state, host, vat, (&source, &options), *heap)?;
                self.has_worker = true;
                Ok(Outcome::Same)
            }
            // It is the heap that the span before ended with, which was compared.
            Entry::LoadSnapshot { .. } => Ok(Outcome::Same),
            Entry::SaveSnapshot { heap: expected } => Ok(match host.heap(vat) {
                Some((found, _)) if found != *expected => {
                    Outcome::Differs(Difference::Heap { expected: *expected, found })
                }
                _ => Outcome::Same,
            }),
            Entry::ShutdownWorker => {
                host.stop(vat);
                Ok(Outcome::Same)
            }
            Entry::Delivery { delivery, syscalls, result, computrons } => {
                let done = Recorded { syscalls, result, computrons: *computrons };
                let difference = deliver_again(host, vat, delivery, &done, self.limit)?;
                Ok(difference.map_or(Outcome::Same, Outcome::Differs))
            }
        }
    }
}

/// A delivery's recorded syscalls, result and computrons.
struct Recorded<'a> {
    syscalls: &'a [(Syscall, SyscallResult)],
    result: &'a DeliveryResult,
    computrons: Option<Computrons>,
}

fn deliver_again<H: VatHost + ?Sized>(
    host: &mut H,
    vat: VatId,
    delivery: &Delivery,
    recorded: &Recorded<'_>,
    limit: Computrons,
) -> Result<Option<Difference>> {
    let mut answers = Answers::new(recorded.syscalls);
    let delivered = host.deliver(vat, delivery, limit, &mut answers);
    if let Some(difference) = answers.finish() {
        return Ok(Some(difference));
    }
    let delivered = delivered?;
    let found = limits::cut_result(delivered.result);
    if found != *recorded.result {
        let expected = recorded.result.clone();
        return Ok(Some(Difference::Result { expected, found }));
    }
    if delivered.computrons != recorded.computrons {
        let (expected, found) = (recorded.computrons, delivered.computrons);
        return Ok(Some(Difference::Computrons { expected, found }));
    }
    Ok(None)
}

/// Answers a delivery's syscalls from its record, and notes the first difference.
struct Answers<'a> {
    recorded: std::slice::Iter<'a, (Syscall, SyscallResult)>,
    count: usize,
    difference: Option<Difference>,
}

impl<'a> Answers<'a> {
    fn new(recorded: &'a [(Syscall, SyscallResult)]) -> Self {
        Self { recorded: recorded.iter(), count: 0, difference: None }
    }

    /// Returns the first difference. Missing syscalls count as one.
    fn finish(mut self) -> Option<Difference> {
        let number = self.count;
        let missing = self.recorded.next().map(|(expected, _)| Difference::Syscall {
            number,
            expected: Some(expected.clone()),
            found: None,
        });
        self.difference.or(missing)
    }

    fn differ(&mut self, difference: Difference) -> Option<SyscallResult> {
        self.difference.get_or_insert(difference);
        None
    }
}

impl Syscalls for Answers<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        let number = self.count;
        self.count += 1;
        match self.recorded.next() {
            Some((recorded, result)) if *recorded == syscall => Some(result.clone()),
            other => {
                let expected = other.map(|(recorded, _)| recorded.clone());
                self.differ(Difference::Syscall { number, expected, found: Some(syscall) })
            }
        }
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        let number = self.count;
        self.differ(Difference::Malformed { number, problem: problem.to_owned() })
    }

    /// Ignores the output: it was logged when the delivery was made.
    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

/// The entry at which a rehearsal begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// At the vat's first delivery, through all its incarnations: for nodes that archive.
    Genesis,
    /// At the entry where bringing the vat back into memory would begin: the last heap snapshot, or the start
    /// of the incarnation.
    Snapshot,
}

/// The reason why a vat cannot be rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RehearsalError {
    /// No vat ever had this [`VatId`].
    #[error("there is no {vat}: the chain has {vats} vats, see capstan query vats")]
    Unknown {
        /// The id.
        vat: VatId,
        /// The number of vats that ever were.
        vats: usize,
    },
    /// The vat was made with `useTranscript: false`.
    #[error("{0} keeps no transcript (useTranscript: false): there is nothing to replay")]
    NoTranscript(VatId),
    /// The vat ended, and what it did went with it.
    #[error(
        "{vat} ended in crank {crank} ({reason}), and its transcript went with it: only nodes that run with --archive keep it, and replay it from genesis"
    )]
    Ended {
        /// The vat.
        vat: VatId,
        /// The crank in which it ended.
        crank: u64,
        /// The reason, as text for people.
        reason: String,
    },
    /// The entries in question were dropped, or were made before this node archived.
    #[error(
        "entry {wanted} of the transcript of {vat} is not on this node: it was dropped when a snapshot made it needless; only nodes that run with --archive from the first block on keep all entries"
    )]
    Pruned {
        /// The vat.
        vat: VatId,
        /// The position of the first that is missing.
        wanted: u64,
    },
    /// The state cannot be read, or the host failed, with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

/// A replay of a vat against its own past, by a [`VatHost`] that does nothing else. It changes nothing.
pub struct Rehearsal<'a, R: Read> {
    replay: Replay<'a, R>,
    record: VatState,
}

impl<R: Read> std::fmt::Debug for Rehearsal<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").field("vat", &self.replay.vat).finish_non_exhaustive()
    }
}

impl<'a, R: Read> Rehearsal<'a, R> {
    /// Prepares to replay the vat with that id from `beginning` to its last delivery.
    ///
    /// # Errors
    /// Returns a [`RehearsalError`] if there is nothing to replay.
    pub fn new(
        state: &'a R,
        vat: VatId,
        beginning: Beginning,
    ) -> std::result::Result<Self, RehearsalError> {
        let config: Option<VatConfig> = get_record(state, &keys::vat_config(vat))?;
        let record: Option<VatState> = get_record(state, &keys::vat_state(vat))?;
        let (Some(config), Some(record)) = (config, record) else {
            let vats = all_vats(state)?.len();
            return Err(RehearsalError::Unknown { vat, vats });
        };
        if !config.use_transcript {
            return Err(RehearsalError::NoTranscript(vat));
        }
        let (start, end) = match beginning {
            Beginning::Genesis => (0, record.span.end),
            Beginning::Snapshot => (record.kept_from, record.span.end),
        };
        let kept = check_kept(state, vat, start, end);
        if let Some(ending) = record.status.ending()
            && (kept.is_err() || beginning == Beginning::Snapshot)
        {
            let (crank, reason) = (ending.crank, ending.reason());
            return Err(RehearsalError::Ended { vat, crank, reason });
        }
        kept?;
        let replay = Replay::new(state, vat, start..end)?;
        Ok(Self { replay, record })
    }

    /// Returns the positions that are still to come.
    pub fn positions(&self) -> Range<u64> {
        self.replay.next..self.replay.end
    }

    /// The hash of the current span's entries, if it is not the one in the state: then this node's
    /// transcript is damaged, and a difference that a replay finds need not be the worker's.
    pub fn damage(&self) -> Result<Option<Difference>> {
        let Span { start, end, hash: expected } = self.record.span;
        let mut found = Span::first_hash();
        for position in start..end {
            let key = keys::transcript(self.replay.vat, position);
            let bytes = self.replay.state.get(&key)?;
            let missing = || inconsistent(format!("entry {position} is missing"));
            found = Span::next_hash(found, &bytes.ok_or_else(missing)?);
        }
        Ok((found != expected).then_some(Difference::Transcript { expected, found }))
    }

    /// Repeats the next entry. Returns `None` at the end.
    pub fn step<H: VatHost>(&mut self, host: &mut H) -> Result<Option<Step>> {
        self.replay.step(host)
    }
}

/// Checks that every entry from `start` on is there.
fn check_kept(
    state: &impl Read,
    vat: VatId,
    start: u64,
    end: u64,
) -> std::result::Result<(), RehearsalError> {
    let prefix = keys::transcript_of(vat);
    let mut after = match start {
        0 => prefix.to_vec(),
        _ => keys::transcript(vat, start - 1).to_vec(),
    };
    for wanted in start..end {
        let next = state.next_after(&prefix, &after).map_err(KernelPanic::from)?;
        let Some((key, _)) = next.filter(|(key, _)| key[..] == *keys::transcript(vat, wanted))
        else {
            return Err(RehearsalError::Pruned { vat, wanted });
        };
        after = key;
    }
    Ok(())
}
