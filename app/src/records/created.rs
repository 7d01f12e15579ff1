//! Vats that accounts created, as their factories answered.

use capstan_abi::CapData;
use capstan_kernel::{
    ids::{Endpoint, KRef, RemoteId},
    view,
};
use capstan_kernel_ports::store::Read;
use serde_json::Value;

use crate::fault::NodeFault;

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
