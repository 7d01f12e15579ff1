//! Devices and installed bundles.

use std::collections::BTreeMap;

use capstan_kernel_ports::store::Read;

use crate::{
    device::{self, Mailbox},
    error::Result,
    state::{
        bundle::InstalledBundle,
        handle::{decode, get_record},
        keys,
    },
};

/// Returns the [`InstalledBundle`] of that id, or `None` if there is none.
pub fn bundle(state: &(impl Read + ?Sized), id: &str) -> Result<Option<InstalledBundle>> {
    get_record(state, &keys::bundle(id))
}

/// Returns each peer's [`Mailbox`] by the peer's name.
pub fn mailboxes(state: &(impl Read + ?Sized)) -> Result<BTreeMap<String, Mailbox>> {
    device::read_mailboxes(state)
}

/// Returns the number of the last message that was taken from a peer.
pub fn mailbox_ack(state: &(impl Read + ?Sized), peer: &str) -> Result<u64> {
    Ok(get_record(state, &keys::mailbox_ack(peer))?.unwrap_or(0))
}

/// Returns the first message to a peer whose number is above `after`, with its number.
pub fn mailbox_message_after(
    state: &(impl Read + ?Sized),
    peer: &str,
    after: u64,
) -> Result<Option<(u64, String)>> {
    device::message_after(state, peer, after)
}

/// Returns the key of a message in the mailbox, for proofs.
pub fn mailbox_message_key(peer: &str, number: u64) -> Vec<u8> {
    keys::mailbox_message(peer, number).to_vec()
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

/// Returns the first [`InstalledBundle`] whose id is greater than `id`, with its id. An empty `id` starts at the
/// first.
pub fn bundle_after(
    state: &(impl Read + ?Sized),
    id: &str,
) -> Result<Option<(String, InstalledBundle)>> {
    let Some((key, value)) = state.next_after(keys::BUNDLES, &keys::bundle(id))? else {
        return Ok(None);
    };
    let found = String::from_utf8_lossy(&key[keys::BUNDLES.len()..]).into_owned();
    Ok(Some((found, decode(&key, &value)?)))
}
