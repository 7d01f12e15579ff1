//! The changes of a block, read off its writes for whoever drives the kernel.

use std::collections::BTreeSet;

use capstan_kernel_ports::{VatId, store::Overlay};

use crate::{
    ids::{Endpoint, MeterId, RemoteId, canonical_decimal},
    state::{keys, object::is_revoked},
};

/// The vats, outboxes, bundles, revoked objects and meters that the top level of an overlay changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Vats whose [`VatConfig`](crate::vat::VatConfig), [`VatState`](crate::vat::VatState) or
    /// [`FailedUpgrade`](crate::vat::FailedUpgrade) was written.
    pub vats: BTreeSet<VatId>,
    /// Outbox entries that were posted.
    pub posted: BTreeSet<(RemoteId, u64)>,
    /// Outbox entries that were posted or taken away.
    pub outboxes: BTreeSet<(RemoteId, u64)>,
    /// Ids of bundles that were installed or removed.
    pub bundles: BTreeSet<String>,
    /// Addresses that became those of remotes.
    pub provisioned: BTreeSet<String>,
    /// Objects that were written and are revoked, in this block or before.
    pub revoked: BTreeSet<u64>,
    /// Meters whose [`MeterUse`](crate::meter::MeterUse) was written.
    pub meters: BTreeSet<MeterId>,
}

/// Collects the [`Changes`] of the top level. With the block's own level on top that is the whole block.
pub fn collect(over: &dyn Overlay) -> Changes {
    let mut changes = Changes::default();
    over.top_writes(&mut |key, value| {
        if let Some(vat) = written_vat(key) {
            changes.vats.insert(vat);
        } else if let Some(entry) = outbox_entry(key) {
            changes.outboxes.insert(entry);
            changes.posted.extend(value.map(|_| entry));
        } else if let Some(id) = text_after(key, keys::BUNDLES) {
            changes.bundles.insert(id);
        } else if let Some(address) = text_after(key, keys::REMOTE_ADDRESSES) {
            changes.provisioned.insert(address);
        } else if let (Some(number), Some(value)) = (written_object(key), value)
            && is_revoked(value)
        {
            changes.revoked.insert(number);
        } else if let Some(meter) = written_meter(key) {
            changes.meters.insert(meter);
        }
    });
    changes
}

fn written_vat(key: &[u8]) -> Option<VatId> {
    let prefixes = [keys::VATS, keys::VAT_STATES, keys::FAILED_UPGRADES];
    let number = prefixes.into_iter().find_map(|prefix| key.strip_prefix(prefix))?;
    canonical_decimal(std::str::from_utf8(number).ok()?).map(VatId)
}

fn written_object(key: &[u8]) -> Option<u64> {
    canonical_decimal(std::str::from_utf8(key.strip_prefix(keys::OBJECTS)?).ok()?)
}

fn written_meter(key: &[u8]) -> Option<MeterId> {
    let number = std::str::from_utf8(key.strip_prefix(keys::METER_USES)?).ok()?;
    canonical_decimal(number).map(MeterId)
}

fn text_after(key: &[u8], prefix: &[u8]) -> Option<String> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok().map(str::to_owned)
}

fn outbox_entry(key: &[u8]) -> Option<(RemoteId, u64)> {
    let text = std::str::from_utf8(key.strip_prefix(keys::OUTBOXES)?).ok()?;
    let (remote, number) = text.split_once('.')?;
    match Endpoint::parse(remote)? {
        Endpoint::Remote(remote) => Some((remote, u64::from_str_radix(number, 16).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        assert_eq!(written_vat(&keys::vat_config(VatId(7))), Some(VatId(7)));
        assert_eq!(written_vat(&keys::vat_state(VatId(12))), Some(VatId(12)));
        assert_eq!(written_vat(&keys::failed_upgrade(VatId(9))), Some(VatId(9)));
        assert_eq!(outbox_entry(&keys::outbox(RemoteId(3), 18)), Some((RemoteId(3), 18)));
        assert_eq!(written_object(&keys::object(20)), Some(20));
        assert_eq!(written_object(&keys::promise(20)), None);
        assert_eq!(written_meter(&keys::meter_use(MeterId(4))), Some(MeterId(4)));
        assert_eq!(written_meter(&keys::meter(MeterId(4))), None);
        assert_eq!(written_vat(&keys::outbox(RemoteId(3), 18)), None);
        assert_eq!(outbox_entry(&keys::vat_state(VatId(12))), None);
    }
}
