//! Messages to services of the kernel.

use capstan_abi::Message;
use capstan_kernel_ports::{Computrons, host::VatHost};

use crate::{
    crank::{
        deliver::Crank,
        guard::{Admission, Lost},
        policy::CrankOutcome,
        results::CrankResults,
    },
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    service::Request,
    state::{queue::Payer, rejection::delivery_failed},
};

impl<H: VatHost> Crank<'_, '_, H> {
    /// Delivers a message to a service. `target` is what it was addressed to and `routed` where that led.
    ///
    /// The block's budget is charged the price of a message to a vat of the system, whether the service fails or not.
    pub(crate) fn serve(
        &mut self,
        target: KRef,
        routed: KRef,
        message: Message<KRef>,
        payer: Payer,
    ) -> Result<CrankResults> {
        let charge = match self.state.admit_to_service(&message.methargs, payer)? {
            Admission::Admitted(charge) => charge,
            Admission::Refused(refusal) => {
                self.state.splat(target, &message, delivery_failed(&refusal))?;
                return Ok(CrankResults::default());
            }
        };
        let Some((name, service)) = self.state.service_of(routed)? else {
            return Err(inconsistent(format!("no service stands behind {routed}")));
        };
        if let Some(charge) = &charge {
            self.state.collect(charge)?;
        }
        if let Some(result) = message.result {
            self.state.set_decider(result, Some(Endpoint::Kernel))?;
        }
        let price = self.state.globals().options.guard.price(&message.methargs);
        self.state.count(Computrons(price));
        let outcome = Some(CrankOutcome::Delivery { computrons: Some(Computrons(price)) });
        let request = Request { name: &name, service, message: &message, payer };
        let results = CrankResults { charge, outcome, ..CrankResults::default() };
        Ok(match self.state.invoke_service(&request)? {
            None => {
                self.state.release_send(target, &message)?;
                results
            }
            Some(why) => {
                let lost = Some((Lost::Call { target, message }, delivery_failed(&why)));
                CrankResults { abort: true, consume: true, lost, ..results }
            }
        })
    }
}
