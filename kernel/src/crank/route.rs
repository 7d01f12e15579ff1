//! The routing of messages.

use capstan_abi::{JsString, Message};

use crate::{
    capdata::{self, KernelData},
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        handle::State,
        promise::PromiseState,
        queue::{RunQueueEvent, Waiting},
    },
};

/// The destination of a message, by the present state of its target.
pub(crate) enum Route {
    /// To an endpoint: to an object that it owns or a promise that it decides.
    Deliver { endpoint: Endpoint, target: KRef },
    /// It waits on the promise that it is addressed to.
    Wait,
    /// Nowhere: its result is rejected.
    Splat(KernelData),
}

const REVOKED: &str = "[KERNEL:OBJECT_REVOKED] Target object has been revoked";

impl State<'_> {
    /// Routes a message by the present state of its target.
    pub(crate) fn route(&self, target: KRef, message: &Message<KRef>) -> Result<Route> {
        match target {
            KRef::Object(_) => self.route_to_object(target),
            KRef::Promise(_) => self.route_to_promise(target, message),
            KRef::Device(_) => Err(inconsistent(format!("a message to device node {target}"))),
        }
    }

    fn route_to_object(&self, target: KRef) -> Result<Route> {
        if self.object(target)?.is_some_and(|object| object.revoked) {
            return Ok(Route::Splat(capdata::error(REVOKED)));
        }
        Ok(match self.live_owner(target)? {
            Some(endpoint) => Route::Deliver { endpoint, target },
            None => Route::Splat(capdata::error("vat terminated")),
        })
    }

    fn route_to_promise(&self, target: KRef, message: &Message<KRef>) -> Result<Route> {
        let unresolved = match self.promise(target)?.state {
            PromiseState::Fulfilled(data) => {
                return match capdata::single_slot(&data) {
                    Some(object @ KRef::Object(_)) => self.route_to_object(object),
                    _ => {
                        let mut text = JsString::from("data is not callable, has no method ");
                        text.push(&capdata::method_name(&message.methargs));
                        Ok(Route::Splat(capdata::error(text)))
                    }
                };
            }
            PromiseState::Rejected(data) => return Ok(Route::Splat(data)),
            PromiseState::Unresolved(unresolved) => unresolved,
        };
        let Some(endpoint) = unresolved.decider else { return Ok(Route::Wait) };
        let Endpoint::Vat(vat) = endpoint else { return Ok(Route::Wait) };
        if !self.is_alive(vat)? {
            return Ok(Route::Splat(capdata::error("vat terminated")));
        }
        Ok(match self.vat_config(vat)?.enable_pipelining {
            true => Route::Deliver { endpoint, target },
            false => Route::Wait,
        })
    }

    /// A routing crank: moves an accepted event to where it belongs.
    pub(crate) fn route_accepted(&mut self, event: RunQueueEvent) -> Result<()> {
        let RunQueueEvent::Send { target, message, payer } = event else {
            return self.schedule(event);
        };
        match self.route(target, &message)? {
            Route::Splat(reason) => self.splat(target, &message, reason),
            Route::Wait => self.queue_on_promise(target, &Waiting { message, payer }),
            Route::Deliver { target: routed, .. } => {
                if routed != target {
                    self.decrement(target)?;
                    self.increment(routed)?;
                }
                self.schedule(RunQueueEvent::Send { target: routed, message, payer })
            }
        }
    }

    /// Rejects the result of a message that goes nowhere, and releases what the message held.
    pub(crate) fn splat(
        &mut self,
        target: KRef,
        message: &Message<KRef>,
        reason: KernelData,
    ) -> Result<()> {
        if let Some(result) = message.result {
            self.reject(result, reason)?;
        }
        self.release_send(target, message)
    }
}
