//! Settled promises: what they came to, and where their data lies.
//!
//! Small data lies in the promise's record. Large data lies apart, is written once, and is shared with the promises
//! that are rejected because this one was. So neither a reference to a settled promise nor a message to it reads or
//! writes large data.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Resolution;
use capstan_kernel_ports::{VatId, store::Read};

use crate::{
    capdata::{self, KernelData},
    error::{KernelPanic, Result, inconsistent},
    ids::KRef,
    state::{
        handle::{State, need},
        keeping::{Keeping, data_bytes},
        keys,
        notice::SettledLaunch,
        promise::{PromiseRecord, ResultPolicy, Stage, number_of},
        rejection::{Cause, Reason, Rejection},
        slog::Event,
    },
};

/// The outcome of a promise.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Settled {
    pub(crate) rejected: bool,
    /// The cause, if the kernel rejected it for one of which accounts are told another text.
    pub(crate) cause: Option<Cause>,
    pub(crate) data: StoredData,
}

/// The data of a settled promise, with the vat that settled it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum StoredData {
    /// It is small.
    Here(KernelData, Option<VatId>),
    /// It is large.
    Apart(LargeData),
}

/// Large data under a key of its own, and what can be told of it without reading it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct LargeData {
    /// The number of the promise that was first settled with it, which names its key.
    source: u64,
    bytes: u64,
    slots: u64,
    /// The slot that it consists of.
    target: Option<KRef>,
    /// True if it refers to a promise.
    leads_on: bool,
    /// True if it refers to a device node.
    has_device_nodes: bool,
    /// The vat that settled the promise, and keeps the data.
    keeper: Option<VatId>,
}

/// Upper bound of data in a promise's record, in bytes. A slot counts [`SLOT_BYTES`].
const MAX_BYTES_HERE: usize = 256;
const SLOT_BYTES: usize = 9;

impl StoredData {
    /// Returns the length of the body, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Here(data, _) => data.body.len(),
            Self::Apart(large) => usize::try_from(large.bytes).unwrap_or(usize::MAX),
        }
    }

    /// Returns the number of slots.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Here(data, _) => data.slots.len(),
            Self::Apart(large) => usize::try_from(large.slots).unwrap_or(usize::MAX),
        }
    }

    /// Returns the number of the promise that was first settled with it, if it can be shared and holds references.
    pub(crate) fn shared_source(&self) -> Option<u64> {
        match self {
            Self::Apart(large) if large.slots > 0 => Some(large.source),
            _ => None,
        }
    }

    /// Returns true if it refers to a device node.
    pub(crate) fn has_device_nodes(&self) -> bool {
        match self {
            Self::Here(data, _) => has_device_nodes(data),
            Self::Apart(large) => large.has_device_nodes,
        }
    }

    /// Returns the vat that settled the promise with it.
    pub(crate) fn keeper(&self) -> Option<VatId> {
        match self {
            Self::Here(_, keeper) => *keeper,
            Self::Apart(large) => large.keeper,
        }
    }

    /// Returns the vat that keeps it in a record apart, with the number of the promise that names the record, and the
    /// bytes that it counts.
    pub(crate) fn kept_apart(&self) -> Option<(VatId, u64, u64)> {
        match self {
            Self::Here(..) => None,
            Self::Apart(large) => Some((large.keeper?, large.source, large.kept_bytes())),
        }
    }

    /// Returns true if it refers to a promise.
    pub(crate) fn leads_on(&self) -> bool {
        match self {
            Self::Here(data, _) => leads_on(data),
            Self::Apart(large) => large.leads_on,
        }
    }
}

impl LargeData {
    fn kept_bytes(&self) -> u64 {
        data_bytes(self.bytes, self.slots)
    }
}

fn leads_on(data: &KernelData) -> bool {
    data.slots.iter().any(|slot| matches!(slot, KRef::Promise(_)))
}

/// Returns true if the data refers to a device node.
pub(crate) fn has_device_nodes(data: &KernelData) -> bool {
    data.slots.iter().any(|slot| matches!(slot, KRef::Device(_)))
}

impl Settled {
    /// Returns the object that a message to the promise goes to. `None` if there is none.
    pub(crate) fn target(&self) -> Option<KRef> {
        let single = match &self.data {
            StoredData::Here(data, _) => capdata::single_slot(data),
            StoredData::Apart(large) => large.target,
        };
        single.filter(|slot| !self.rejected && matches!(slot, KRef::Object(_)))
    }

    /// Returns the rejection of the results of messages to this promise, which is rejected.
    pub(crate) fn rejection(self) -> Rejection {
        let reason = match self.data {
            StoredData::Here(data, _) => Reason::Data(data),
            StoredData::Apart(large) => Reason::Shared(large),
        };
        Rejection { reason, cause: self.cause }
    }
}

