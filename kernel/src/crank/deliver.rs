//! Delivery cranks: what each event on the run queue does.

use std::sync::Arc;

use capstan_abi::{Delivery, Message};
use capstan_kernel_ports::{Computrons, VatId, host::VatHost};
use serde_json::Value;

use crate::{
    capdata::{self, Builder, Json, KernelData},
    crank::{
        guard::{Admission, Lost},
        policy::CrankOutcome,
        results::CrankResults,
        route::Route,
    },
    error::Result,
    ids::{Endpoint, KRef, MeterId},
    state::{
        event::Waiting,
        handle::State,
        keeping::{Keeping, NOT_COVERED, Paid, capdata_bytes},
        notification::Notification,
        queue::{GcKind, Payer, RunQueueEvent},
        rejection::{Rejection, delivery_failed},
        vat::{Dirt, DynamicOptions, Threshold},
    },
    vats::{
        online::Online,
        worker::{self, METER_UNDERFLOW, StartError, Status},
    },
};

/// A delivery crank in progress: the state, the host, and who is in memory.
pub(crate) struct Crank<'c, 's, H> {
    pub(crate) state: &'c mut State<'s>,
    pub(crate) host: &'c mut H,
    pub(crate) online: &'c mut Online,
}

impl<H: VatHost> Crank<'_, '_, H> {
    /// Does what the event asks for.
    pub(crate) fn process(&mut self, event: RunQueueEvent) -> Result<CrankResults> {
        match event {
            RunQueueEvent::Send { target, message, payer } => self.send(target, message, payer),
            RunQueueEvent::Notify { endpoint, promise } => self.notify(endpoint, promise),
            RunQueueEvent::CreateVat { vat, bundle_id, parameters, options } => {
                self.create_vat(vat, bundle_id, &parameters, &options)
            }
            RunQueueEvent::StartVat { vat, parameters } => self.start_vat(vat, &parameters),
            RunQueueEvent::UpgradeVat { vat, upgrade, bundle_id, parameters, upgrade_message } => {
                self.upgrade_vat(vat, upgrade, bundle_id, parameters, &upgrade_message)
            }
            RunQueueEvent::ChangeVatOptions { vat, options_json } => {
                self.change_options(vat, &options_json)
            }
            RunQueueEvent::CollectGarbage { kind, endpoint, krefs } => {
                self.collect_garbage(kind, endpoint, krefs)
            }
            RunQueueEvent::NegatedGcAction
            | RunQueueEvent::Waited { .. }
            | RunQueueEvent::Subscribers { .. } => Ok(CrankResults::default()),
            RunQueueEvent::BringOutYourDead { vat } => self.bring_out_your_dead(vat),
            RunQueueEvent::CleanupTerminatedVat { vat, budget } => {
                let work = self.state.clean_up(vat, budget)?;
                let outcome = Some(CrankOutcome::Cleanup { work });
                // What is freed returns to the meter before it is charged for the work.
                let meter = self.state.vat_config(vat)?.meter;
                Ok(CrankResults { outcome, meter, ..CrankResults::default() })
            }
        }
    }

    fn send(
        &mut self,
        target: KRef,
        mut message: Message<KRef>,
        payer: Payer,
    ) -> Result<CrankResults> {
        self.state.forget_settled_result(&mut message)?;
        match self.state.route(target, &message)? {
            Route::Splat(reason) => self.state.splat(target, &message, reason)?,
            Route::Wait => self.state.wait_on_promise(target, &Waiting { message, payer })?,
            Route::Deliver { endpoint: Endpoint::Vat(vat), target: routed } => {
                return self.message_to_vat(vat, target, routed, message, payer);
            }
            Route::Deliver { endpoint: Endpoint::Kernel, target: routed } => {
                return self.serve(target, routed, message, payer);
            }
            Route::Deliver { endpoint, target: routed } => {
                return self.message_to_remote(endpoint, target, routed, message, payer);
            }
        }
        Ok(CrankResults::default())
    }

