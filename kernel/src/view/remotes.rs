//! Remotes and their outboxes.

use capstan_abi::{Delivery, Resolution};
use capstan_kernel_ports::store::Read;

use crate::{
    error::{Result, inconsistent},
    ids::RemoteId,
    state::{
        handle::{decode, get_record},
        keys,
        remote::{OutboxEntry, Remote},
    },
};

/// Returns a [`Remote`], or `None` if it does not exist.
pub fn remote(state: &(impl Read + ?Sized), id: RemoteId) -> Result<Option<Remote>> {
    get_record(state, &keys::remote(id))
}

/// Returns the [`RemoteId`] of an account, or `None` if it was never provisioned.
pub fn remote_of(state: &(impl Read + ?Sized), address: &str) -> Result<Option<RemoteId>> {
    get_record(state, &keys::remote_address(address))
}

/// Returns a remote's outbox: numbers and [`Delivery`]s, oldest first.
pub fn outbox(state: &(impl Read + ?Sized), remote: RemoteId) -> Result<Vec<(u64, Delivery)>> {
    let prefix = keys::outbox_of(remote);
    let entries = state.scan(&prefix)?;
    entries.iter().map(|(key, value)| entry(&prefix, key, value)).collect()
}

/// Returns the first entry of a remote's outbox whose number is above `after`.
pub fn outbox_after(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    after: u64,
) -> Result<Option<(u64, Delivery)>> {
    let prefix = keys::outbox_of(remote);
    let found = state.next_after(&prefix, &keys::outbox(remote, after))?;
    found.map(|(key, value)| entry(&prefix, &key, &value)).transpose()
}

fn entry(prefix: &[u8], key: &[u8], value: &[u8]) -> Result<(u64, Delivery)> {
    let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    let number = u64::from_str_radix(&text, 16);
    let number = number.map_err(|_| inconsistent(format!("{text} is no outbox number")))?;
    Ok((number, decode::<OutboxEntry>(key, value)?.delivery))
}

/// Returns the settlement of a remote's promise `rp-N`, until the remote acknowledges it. Returns `None`
/// while the promise is not settled. [`kref_of`](super::kref_of) tells whether it exists.
pub fn settled(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    rref: &str,
) -> Result<Option<Resolution>> {
    let Some(number) = get_record::<u64>(state, &keys::settled(remote, rref))? else {
        return Ok(None);
    };
    let Some(Delivery::Notify { resolutions }) = outbox_entry(state, remote, number)? else {
        return Ok(None);
    };
    Ok(resolutions.into_iter().find(|resolution| resolution.promise == rref))
}

/// Returns entry `number` of a remote's outbox, or `None` if it was acknowledged or never made.
pub fn outbox_entry(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    number: u64,
) -> Result<Option<Delivery>> {
    let entry: Option<OutboxEntry> = get_record(state, &keys::outbox(remote, number))?;
    Ok(entry.map(|entry| entry.delivery))
}
