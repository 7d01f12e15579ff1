//! The cause of an answer by the kernel, when the vat behind a reference has ended.

use anyhow::Context as _;
use capstan_client::{KernelError, KernelErrorCode, MessageResult, proto};

use super::Sender;

impl Sender {
    /// Prints what a message to a reference was answered with. Names the vat behind the reference if the kernel says
    /// that it is gone.
    pub(super) fn answered_by(&self, target: &str, result: &MessageResult) -> anyhow::Result<()> {
        let answered = self.answered(result);
        if answered.is_ok() || !is_of_the_ended(result) {
            return answered;
        }
        match self.what_became_of(target)? {
            Some(hint) => answered.context(hint),
            None => answered,
        }
    }

    /// Says what became of the vat that exported an object of the account. Returns `None` if it runs and exports it.
    fn what_became_of(&self, target: &str) -> anyhow::Result<Option<String>> {
        let client = self.wallet.client();
        let Some(entry) = client.held(&self.wallet.address(), target)? else {
            return Ok(None);
        };
        let has_owner = !entry.exporter.is_empty();
        let vat_id = if has_owner { entry.exporter } else { entry.former_exporter };
        if !vat_id.starts_with('v') {
            return Ok(None);
        }
        let proto::QueryVatResponse { name, ending, .. } = client.vat(&vat_id)?;
        let vat = format!("{vat_id} {name}");
        Ok(match (ending, has_owner) {
            (Some(proto::VatEnding { kind, reason, .. }), _) => Some(format!(
                "{target} is an object of the vat {}, which has {kind}: {reason}; `capstan query vat {vat_id}` tells more",
                vat.trim_end()
            )),
            (None, false) => Some(format!(
                "{target} was an object of the vat {}, which has let go of it, as in an upgrade",
                vat.trim_end()
            )),
            (None, true) => None,
        })
    }
}

/// Returns whether a rejection is the kernel's own, about a vat or an object that is gone.
fn is_of_the_ended(result: &MessageResult) -> bool {
    let reason = result.passable().ok().flatten();
    let error = reason.and_then(|reason| KernelError::of(&reason));
    error.is_some_and(|error| {
        matches!(
            error.code,
            KernelErrorCode::ObjectDeleted
                | KernelErrorCode::EndpointUnreachable
                | KernelErrorCode::VatTerminated
        )
    })
}
