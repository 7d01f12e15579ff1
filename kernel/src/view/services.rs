//! Kernel services.

use capstan_kernel_ports::store::Read;

use crate::{
    error::Result,
    service::{Service, is_service_name},
    state::{
        handle::{decode, get_record},
        keys,
    },
};

/// Returns the [`Service`] of that name, or `None` if there is none.
pub fn service(state: &(impl Read + ?Sized), name: &str) -> Result<Option<Service>> {
    if !is_service_name(name) {
        return Ok(None);
    }
    get_record(state, &keys::service(name))
}

/// Returns up to `limit` services whose names follow `after`, in the order of their names. An empty `after`
/// starts at the first.
pub fn services_after(
    state: &(impl Read + ?Sized),
    after: &str,
    limit: usize,
) -> Result<Vec<(String, Service)>> {
    let mut services = Vec::new();
    let mut at = keys::service(after).to_vec();
    while services.len() < limit
        && let Some((key, value)) = state.next_after(keys::SERVICES, &at)?
    {
        let name = String::from_utf8_lossy(&key[keys::SERVICES.len()..]).into_owned();
        services.push((name, decode(&key, &value)?));
        at = key;
    }
    Ok(services)
}
