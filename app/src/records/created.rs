//! Vats that accounts created, as their factories answered, and vats that began after a message and whose objects its
//! answer has.

use std::collections::BTreeSet;

use capstan_abi::CapData;
use capstan_kernel::{
    ids::{Endpoint, KRef, RemoteId},
    view,
};
use capstan_kernel_ports::{
    VatId,
    store::{Overlay, Read},
};
use serde_json::Value;

use crate::{
    fault::NodeFault,
    records::{keys, record},
};

/// Upper bound of the references in an answer that are followed to vats.
const MAX_FOLLOWED: usize = 16;

/// Records the height at which a vat began, if that is in this block.
pub(crate) fn note(
    before: &impl Read,
    over: &mut dyn Overlay,
    vat: VatId,
    height: u64,
) -> Result<(), NodeFault> {
    let is_new = view::vat_state(before, vat)?.is_none() && view::vat_state(over, vat)?.is_some();
    if is_new {
        record::set(over, &keys::vat_begun(vat), &height)?;
    }
    Ok(())
}

/// Returns the vats whose objects are in an answer to a remote, and that began at `height` or later, in their order.
pub(crate) fn since(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    answer: &CapData,
    height: u64,
) -> Result<BTreeSet<VatId>, NodeFault> {
    let mut vats = BTreeSet::new();
    for reference in answer.slots.iter().take(MAX_FOLLOWED) {
        let Some(KRef::Object(number)) = view::kref_of(state, Endpoint::Remote(remote), reference)?
        else {
            continue;
        };
        let owner = view::object(state, number)?.and_then(|object| object.owner);
        let Some(Endpoint::Vat(vat)) = owner else { continue };
        let begun: Option<u64> = record::get(state, &keys::vat_begun(vat))?;
        if begun.is_some_and(|begun| begun >= height) {
            vats.insert(vat);
        }
    }
    Ok(vats)
}

/// A vat that an account created. References are those of the account's channel.
pub(crate) struct Created {
    /// Vat, which exports the root.
    pub(crate) id: Endpoint,
    /// Root object of the vat.
    pub(crate) root: String,
    /// Admin object of the vat. Empty if the factory gave none.
    pub(crate) admin: String,
    /// Object that shows the vat's meter. Empty if the factory gave none.
    pub(crate) meter: String,
}

/// Decodes a factory's answer to createVat, `{root, adminNode, meter}`. Returns `None` if it is no such answer.
pub(crate) fn vat(
    state: &(impl Read + ?Sized),
    remote: RemoteId,
    data: &CapData,
) -> Result<Option<Created>, NodeFault> {
    let fields =
        data.body.strip_prefix('#').and_then(|json| serde_json::from_str::<Value>(json).ok());
    let slot = |name: &str| {
        let text = fields.as_ref()?.get(name)?.as_str()?.strip_prefix('$')?;
        let index = text.split_once('.').map_or(text, |(index, _)| index);
        data.slots.get(index.parse::<usize>().ok()?).cloned()
    };
    let Some(root) = slot("root") else { return Ok(None) };
    let owner = match view::kref_of(state, Endpoint::Remote(remote), &root)? {
        Some(KRef::Object(number)) => view::object(state, number)?.and_then(|object| object.owner),
        _ => None,
    };
    Ok(owner.map(|id| Created {
        id,
        root,
        admin: slot("adminNode").unwrap_or_default(),
        meter: slot("meter").unwrap_or_default(),
    }))
}
