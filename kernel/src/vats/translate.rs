//! Deliveries from the kernel's references to an endpoint's.

use capstan_abi::{Delivery, Message, Resolution, VRef};

use crate::{
    error::{Result, inconsistent},
    ids::{Endpoint, KRef},
    state::handle::State,
};

impl State<'_> {
    /// Translates a delivery, with everything that this does to the c-list and to deciders.
    pub(crate) fn delivery_to_endpoint(
        &mut self,
        endpoint: Endpoint,
        delivery: &Delivery<KRef>,
    ) -> Result<Delivery> {
        Ok(match delivery {
            Delivery::StartVat { parameters } => {
                Delivery::StartVat { parameters: self.data_to_endpoint(endpoint, parameters)? }
            }
            Delivery::Message { target, message } => {
                self.message_to_endpoint(endpoint, *target, message)?
            }
            Delivery::Notify { resolutions } => self.notify_to_endpoint(endpoint, resolutions)?,
            Delivery::DropExports { refs } => {
                let vrefs = self.known_refs(endpoint, refs)?;
                for kref in refs {
                    self.clear_reachable(endpoint, *kref)?;
                }
                Delivery::DropExports { refs: vrefs }
            }
            Delivery::RetireExports { refs } => {
                Delivery::RetireExports { refs: self.retire_refs(endpoint, refs)? }
            }
            Delivery::RetireImports { refs } => {
                Delivery::RetireImports { refs: self.retire_refs(endpoint, refs)? }
            }
            Delivery::BringOutYourDead => Delivery::BringOutYourDead,
            Delivery::ChangeVatOptions { options_json } => {
                Delivery::ChangeVatOptions { options_json: options_json.clone() }
            }
        })
    }

    /// The order of translation decides the numbers of new imports: target, arguments, result.
    fn message_to_endpoint(
        &mut self,
        endpoint: Endpoint,
        target: KRef,
        message: &Message<KRef>,
    ) -> Result<Delivery> {
        let target_ref = self.to_endpoint(endpoint, target)?;
        let methargs = self.data_to_endpoint(endpoint, &message.methargs)?;
        let result = match message.result {
            None => None,
            Some(result) => {
                let undecided = self.unresolved(result)?.is_some_and(|u| u.decider.is_none());
                if !undecided {
                    return Err(inconsistent(format!("result {result} is not to be decided")));
                }
                let vref = self.to_endpoint(endpoint, result)?;
                self.set_decider(result, Some(endpoint))?;
                Some(vref)
            }
        };
        Ok(Delivery::Message { target: target_ref, message: Message { methargs, result } })
    }

    /// The promises of a notification leave the c-list with it.
    fn notify_to_endpoint(
        &mut self,
        endpoint: Endpoint,
        resolutions: &[Resolution<KRef>],
    ) -> Result<Delivery> {
        let mut translated = Vec::with_capacity(resolutions.len());
        for resolution in resolutions {
            let promise = self.to_endpoint(endpoint, resolution.promise)?;
            let data = self.data_to_endpoint(endpoint, &resolution.data)?;
            translated.push(Resolution { promise, rejected: resolution.rejected, data });
        }
        for resolution in resolutions {
            self.delete_entry(endpoint, resolution.promise)?;
        }
        Ok(Delivery::Notify { resolutions: translated })
    }

    fn known_refs(&self, endpoint: Endpoint, krefs: &[KRef]) -> Result<Vec<VRef>> {
        let vref = |kref: &KRef| {
            let entry = self.clist_entry(endpoint, *kref)?;
            let missing = || inconsistent(format!("{endpoint} lacks an entry for {kref}"));
            Ok(entry.ok_or_else(missing)?.vref)
        };
        krefs.iter().map(vref).collect()
    }

    fn retire_refs(&mut self, endpoint: Endpoint, krefs: &[KRef]) -> Result<Vec<VRef>> {
        let vrefs = self.known_refs(endpoint, krefs)?;
        for kref in krefs {
            self.delete_entry(endpoint, *kref)?;
        }
        Ok(vrefs)
    }
}
