//! References: c-lists, promises, objects and meters.

use capstan_kernel_ports::store::Read;

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef, MeterId},
    state::{
        clist::{ClistEntry, is_export},
        handle::{decode, get_record},
        keys,
        meter::Meter,
        object::Object,
        promise::Promise,
    },
};

/// Counts over an endpoint's c-list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Objects that it exports.
    pub exports: u64,
    /// Objects that it imports.
    pub imports: u64,
    /// Promises that it exports or imports.
    pub promises: u64,
    /// Device nodes that it imports.
    pub devices: u64,
}

/// Returns the c-list of an [`Endpoint`], in the order of its krefs' texts.
pub fn clist(state: &(impl Read + ?Sized), endpoint: Endpoint) -> Result<Vec<(KRef, ClistEntry)>> {
    let prefix = keys::clist_of(endpoint);
    let mut entries = Vec::new();
    for (key, value) in state.scan(&prefix)? {
        let text = String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
        let kref = KRef::parse(&text).ok_or_else(|| inconsistent(format!("{text} is no kref")))?;
        entries.push((kref, decode(&key, &value)?));
    }
    Ok(entries)
}

/// Counts the [`Holdings`] of an endpoint.
pub fn holdings(state: &(impl Read + ?Sized), endpoint: Endpoint) -> Result<Holdings> {
    let mut holdings = Holdings::default();
    for (kref, entry) in clist(state, endpoint)? {
        let count = match kref {
            KRef::Object(_) if is_export(&entry.vref) => &mut holdings.exports,
            KRef::Object(_) => &mut holdings.imports,
            KRef::Promise(_) => &mut holdings.promises,
            KRef::Device(_) => &mut holdings.devices,
        };
        *count += 1;
    }
    Ok(holdings)
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
    get_record(state, &keys::promise(number))
}

/// Returns the [`Object`] `koN`, or `None` if it does not exist.
pub fn object(state: &(impl Read + ?Sized), number: u64) -> Result<Option<Object>> {
    get_record(state, &keys::object(number))
}

/// Returns a [`Meter`], or `None` if it does not exist.
pub fn meter(state: &(impl Read + ?Sized), id: MeterId) -> Result<Option<Meter>> {
    get_record(state, &keys::meter(id))
}
