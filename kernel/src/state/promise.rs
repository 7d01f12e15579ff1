//! Promises: who decides them, who waits for them, what they came to.
//!
//! A promise's record is small and is rewritten for every change of its count. What may be large lies apart from it:
//! the data of a settled promise (`settled.rs`), the messages that wait for it, and many
//! subscribers.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::store::Read;

pub use crate::state::result_policy::ResultPolicy;
use crate::{
    capdata::KernelData,
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        event::{RunQueueEvent, Waiting},
        handle::{State, get_record},
        keeping::{Keeping, NOT_COVERED, capdata_bytes},
        keys,
        rejection::{Cause, Rejection},
        settled::{Settled, load_data},
    },
};

/// A kernel promise: its state and reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The number of holders: c-lists, queued messages and notifications, other promises' data, the host.
    pub ref_count: u64,
    /// Its [`PromiseState`].
    pub state: PromiseState,
    /// The promise `kpN` whose data it shares, by number, and with it the references that this data holds. `None` if
    /// the data is its own or holds no references. That promise may be gone.
    pub data_of: Option<u64>,
}

/// The state of a promise: unresolved or settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromiseState {
    /// Unresolved: see [`Unresolved`].
    Unresolved(Unresolved),
    /// Fulfilled to a value.
    Fulfilled(KernelData),
    /// Rejected with a reason.
    Rejected(KernelData),
    /// Rejected by the kernel, for a cause of which accounts are told another text than vats.
    RejectedByKernel {
        /// The data that vats are told. It refers to nothing.
        data: KernelData,
        /// The [`Cause`].
        cause: Cause,
    },
}

/// The part of a [`Promise`] that exists until it is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The [`Endpoint`] that may settle it. `None` while the authority travels with a queued message.
    pub decider: Option<Endpoint>,
    /// The subscribers to notify, in string order of their ids.
    pub subscribers: Vec<Endpoint>,
    /// The kernel's reaction to its settlement.
    pub policy: ResultPolicy,
    /// The position of the first message waiting on it.
    pub queue_head: u64,
    /// One past the position of the last message waiting on it.
    pub queue_tail: u64,
}

/// The record of a promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct PromiseRecord {
    pub(crate) ref_count: u64,
    pub(crate) stage: Stage,
}

/// The state of a promise, without what lies apart from its record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Stage {
    Pending(Pending),
    Settled(Settled),
}

/// An unresolved promise. The positions are those of [`Unresolved`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Pending {
    pub(crate) decider: Option<Endpoint>,
    pub(crate) policy: ResultPolicy,
    pub(crate) queue_head: u64,
    pub(crate) queue_tail: u64,
    /// The first subscribers, at most eight.
    pub(crate) listed: Vec<Endpoint>,
    /// True if there are further subscribers, each under a key of its own.
    pub(crate) has_more: bool,
}

impl Pending {
    /// Returns the first subscribers, and true if there are further ones.
    pub(crate) fn first_subscribers(&self) -> (&[Endpoint], bool) {
        (&self.listed, self.has_more)
    }
}

/// Number of messages that the settlement of a promise moves at once.
const MAX_REQUEUED: u64 = 100;

impl Promise {
    /// Returns its data if it is settled, and `None` otherwise.
    pub fn data(&self) -> Option<&KernelData> {
        match &self.state {
            PromiseState::Unresolved(_) => None,
            PromiseState::Fulfilled(data)
            | PromiseState::Rejected(data)
            | PromiseState::RejectedByKernel { data, .. } => Some(data),
        }
    }

    /// Reads a promise with all that lies apart from its record.
    pub(crate) fn load(from: &(impl Read + ?Sized), number: u64) -> Result<Option<Self>> {
        let Some(record) = get_record::<PromiseRecord>(from, &keys::promise(number))? else {
            return Ok(None);
        };
        let mut data_of = None;
        let state = match record.stage {
            Stage::Pending(pending) => PromiseState::Unresolved(Unresolved {
                subscribers: subscribers(from, number, &pending)?,
                decider: pending.decider,
                policy: pending.policy,
                queue_head: pending.queue_head,
                queue_tail: pending.queue_tail,
            }),
            Stage::Settled(settled) => {
                data_of = settled.data.shared_source().filter(|source| *source != number);
                let data = load_data(from, &settled.data)?;
                match (settled.rejected, settled.cause) {
                    (true, Some(cause)) => PromiseState::RejectedByKernel { data, cause },
                    (true, None) => PromiseState::Rejected(data),
                    (false, _) => PromiseState::Fulfilled(data),
                }
            }
        };
        Ok(Some(Self { ref_count: record.ref_count, state, data_of }))
    }
}

