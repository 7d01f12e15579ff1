//! Events that are not executed because the validators agreed to skip them.

use crate::{
    capdata,
    error::Result,
    ids::{Endpoint, KRef},
    state::{handle::State, queue::RunQueueEvent, rejection::Rejection, vat::EndKind},
};

/// The reason that senders of messages are told.
const DROPPED: &str = "message dropped by agreement";

impl State<'_> {
    /// Takes the message with this result out of the queues and rejects the result. The other events keep
    /// their order. Returns false if there is no such message.
    pub(crate) fn drop_message(&mut self, result: KRef) -> Result<bool> {
        let (mut accepted, mut scheduled) = (Vec::new(), Vec::new());
        while let Some((event, _)) = self.next_accepted()? {
            accepted.push(event);
        }
        while let Some(event) = self.next_scheduled()? {
            scheduled.push(event);
        }
        let mut dropped = Vec::new();
        for event in accepted {
            match event.send_with(result) {
                Some(sent) => dropped.push(sent),
                None => self.accept(event)?,
            }
        }
        for event in scheduled {
            match event.send_with(result) {
                Some(sent) => dropped.push(sent),
                None => self.schedule(event)?,
            }
        }
        for (target, message) in &dropped {
            self.splat(*target, message, Rejection::undelivered(DROPPED))?;
        }
        Ok(!dropped.is_empty())
    }

    /// Does away with an event that was taken off a queue, as if it had failed before anybody saw it: a message's
    /// result is rejected, a vat that was to be started ends, an upgrade fails.
    pub(crate) fn skip(&mut self, event: RunQueueEvent) -> Result<()> {
        let reason = capdata::error("taken out by agreement");
        match event {
            RunQueueEvent::Send { target, message, .. } => {
                self.splat(target, &message, Rejection::undelivered(DROPPED))
            }
            RunQueueEvent::Notify { endpoint, promise } => {
                self.decrement(promise)?;
                match endpoint {
                    Endpoint::Remote(remote) => self.take_up(remote),
                    _ => Ok(()),
                }
            }
            RunQueueEvent::CreateVat { vat, parameters, .. }
            | RunQueueEvent::StartVat { vat, parameters } => {
                self.decrement_all(&parameters.slots)?;
                self.terminate(vat, EndKind::Failed, &reason)
            }
            RunQueueEvent::UpgradeVat { upgrade, parameters, .. } => {
                if let Some(given) = parameters {
                    self.decrement_all(&given.slots)?;
                }
                self.tell_vat_admin(crate::crank::upgrade::failed(upgrade))
            }
            // These hold nothing, or come from no queue, or are taken apart when they come from it.
            RunQueueEvent::ChangeVatOptions { .. }
            | RunQueueEvent::Waited { .. }
            | RunQueueEvent::Subscribers { .. }
            | RunQueueEvent::CollectGarbage { .. }
            | RunQueueEvent::NegatedGcAction
            | RunQueueEvent::BringOutYourDead { .. }
            | RunQueueEvent::CleanupTerminatedVat { .. } => Ok(()),
        }
    }
}
