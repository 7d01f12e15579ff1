//! The bridge device: calls between vats and the application that runs the kernel. It behaves as
//! SwingSet's device of that name. What passes is plain JSON, both ways.

use serde_json::Value;

use super::{Answer, CallResult, DeviceError, Invocation, ROOT, thrown};
use crate::{
    application::BridgeAnswer,
    capdata::{Builder, Json},
    limits::MAX_BODY_BYTES,
    state::handle::State,
};

/// The name of the bridge device.
pub const BRIDGE: &str = "bridge";

const DATA_ALONE: &str =
    "the bridge takes data alone: no references, errors, symbols or tags, and no lone surrogates";

impl State<'_> {
    pub(super) fn call_bridge(&mut self, call: &Invocation<'_>) -> CallResult {
        if call.node != ROOT {
            return thrown(format!("unknown device node {}", call.node));
        }
        match call.method {
            "registerInboundHandler" => {
                self.register_inbound(call, "inboundHandler already registered")
            }
            "unregisterInboundHandler" => self.unregister_inbound(call),
            "callOutbound" => self.call_outbound(call),
            "deliverInbound" => {
                let plain: Option<Vec<Value>> =
                    call.elements()?.iter().map(Json::to_plain).collect();
                match plain {
                    Some(args) => DeviceError::answer(self.bridge_inbound(&args)),
                    None => thrown(DATA_ALONE),
                }
            }
            method => thrown(format!("target[{method}] does not exist")),
        }
    }

    fn call_outbound(&mut self, call: &Invocation<'_>) -> CallResult {
        let plain: Option<Vec<Value>> = call.elements()?.iter().map(Json::to_plain).collect();
        let Some(args) = plain else {
            return thrown(DATA_ALONE);
        };
        let Some(application) = self.application.as_deref_mut() else {
            return thrown("the application has not connected the bridge");
        };
        match application.outbound(self.over, &args)? {
            BridgeAnswer::Returned(None) => Ok(Answer::Undefined),
            BridgeAnswer::Returned(Some(value)) => Ok(Answer::Value(Json::from_plain(&value))),
            BridgeAnswer::Thrown(why) => thrown(why),
        }
    }

    /// Sends `inbound(...args)` to the handler that a vat registered.
    pub(crate) fn bridge_inbound(
        &mut self,
        args: &[Value],
    ) -> std::result::Result<(), DeviceError> {
        let handler = self.inbound_handler(BRIDGE)?;
        let size: usize = args.iter().map(|arg| arg.to_string().len()).sum();
        if size > MAX_BODY_BYTES {
            let limit = format!("{size} bytes are too much: at most {MAX_BODY_BYTES}");
            return Err(DeviceError::Refused(limit));
        }
        let args = args.iter().map(Json::from_plain).collect();
        Ok(self.send_only(handler, "inbound", Builder::default(), args)?)
    }
}
