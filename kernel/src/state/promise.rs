//! Promises: who decides them, who waits for them, what they came to.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Resolution;

pub use crate::state::result_policy::ResultPolicy;
use crate::{
    capdata::{self, KernelData},
    error::{KernelPanic, Result, inconsistent},
    ids::{Endpoint, KRef},
    limits::{MAX_NOTIFY_BYTES, MAX_NOTIFY_PROMISES, MAX_NOTIFY_SLOTS, SystemGuard},
    state::slog::Event,
    state::{
        event::{RunQueueEvent, Waiting},
        handle::State,
        keys,
        notice::SettledLaunch,
        rejection::{Cause, Rejection, Wording},
    },
};

/// A kernel promise: its state and reference count.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Promise {
    /// The number of holders: c-lists, queued messages and notifications, other promises' data, the host.
    pub ref_count: u64,
    /// Its [`PromiseState`].
    pub state: PromiseState,
}

/// The state of a promise: unresolved or settled.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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

/// The rejection that an endpoint sees in place of a promise that leads further than one notification goes.
const TOO_FAR: &str = "more settled promises, or more of their data, than one notification tells";

/// The settled promises that one notification tells an endpoint of.
pub(crate) struct Notification {
    /// In the order in which they are found.
    pub(crate) resolutions: Vec<Resolution<KRef>>,
    /// Settled promises that the data of the others mentions, that did not fit and that lead to no others:
    /// they are told in notifications of their own.
    pub(crate) rest: Vec<KRef>,
}

/// The capacity that a notification has left beyond its primary promise.
struct NotificationCapacity {
    bytes: usize,
    slots: usize,
    promises: usize,
}

impl NotificationCapacity {
    fn new(guard: Option<&SystemGuard>) -> Self {
        let within = |limit: usize, guard: Option<u64>| {
            guard.and_then(|guard| usize::try_from(guard).ok()).map_or(limit, |own| own.min(limit))
        };
        Self {
            bytes: within(MAX_NOTIFY_BYTES, guard.map(|guard| guard.max_bytes)),
            slots: within(MAX_NOTIFY_SLOTS, guard.map(|guard| guard.max_slots)),
            promises: MAX_NOTIFY_PROMISES - 1,
        }
    }

