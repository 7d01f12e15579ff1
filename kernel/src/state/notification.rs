//! Notifications: which settled promises an endpoint is told of together.

use std::collections::BTreeSet;

use capstan_abi::Resolution;

use crate::{
    capdata::{self, KernelData},
    error::Result,
    ids::{Endpoint, KRef},
    limits::{MAX_NOTIFY_BYTES, MAX_NOTIFY_PROMISES, MAX_NOTIFY_SLOTS, SystemGuard},
    state::{
        handle::State,
        rejection::Wording,
        remote::NO_DEVICE_NODES,
        settled::{Settled, StoredData, load_data},
    },
};

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
    fn take(&mut self, bytes: usize, slots: usize) -> bool {
        let left = (|| {
            Some(Self {
                bytes: self.bytes.checked_sub(bytes)?,
                slots: self.slots.checked_sub(slots)?,
                promises: self.promises.checked_sub(1)?,
            })
        })();
        let fits = left.is_some();
        *self = left.unwrap_or(Self { bytes: 0, slots: 0, promises: 0 });
        fits
    }
}

/// The data of one promise as an endpoint is told it.
enum Told {
    /// Data that was read, or that stands in place of what is refused.
    Data { rejected: bool, data: KernelData },
    /// Data that is told as it is, not read yet.
    Unread { rejected: bool, data: StoredData },
}

impl Told {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Data { data, .. } => (data.body.len(), data.slots.len()),
            Self::Unread { data, .. } => (data.bytes(), data.slots()),
        }
    }

    fn leads_on(&self) -> bool {
        match self {
            Self::Data { data, .. } => {
                data.slots.iter().any(|slot| matches!(slot, KRef::Promise(_)))
            }
            Self::Unread { data, .. } => data.leads_on(),
        }
    }

    fn read(self, state: &State<'_>) -> Result<(bool, KernelData)> {
        Ok(match self {
            Self::Data { rejected, data } => (rejected, data),
            Self::Unread { rejected, data } => (rejected, load_data(state.over, &data)?),
        })
    }
}

impl State<'_> {
    /// Returns the settled promises that a notification of `root` carries: `root` first, then those that its
    /// data leads to, depth first, as far as they fit. Rejections are worded for the endpoint.
    ///
    /// A promise that does not fit follows in a notification of its own if it leads to no other promise.
    /// Otherwise it is told as a rejection. To an account, data with device nodes is told as a rejection. With `guarded`, for vats of the system, data beyond their limits
    /// is told as a rejection too. Large data that does not fit is not even read.
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
        let mut seen = BTreeSet::new();
        let mut stack = vec![root];
        while let Some(kref) = stack.pop() {
            if !seen.insert(kref) {
                continue;
            }
            let Some(settled) = self.settled(kref)? else {
                // Only mentioned, unless it is the root: then nothing is to be told yet.
                continue;
            };
            let told = self.told(settled, &mut wording, guard.as_ref())?;
            let (bytes, slots) = told.size();
            if kref == root || capacity.take(bytes, slots) {
                let (rejected, data) = told.read(self)?;
                let mentioned = data.slots.iter().rev();
                stack.extend(mentioned.filter(|slot| matches!(slot, KRef::Promise(_))));
                notification.resolutions.push(Resolution { promise: kref, rejected, data });
            } else if told.leads_on() {
                // Told later it would have all that it leads to told again, round and round.
                let data = capdata::error(TOO_FAR);
                notification.resolutions.push(Resolution { promise: kref, rejected: true, data });
            } else {
                notification.rest.push(kref);
            }
        }
        Ok(notification)
    }

    fn told(
        &self,
        settled: Settled,
        wording: &mut Wording,
        guard: Option<&SystemGuard>,
    ) -> Result<Told> {
        let Settled { rejected, cause, data } = settled;
        let refused = |text: String| Told::Data { rejected: true, data: capdata::error(&text) };
        if let Some(guard) = guard {
            // What is too large is not read to learn that.
            if let Some(refusal) = guard.refusal_of_size(data.bytes(), data.leads_on()) {
                return Ok(refused(refusal));
            }
            let data = load_data(self.over, &data)?;
            return Ok(match guard.refusal(&data) {
                Some(refusal) => refused(refusal),
                None => Told::Data { rejected, data },
            });
        }
        if wording.is_coded() && data.has_device_nodes() {
            return Ok(refused(NO_DEVICE_NODES.to_owned()));
        }
        Ok(match cause.filter(|_| wording.is_coded()) {
            Some(cause) => {
                let body = load_data(self.over, &data)?.body;
                Told::Data { rejected, data: wording.error(self, cause, &body)? }
            }
            None => Told::Unread { rejected, data },
        })
    }
}
