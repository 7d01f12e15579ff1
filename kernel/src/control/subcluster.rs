//! Subclusters: sets of vats that are started together at run time and introduced to each other. And
//! what concerns all vats at once: starting, bringing back into memory, ending, beginning anew.
//!
//! The vat table is in the state, so a kernel that is started again knows its vats; they come back into
//! memory at their next delivery, or when [`Kernel::run_vat`] asks for it.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Message;
use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};

use crate::{
    capdata::{self, Builder, Json, KernelData},
    control::{
        genesis::{KernelConfig, StaticVat},
        kernel::Kernel,
    },
    error::{KernelPanic, Result},
    ids::KRef,
    state::{
        handle::State,
        keys,
        promise::ResultPolicy,
        queue::{Payer, RunQueueEvent},
        vat::VatConfig,
    },
    vats::worker::{StartError, bring_online},
};

/// A set of vats to be started together.
#[derive(Clone, Debug)]
pub struct SubclusterConfig {
    /// The vat whose root gets `bootstrap(vats, devices)`: the roots of all of them by name, and no
    /// devices. None: nobody is introduced.
    pub bootstrap: Option<String>,
    /// The vats by name. Their bundles must be installed.
    pub vats: BTreeMap<String, StaticVat>,
}

/// A subcluster that was launched: part of the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subcluster {
    /// Its vats by the names that the configuration gave them.
    pub vats: BTreeMap<String, VatId>,
    /// What bootstrap answers, held for the caller.
    pub bootstrap_result: Option<KRef>,
}

/// Why vats are not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// A vat's bundle is not installed.
    #[error("vat {vat}: bundle {bundle} is not installed")]
    UnknownBundle {
        /// The vat's name.
        vat: String,
        /// The bundle.
        bundle: String,
    },
    /// The vat to be bootstrapped is not of the subcluster.
    #[error("the subcluster has no vat {0}, which is to be bootstrapped")]
    NoBootstrapVat(String),
    /// The vat is not there, or has ended.
    #[error("{0} does not run")]
    NotRunning(VatId),
    /// The kernel's own trouble.
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

impl<H: VatHost> Kernel<H> {
    /// Starts a vat: gives it an id, writes its records and queues its start. Its root is held as long as it
    /// lives.
    pub fn start_vat(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
        setup: &StaticVat,
    ) -> std::result::Result<VatId, LaunchError> {
        let engine = self.host().engine();
        self.between_cranks(over, |state| state.start_new_vat(name, setup, engine))
    }

    /// The root object of a live vat, for the host to send messages to. None if it does not run.
    pub fn vat_root(&mut self, over: &mut dyn Overlay, vat: VatId) -> Result<Option<KRef>> {
        self.between_cranks(over, |state| match state.is_alive(vat)? {
            true => state.export_root(vat).map(Some),
            false => Ok(None),
        })
    }

    /// Brings a vat into memory, as its next delivery would. Not visible in the state.
    pub fn run_vat(
        &mut self,
        over: &mut dyn Overlay,
        vat: VatId,
    ) -> std::result::Result<(), LaunchError> {
        self.with_workers(over, |state, host, online| {
            // A vat that was never started has no transcript to begin with.
            let has_begun = state.find_vat(vat)?.is_some_and(|record| record.span.entries() > 0);
            if !state.is_alive(vat)? {
                return Err(LaunchError::NotRunning(vat));
            }
            match has_begun.then(|| bring_online(state, host, online, vat)) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(StartError::Panic(panic))) => Err(panic.into()),
                Some(Err(StartError::Source(problem))) => {
                    Err(KernelPanic::Recreate { vat, problem }.into())
                }
            }
        })
    }

    /// Starts a set of vats and introduces them to each other.
    pub fn launch_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        config: &SubclusterConfig,
    ) -> std::result::Result<Subcluster, LaunchError> {
        let engine = self.host().engine();
        self.between_cranks(over, |state| state.launch(config, engine))
    }

    /// The same for the subcluster that every kernel of its kind has: launched at the first call, and
    /// never again in the life of the state. None if it was launched before.
    pub fn launch_default_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        config: &SubclusterConfig,
    ) -> std::result::Result<Option<Subcluster>, LaunchError> {
        let engine = self.host().engine();
        self.between_cranks(over, |state| {
            if state.get::<Subcluster>(keys::DEFAULT_SUBCLUSTER)?.is_some() {
                return Ok(None);
            }
            let launched = state.launch(config, engine)?;
            state.put(keys::DEFAULT_SUBCLUSTER, &launched)?;
            Ok(Some(launched))
        })
    }

    /// Ends every vat, critical ones included: the kernel stops when it is told to, not by a panic.
    /// Their cleanup follows in cranks, as after any end. Returns them.
    pub fn terminate_all_vats(
        &mut self,
        over: &mut dyn Overlay,
        reason: &KernelData,
    ) -> Result<Vec<VatId>> {
        self.between_cranks(over, |state| {
            let vats = crate::view::live_vats(state.over)?;
            for vat in &vats {
                state.end_vat(*vat, true, reason)?;
            }
            // There is nobody left who could be told, and it is no failure if somebody was waited for.
            state.globals_mut().vat_admin_root = None;
            state.doom = None;
            Ok::<_, KernelPanic>(vats)
        })
    }

    /// Forgets everything and begins anew: all of the kernel's records are removed, whatever state they
    /// are in, and those of a new kernel are written. Bundles have to be given again.
    pub fn reset(&mut self, over: &mut dyn Overlay, config: &KernelConfig) -> Result<Option<KRef>> {
        self.evict_all();
        self.forget_panic();
        over.push();
        for prefix in [keys::ALL, keys::ALL_LOCAL] {
            while let Some((key, _)) = over.next_after(prefix, prefix)? {
                over.delete(&key);
            }
        }
        over.merge();
        self.initialize(over, config)
    }
}

