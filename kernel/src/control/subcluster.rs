//! Subclusters: sets of vats that are started together at run time and introduced to each other.
//!
//! The vat table is in the state, so a kernel that is started again knows its vats. They come back into
//! memory at their next delivery, or when [`Kernel::run_vat`] asks for it.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::Message;
use capstan_kernel_ports::{VatId, host::VatHost, store::Overlay};

use crate::{
    capdata::{self, Builder, Json},
    control::{genesis::StaticVat, kernel::Kernel},
    error::{KernelPanic, Result, inconsistent},
    ids::KRef,
    state::{
        handle::State,
        keys,
        promise::ResultPolicy,
        queue::{Payer, RunQueueEvent},
        vat::VatConfig,
    },
};

/// The configuration of a [`Subcluster`].
#[derive(Clone, Debug)]
pub struct SubclusterConfig {
    /// The vat whose root gets `bootstrap(vats, {})`, with the roots of all of them by name. `None` if nobody
    /// is introduced.
    pub bootstrap: Option<String>,
    /// The vats by name, each a [`StaticVat`]. Their bundles must be installed.
    pub vats: BTreeMap<String, StaticVat>,
}

/// The record of a launched subcluster, part of the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subcluster {
    /// Its vats by the names that the configuration gave them.
    pub vats: BTreeMap<String, VatId>,
    /// The promise for the result of `bootstrap`, held for the caller.
    pub bootstrap_result: Option<KRef>,
}

/// The reason why vats are not started.
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
    /// The vat does not exist, or has ended.
    #[error("{0} does not run")]
    NotRunning(VatId),
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

impl<H: VatHost> Kernel<H> {
    /// Starts a set of vats and introduces them to each other.
    ///
    /// # Errors
    /// Returns a [`LaunchError`] if a bundle is not installed, or the vat to bootstrap is missing.
    pub fn launch_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        config: &SubclusterConfig,
    ) -> std::result::Result<Subcluster, LaunchError> {
        let engine = self.host().engine();
        self.between_cranks(over, |state| state.launch(config, engine))
    }

    /// Launches the default subcluster, at the first call in the life of the state. Returns `None` at any
    /// later call.
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

    pub(crate) fn start_new_vat(
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
            enable_vatstore: setup.enable_vatstore,
            enable_setup: setup.enable_setup,
            use_transcript: setup.use_transcript,
            reap: setup.reap,
            parameters: None,
            system: false,
        };
        config.check_transcript().map_err(|lack| inconsistent(format!("vat {name}: {lack}")))?;
        self.add_vat(vat, &config)?;
        // Nobody else holds it yet, and a root that was dropped once is lost to its vat.
        let root = self.export_root(vat)?;
        self.pin(root)?;
        self.increment_all(&setup.parameters.slots)?;
        self.accept(RunQueueEvent::StartVat { vat, parameters: setup.parameters.clone() })?;
        Ok(vat)
    }

    /// Sends `bootstrap(vats, {})`. Returns the promise for the result, held for the caller.
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
