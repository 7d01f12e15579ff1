//! The launch of a subcluster, up to the message `bootstrap(roots, services)`.

use std::collections::BTreeMap;

use capstan_abi::Message;
use capstan_kernel_ports::VatId;

use crate::{
    capdata::{self, Builder, Json},
    error::{KernelPanic, Result},
    ids::{KRef, SubclusterId},
    service::ServiceError,
    state::{
        handle::State,
        io_channel::IoChannel,
        keys,
        promise::ResultPolicy,
        queue::{Payer, RunQueueEvent},
        static_vat::StaticVat,
        subcluster::{LaunchStatus, News, Owner, Subcluster},
    },
    subcluster::config::{SubclusterConfig, is_name},
};

/// The reason why vats are not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The configuration is not one.
    #[error("invalid cluster config: {0}")]
    InvalidConfig(String),
    /// The vat to be bootstrapped is not of the subcluster.
    #[error("invalid bootstrap vat name {0}")]
    NoBootstrapVat(String),
    /// A vat's bundle is not installed.
    #[error("vat {vat}: bundle {bundle} is not installed")]
    UnknownBundle {
        /// The vat's name.
        vat: String,
        /// The bundle.
        bundle: String,
    },
    /// There is no such service, or the subcluster may not have it.
    #[error("no registered kernel service '{0}'")]
    UnknownService(String),
    /// The name of a system subcluster is none, or is taken.
    #[error("system subcluster {name:?}: {problem}")]
    BadName {
        /// The name.
        name: String,
        /// The problem with it.
        problem: &'static str,
    },
    /// Two system subclusters of a configuration have the same name.
    #[error("Duplicate system subcluster names in config: {0}")]
    Duplicate(String),
    /// The vat does not exist, or has ended.
    #[error("{0} does not run")]
    NotRunning(VatId),
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

/// The owner and name of a subcluster.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) owner: Owner,
    pub(crate) name: Option<String>,
}

impl Label {
    /// The label of a subcluster that the program around the kernel launches.
    pub(crate) const HOST: Self = Self { owner: Owner::Host, name: None };

    pub(crate) fn system(name: &str) -> Self {
        Self { owner: Owner::System, name: Some(name.to_owned()) }
    }

    pub(crate) fn is_system(&self) -> bool {
        self.owner == Owner::System
    }
}

