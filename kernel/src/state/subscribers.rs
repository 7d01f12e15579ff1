//! The subscribers of a promise, any number of them.

use capstan_kernel_ports::store::Read;

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        event::RunQueueEvent,
        handle::State,
        keys,
        promise::{Pending, number_of},
    },
};

/// Number of subscribers that a promise's record lists. The first ones cost no entry of their own, and any number of
/// them leaves the record small.
pub(crate) const MAX_LISTED_SUBSCRIBERS: usize = 8;

/// Number of subscribers that the settlement of a promise notifies at once. More are notified one by one, each in a crank
/// of its own: others may have subscribed any number of endpoints.
pub(crate) const MAX_TOLD_AT_ONCE: usize = 100;

/// Returns the subscribers of a promise, in string order of their ids.
pub(crate) fn subscribers(
    from: &(impl Read + ?Sized),
    number: u64,
    pending: &Pending,
) -> Result<Vec<Endpoint>> {
    let mut all = pending.listed.clone();
    let prefix = keys::subscribers_of(number);
    let mut after = prefix.clone();
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
fn named(end: &[u8]) -> Result<Endpoint> {
    let text = String::from_utf8_lossy(end);
    Endpoint::parse(&text).ok_or_else(|| inconsistent(format!("{text} is not an endpoint")))
}

impl State<'_> {
    /// Adds a subscriber, or notifies it at once if the promise is settled.
    pub(crate) fn subscribe(&mut self, kref: KRef, endpoint: Endpoint) -> Result<()> {
        let Some(pending) = self.unresolved(kref)? else { return self.notify(endpoint, kref) };
        if self.is_listed(kref, &pending, endpoint)? {
            return Ok(());
        }
        if pending.listed.len() < MAX_LISTED_SUBSCRIBERS {
            return self.update_unresolved(kref, |pending| pending.listed.push(endpoint));
        }
        self.over.set(&keys::subscriber(number_of(kref)?, endpoint), vec![]);
        match pending.has_more {
            true => Ok(()),
            false => self.update_unresolved(kref, |pending| pending.has_more = true),
        }
    }

    /// Returns true if the promise is unresolved and the endpoint will be notified of it.
    pub(crate) fn is_subscribed(&self, kref: KRef, endpoint: Endpoint) -> Result<bool> {
        match self.unresolved(kref)? {
            Some(pending) => self.is_listed(kref, &pending, endpoint),
            None => Ok(false),
        }
    }

    fn is_listed(&self, kref: KRef, pending: &Pending, endpoint: Endpoint) -> Result<bool> {
        let key = keys::subscriber(number_of(kref)?, endpoint);
        Ok(pending.listed.contains(&endpoint)
            || (pending.has_more && self.over.get(&key)?.is_some()))
    }

    /// Notifies the subscribers of a promise that is being settled, in string order of their ids. It has none from then on.
    pub(crate) fn tell_subscribers(
        &mut self,
        kref: KRef,
        pending: &Pending,
        rejected: bool,
    ) -> Result<()> {
        let number = number_of(kref)?;
        if !pending.has_more {
            let mut all = pending.listed.clone();
            all.sort_by_cached_key(ToString::to_string);
            return self.tell_all(all, kref, rejected);
        }
        // All of them become keys, whose order is that of the ids.
        for endpoint in &pending.listed {
            self.over.set(&keys::subscriber(number, *endpoint), vec![]);
        }
        let first = self.first_keys(&keys::subscribers_of(number), MAX_TOLD_AT_ONCE + 1)?;
        if first.len() <= MAX_TOLD_AT_ONCE {
            self.drop_subscribers(number, usize::MAX)?;
            return self.tell_all(first, kref, rejected);
        }
        // Devices are told at once. They are few, and come first.
        let is_device = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Device(_));
        let devices: Vec<Endpoint> = first.into_iter().take_while(is_device).collect();
        for device in &devices {
            self.over.delete(&keys::subscriber(number, *device));
        }
        self.tell_all(devices, kref, rejected)?;
        self.increment(kref)?;
        self.accept(RunQueueEvent::Subscribers { promise: kref })
    }

    fn tell_all(&mut self, all: Vec<Endpoint>, kref: KRef, rejected: bool) -> Result<()> {
        for subscriber in all {
            match subscriber {
                Endpoint::Device(device) => self.tell_listener(device, kref, rejected)?,
                subscriber => self.notify(subscriber, kref)?,
            }
        }
        Ok(())
    }

    /// Takes the next subscriber of a settled promise that [`RunQueueEvent::Subscribers`] stands for. Returns its
    /// notification, and true if further ones follow.
    pub(crate) fn take_subscriber(&mut self, promise: KRef) -> Result<(RunQueueEvent, bool)> {
        let number = number_of(promise)?;
        let prefix = keys::subscribers_of(number);
        let next = self.first_keys(&prefix, 2)?;
        let Some(endpoint) = next.first().copied() else {
            return Err(inconsistent(format!("{promise} has no subscribers left")));
        };
        self.over.delete(&keys::subscriber(number, endpoint));
        let follow = next.len() > 1;
        if follow {
            // The last notification takes over what the event holds.
            self.increment(promise)?;
        }
        Ok((RunQueueEvent::Notify { endpoint, promise }, follow))
    }

    /// Returns the endpoints that the first keys with the prefix name.
    fn first_keys(&self, prefix: &[u8], limit: usize) -> Result<Vec<Endpoint>> {
        let mut found = Vec::new();
        let mut after = prefix.to_vec();
        while found.len() < limit
            && let Some((key, _)) = self.over.next_after(prefix, &after)?
        {
            found.push(named(&key[prefix.len()..])?);
            after = key;
        }
        Ok(found)
    }

    /// Removes keys of subscribers. Returns true if none is left.
    pub(crate) fn drop_subscribers(&mut self, number: u64, limit: usize) -> Result<bool> {
        let prefix = keys::subscribers_of(number);
        for _ in 0..limit {
            let Some((key, _)) = self.over.next_after(&prefix, &prefix)? else { return Ok(true) };
            self.over.delete(&key);
        }
        Ok(self.over.next_after(&prefix, &prefix)?.is_none())
    }
}