    /// Puts a message into an account's outbox, if the account's bounds leave room for it.
    fn message_to_remote(
        &mut self,
        endpoint: Endpoint,
        target: KRef,
        routed: KRef,
        message: Message<KRef>,
        payer: Payer,
    ) -> Result<CrankResults> {
        let mut paid = Vec::new();
        if let Endpoint::Remote(remote) = endpoint {
            let refusal = self.state.call_refused(remote, &message.methargs)?;
            let bytes = capdata_bytes(&message.methargs);
            let refusal = match refusal {
                None if !self.state.try_keep(payer.keeper(), Keeping::Outbox, bytes)? => {
                    Some(NOT_COVERED.to_owned())
                }
                refusal => refusal,
            };
            if let Some(refusal) = refusal {
                self.state.splat(target, &message, delivery_failed(&refusal))?;
                return Ok(CrankResults::default());
            }
            paid.extend(payer.keeper().map(|vat| (vat, bytes)));
            self.state.subscribe_remote(remote, &message.methargs, true)?;
        }
        self.state.release_send(target, &message)?;
        let kernel = Delivery::Message { target: routed, message };
        let translated = self.translate_message(endpoint, &kernel)?;
        self.hand_over(endpoint, translated, paid)
    }

    /// Delivers a message to a vat. `target` is what it was addressed to and `routed` where that led.
    fn message_to_vat(
        &mut self,
        vat: VatId,
        target: KRef,
        routed: KRef,
        message: Message<KRef>,
        payer: Payer,
    ) -> Result<CrankResults> {
        let config = self.state.vat_config(vat)?;
        let charge = match self.state.admit(&config, &message.methargs, payer)? {
            Admission::Admitted(charge) => charge,
            Admission::Refused(refusal) => {
                self.state.splat(target, &message, Rejection::undelivered(&refusal))?;
                return Ok(CrankResults::default());
            }
        };
        self.state.release_send(target, &message)?;
        if let Some(charge) = &charge {
            self.state.collect(charge)?;
        }
        let result = message.result;
        let kernel = Delivery::Message { target: routed, message };
        let translated = self.translate_message(Endpoint::Vat(vat), &kernel)?;
        if let (true, Some(result)) = (config.enable_pipelining, result) {
            self.state.requeue_promise(result)?;
        }
        let status = self.deliver(vat, &kernel, translated)?;
        let results = self.results(vat, status, config.meter, Some(0))?;
        let results = CrankResults { charge, ..results };
        Ok(results.survived_by(&config, || Lost::delivery(target, kernel)))
    }

    fn translate_message(
        &mut self,
        endpoint: Endpoint,
        kernel: &Delivery<KRef>,
    ) -> Result<Delivery> {
        self.state.stats.dispatches += 1;
        self.state.stats.dispatch_deliver += 1;
        self.state.delivery_to_endpoint(endpoint, kernel)
    }

    fn notify(&mut self, endpoint: Endpoint, promise: KRef) -> Result<CrankResults> {
        let Endpoint::Remote(remote) = endpoint else { return self.tell(endpoint, promise) };
        if self.state.put_off(remote, promise)? {
            return Ok(CrankResults::default());
        }
        let results = self.tell(endpoint, promise)?;
        self.state.take_up(remote)?;
        Ok(results)
    }

    fn tell(&mut self, endpoint: Endpoint, promise: KRef) -> Result<CrankResults> {
        self.state.decrement(promise)?;
        self.state.stats.dispatches += 1;
        if let Endpoint::Vat(vat) = endpoint
            && !self.state.is_alive(vat)?
        {
            return Ok(CrankResults::default());
        }
        self.state.stats.dispatch_notify += 1;
        if self.state.clist_entry(endpoint, promise)?.is_none() {
            // An earlier notification carried it.
            return Ok(CrankResults::default());
        }
        let config = match endpoint {
            Endpoint::Vat(vat) => Some((vat, self.state.vat_config(vat)?)),
            _ => None,
        };
        let guarded = config.as_ref().is_some_and(|(_, config)| config.system);
        let Notification { mut resolutions, rest } =
            self.state.notification(promise, endpoint, guarded)?;
        let mut paid = Vec::new();
        if let Endpoint::Remote(remote) = endpoint {
            paid = self.state.keep_told(&mut resolutions)?;
            for resolution in &resolutions {
                self.state.subscribe_remote(remote, &resolution.data, false)?;
            }
        }
        let kernel = Delivery::Notify { resolutions };
        let translated = self.state.delivery_to_endpoint(endpoint, &kernel)?;
        for promise in rest {
            self.state.notify(endpoint, promise)?;
        }
        match config {
            Some((vat, config)) => {
                let status = self.deliver(vat, &kernel, translated)?;
                let results = self.results(vat, status, config.meter, Some(0))?;
                Ok(results.survived_by(&config, || Lost::Notification { promise }))
            }
            None => self.hand_over(endpoint, translated, paid),
        }
    }