    /// Takes capacity for one more promise's data. After the first that does not fit nothing does.
    fn take(&mut self, data: &KernelData) -> bool {
        let left = (|| {
            Some(Self {
                bytes: self.bytes.checked_sub(data.body.len())?,
                slots: self.slots.checked_sub(data.slots.len())?,
                promises: self.promises.checked_sub(1)?,
            })
        })();
        let fits = left.is_some();
        *self = left.unwrap_or(Self { bytes: 0, slots: 0, promises: 0 });
        fits
    }
}

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
        let unresolved =
            Unresolved { decider, subscribers: vec![], policy, queue_head: 0, queue_tail: 0 };
        let promise = Promise { ref_count: 0, state: PromiseState::Unresolved(unresolved) };
        self.put(&keys::promise(number), &promise)?;
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

    pub(crate) fn find_promise(&self, kref: KRef) -> Result<Option<Promise>> {
        match kref {
            KRef::Promise(number) => self.get(&keys::promise(number)),
            _ => Err(inconsistent(format!("{kref} is not a promise"))),
        }
    }

    pub(crate) fn promise(&self, kref: KRef) -> Result<Promise> {
        self.find_promise(kref)?.ok_or_else(|| inconsistent(format!("{kref} does not exist")))
    }

    pub(crate) fn put_promise(&mut self, kref: KRef, promise: &Promise) -> Result<()> {
        match kref {
            KRef::Promise(number) => self.put(&keys::promise(number), promise),
            _ => Err(inconsistent(format!("{kref} is not a promise"))),
        }
    }

    /// The unresolved part of a promise, if it is unresolved.
    pub(crate) fn unresolved(&self, kref: KRef) -> Result<Option<Unresolved>> {
        match self.promise(kref)?.state {
            PromiseState::Unresolved(unresolved) => Ok(Some(unresolved)),
            _ => Ok(None),
        }
    }

    /// Changes an unresolved promise.
    pub(crate) fn update_unresolved(
        &mut self,
        kref: KRef,
        change: impl FnOnce(&mut Unresolved),
    ) -> Result<()> {
        let mut promise = self.promise(kref)?;
        let PromiseState::Unresolved(unresolved) = &mut promise.state else {
            return Err(inconsistent(format!("{kref} is already resolved")));
        };
        change(unresolved);
        self.put_promise(kref, &promise)
    }

    pub(crate) fn set_decider(&mut self, kref: KRef, decider: Option<Endpoint>) -> Result<()> {
        self.update_unresolved(kref, |unresolved| unresolved.decider = decider)
    }

    /// Puts a message on an unresolved promise's queue. The counts that the message holds stay.
    pub(crate) fn queue_on_promise(&mut self, kref: KRef, waiting: &Waiting) -> Result<()> {
        let KRef::Promise(number) = kref else {
            return Err(inconsistent(format!("{kref} is not a promise")));
        };
        let mut position = 0;
        self.update_unresolved(kref, |unresolved| {
            position = unresolved.queue_tail;
            unresolved.queue_tail += 1;
        })?;
        self.stats.promise_queues_length.inc();
        self.put(&keys::promise_message(number, position), waiting)
    }

    /// Moves all messages that wait on a promise to the acceptance queue, in order and still
    /// addressed to the promise.
    pub(crate) fn requeue_promise(&mut self, kref: KRef) -> Result<()> {
        let KRef::Promise(number) = kref else {
            return Err(inconsistent(format!("{kref} is not a promise")));
        };
        let Some(unresolved) = self.unresolved(kref)? else {
            return Err(inconsistent(format!("{kref} is already resolved")));
        };
        if unresolved.queue_head == unresolved.queue_tail {
            return Ok(());
        }
        for position in unresolved.queue_head..unresolved.queue_tail {
            let key = keys::promise_message(number, position);
            let Waiting { message, payer } = self.need(&key)?;
            self.over.delete(&key);
            self.stats.promise_queues_length.dec();
            self.accept(RunQueueEvent::Send { target: kref, message, payer })?;
        }
        self.update_unresolved(kref, |unresolved| {
            unresolved.queue_head = 0;
            unresolved.queue_tail = 0;
        })
    }

    /// Adds a subscriber, or notifies it at once if the promise is settled.
    pub(crate) fn subscribe(&mut self, kref: KRef, endpoint: Endpoint) -> Result<()> {
        let Some(unresolved) = self.unresolved(kref)? else { return self.notify(endpoint, kref) };
        if unresolved.subscribers.contains(&endpoint) {
            return Ok(());
        }
        self.update_unresolved(kref, |unresolved| {
            unresolved.subscribers.push(endpoint);
            unresolved.subscribers.sort_by_key(ToString::to_string);
        })
    }

    /// Settles promises in order. The caller has made sure that each is unresolved and that the
    /// authority is there.
    pub(crate) fn resolve(&mut self, resolutions: Vec<Resolution<KRef>>) -> Result<()> {
        for resolution in resolutions {
            self.resolve_one(resolution, None)?;
        }
        Ok(())
    }

    /// Rejects a promise.
    pub(crate) fn reject(&mut self, promise: KRef, rejection: impl Into<Rejection>) -> Result<()> {
        let Rejection { data, cause } = rejection.into();
        self.resolve_one(Resolution { promise, rejected: true, data }, cause)
    }

    fn resolve_one(&mut self, resolution: Resolution<KRef>, cause: Option<Cause>) -> Result<()> {
        let Resolution { promise: kref, rejected, data } = resolution;
        let Some(unresolved) = self.unresolved(kref)? else {
            return Err(inconsistent(format!("{kref} was already resolved")));
        };
        for subscriber in &unresolved.subscribers {
            match *subscriber {
                Endpoint::Device(device) => self.tell_listener(device, kref, rejected)?,
                subscriber => self.notify(subscriber, kref)?,
            }
        }
        for slot in &data.slots {
            self.increment(*slot)?;
        }
        self.requeue_promise(kref)?;
        let mut promise = self.promise(kref)?;
        promise.state = match (rejected, cause) {
            (true, Some(cause)) => PromiseState::RejectedByKernel { data: data.clone(), cause },
            (true, None) => PromiseState::Rejected(data.clone()),
            (false, _) => PromiseState::Fulfilled(data.clone()),
        };
        self.put_promise(kref, &promise)?;
        self.apply_policy(unresolved.policy, kref, rejected, &data);
        Ok(())
    }

    fn apply_policy(
        &mut self,
        policy: ResultPolicy,
        promise: KRef,
        rejected: bool,
        data: &KernelData,
    ) {
        match (policy, rejected) {
            (ResultPolicy::LogAlways, _) | (ResultPolicy::LogFailure, true) => {
                self.log(Event::PromisePolicy { promise, rejected, data });
            }
            (ResultPolicy::Launch(id), _) => {
                if rejected {
                    self.log(Event::PromisePolicy { promise, rejected, data });
                }
                let data = data.clone();
                self.settled_launches.push_back(SettledLaunch { id, rejected, data });
            }
            (ResultPolicy::Panic, false) => self.bootstrapped = true,
            (ResultPolicy::Panic, true) => {
                let data_json = capstan_abi::json::capdata_to_json(data).to_string();
                self.pending_panic = Some(KernelPanic::PromisePolicy { promise, data_json });
            }
            _ => {}
        }
    }

    /// Returns the settled promises that a notification of `root` carries: `root` first, then those that its
    /// data leads to, depth first, as far as they fit. Rejections are worded for the endpoint.
    ///
    /// A promise that does not fit follows in a notification of its own if it leads to no other promise.
    /// Otherwise it is told as a rejection. With `guarded`, for vats of the system, data beyond their limits
    /// is told as a rejection too.
    pub(crate) fn notification(
        &self,
        root: KRef,
        endpoint: Endpoint,
        guarded: bool,
    ) -> Result<Notification> {
        let mut wording = Wording::of(endpoint);
        let guard = guarded.then_some(self.globals().options.guard);
        let mut capacity = NotificationCapacity::new(guard.as_ref());
        let mut notification = Notification { resolutions: Vec::new(), rest: Vec::new() };
        let mut seen = std::collections::BTreeSet::new();
        let mut stack = vec![root];
        while let Some(kref) = stack.pop() {
            if !seen.insert(kref) {
                continue;
            }
            let settlement = wording.settlement(self, self.promise(kref)?.state)?;
            let Some((rejected, data)) = settlement else {
                // Only mentioned, unless it is the root: then nothing is to be told yet.
                continue;
            };
            let (rejected, data) = match guard.and_then(|guard| guard.refusal(&data)) {
                Some(refusal) => (true, capdata::error(&refusal)),
                None => (rejected, data),
            };
            let leads_on = data.slots.iter().any(|slot| matches!(slot, KRef::Promise(_)));
            if kref == root || capacity.take(&data) {
                let mentioned = data.slots.iter().rev();
                stack.extend(mentioned.filter(|slot| matches!(slot, KRef::Promise(_))));
                notification.resolutions.push(Resolution { promise: kref, rejected, data });
            } else if leads_on {
                // Told later it would have all that it leads to told again, round and round.
                let data = capdata::error(TOO_FAR);
                notification.resolutions.push(Resolution { promise: kref, rejected: true, data });
            } else {
                notification.rest.push(kref);
            }
        }
        Ok(notification)
    }

    pub(crate) fn delete_promise(&mut self, kref: KRef) -> Result<()> {
        let KRef::Promise(number) = kref else {
            return Err(inconsistent(format!("{kref} is not a promise")));
        };
        if let PromiseState::Unresolved(unresolved) = self.promise(kref)?.state {
            for position in unresolved.queue_head..unresolved.queue_tail {
                self.over.delete(&keys::promise_message(number, position));
                self.stats.promise_queues_length.dec();
            }
        }
        self.over.delete(&keys::promise(number));
        self.stats.kernel_promises.dec();
        Ok(())
    }
}
