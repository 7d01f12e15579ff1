//! The proven records that a block changes, by the keys that it wrote.

use std::collections::{BTreeMap, BTreeSet};

use capstan_genesis::Address;
use capstan_kernel::{changes, ids::RemoteId, view};
use capstan_kernel_ports::store::Overlay as _;
use capstan_store::{Block, StateView};

use crate::{
    fault::NodeFault,
    records::{keys, proven::Proven},
};

/// Tells `block`, which is complete, which proven records it changes. `before` is the state that it began with.
pub(crate) fn note(before: &StateView, block: &mut Block, height: u64) -> Result<(), NodeFault> {
    let mut changed = BTreeSet::new();
    block.top_writes(&mut |key, _| own_records(key, &mut changed));
    let kernel = changes::collect(block);
    changed.extend(kernel.vats.into_iter().map(Proven::Vat));
    let bundles = kernel.bundles.iter().filter_map(|id| id.parse().ok());
    changed.extend(bundles.map(Proven::Bundle));
    let addresses = kernel.provisioned.iter().filter_map(|address| address.parse().ok());
    changed.extend(addresses.map(Proven::Account));
    for (remote, number) in kernel.outboxes {
        let address = address_of(before, block, remote)?;
        changed.extend(address.map(|address| Proven::Outbox(address, number)));
    }
    let mut records = BTreeMap::new();
    for record in changed {
        records.insert(record.key(), record.value(block)?);
    }
    block.set_proven(height, records);
    Ok(())
}

/// Adds the records that follow from an entry of the application.
fn own_records(key: &[u8], changed: &mut BTreeSet<Proven>) {
    if let Some(address) = keys::parse_account(key) {
        changed.extend([Proven::Account(address), Proven::Balance(address)]);
    } else if let Some((tx, index)) = keys::parse_result(key) {
        changed.insert(Proven::Result(tx, index));
    } else if key == keys::PARAMS {
        changed.insert(Proven::Params);
    }
}

/// Returns the account of a remote, or `None` if it belongs to none.
fn address_of(
    before: &StateView,
    block: &Block,
    remote: RemoteId,
) -> Result<Option<Address>, NodeFault> {
    let found = match view::remote(block, remote)? {
        Some(found) => Some(found),
        None => view::remote(before, remote)?,
    };
    Ok(found.and_then(|found| found.address.parse().ok()))
}
