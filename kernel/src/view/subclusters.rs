//! Subclusters: their records.

use capstan_kernel_ports::{VatId, store::Read};

use crate::{
    error::Result,
    ids::SubclusterId,
    state::{
        handle::{decode, get_record},
        keys,
        subcluster::Subcluster,
    },
};

/// Returns the [`Subcluster`] of that id, or `None` if there is none or it has ended.
pub fn subcluster(state: &(impl Read + ?Sized), id: SubclusterId) -> Result<Option<Subcluster>> {
    get_record(state, &keys::subcluster(id.0))
}

/// Returns the key of a subcluster's record, for proofs.
pub fn subcluster_key(id: SubclusterId) -> Vec<u8> {
    keys::subcluster(id.0).to_vec()
}

/// Returns at most `limit` subclusters with greater numbers than `after`, in the order of their numbers.
pub fn subclusters_after(
    state: &(impl Read + ?Sized),
    after: u64,
    limit: usize,
) -> Result<Vec<Subcluster>> {
    let mut found = Vec::new();
    let mut position = keys::subcluster(after).to_vec();
    while found.len() < limit
        && let Some((key, value)) = state.next_after(keys::SUBCLUSTERS, &position)?
    {
        found.push(decode(&key, &value)?);
        position = key;
    }
    Ok(found)
}

/// Returns the id of the [`Subcluster`] that a vat belongs to, or `None` if it belongs to none.
pub fn subcluster_of(state: &(impl Read + ?Sized), vat: VatId) -> Result<Option<SubclusterId>> {
    get_record(state, &keys::subcluster_of(vat))
}

/// Returns the id of the live system subcluster of that name.
pub fn system_subcluster(state: &(impl Read + ?Sized), name: &str) -> Result<Option<SubclusterId>> {
    get_record(state, &keys::system_subcluster(name))
}