impl State<'_> {
    fn launch(
        &mut self,
        config: &SubclusterConfig,
        engine: capstan_kernel_ports::Hash,
    ) -> std::result::Result<Subcluster, LaunchError> {
        if let Some(name) =
            config.bootstrap.as_ref().filter(|name| !config.vats.contains_key(*name))
        {
            return Err(LaunchError::NoBootstrapVat(name.clone()));
        }
        let mut vats = BTreeMap::new();
        for (name, setup) in &config.vats {
            vats.insert(name.clone(), self.start_new_vat(name, setup, engine)?);
        }
        let bootstrap_result = match &config.bootstrap {
            Some(name) => Some(self.introduce(&vats, name)?),
            None => None,
        };
        Ok(Subcluster { vats, bootstrap_result })
    }

    fn start_new_vat(
        &mut self,
        name: &str,
        setup: &StaticVat,
        engine: capstan_kernel_ports::Hash,
    ) -> std::result::Result<VatId, LaunchError> {
        let bundle = setup.bundle_id.clone();
        if self.over.get(&keys::bundle(&bundle)).map_err(KernelPanic::from)?.is_none() {
            return Err(LaunchError::UnknownBundle { vat: name.to_owned(), bundle });
        }
        let vat = self.allocate_vat();
        let config = VatConfig {
            name: Some(name.to_owned()),
            is_static: false,
            bundle_id: bundle,
            engine,
            critical: setup.critical,
            meter: None,
            enable_pipelining: setup.enable_pipelining,
            enable_disavow: setup.enable_disavow,
            use_transcript: setup.use_transcript,
            reap: setup.reap,
            parameters: None,
            system: false,
        };
        self.add_vat(vat, &config)?;
        // Nobody else holds it yet, and a root that was dropped once is lost to its vat.
        let root = self.export_root(vat)?;
        self.pin(root)?;
        self.increment_all(&setup.parameters.slots)?;
        self.accept(RunQueueEvent::StartVat { vat, parameters: setup.parameters.clone() })?;
        Ok(vat)
    }

    /// Sends `bootstrap(vats, {})`; returns the promise for the answer, held for the caller.
    fn introduce(&mut self, vats: &BTreeMap<String, VatId>, bootstrap: &str) -> Result<KRef> {
        let mut builder = Builder::default();
        let mut roots = Vec::new();
        for (name, vat) in vats {
            let root = self.export_root(*vat)?;
            let (Json::Text(key), value) = (builder.text(name), builder.slot(root, "root")) else {
                continue;
            };
            roots.push((key, value));
        }
        let args = vec![Json::Object(roots), Json::Object(vec![])];
        let methargs = capdata::methargs(builder, "bootstrap", args);
        let root = self.export_root(vats[bootstrap])?;
        let result = self.add_promise(None, ResultPolicy::LogFailure)?;
        self.send(root, Message { methargs, result: Some(result) }, Payer::Nobody)?;
        self.increment(result)?;
        Ok(result)
    }
}