/// Reads the data of a settled promise.
pub(crate) fn load_data(from: &(impl Read + ?Sized), data: &StoredData) -> Result<KernelData> {
    match data {
        StoredData::Here(data, _) => Ok(data.clone()),
        StoredData::Apart(large) => need(from, &keys::promise_data(large.source)),
    }
}

impl State<'_> {
    /// The data of a promise, if it is settled.
    pub(crate) fn settled_data(&self, kref: KRef) -> Result<Option<KernelData>> {
        let settled = self.settled(kref)?;
        settled.map(|settled| load_data(self.over, &settled.data)).transpose()
    }

    /// Settles promises in order. The caller has made sure that each is unresolved and that the
    /// authority is there. `keeper` is the vat that settles them, if one does.
    pub(crate) fn resolve(
        &mut self,
        resolutions: Vec<Resolution<KRef>>,
        keeper: Option<VatId>,
    ) -> Result<()> {
        for Resolution { promise, rejected, data } in resolutions {
            let outcome = Rejection { reason: Reason::Data(data), cause: None };
            self.settle(promise, rejected, outcome, keeper)?;
        }
        Ok(())
    }

    /// Rejects a promise.
    pub(crate) fn reject(&mut self, promise: KRef, rejection: impl Into<Rejection>) -> Result<()> {
        self.settle(promise, true, rejection.into(), None)
    }

    fn settle(
        &mut self,
        kref: KRef,
        rejected: bool,
        outcome: Rejection,
        keeper: Option<VatId>,
    ) -> Result<()> {
        let number = number_of(kref)?;
        let Some(pending) = self.unresolved(kref)? else {
            return Err(inconsistent(format!("{kref} was already resolved")));
        };
        self.tell_subscribers(kref, &pending, rejected)?;
        let Rejection { reason, cause } = outcome;
        let data = match reason {
            Reason::Data(data) => self.store_data(number, data, keeper)?,
            Reason::Shared(large) => self.share_data(large)?,
        };
        self.requeue_promise(kref)?;
        let settled = Settled { rejected, cause, data };
        let ref_count = self.promise(kref)?.ref_count;
        let stage = Stage::Settled(settled.clone());
        self.put_promise(kref, &PromiseRecord { ref_count, stage })?;
        match pending.policy {
            ResultPolicy::Ignore => Ok(()),
            policy => self.apply_policy(policy, kref, &settled),
        }
    }

    /// Stores the data of the promise `number`, and holds what it refers to.
    fn store_data(
        &mut self,
        number: u64,
        data: KernelData,
        keeper: Option<VatId>,
    ) -> Result<StoredData> {
        self.increment_all(&data.slots)?;
        if data.body.len() + SLOT_BYTES * data.slots.len() <= MAX_BYTES_HERE {
            return Ok(StoredData::Here(data, keeper));
        }
        self.put(&keys::promise_data(number), &data)?;
        let large = LargeData {
            source: number,
            bytes: data.body.len() as u64,
            slots: data.slots.len() as u64,
            target: capdata::single_slot(&data),
            leads_on: leads_on(&data),
            has_device_nodes: has_device_nodes(&data),
            keeper,
        };
        if let Some(vat) = keeper {
            self.keep(vat, Keeping::Promise, large.kept_bytes());
        }
        Ok(StoredData::Apart(large))
    }

    /// Counts one more promise that has this data. It holds once what it refers to, for all of them.
    fn share_data(&mut self, large: LargeData) -> Result<StoredData> {
        let key = keys::promise_data_count(large.source);
        let count = self.get::<u64>(&key)?.unwrap_or(1);
        self.put(&key, &(count + 1))?;
        Ok(StoredData::Apart(large))
    }

    /// Lets go of the data of a promise that is deleted. The last one to do so deletes the data.
    pub(crate) fn drop_data(&mut self, data: &StoredData) -> Result<()> {
        let large = match data {
            StoredData::Here(data, _) => return self.decrement_all(&data.slots),
            StoredData::Apart(large) => large,
        };
        let count_key = keys::promise_data_count(large.source);
        match self.get::<u64>(&count_key)? {
            Some(count) if count > 2 => return self.put(&count_key, &(count - 1)),
            Some(_) => {
                self.over.delete(&count_key);
                return Ok(());
            }
            None => {}
        }
        if let Some(vat) = large.keeper {
            self.free(vat, Keeping::Promise, large.kept_bytes());
        }
        if large.slots > 0 {
            let data: KernelData = self.need(&keys::promise_data(large.source))?;
            self.decrement_all(&data.slots)?;
        }
        self.over.delete(&keys::promise_data(large.source));
        Ok(())
    }

    fn apply_policy(
        &mut self,
        policy: ResultPolicy,
        promise: KRef,
        settled: &Settled,
    ) -> Result<()> {
        let rejected = settled.rejected;
        let data = &load_data(self.over, &settled.data)?;
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
        Ok(())
    }
}
