//! Remotes: accounts as endpoints.
//!
//! An account holds what its c-list holds. Deliveries to it go to its outbox, numbered, until the account
//! acknowledges them.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, Delivery, Message, Resolution};

use crate::{
    capdata::{self, Builder, KernelData},
    error::{KernelPanic, Refusal, Result, inconsistent, no_limit},
    ids::{Endpoint, KRef, RemoteId},
    limits::{
        CALL_SLOT_BYTES, MAX_ACKNOWLEDGED, MAX_BODY_BYTES, MAX_CALL_BYTES, MAX_CALL_PROMISES,
        MAX_CALLS, MAX_SLOTS, MAX_UNANSWERED,
    },
    state::{
        clist::{ImportIds, Use},
        handle::State,
        keeping::Paid,
        keys,
        promise::ResultPolicy,
        queue::Payer,
        settled::has_device_nodes,
        told::told_bytes,
    },
};

pub use crate::state::told::Told;

/// A remote: an account that holds capabilities.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Remote {
    /// The address of its account.
    pub address: String,
    /// The next numbers of its imports.
    pub imports: ImportIds,
    /// The state of its [`Factory`].
    pub factory: Factory,
    /// The number of the next outbox entry, from 1.
    pub next_outbox: u64,
    /// The last outbox entry that was acknowledged.
    pub acknowledged: u64,
    /// The [`Calls`] that wait for the account.
    pub calls: Calls,
    /// The notifications that wait for the account: see [`Told`].
    pub told: Told,
}

/// The calls to objects of an account that it has not dealt with. Others cause them, so they are bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Calls {
    /// The number of calls in the outbox that are not acknowledged.
    pub waiting: u64,
    /// The bytes of those calls, as `call_bytes` counts them.
    pub bytes: u64,
    /// The number of calls whose result promise the account has not settled, acknowledged or not.
    pub unanswered: u64,
}

impl Calls {
    /// Returns the reason why no further call is taken, or `None` if there is room.
    fn full(self) -> Option<String> {
        let limits = [
            (self.waiting, MAX_CALLS, "calls that it has not acknowledged"),
            (self.bytes, MAX_CALL_BYTES, "bytes of calls that it has not acknowledged"),
            (self.unanswered, MAX_UNANSWERED, "calls that it has not answered"),
        ];
        let (_, limit, what) = limits.into_iter().find(|(found, limit, _)| found >= limit)?;
        Some(format!("{REJECTED} the account has {limit} {what}"))
    }
}

/// The beginning of the reason why a call to an account is not delivered.
const REJECTED: &str = "Message rejected:";

/// The rule for data that refers to device nodes. What a device answers lies within a vat's delivery, and an account has none.
pub(crate) const NO_DEVICE_NODES: &str = "an account is given no device nodes";

/// The beginning of the reason why an account cannot settle a promise.
const NOT_DECIDED: &str = "is not a promise that this account may resolve";

/// Returns the size of a call, for [`Calls::bytes`].
fn call_bytes<R>(methargs: &CapData<R>) -> u64 {
    methargs.body.len() as u64 + CALL_SLOT_BYTES * methargs.slots.len() as u64
}

/// The factory of a remote: the provisioner's answer, and the first thing that an account gets.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Factory {
    /// Not answered yet. Messages may already be sent to the promise.
    Promised {
        /// The remote's name for the promise.
        rref: String,
    },
    /// Answered with an object.
    Object {
        /// The remote's name for it.
        rref: String,
    },
    /// Missing. The provisioner refused, or answered with something that is not an object, or the remote let
    /// go of it.
    Refused,
}

/// An entry of an outbox.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct OutboxEntry {
    pub(crate) delivery: Delivery,
    /// The vats that keep it, with their bytes.
    pub(crate) paid: Vec<Paid>,
}

/// The reason why a remote's request failed, by its own fault unless it is [`Self::Panic`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It was never provisioned.
    #[error("{0} holds nothing yet: its first message provisions it")]
    Unknown(String),
    /// It does not hold, or may not use, what it named.
    #[error("{0}")]
    Reference(String),
    /// Its factory was refused by the provisioner.
    #[error("the provisioner gave this account no factory object")]
    NoFactory,
    /// It acknowledged something that it was never sent.
    #[error("outbox entry {asked} does not exist: the last one is {last}")]
    NotSent {
        /// The entry that it named.
        asked: u64,
        /// The last entry.
        last: u64,
    },
    /// It acknowledged more at once than one transaction may have removed.
    #[error(
        "at most {MAX_ACKNOWLEDGED} outbox entries can be acknowledged at once: begin with {first}"
    )]
    TooMany {
        /// The last entry that may be named now.
        first: u64,
    },
    /// The data is larger than a vat would be allowed to send.
    #[error("message too large: at most 10000000 bytes of body and 10000 slots")]
    TooLarge,
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

