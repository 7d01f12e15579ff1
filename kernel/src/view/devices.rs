//! Devices and installed bundles.

use std::collections::BTreeMap;

use capstan_kernel_ports::{Hash, store::Read};

use crate::{
    device::{self, Mailbox},
    error::Result,
    state::{handle::get_record, keys},
};

/// Returns the `Hash` of an installed bundle's bytes, which is the key of their blob.
pub fn bundle(state: &(impl Read + ?Sized), id: &str) -> Result<Option<Hash>> {
    get_record(state, &keys::bundle(id))
}

/// Returns each peer's [`Mailbox`] by the peer's name.
pub fn mailboxes(state: &(impl Read + ?Sized)) -> Result<BTreeMap<String, Mailbox>> {
    device::read_mailboxes(state)
}

/// Returns the [`Mailbox`] of one peer: the number of the last message taken from it, and at most `limit`
/// messages to it with numbers above `after`.
pub fn mailbox(
    state: &(impl Read + ?Sized),
    peer: &str,
    after: u64,
    limit: usize,
) -> Result<Mailbox> {
    device::read_mailbox(state, peer, after, limit)
}

/// Returns the key of a message in the mailbox, for proofs.
pub fn mailbox_message_key(peer: &str, number: u64) -> Vec<u8> {
    keys::mailbox_message(peer, number)
}

/// Returns the time of the timer device's next wakeup, in seconds since 1970. Returns `None` if there is
/// none.
pub fn next_wakeup(state: &(impl Read + ?Sized)) -> Result<Option<u128>> {
    device::next_wakeup(state)
}

/// Returns true if there is a device of that name.
pub fn has_device(state: &(impl Read + ?Sized), name: &str) -> Result<bool> {
    Ok(state.get(&keys::device_name(name))?.is_some())
}

/// Returns the ids of all installed bundles.
pub fn bundles(state: &(impl Read + ?Sized)) -> Result<Vec<String>> {
    let id = |(key, _): (Vec<u8>, Vec<u8>)| {
        String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned()
    };
    Ok(state.scan(keys::BUNDLES)?.into_iter().map(id).collect())
}

/// Returns up to `limit` ids of installed bundles greater than `id`, in ascending order. An empty `id` starts
/// at the first.
pub fn bundles_after(state: &(impl Read + ?Sized), id: &str, limit: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut after = keys::bundle(id);
    while ids.len() < limit
        && let Some((key, _)) = state.next_after(keys::BUNDLES, &after)?
    {
        ids.push(String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned());
        after = key;
    }
    Ok(ids)
}
