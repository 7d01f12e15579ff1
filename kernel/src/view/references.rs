//! References: c-lists, promises, objects and meters.

use capstan_kernel_ports::store::Read;

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, MeterId},
    state::{
        clist::ClistEntry,
        handle::{decode, get_record},
        keys,
        meter::Meter,
        meter_use::MeterUse,
        object::Object,
        promise::Promise,
    },
};

/// Returns the c-list of an [`Endpoint`], in the order of its krefs' texts.
pub fn clist(state: &(impl Read + ?Sized), endpoint: Endpoint) -> Result<Vec<(KRef, ClistEntry)>> {
    let prefix = keys::clist_of(endpoint);
    let entries = state.scan(&prefix)?;
    entries.iter().map(|(key, value)| entry(&prefix, key, value)).collect()
}

/// Returns the first entry of the c-list of an [`Endpoint`] whose kref's text is greater than `after`.
pub fn clist_after(
    state: &(impl Read + ?Sized),
    endpoint: Endpoint,
    after: &str,
) -> Result<Option<(KRef, ClistEntry)>> {
    let prefix = keys::clist_of(endpoint);
    let at = [&prefix, after.as_bytes()].concat();
    state.next_after(&prefix, &at)?.map(|(key, value)| entry(&prefix, &key, &value)).transpose()
}

fn entry(prefix: &[u8], key: &[u8], value: &[u8]) -> Result<(KRef, ClistEntry)> {
    let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    let kref = KRef::parse(&text).ok_or_else(|| inconsistent(format!("{text} is no kref")))?;
    Ok((kref, decode(key, value)?))
}

/// Returns the [`KRef`] for an endpoint's reference, or `None` if the endpoint has no such reference.
pub fn kref_of(
    state: &(impl Read + ?Sized),
    endpoint: Endpoint,
    vref: &str,
) -> Result<Option<KRef>> {
    get_record(state, &keys::clist_reverse(endpoint, vref))
}

/// Returns the [`Promise`] `kpN`, or `None` if it does not exist.
pub fn promise(state: &(impl Read + ?Sized), number: u64) -> Result<Option<Promise>> {
    Promise::load(state, number)
}

/// Returns the [`Object`] `koN`, or `None` if it does not exist.
pub fn object(state: &(impl Read + ?Sized), number: u64) -> Result<Option<Object>> {
    get_record(state, &keys::object(number))
}

/// Returns a [`Meter`], or `None` if it does not exist.
pub fn meter(state: &(impl Read + ?Sized), id: MeterId) -> Result<Option<Meter>> {
    get_record(state, &keys::meter(id))
}

/// Returns the [`MeterUse`] of a meter: its owner, and the number of its vats. It is empty if there is no such meter.
pub fn meter_use(state: &(impl Read + ?Sized), id: MeterId) -> Result<MeterUse> {
    Ok(get_record(state, &keys::meter_use(id))?.unwrap_or_default())
}