impl From<Refusal> for RemoteError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::VatFatal(why) => Self::Reference(why),
            Refusal::Exhausted => Self::Panic(no_limit()),
            Refusal::Panic(panic) => Self::Panic(panic),
        }
    }
}

/// The receipt for a message that a remote sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The remote's name for the promise of the answer, `rp-N`. It is subscribed to.
    pub result: String,
}

impl State<'_> {
    pub(crate) fn remote(&self, id: RemoteId) -> Result<Remote> {
        self.need(&keys::remote(id))
    }

    pub(crate) fn update_remote(
        &mut self,
        id: RemoteId,
        change: impl FnOnce(&mut Remote),
    ) -> Result<()> {
        let mut remote = self.remote(id)?;
        change(&mut remote);
        self.put(&keys::remote(id), &remote)
    }

    /// Returns the remote of an address, and makes one if there is none. Asks the provisioner for a factory
    /// if the remote has none: a new one, one that let go of it, or one that was refused before.
    pub(crate) fn provision(&mut self, address: &str) -> Result<RemoteId> {
        if let Some(id) = self.get(&keys::remote_address(address))? {
            if self.remote(id)?.factory == Factory::Refused {
                self.ask_for_factory(id, address)?;
            }
            return Ok(id);
        }
        let id = RemoteId(self.globals().next_remote);
        self.globals_mut().next_remote += 1;
        let remote = Remote {
            address: address.to_owned(),
            imports: ImportIds::VAT,
            factory: Factory::Refused,
            next_outbox: 1,
            acknowledged: 0,
            calls: Calls::default(),
            told: Told::default(),
        };
        self.put(&keys::remote(id), &remote)?;
        self.put(&keys::remote_address(address), &id)?;
        self.ask_for_factory(id, address)?;
        Ok(id)
    }

    fn ask_for_factory(&mut self, id: RemoteId, address: &str) -> Result<()> {
        if let Some(provisioner) = self.globals().provisioner_root {
            let mut builder = Builder::default();
            let address = builder.text(address);
            let methargs = capdata::methargs(builder, "provision", vec![address]);
            let result = self.send_from_kernel(provisioner, methargs, ResultPolicy::Ignore)?;
            let rref = self.to_endpoint(Endpoint::Remote(id), result)?;
            self.subscribe(result, Endpoint::Remote(id))?;
            self.update_remote(id, |remote| remote.factory = Factory::Promised { rref })?;
        }
        Ok(())
    }

    /// Sends a message as the remote. Slots name what it holds, or new exports of its own.
    pub(crate) fn remote_send(
        &mut self,
        remote: RemoteId,
        target: &str,
        methargs: CapData,
    ) -> std::result::Result<Sent, RemoteError> {
        if methargs.body.len() > MAX_BODY_BYTES || methargs.slots.len() > MAX_SLOTS {
            return Err(RemoteError::TooLarge);
        }
        let endpoint = Endpoint::Remote(remote);
        if self.clist_kref(endpoint, target)?.is_none() {
            return Err(RemoteError::Reference(format!("{target:?} is not held by this account")));
        }
        let target = self.to_kernel(endpoint, target, Use::Mention)?;
        let methargs = self.data_to_kernel(endpoint, methargs)?;
        let result = self.add_promise(None, ResultPolicy::Ignore)?;
        let rref = self.to_endpoint(endpoint, result)?;
        self.subscribe(result, endpoint)?;
        self.send(target, Message { methargs, result: Some(result) }, Payer::Nobody)?;
        Ok(Sent { result: rref })
    }

    /// The remote's name for its factory object, or for the promise of it.
    pub(crate) fn factory(&self, remote: RemoteId) -> std::result::Result<String, RemoteError> {
        match self.remote(remote)?.factory {
            Factory::Promised { rref } | Factory::Object { rref } => Ok(rref),
            Factory::Refused => Err(RemoteError::NoFactory),
        }
    }

    /// Settles promises that the remote decides: its own exports and results of messages to it.
    pub(crate) fn remote_resolve(
        &mut self,
        remote: RemoteId,
        resolutions: Vec<Resolution>,
    ) -> std::result::Result<(), RemoteError> {
        let endpoint = Endpoint::Remote(remote);
        let mut translated: Vec<Resolution<KRef>> = Vec::with_capacity(resolutions.len());
        let mut settled = BTreeSet::new();
        // What it decides without having exported it is the result of a call.
        let answered =
            resolutions.iter().filter(|one| one.promise.starts_with("rp-")).count() as u64;
        let named: BTreeSet<String> =
            resolutions.iter().flat_map(|one| one.data.slots.iter().cloned()).collect();
        for Resolution { promise: rref, rejected, data } in resolutions {
            if self.clist_kref(endpoint, &rref)?.is_none() && !named.contains(&rref) {
                return Err(self.not_decided(remote, &rref)?);
            }
            let promise = self.to_kernel(endpoint, &rref, Use::Mention)?;
            let decided = matches!(promise, KRef::Promise(_))
                && self.unresolved(promise)?.is_some_and(|u| u.decider == Some(endpoint))
                && settled.insert(promise);
            if !decided {
                let text = format!("{rref} {NOT_DECIDED}: another decides it, or it is settled");
                return Err(RemoteError::Reference(text));
            }
            let data = self.data_to_kernel(endpoint, data)?;
            if let (false, Some(KRef::Promise(_))) = (rejected, capdata::single_slot(&data)) {
                let text = format!("{rref} cannot be resolved to a promise");
                return Err(RemoteError::Reference(text));
            }
            translated.push(Resolution { promise, rejected, data });
        }
        for resolution in &translated {
            // An account that waits for the promise itself, as the result of a message to its own object, is told by
            // a notification, which removes the entry.
            if !self.is_subscribed(resolution.promise, endpoint)? {
                self.delete_entry(endpoint, resolution.promise)?;
            }
        }
        self.update_remote(remote, |record| {
            record.calls.unanswered = record.calls.unanswered.saturating_sub(answered);
        })?;
        Ok(self.resolve(translated, None)?)
    }

    /// Returns the error for a promise that is not in the remote's c-list, which what was settled has left.
    fn not_decided(&self, remote: RemoteId, rref: &str) -> Result<RemoteError> {
        let number = |prefix: &str| rref.strip_prefix(prefix)?.parse::<u64>().ok();
        let next = self.remote(remote)?.imports.promise;
        let why = match (number("rp-"), number("rp+")) {
            (Some(number), _) if (ImportIds::VAT.promise..next).contains(&number) => {
                "it is settled already"
            }
            (Some(_), _) => "the account was never told of it",
            (None, Some(_)) => {
                "the account has passed it to nobody, or it is settled already; a message or an answer passes it first"
            }
            (None, None) => "a promise is written rp-N or rp+N",
        };
        Ok(RemoteError::Reference(format!("{rref} {NOT_DECIDED}: {why}")))
    }

    /// Lets go of imported objects for good. Its factory comes again with the next [`State::provision`].
    pub(crate) fn remote_drop(
        &mut self,
        remote: RemoteId,
        rrefs: &[String],
    ) -> std::result::Result<(), RemoteError> {
        let endpoint = Endpoint::Remote(remote);
        for rref in rrefs {
            if self.clist_kref(endpoint, rref)?.is_none() {
                let text = format!("{rref} is not held by this account (any more)");
                return Err(RemoteError::Reference(text));
            }
            let kref = self.to_kernel(endpoint, rref, Use::Collect)?;
            if !rref.starts_with("ro-") || !matches!(kref, KRef::Object(_)) {
                let text = format!("{rref} is not an imported object of this account");
                return Err(RemoteError::Reference(text));
            }
            self.delete_entry(endpoint, kref)?;
            let dropped = Factory::Object { rref: rref.clone() };
            if self.remote(remote)?.factory == dropped {
                self.update_remote(remote, |remote| remote.factory = Factory::Refused)?;
            }
        }
        Ok(())
    }

    /// Removes outbox entries up to and including `sequence`.
    pub(crate) fn acknowledge(
        &mut self,
        remote: RemoteId,
        sequence: u64,
    ) -> std::result::Result<(), RemoteError> {
        let record = self.remote(remote)?;
        let last = record.next_outbox - 1;
        if sequence > last {
            return Err(RemoteError::NotSent { asked: sequence, last });
        }
        if sequence.saturating_sub(record.acknowledged) > MAX_ACKNOWLEDGED {
            return Err(RemoteError::TooMany { first: record.acknowledged + MAX_ACKNOWLEDGED });
        }
        let (mut calls, mut told) = (record.calls, 0);
        for number in record.acknowledged + 1..=sequence {
            let key = keys::outbox(remote, number);
            let entry = self.get::<OutboxEntry>(&key)?;
            if let Some(entry) = &entry {
                self.free_paid(&entry.paid);
            }
            match entry.map(|entry| entry.delivery) {
                Some(Delivery::Notify { resolutions }) => {
                    told += told_bytes(&resolutions);
                    for resolution in resolutions {
                        self.over.delete(&keys::settled(remote, &resolution.promise));
                    }
                }
                Some(Delivery::Message { message, .. }) => {
                    calls.waiting = calls.waiting.saturating_sub(1);
                    calls.bytes = calls.bytes.saturating_sub(call_bytes(&message.methargs));
                }
                _ => {}
            }
            self.over.delete(&key);
        }
        let acknowledged = record.acknowledged.max(sequence);
        self.update_remote(remote, |remote| {
            remote.acknowledged = acknowledged;
            remote.calls = calls;
            remote.told.bytes = remote.told.bytes.saturating_sub(told);
        })?;
        Ok(self.take_up(remote)?)
    }

    /// Returns the reason why an account does not get this call, or `None` if it does.
    pub(crate) fn call_refused(
        &self,
        remote: RemoteId,
        methargs: &KernelData,
    ) -> Result<Option<String>> {
        let promises =
            methargs.slots.iter().filter(|slot| matches!(slot, KRef::Promise(_))).count();
        if promises > MAX_CALL_PROMISES {
            let text = format!("{REJECTED} an account takes at most {MAX_CALL_PROMISES} promises");
            return Ok(Some(text));
        }
        if has_device_nodes(methargs) {
            return Ok(Some(format!("{REJECTED} {NO_DEVICE_NODES}")));
        }
        Ok(self.remote(remote)?.calls.full())
    }

    /// Subscribes an account to the promises in data that it is about to get, unless the account decides them.
    /// Accounts have no syscall to subscribe with. `settled` tells whether settled promises count too: a
    /// notification carries those that its data mentions.
    pub(crate) fn subscribe_remote(
        &mut self,
        remote: RemoteId,
        data: &KernelData,
        settled: bool,
    ) -> Result<()> {
        let endpoint = Endpoint::Remote(remote);
        for slot in data.slots.iter().filter(|slot| matches!(slot, KRef::Promise(_))) {
            let wanted = match self.unresolved(*slot)? {
                Some(promise) => promise.decider != Some(endpoint),
                None => settled,
            };
            if wanted {
                self.subscribe(*slot, endpoint)?;
            }
        }
        Ok(())
    }

    /// Puts a translated delivery into the outbox. `paid` names the vats that keep it.
    pub(crate) fn post(
        &mut self,
        remote: RemoteId,
        delivery: Delivery,
        paid: Vec<Paid>,
    ) -> Result<()> {
        let record = self.remote(remote)?;
        let number = record.next_outbox;
        let mut told = 0;
        if let Delivery::Notify { resolutions } = &delivery {
            told = told_bytes(resolutions);
            for resolution in resolutions {
                self.put(&keys::settled(remote, &resolution.promise), &number)?;
                self.settle_factory(remote, &record.factory, resolution)?;
            }
        }
        let mut calls = record.calls;
        if let Delivery::Message { message, .. } = &delivery {
            calls.waiting += 1;
            calls.bytes = calls.bytes.saturating_add(call_bytes(&message.methargs));
            calls.unanswered += u64::from(message.result.is_some());
        }
        self.put(&keys::outbox(remote, number), &OutboxEntry { delivery, paid })?;
        let next =
            number.checked_add(1).ok_or_else(|| inconsistent("outbox numbers are used up"))?;
        self.update_remote(remote, |remote| {
            remote.next_outbox = next;
            remote.calls = calls;
            remote.told.bytes = remote.told.bytes.saturating_add(told);
        })
    }

    fn settle_factory(
        &mut self,
        remote: RemoteId,
        factory: &Factory,
        resolution: &Resolution,
    ) -> Result<()> {
        if *factory != (Factory::Promised { rref: resolution.promise.clone() }) {
            return Ok(());
        }
        let single = capdata::single_slot_index(&resolution.data.body)
            .and_then(|index| resolution.data.slots.get(index))
            .filter(|rref| !resolution.rejected && rref.starts_with("ro-"));
        let settled = match single {
            Some(rref) => Factory::Object { rref: rref.clone() },
            None => Factory::Refused,
        };
        self.update_remote(remote, |remote| remote.factory = settled)
    }
}