    fn collect_garbage(
        &mut self,
        kind: GcKind,
        endpoint: Endpoint,
        krefs: Vec<KRef>,
    ) -> Result<CrankResults> {
        if let Endpoint::Vat(vat) = endpoint
            && !self.state.is_alive(vat)?
        {
            return Ok(CrankResults::default());
        }
        let count = krefs.len() as u64;
        let kernel = match kind {
            GcKind::DropExports => Delivery::DropExports { refs: krefs },
            GcKind::RetireImports => Delivery::RetireImports { refs: krefs },
            GcKind::RetireExports => {
                for kref in &krefs {
                    self.state.delete_object(*kref)?;
                }
                Delivery::RetireExports { refs: krefs }
            }
        };
        let translated = self.state.delivery_to_endpoint(endpoint, &kernel)?;
        let Endpoint::Vat(vat) = endpoint else {
            return self.hand_over(endpoint, translated, vec![]);
        };
        let status = self.deliver(vat, &kernel, translated)?;
        let results = self.results(vat, status, None, Some(count))?;
        let config = self.state.vat_config(vat)?;
        Ok(results.survived_by(&config, || Lost::Collection { endpoint, kernel }))
    }

    fn bring_out_your_dead(&mut self, vat: VatId) -> Result<CrankResults> {
        if !self.state.is_alive(vat)? {
            return Ok(CrankResults::default());
        }
        let status = self.deliver(vat, &Delivery::BringOutYourDead, Delivery::BringOutYourDead)?;
        let results = self.results(vat, status, None, None)?;
        let config = self.state.vat_config(vat)?;
        Ok(results.survived_by(&config, || Lost::Nothing))
    }

    fn start_vat(&mut self, vat: VatId, parameters: &KernelData) -> Result<CrankResults> {
        if !self.state.is_alive(vat)? {
            return Ok(CrankResults::default());
        }
        let held = parameters.slots.clone();
        if let Some(refused) = self.start_worker(vat)? {
            return Ok(CrankResults { held, ..refused });
        }
        self.state.set_parameters(vat, parameters)?;
        let kernel = Delivery::StartVat { parameters: parameters.clone() };
        let translated = self.state.delivery_to_endpoint(Endpoint::Vat(vat), &kernel)?;
        self.state.decrement_all(&parameters.slots)?;
        let meter = self.state.vat_config(vat)?.meter;
        let status = self.deliver(vat, &kernel, translated)?;
        let results = self.results(vat, status, meter, Some(0))?;
        Ok(CrankResults { consume: true, held, ..results })
    }

    /// Starts the first worker of a vat. Returns the results of the crank if the vat cannot be started: it ends.
    fn start_worker(&mut self, vat: VatId) -> Result<Option<CrankResults>> {
        let config = self.state.vat_config(vat)?;
        let started = match config.check_transcript() {
            // The first start of a source may take many computrons. An empty meter pays for none of them.
            Ok(()) if self.state.delivery_limit(&config)? == Computrons(0) => {
                Err(StartError::Source(METER_UNDERFLOW.to_owned()))
            }
            Ok(()) => worker::bring_online(self.state, self.host, self.online, vat),
            Err(lack) => Err(StartError::Source(lack.to_owned())),
        };
        let problem = match started {
            Ok(()) => return Ok(None),
            Err(StartError::Panic(panic)) => return Err(panic),
            Err(StartError::Source(problem)) => problem,
        };
        Ok(Some(CrankResults {
            abort: true,
            consume: true,
            delivered: Some(vat),
            meter: config.meter,
            terminate: Some((vat, true, capdata::error(&problem))),
            ..CrankResults::default()
        }))
    }