/// Returns the subscribers of a promise, in string order of their ids.
fn subscribers(
    from: &(impl Read + ?Sized),
    number: u64,
    pending: &Pending,
) -> Result<Vec<Endpoint>> {
    let mut all = pending.listed.clone();
    let prefix = keys::subscribers_of(number);
    let mut after = prefix.to_vec();
    while pending.has_more
        && let Some((key, _)) = from.next_after(&prefix, &after)?
    {
        all.push(named(&key[prefix.len()..])?);
        after = key;
    }
    all.sort_by_cached_key(ToString::to_string);
    Ok(all)
}

/// Returns the endpoint that the end of a key names.
pub(crate) fn named(end: &[u8]) -> Result<Endpoint> {
    let text = String::from_utf8_lossy(end);
    Endpoint::parse(&text).ok_or_else(|| inconsistent(format!("{text} is not an endpoint")))
}

/// Returns the bytes of the reference count in the bytes of a [`PromiseRecord`], whose first field it is. So a change of
/// the count reads and writes nothing else. Returns `None` if the record is too short.
pub(crate) fn ref_count(record: &mut [u8]) -> Option<&mut [u8; 8]> {
    record.first_chunk_mut()
}

/// The number of a promise.
pub(crate) fn number_of(kref: KRef) -> Result<u64> {
    match kref {
        KRef::Promise(number) => Ok(number),
        _ => Err(inconsistent(format!("{kref} is not a promise"))),
    }
}

