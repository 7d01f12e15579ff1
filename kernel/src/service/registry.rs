//! The registry of kernel services: names, objects, and who may have them.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    error::{KernelPanic, Result, inconsistent},
    ids::{Endpoint, KRef},
    state::{handle::State, io_channel::IO_PREFIX, keys},
};

/// A service of the kernel, part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Service {
    /// The [`KRef`] of its object, which the registry holds as long as the service is registered.
    pub kref: KRef,
    /// The [`ServiceKind`].
    pub kind: ServiceKind,
    /// Only vats of the system, and those to whom they pass it on, get the service.
    pub system_only: bool,
}

/// The code that answers the messages to a [`Service`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ServiceKind {
    /// The kernel: status, vats, subclusters, messages, services.
    Facet,
    /// The application that runs the kernel, through [`Application::serve`](crate::Application::serve).
    Application,
    /// The vats' side of the [mailbox](crate::device::MAILBOX).
    Mailbox,
    /// The outer side of the mailbox: what comes in from a peer.
    MailboxConveyor,
    /// The vats' side of the [bridge](crate::device::BRIDGE): what comes in for them.
    Bridge,
    /// The outer side of the bridge.
    BridgeConveyor,
    /// An object of a vat, which gets its messages as any object does.
    Object,
    /// An io channel of a [`Subcluster`](crate::subcluster::Subcluster).
    Io,
}

impl ServiceKind {
    /// Returns the name of the kind, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Facet => "facet",
            Self::Application => "application",
            Self::Mailbox => "mailbox",
            Self::MailboxConveyor => "mailbox-conveyor",
            Self::Bridge => "bridge",
            Self::BridgeConveyor => "bridge-conveyor",
            Self::Object => "object",
            Self::Io => "io",
        }
    }
}

/// A service that a new kernel is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewService {
    /// The [`ServiceKind`].
    pub kind: ServiceKind,
    /// The same as [`Service::system_only`].
    pub system_only: bool,
}

/// The reason why a service is not found or not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// No service has this name, or the asker may not have it.
    #[error("no registered kernel service '{0}'")]
    Unknown(String),
    /// Another service has this name.
    #[error("Kernel service \"{0}\" is already registered")]
    Taken(String),
    /// The name is not one of a service.
    #[error(
        "a kernel service has a name of 1 to {MAX_SERVICE_NAME} letters, digits and characters of ._-:/, not {0:?}"
    )]
    BadName(String),
    /// The name has the form of an io channel's.
    #[error("a kernel service has a name that does not begin with {IO_PREFIX}, not {0:?}")]
    Reserved(String),
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

/// Upper bound of the length of a service's name.
pub const MAX_SERVICE_NAME: usize = 200;

/// The length at which a bad name is cut in an error text.
const MAX_SHOWN: usize = 100;

type Registered<T> = std::result::Result<T, ServiceError>;

impl State<'_> {
    /// The service of that name.
    pub(crate) fn service(&self, name: &str) -> Result<Option<Service>> {
        if !is_service_name(name) {
            return Ok(None);
        }
        self.get(&keys::service(name))
    }

    /// The service that answers messages to an object that the kernel owns.
    pub(crate) fn service_of(&self, object: KRef) -> Result<Option<(String, Service)>> {
        let KRef::Object(number) = object else { return Ok(None) };
        let Some(name) = self.get::<String>(&keys::service_object(number))? else {
            return Ok(None);
        };
        let service = self.need(&keys::service(&name))?;
        Ok(Some((name, service)))
    }

    /// Registers a service that the kernel answers for. Its object gets the next free number.
    pub(crate) fn register_service(
        &mut self,
        name: &str,
        NewService { kind, system_only }: NewService,
    ) -> Registered<KRef> {
        self.insist_free(name, kind)?;
        if kind == ServiceKind::Object {
            return Err(inconsistent("the kernel answers for no vat's object").into());
        }
        let kref = self.add_object(Endpoint::Kernel)?;
        let KRef::Object(number) = kref else {
            return Err(inconsistent(format!("{kref} is not an object")).into());
        };
        self.put(&keys::service_object(number), &name.to_owned())?;
        self.add_service(name, Service { kref, kind, system_only })?;
        Ok(kref)
    }

    /// Makes an object a service. Its owner gets the messages to it, as before.
    pub(crate) fn register_service_object(
        &mut self,
        name: &str,
        object: KRef,
        system_only: bool,
    ) -> Registered<()> {
        self.insist_free(name, ServiceKind::Object)?;
        self.add_service(name, Service { kref: object, kind: ServiceKind::Object, system_only })
    }

    /// Takes a service away from its name. Returns false if there is none.
    ///
    /// Whoever holds its object goes on holding it. If the kernel answered for it, messages to it are rejected
    /// from now on.
    pub(crate) fn unregister_service(&mut self, name: &str) -> Result<bool> {
        let Some(service) = self.service(name)? else { return Ok(false) };
        self.over.delete(&keys::service(name));
        if let (KRef::Object(number), true) = (service.kref, service.kind != ServiceKind::Object) {
            self.over.delete(&keys::service_object(number));
        }
        self.decrement(service.kref)?;
        Ok(true)
    }

    /// The objects of services by their names, for vats of the system or for others.
    ///
    /// A name that others may not have fails like a name that does not exist. So do io channels, which only their own
    /// subclusters are given.
    pub(crate) fn services_named(
        &self,
        names: &[String],
        is_system: bool,
    ) -> Registered<BTreeMap<String, KRef>> {
        let mut found = BTreeMap::new();
        for name in names {
            match self.service(name)? {
                Some(service)
                    if service.kind != ServiceKind::Io && (is_system || !service.system_only) =>
                {
                    found.insert(name.clone(), service.kref);
                }
                _ => return Err(ServiceError::Unknown(shown(name))),
            }
        }
        Ok(found)
    }

    fn insist_free(&self, name: &str, kind: ServiceKind) -> Registered<()> {
        if !is_service_name(name) {
            return Err(ServiceError::BadName(shown(name)));
        }
        if name.starts_with(IO_PREFIX) != (kind == ServiceKind::Io) {
            return Err(ServiceError::Reserved(shown(name)));
        }
        match self.service(name)? {
            Some(_) => Err(ServiceError::Taken(name.to_owned())),
            None => Ok(()),
        }
    }

    fn add_service(&mut self, name: &str, service: Service) -> Registered<()> {
        self.increment(service.kref)?;
        Ok(self.put(&keys::service(name), &service)?)
    }
}

/// Returns true if a text has the form of a service's name.
pub fn is_service_name(name: &str) -> bool {
    (1..=MAX_SERVICE_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte))
}

fn shown(name: &str) -> String {
    name.chars().take(MAX_SHOWN).collect()
}