impl State<'_> {
    /// Launches a subcluster: starts its vats, and sends `bootstrap`.
    ///
    /// `answer` is a promise that the kernel settles when `bootstrap` is settled: with `{subclusterId, root,
    /// bootstrapResult}` or the original error. The record holds it until then.
    ///
    /// After an error nothing is left of the launch but the number of its id.
    pub(crate) fn launch_subcluster(
        &mut self,
        config: &SubclusterConfig,
        label: Label,
        answer: Option<KRef>,
    ) -> std::result::Result<Subcluster, LaunchError> {
        config.check()?;
        self.check_label(&label)?;
        let id = self.allocate_subcluster()?;
        for (name, setup) in &config.vats {
            self.check_bundle(name, setup)?;
        }
        let services =
            self.cluster_services(id, &config.services, &config.io, label.is_system())?;
        let Label { owner, name } = label;
        let mut record = Subcluster {
            id,
            name,
            owner,
            bootstrap: config.bootstrap.clone(),
            vats: vec![],
            services: config.services.clone(),
            io: config.io.clone(),
            bootstrap_result: None,
            answer,
            status: LaunchStatus::Running,
        };
        self.start_members(&mut record, config)?;
        if let Some(answer) = answer {
            self.increment(answer)?;
        }
        if let Some(name) = &config.bootstrap {
            record.bootstrap_result = Some(self.introduce(&record, name, &services)?);
            record.status = LaunchStatus::Launching;
        }
        if let (Owner::System, Some(name)) = (&record.owner, &record.name) {
            self.put(&keys::system_subcluster(name), &id)?;
        }
        self.put_subcluster(&record)?;
        self.notify_of(&record, News::Launched);
        Ok(record)
    }

    fn check_label(&self, label: &Label) -> std::result::Result<(), LaunchError> {
        let Some(name) = &label.name else { return Ok(()) };
        let bad = |problem| Err(LaunchError::BadName { name: name.clone(), problem });
        if !is_name(name) {
            return bad("a name is 1 to 100 letters, digits, dots, dashes or underscores");
        }
        let key = keys::system_subcluster(name);
        match label.is_system() && self.get::<SubclusterId>(&key)?.is_some() {
            true => bad("the name is taken"),
            false => Ok(()),
        }
    }

    fn check_bundle(&self, vat: &str, setup: &StaticVat) -> std::result::Result<(), LaunchError> {
        let bundle = setup.bundle_id.clone();
        match self.over.get(&keys::bundle(&bundle)).map_err(KernelPanic::from)? {
            Some(_) => Ok(()),
            None => Err(LaunchError::UnknownBundle { vat: vat.to_owned(), bundle }),
        }
    }

    /// The objects of the named services, for a system subcluster or for another one, and of the io channels, which are
    /// opened. A name may stand in both lists: then it is the channel's.
    pub(crate) fn cluster_services(
        &mut self,
        id: SubclusterId,
        names: &[String],
        io: &BTreeMap<String, IoChannel>,
        is_system: bool,
    ) -> std::result::Result<BTreeMap<String, KRef>, LaunchError> {
        let names: Vec<String> =
            names.iter().filter(|name| !io.contains_key(*name)).cloned().collect();
        let found = self.services_named(&names, is_system).map_err(|error| match error {
            ServiceError::Panic(panic) => LaunchError::Panic(panic),
            ServiceError::Unknown(name) => LaunchError::UnknownService(name),
            other => LaunchError::InvalidConfig(other.to_string()),
        });
        let mut services = found?;
        services.extend(self.open_io(id, io)?);
        Ok(services)
    }

    fn start_members(&mut self, record: &mut Subcluster, config: &SubclusterConfig) -> Result<()> {
        for (name, setup) in &config.vats {
            let label = match &record.name {
                Some(cluster) => format!("{cluster}.{name}"),
                None => name.clone(),
            };
            let vat = self.start_new_vat(&label, setup)?;
            self.put(&keys::subcluster_of(vat), &record.id)?;
            record.vats.push((name.clone(), vat));
        }
        Ok(())
    }

    /// Starts a vat without vatAdmin, once its bundle was seen to be installed.
    pub(crate) fn start_checked_vat(
        &mut self,
        name: &str,
        setup: &StaticVat,
    ) -> std::result::Result<VatId, LaunchError> {
        self.check_bundle(name, setup)?;
        Ok(self.start_new_vat(name, setup)?)
    }

    fn start_new_vat(&mut self, name: &str, setup: &StaticVat) -> Result<VatId> {
        let vat = self.allocate_vat();
        self.begin_vat(vat, &setup.config(name, self.engine))?;
        // Nobody else holds it yet, and a root that was dropped once is lost to its vat.
        let root = self.export_root(vat)?;
        self.pin(root)?;
        self.increment_all(&setup.parameters.slots)?;
        self.accept(RunQueueEvent::StartVat { vat, parameters: setup.parameters.clone() })?;
        Ok(vat)
    }

    /// Sends `bootstrap(roots, services)`. Returns the promise for the result, held for the record.
    fn introduce(
        &mut self,
        record: &Subcluster,
        bootstrap: &str,
        services: &BTreeMap<String, KRef>,
    ) -> Result<KRef> {
        let mut builder = Builder::default();
        let vats: BTreeMap<&String, VatId> = record.vats.iter().map(|(n, v)| (n, *v)).collect();
        let mut roots = Vec::new();
        for (name, vat) in vats {
            let root = self.export_root(vat)?;
            roots.push((Json::key(name.as_str()), builder.slot(root, "root")));
        }
        let mut given = Vec::new();
        for (name, object) in services {
            given.push((Json::key(name.as_str()), builder.slot(*object, "service")));
        }
        let args = vec![Json::Object(roots), Json::Object(given)];
        let methargs = capdata::methargs(builder, "bootstrap", args);
        let vat = record.vat(bootstrap);
        let missing = || crate::error::inconsistent(format!("there is no vat {bootstrap}"));
        let root = self.export_root(vat.ok_or_else(missing)?)?;
        let result = self.add_promise(None, ResultPolicy::Launch(record.id))?;
        self.send(root, Message { methargs, result: Some(result) }, Payer::Nobody)?;
        self.increment(result)?;
        Ok(result)
    }
}