impl State<'_> {
    /// A new promise, decided by `decider` or by whoever gets the message whose result it is.
    pub(crate) fn add_promise(
        &mut self,
        decider: Option<Endpoint>,
        policy: ResultPolicy,
    ) -> Result<KRef> {
        let number = self.globals().next_promise;
        self.globals_mut().next_promise += 1;
        let pending = Pending {
            decider,
            policy,
            queue_head: 0,
            queue_tail: 0,
            listed: vec![],
            has_more: false,
        };
        let record = PromiseRecord { ref_count: 0, stage: Stage::Pending(pending) };
        self.put(&keys::promise(number), &record)?;
        self.stats.kernel_promises.inc();
        Ok(KRef::Promise(number))
    }

    /// A new promise, rejected and looked at when the crank is over.
    pub(crate) fn add_rejected(&mut self, rejection: Rejection) -> Result<KRef> {
        let kref = self.add_promise(None, ResultPolicy::Ignore)?;
        self.reject(kref, rejection)?;
        self.maybe_free.add(kref);
        Ok(kref)
    }

    pub(crate) fn find_promise(&self, kref: KRef) -> Result<Option<PromiseRecord>> {
        self.get(&keys::promise(number_of(kref)?))
    }

    pub(crate) fn promise(&self, kref: KRef) -> Result<PromiseRecord> {
        self.find_promise(kref)?.ok_or_else(|| inconsistent(format!("{kref} does not exist")))
    }

    pub(crate) fn put_promise(&mut self, kref: KRef, record: &PromiseRecord) -> Result<()> {
        self.put(&keys::promise(number_of(kref)?), record)
    }

    /// The unresolved part of a promise, if it is unresolved.
    pub(crate) fn unresolved(&self, kref: KRef) -> Result<Option<Pending>> {
        match self.promise(kref)?.stage {
            Stage::Pending(pending) => Ok(Some(pending)),
            Stage::Settled(_) => Ok(None),
        }
    }

    /// What a promise came to, if it is settled.
    pub(crate) fn settled(&self, kref: KRef) -> Result<Option<Settled>> {
        match self.promise(kref)?.stage {
            Stage::Pending(_) => Ok(None),
            Stage::Settled(settled) => Ok(Some(settled)),
        }
    }

    /// Changes an unresolved promise.
    pub(crate) fn update_unresolved(
        &mut self,
        kref: KRef,
        change: impl FnOnce(&mut Pending),
    ) -> Result<()> {
        let mut record = self.promise(kref)?;
        let Stage::Pending(pending) = &mut record.stage else {
            return Err(inconsistent(format!("{kref} is already resolved")));
        };
        change(pending);
        self.put_promise(kref, &record)
    }

    pub(crate) fn set_decider(&mut self, kref: KRef, decider: Option<Endpoint>) -> Result<()> {
        self.update_unresolved(kref, |pending| pending.decider = decider)
    }

    /// Puts a message on an unresolved promise's queue. The counts that the message holds stay.
    fn queue_on_promise(&mut self, kref: KRef, waiting: &Waiting) -> Result<()> {
        let number = number_of(kref)?;
        let mut position = 0;
        self.update_unresolved(kref, |pending| {
            position = pending.queue_tail;
            pending.queue_tail += 1;
        })?;
        self.stats.promise_queues_length.inc();
        self.put(&keys::promise_message(number, position), waiting)
    }

    /// Takes a message off the queue of a promise. It is still addressed to the promise.
    pub(crate) fn take_waiting(&mut self, kref: KRef, position: u64) -> Result<RunQueueEvent> {
        let key = keys::promise_message(number_of(kref)?, position);
        let waiting: Waiting = self.need(&key)?;
        self.free_waiting(&waiting);
        let Waiting { message, payer } = waiting;
        self.over.delete(&key);
        self.stats.promise_queues_length.dec();
        Ok(RunQueueEvent::Send { target: kref, message, payer })
    }

    /// Has a message wait on a promise, if its sender's meter covers the deposit for that. Rejects it otherwise.
    pub(crate) fn wait_on_promise(&mut self, kref: KRef, waiting: &Waiting) -> Result<()> {
        let (keeper, bytes) = (waiting.payer.keeper(), capdata_bytes(&waiting.message.methargs));
        match self.try_keep(keeper, Keeping::Message, bytes)? {
            true => self.queue_on_promise(kref, waiting),
            false => self.splat(kref, &waiting.message, Rejection::undelivered(NOT_COVERED)),
        }
    }

    /// Notes that a message waits no longer.
    fn free_waiting(&mut self, waiting: &Waiting) {
        if let Some(vat) = waiting.payer.keeper() {
            self.free(vat, Keeping::Message, capdata_bytes(&waiting.message.methargs));
        }
    }

    /// Moves all messages that wait on a promise to the acceptance queue, in order and still
    /// addressed to the promise. Others may have sent any number of them. So many are not moved now, but one by one
    /// when their turn has come.
    pub(crate) fn requeue_promise(&mut self, kref: KRef) -> Result<()> {
        let Some(pending) = self.unresolved(kref)? else {
            return Err(inconsistent(format!("{kref} is already resolved")));
        };
        let (next, end) = (pending.queue_head, pending.queue_tail);
        if next == end {
            return Ok(());
        }
        if end - next > MAX_REQUEUED {
            self.accept(RunQueueEvent::Waited { promise: kref, next, end })?;
            // Their places stay theirs.
            return self.update_unresolved(kref, |pending| pending.queue_head = end);
        }
        for position in next..end {
            let event = self.take_waiting(kref, position)?;
            self.accept(event)?;
        }
        self.update_unresolved(kref, |pending| {
            pending.queue_head = 0;
            pending.queue_tail = 0;
        })
    }

    /// Deletes a promise with all that lies apart from its record.
    pub(crate) fn delete_promise(&mut self, kref: KRef) -> Result<()> {
        let number = number_of(kref)?;
        match self.promise(kref)?.stage {
            Stage::Pending(pending) => {
                for position in pending.queue_head..pending.queue_tail {
                    let key = keys::promise_message(number, position);
                    let waiting = self.need(&key)?;
                    self.free_waiting(&waiting);
                    self.over.delete(&key);
                    self.stats.promise_queues_length.dec();
                }
                if pending.has_more {
                    self.drop_subscribers(number, usize::MAX)?;
                }
            }
            Stage::Settled(settled) => self.drop_data(&settled.data)?,
        }
        self.over.delete(&keys::promise(number));
        self.stats.kernel_promises.dec();
        Ok(())
    }
}
