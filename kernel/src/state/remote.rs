//! Remotes: accounts as endpoints.
//!
//! An account holds what its c-list holds. Deliveries to it go to its outbox, numbered, until the account
//! acknowledges them.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{CapData, Delivery, Message, Resolution};

use crate::{
    capdata::{self, Builder},
    error::{KernelPanic, Refusal, Result, inconsistent},
    ids::{Endpoint, KRef, RemoteId},
    limits::{MAX_ACKNOWLEDGED, MAX_BODY_BYTES, MAX_SLOTS},
    state::{
        clist::{ImportIds, Use},
        handle::State,
        keys,
        promise::ResultPolicy,
        queue::Payer,
    },
};

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
        let mut settled = std::collections::BTreeSet::new();
        for Resolution { promise: rref, rejected, data } in resolutions {
            let promise = self.to_kernel(endpoint, &rref, Use::Mention)?;
            let decided = matches!(promise, KRef::Promise(_))
                && self.unresolved(promise)?.is_some_and(|u| u.decider == Some(endpoint))
                && settled.insert(promise);
            if !decided {
                let text = format!("{rref} is not a promise that this account may resolve");
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
            self.delete_entry(endpoint, resolution.promise)?;
        }
        Ok(self.resolve(translated)?)
    }

    /// Lets go of imported objects for good. Its factory comes again with the next [`State::provision`].
    pub(crate) fn remote_drop(
        &mut self,
        remote: RemoteId,
        rrefs: &[String],
    ) -> std::result::Result<(), RemoteError> {
        let endpoint = Endpoint::Remote(remote);
        for rref in rrefs {
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
        for number in record.acknowledged + 1..=sequence {
            let key = keys::outbox(remote, number);
            if let Some(Delivery::<String>::Notify { resolutions }) = self.get(&key)? {
                for resolution in resolutions {
                    self.over.delete(&keys::settled(remote, &resolution.promise));
                }
            }
            self.over.delete(&key);
        }
        let acknowledged = record.acknowledged.max(sequence);
        Ok(self.update_remote(remote, |remote| remote.acknowledged = acknowledged)?)
    }

    /// Puts a translated delivery into the outbox.
    pub(crate) fn post(&mut self, remote: RemoteId, delivery: Delivery) -> Result<()> {
        let record = self.remote(remote)?;
        let number = record.next_outbox;
        if let Delivery::Notify { resolutions } = &delivery {
            for resolution in resolutions {
                self.put(&keys::settled(remote, &resolution.promise), &number)?;
                self.settle_factory(remote, &record.factory, resolution)?;
            }
        }
        self.put(&keys::outbox(remote, number), &delivery)?;
        let next =
            number.checked_add(1).ok_or_else(|| inconsistent("outbox numbers are used up"))?;
        self.update_remote(remote, |remote| remote.next_outbox = next)
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