    fn create_vat(
        &mut self,
        vat: VatId,
        bundle_id: String,
        parameters: &KernelData,
        options: &DynamicOptions,
    ) -> Result<CrankResults> {
        let config = options.config(bundle_id, self.host.engine());
        self.state.creating = config.name.clone().map(|name| (vat, name));
        self.state.add_vat(vat, &config)?;
        let mut results = self.start_vat(vat, parameters)?;
        results.created = true;
        if results.terminate.is_none() {
            let root = self.state.export_root(vat)?;
            let mut builder = Builder::default();
            let id = builder.text(vat.to_string());
            let root = builder.slot(root, "undefined");
            let record = Json::Object(vec![("rootObject".to_owned(), root)]);
            results.tell_vat_admin =
                Some(capdata::methargs(builder, "newVatCallback", vec![id, record]));
        }
        Ok(results)
    }

    fn change_options(&mut self, vat: VatId, options_json: &str) -> Result<CrankResults> {
        if !self.state.is_alive(vat)? {
            return Ok(CrankResults::default());
        }
        let Ok(Value::Object(mut options)) = serde_json::from_str::<Value>(options_json) else {
            return Ok(CrankResults::default());
        };
        if let Some(interval) = options.remove("reapInterval")
            && let Some(threshold) = Threshold::from_json(&interval)
        {
            let mut config = Arc::unwrap_or_clone(self.state.vat_config(vat)?);
            config.reap.deliveries = threshold;
            self.state.put_vat_config(vat, &config)?;
        }
        if options.is_empty() {
            return Ok(CrankResults::default());
        }
        let options_json = Value::Object(options).to_string();
        let kernel = Delivery::ChangeVatOptions { options_json: options_json.clone() };
        let status = self.deliver(vat, &kernel, Delivery::ChangeVatOptions { options_json })?;
        let results = self.results(vat, status, None, None)?;
        let config = self.state.vat_config(vat)?;
        let results = results.survived_by(&config, || Lost::Nothing);
        Ok(CrankResults { consume: true, ..results })
    }

    /// Puts a delivery to a remote into its outbox.
    fn hand_over(
        &mut self,
        endpoint: Endpoint,
        delivery: Delivery,
        paid: Vec<Paid>,
    ) -> Result<CrankResults> {
        if let Endpoint::Remote(remote) = endpoint {
            self.state.post(remote, delivery, paid)?;
        }
        Ok(CrankResults::default())
    }

    pub(crate) fn deliver(
        &mut self,
        vat: VatId,
        kernel: &Delivery<KRef>,
        translated: Delivery,
    ) -> Result<Status> {
        worker::deliver(self.state, self.host, self.online, vat, kernel, translated)
    }

    /// Derives the crank's results from a delivery's status. `gc_krefs` is `None` if the delivery makes no
    /// dirt. If several things went wrong, the first in this order counts.
    pub(crate) fn results(
        &self,
        vat: VatId,
        status: Status,
        meter: Option<MeterId>,
        gc_krefs: Option<u64>,
    ) -> Result<CrankResults> {
        let computrons = status.computrons;
        let underflow = match (meter, computrons) {
            (Some(meter), Some(spent)) => !self.state.meter_covers(meter, spent)?,
            _ => false,
        };
        let underflow = underflow || !self.state.covers_growth(vat)?;
        let failed = |info: KernelData| (true, Some((vat, true, info)));
        let (abort, terminate) = if let Some(info) = status.illegal {
            failed(info)
        } else if let Some(text) = status.error {
            failed(capdata::error(&text))
        } else if underflow {
            failed(capdata::error(METER_UNDERFLOW))
        } else if let Some((failure, info)) = status.exit {
            (failure, Some((vat, failure, info)))
        } else {
            (false, None)
        };
        let dirt = match gc_krefs {
            Some(gc_krefs) if terminate.is_none() => {
                let computrons = computrons.map_or(0, |computrons| computrons.0);
                Some(Dirt { deliveries: 1, gc_krefs, computrons })
            }
            _ => None,
        };
        let delivered = Some(vat);
        let results =
            CrankResults { abort, delivered, computrons, meter, dirt, ..Default::default() };
        Ok(CrankResults { terminate, ..results })
    }
}
