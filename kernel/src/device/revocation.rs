//! Revocation, as the vatAdmin device offers it. The device does not come to hold what it revokes.
//!
//! | method | gives |
//! |---|---|
//! | `revoke(objectOrKref, isForSystem)` | undefined, or the text of why not |
//! | `isRevoked(objectOrKref)` | true or false, or the text of why not |
//! | `revokeExport(vatID, object)` | as `revoke`, for what that vat exports |
//! | `isExportRevoked(vatID, object)` | as `isRevoked`, for what that vat exports |

use super::{Answer, CallResult, DeviceFailure, Invocation, thrown};
use crate::{
    capdata::Json,
    ids::{KRef, VatId},
    state::{
        handle::State,
        revocation::{Revocable, RevocationError, parse_object},
    },
};

/// The methods, none of which has the device hold its arguments.
pub(super) const METHODS: [&str; 4] = ["revoke", "isRevoked", "revokeExport", "isExportRevoked"];

impl State<'_> {
    /// Calls one of [`METHODS`].
    pub(super) fn call_revocation(&mut self, call: &Invocation<'_>) -> CallResult {
        match call.method {
            "revoke" => {
                let revocable = match call.flag(1, "isForSystem")? {
                    true => Revocable::System,
                    false => Revocable::Users,
                };
                let revoked = call.revoked(0)?.and_then(|kref| self.revoke(kref, revocable));
                answer(revoked, |()| Answer::Undefined)
            }
            "isRevoked" => {
                let asked = call.revoked(0)?;
                answer(asked.and_then(|kref| self.is_revoked(kref, Revocable::System)), flag)
            }
            "revokeExport" => {
                let vat = Revocable::Vat(vat(call)?);
                let revoked = call.revoked(1)?.and_then(|kref| self.revoke(kref, vat));
                answer(revoked, |()| Answer::Undefined)
            }
            _ => {
                let vat = Revocable::Vat(vat(call)?);
                answer(call.revoked(1)?.and_then(|kref| self.is_revoked(kref, vat)), flag)
            }
        }
    }
}

/// The object that a text names, or the reason why it names none.
type NameVerdict = std::result::Result<KRef, RevocationError>;

impl Invocation<'_> {
    /// Returns the object that an argument is or names.
    fn revoked(&self, index: usize) -> std::result::Result<NameVerdict, DeviceFailure> {
        let arg = self.arg(index)?;
        if let Some(kref) = self.args.reference(&arg) {
            return Ok(Ok(kref));
        }
        match arg.as_unicode() {
            Some(text) => Ok(parse_object(&text)),
            None => thrown(format!("{}() takes an object or its kref", self.method)),
        }
    }
}

fn vat(call: &Invocation<'_>) -> std::result::Result<VatId, DeviceFailure> {
    super::vat_admin::parse_vat(&call.text(0, "vatID")?)
}

fn flag(revoked: bool) -> Answer {
    Answer::Value(Json::Scalar(revoked.to_string()))
}

/// Returns the answer of a call, which is a text if the call is refused.
fn answer<T>(
    outcome: std::result::Result<T, RevocationError>,
    value: impl FnOnce(T) -> Answer,
) -> CallResult {
    match outcome {
        Ok(done) => Ok(value(done)),
        Err(RevocationError::Panic(panic)) => Err(DeviceFailure::Panic(panic)),
        Err(refusal) => Ok(Answer::Text(refusal.to_string())),
    }
}
