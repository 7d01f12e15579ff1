//! Services over devices that talk to the world outside: the mailbox and the bridge.
//!
//! Each device has two. The vats' side is for the vat that is to be told what comes in. The conveyor's side is for
//! whoever brings it in. Calls of the bridge to the application spend coins, so no service makes them.

use super::{Answer, Answered, Call, ServiceKind, thrown};
use crate::{
    capdata::{Json, Parsed},
    device::{BRIDGE, MAILBOX, Spoken},
    state::handle::State,
};

/// The methods of the mailbox's side for vats.
pub(super) const MAILBOX_METHODS: &[&str] =
    &["registerInboundHandler", "unregisterInboundHandler", "add", "remove", "ackInbound"];
/// The methods of the mailbox's outer side.
pub(super) const MAILBOX_CONVEYOR_METHODS: &[&str] = &["deliverInbound"];
/// The methods of the bridge's side for vats.
pub(super) const BRIDGE_METHODS: &[&str] = &["registerInboundHandler", "unregisterInboundHandler"];
/// The methods of the bridge's outer side.
pub(super) const BRIDGE_CONVEYOR_METHODS: &[&str] = &["inbound"];

impl State<'_> {
    /// Has a device do what a message asks for.
    pub(super) fn serve_conveyor(&mut self, kind: ServiceKind, call: &Call<'_>) -> Answered {
        let device = match kind {
            ServiceKind::Mailbox | ServiceKind::MailboxConveyor => MAILBOX,
            _ => BRIDGE,
        };
        let method = match call.method {
            "inbound" => "deliverInbound",
            method => method,
        };
        let parsed = Parsed::new(call.methargs);
        let args = parsed.as_ref().and_then(|parsed| {
            let args = parsed.elements()?.get(1)?;
            parsed.reserialize(&with_defaults(call.method, args))
        });
        let Some(args) = args else { return thrown("arguments cannot be read") };
        match self.speak_to_device(device, method, &args)? {
            Spoken::Done => Ok(Answer::Value(capstan_passable::Passable::Undefined)),
            Spoken::Refused(why) => thrown(why),
        }
    }
}

/// Fills in what a conveyor may leave out: no messages, and no acknowledgement.
fn with_defaults(method: &str, args: &Json) -> Json {
    match args {
        Json::Array(given) if method == "deliverInbound" => {
            let mut args = given.clone();
            let defaults = [Json::undefined(), Json::Array(vec![]), Json::Scalar("0".to_owned())];
            for (index, default) in defaults.into_iter().enumerate() {
                match args.get_mut(index) {
                    Some(arg) if *arg == Json::undefined() => *arg = default,
                    Some(_) => {}
                    None => args.push(default),
                }
            }
            Json::Array(args)
        }
        other => other.clone(),
    }
}
