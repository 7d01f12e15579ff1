//! The routing of messages.

use capstan_abi::Message;

use crate::{
    capdata,
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{
        event::Waiting, handle::State, promise::Stage, queue::RunQueueEvent, rejection::Rejection,
    },
};

/// The destination of a message, by the present state of its target.
pub(crate) enum Route {
    /// To an endpoint: to an object that it owns or a promise that it decides.
    Deliver { endpoint: Endpoint, target: KRef },
    /// It waits on the promise that it is addressed to.
    Wait,
    /// Nowhere: its result is rejected.
    Splat(Rejection),
}

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
        let object = self.object(target)?;
        if object.as_ref().is_some_and(|object| object.revoked) {
            return Ok(Route::Splat(Rejection::object_revoked()));
        }
        Ok(match self.live_owner(target)? {
            Some(Endpoint::Kernel) if self.service_of(target)?.is_none() => {
                Route::Splat(Rejection::service_gone())
            }
            Some(endpoint) => Route::Deliver { endpoint, target },
            None => {
                let has_owner = object.is_some_and(|object| object.owner.is_some());
                Route::Splat(Rejection::unowned(has_owner))
            }
        })
    }

    fn route_to_promise(&self, target: KRef, message: &Message<KRef>) -> Result<Route> {
        let pending = match self.promise(target)?.stage {
            Stage::Pending(pending) => pending,
            Stage::Settled(settled) if settled.rejected => {
                return Ok(Route::Splat(settled.rejection()));
            }
            Stage::Settled(settled) => {
                return match settled.target() {
                    Some(object) => self.route_to_object(object),
                    None => {
                        let method = capdata::method_name(&message.methargs);
                        Ok(Route::Splat(Rejection::not_callable(&method)))
                    }
                };
            }
        };
        let Some(endpoint) = pending.decider else { return Ok(Route::Wait) };
        let Endpoint::Vat(vat) = endpoint else { return Ok(Route::Wait) };
        if !self.is_alive(vat)? {
            return Ok(Route::Splat(Rejection::unowned(true)));
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
            Route::Wait => self.wait_on_promise(target, &Waiting { message, payer }),
            Route::Deliver { target: routed, .. } => {
                if routed != target {
                    self.decrement(target)?;
                    self.increment(routed)?;
                }
                self.schedule(RunQueueEvent::Send { target: routed, message, payer })
            }
        }
    }

    /// Takes the result off a message if it was settled while the message was on its way, as that of a launch that
    /// failed. Nobody can settle it again.
    pub(crate) fn forget_settled_result(&mut self, message: &mut Message<KRef>) -> Result<()> {
        if let Some(result) = message.result
            && self.unresolved(result)?.is_none()
        {
            message.result = None;
            self.decrement(result)?;
        }
        Ok(())
    }

    /// Rejects the result of a message that goes nowhere, and releases what the message held.
    pub(crate) fn splat(
        &mut self,
        target: KRef,
        message: &Message<KRef>,
        reason: impl Into<Rejection>,
    ) -> Result<()> {
        // The kernel may have rejected the result before, with the cause of a launch that failed.
        if let Some(result) = message.result
            && self.unresolved(result)?.is_some()
        {
            self.reject(result, reason)?;
        }
        self.release_send(target, message)
    }
}
