//! Rejections that the kernel makes: their codes and their texts.
//!
//! Vats are told SwingSet's text of a rejection. Accounts are told a text with a code, `[KERNEL:CODE] detail`. Which
//! of the two an endpoint is told is decided when it is notified, by the [`Cause`] that the promise keeps. A vat that
//! rejects a promise with the same text gives it no cause.
//!
//! What SwingSet does not have is told to all with its code: revocation, services, and the bounds of accounts.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::JsString;
use capstan_kernel_ports::VatId;

use crate::{
    capdata::{self, KernelData},
    error::Result,
    ids::Endpoint,
    limits,
    state::{
        handle::State,
        settled::LargeData,
        vat::{Ending, VatStatus},
    },
};

/// The reason why the kernel rejected a promise, kept where vats and accounts are told different texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cause {
    /// The target of the message has no owner.
    ObjectDeleted,
    /// The owner of the target, or the decider of the promise that was the target, has ended.
    EndpointUnreachable,
    /// The promise that was the target was fulfilled with something that is no object.
    BadPromiseResolution,
    /// The vat that decided the promise has ended.
    VatTerminated(VatId),
    /// The message was not delivered, for the reason that the error names.
    DeliveryFailed,
}

/// A rejection before a promise is settled with it.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    /// The data that vats are told.
    pub(crate) reason: Reason,
    /// The [`Cause`], if accounts are told a text of their own.
    pub(crate) cause: Option<Cause>,
}

/// The data of a [`Rejection`].
#[derive(Clone, Debug)]
pub(crate) enum Reason {
    /// Data that is nowhere in the state yet.
    Data(KernelData),
    /// Large data of another promise, which is shared with it.
    Shared(LargeData),
}

impl From<KernelData> for Rejection {
    fn from(data: KernelData) -> Self {
        Self { reason: Reason::Data(data), cause: None }
    }
}

/// SwingSet's text for all that a vat's end leads to.
const VAT_TERMINATED: &str = "vat terminated";

/// Upper bound of the body of exit information in a rejection, in bytes. Each promise that a vat decided tells it.
const MAX_TOLD_ENDING_BYTES: usize = 256;

impl Rejection {
    fn new(cause: Cause, text: impl Into<JsString>) -> Self {
        Self { reason: Reason::Data(capdata::error(text)), cause: Some(cause) }
    }

    /// The target was revoked.
    pub(crate) fn object_revoked() -> Self {
        coded("OBJECT_REVOKED", "Target object has been revoked").into()
    }

    /// The target is an object of the kernel's that no service stands behind any more.
    pub(crate) fn service_gone() -> Self {
        object_deleted().into()
    }

    /// The target has no owner, or one that has ended.
    pub(crate) fn unowned(has_owner: bool) -> Self {
        let cause = if has_owner { Cause::EndpointUnreachable } else { Cause::ObjectDeleted };
        Self::new(cause, VAT_TERMINATED)
    }

    /// The target was fulfilled with data, which has no method.
    pub(crate) fn not_callable(method: &JsString) -> Self {
        let mut text = JsString::from("data is not callable, has no method ");
        text.push(method);
        Self::new(Cause::BadPromiseResolution, text)
    }

    /// The vat that decided the promise has ended.
    pub(crate) fn vat_terminated(vat: VatId) -> Self {
        Self::new(Cause::VatTerminated(vat), VAT_TERMINATED)
    }

    /// The message was not delivered. Vats are told the reason alone.
    pub(crate) fn undelivered(why: &str) -> Self {
        Self::new(Cause::DeliveryFailed, why)
    }
}

/// Returns the error of a message that a service or an account did not take. All are told the code.
pub(crate) fn delivery_failed(why: &str) -> KernelData {
    coded("DELIVERY_FAILED", why)
}

fn object_deleted() -> KernelData {
    coded("OBJECT_DELETED", "Target object has no owner; it may have been deleted")
}

fn coded(code: &str, detail: &str) -> KernelData {
    capdata::error(format!("[KERNEL:{code}] {detail}"))
}

/// Returns the error that accounts are told. `body` is that of the error for vats, and `ending` the end of the vat
/// that decided the promise.
fn told(cause: Cause, body: &str, ending: Option<&Ending>) -> KernelData {
    match cause {
        Cause::ObjectDeleted => object_deleted(),
        Cause::EndpointUnreachable => coded(
            "ENDPOINT_UNREACHABLE",
            "Target endpoint is unreachable (terminated or disconnected)",
        ),
        Cause::BadPromiseResolution => coded(
            "BAD_PROMISE_RESOLUTION",
            "Promise fulfilled but did not contain an object reference",
        ),
        Cause::VatTerminated(_) => coded("VAT_TERMINATED", &termination(ending)),
        Cause::DeliveryFailed => {
            delivery_failed(&limits::cut(capdata::message(body).into()).to_string())
        }
    }
}

/// Returns the detail for promises that a vat decided: the body of what it ended with, if it ended with something.
fn termination(ending: Option<&Ending>) -> String {
    const NOTHING: [&str; 2] = [r##"#"#undefined""##, r#"{"@qclass":"undefined"}"#];
    match ending.filter(|ending| !NOTHING.contains(&ending.info.as_str())) {
        Some(ending) => {
            let body = limits::cut_to(MAX_TOLD_ENDING_BYTES, ending.info.as_str().into());
            format!("Vat termination: {body}")
        }
        None => "Vat was deleted.".to_owned(),
    }
}

/// The wording of rejections in one notification.
pub(crate) struct Wording {
    is_coded: bool,
    /// The errors of vats that ended, by vat. Many promises of a notification may be those of one vat.
    terminations: BTreeMap<VatId, KernelData>,
}

impl Wording {
    /// Returns the wording for an endpoint.
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        let is_coded = matches!(endpoint, Endpoint::Remote(_));
        Self { is_coded, terminations: BTreeMap::new() }
    }

    /// Returns true if rejections by the kernel are told with a code, as [`Wording::error`] words them.
    pub(crate) fn is_coded(&self) -> bool {
        self.is_coded
    }

    /// Returns the error that an account is told of a promise. `body` is that of the error for vats.
    pub(crate) fn error(
        &mut self,
        state: &State<'_>,
        cause: Cause,
        body: &str,
    ) -> Result<KernelData> {
        let Cause::VatTerminated(vat) = cause else { return Ok(told(cause, body, None)) };
        if let Some(error) = self.terminations.get(&vat) {
            return Ok(error.clone());
        }
        let record = state.find_vat(vat)?;
        let ending = record.as_ref().and_then(|record| match &record.status {
            VatStatus::Terminated(ending) | VatStatus::Cleaned(ending) => Some(ending),
            _ => None,
        });
        let error = told(cause, body, ending);
        self.terminations.insert(vat, error.clone());
        Ok(error)
    }
}
