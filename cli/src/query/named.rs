//! What names stand for: a vat's name, and an account's own reference.

use anyhow::Context as _;
use capstan_client::proto;
use serde_json::json;

use super::{Asker, HolderArgs, is_numbered};
use crate::failure::{flag, usage};
use crate::{Common, keys};

impl Asker {
    /// Returns the id of the vat with this id or name.
    ///
    /// # Errors
    /// No vat has this name, or several have.
    pub(super) fn vat_id(&self, text: &str) -> anyhow::Result<String> {
        if is_numbered(text, "v") {
            return Ok(text.to_owned());
        }
        let vats = self.client.vats()?;
        let named: Vec<&proto::QueryVatResponse> =
            vats.iter().filter(|vat| vat.name == text).collect();
        match named.as_slice() {
            [vat] => Ok(vat.vat_id.clone()),
            [] => Err(usage(format!(
                "no vat has the name {text:?}: a vat is given by its id, as in v3, or by its name; `capstan query vats` lists both"
            ))),
            several => {
                let each = several.iter().map(|vat| format!("{} ({})", vat.vat_id, vat.status));
                let each = each.collect::<Vec<_>>().join(", ");
                Err(usage(format!("several vats have the name {text:?}: {each}")))
            }
        }
    }

    /// Prints an object, with what became of the vat that exports or exported it.
    pub(super) fn object(&self, kref: &str) -> anyhow::Result<()> {
        let mut object = self.ask(&format!("objects/{kref}"))?;
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let endpoint = match text("owner") {
            "" => text("former_owner"),
            owner => owner,
        };
        if is_numbered(endpoint, "v") {
            let vat = self.ask(&format!("vats/{endpoint}"))?;
            object["vat"] = json!({
                "vat_id": vat["vat_id"],
                "name": vat["name"],
                "status": vat["status"],
                "ending": vat["ending"],
            });
        }
        self.output.record(&object);
        Ok(())
    }

    /// The kernel's name of what an account calls `reference`.
    pub(super) fn kref(
        &self,
        common: &Common,
        reference: &str,
        holder: &HolderArgs,
    ) -> anyhow::Result<String> {
        let reference = reference.strip_prefix('@').unwrap_or(reference);
        if !reference.starts_with('r') {
            return Ok(reference.to_owned());
        }
        let Some(account) = &holder.account else {
            return Err(usage(format!(
                "{reference} is an account's own reference: say whose, as in --account alice"
            )));
        };
        let address =
            keys::find_address(common, account).with_context(|| flag("--account", account))?;
        let Some(entry) = self.client.held(&address, reference)? else {
            anyhow::bail!(
                "{account} does not hold {reference} (any more); `capstan query clist {account}` lists what it holds, and `capstan query outbox {account}` what its promises were settled to"
            );
        };
        Ok(entry.kref)
    }
}
