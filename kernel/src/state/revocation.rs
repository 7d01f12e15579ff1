//! Revocation: an object that gets no more messages.
//!
//! It is for good. Nothing else changes: who holds the object goes on holding it, its counts stay, nobody is told, and
//! the results of messages that were delivered before still come. A message is checked each time that it is routed
//! (`State::route`), before the owner is looked up.

use crate::{
    error::{KernelPanic, Result},
    ids::{Endpoint, KRef, VatId},
    state::{handle::State, keys, vat::VatConfig},
};

/// The reason why an object cannot be revoked, or not asked about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Not the kref of an object.
    #[error("{0:?} is not a kernel object: expected ko and a number, as in ko20")]
    Malformed(String),
    /// A promise.
    #[error("cannot revoke promise {0}")]
    Promise(KRef),
    /// A device node.
    #[error("cannot revoke device node {0}: only objects can be revoked")]
    DeviceNode(KRef),
    /// There never was such an object, or it was deleted.
    #[error("there is no object {0}: it may have been deleted")]
    Unknown(KRef),
    /// An object to which the kernel itself sends messages.
    #[error("{0} cannot be revoked: the kernel itself sends messages to it")]
    Kernel(KRef),
    /// An object of the system, which only governors revoke, and only if they say so.
    #[error("{0} is an object of the system: to revoke it all the same, pass {{\"system\":true}}")]
    System(KRef),
    /// Somebody else's object.
    #[error("{kref} is not exported by vat {vat}")]
    Foreign {
        /// The object.
        kref: KRef,
        /// The vat whose exports may be revoked.
        vat: VatId,
    },
    /// The kernel stops with this [`KernelPanic`].
    #[error(transparent)]
    Panic(#[from] KernelPanic),
}

/// The objects that may be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocable {
    /// Those of users: what vats of accounts and accounts themselves export.
    Users,
    /// Those of the system too, except the few that the kernel itself sends messages to.
    System,
    /// The objects that this vat exports.
    Vat(VatId),
}

type Revoked<T> = std::result::Result<T, RevocationError>;

/// Reads the kref of an object.
pub(crate) fn parse_object(text: &str) -> Revoked<KRef> {
    KRef::parse(text).ok_or_else(|| {
        // Only the beginning is told: the text may be anybody's.
        RevocationError::Malformed(text.chars().take(40).collect())
    })
}

impl State<'_> {
    /// Revokes an object. Does nothing if it was revoked before.
    ///
    /// # Errors
    /// Returns a [`RevocationError`] if there is no such object, or it is not among those that may be revoked.
    pub(crate) fn revoke(&mut self, kref: KRef, revocable: Revocable) -> Revoked<()> {
        self.insist_revocable(kref, revocable)?;
        let mut object = self.object(kref)?.ok_or(RevocationError::Unknown(kref))?;
        if !object.revoked {
            object.revoked = true;
            self.put_object(kref, object)?;
        }
        Ok(())
    }

    /// Returns true if an object was revoked.
    ///
    /// # Errors
    /// Returns a [`RevocationError`] if there is no such object, or it is not among those that may be asked about.
    pub(crate) fn is_revoked(&self, kref: KRef, revocable: Revocable) -> Revoked<bool> {
        if let Revocable::Vat(vat) = revocable {
            self.insist_exported(kref, vat)?;
        }
        self.insist_object(kref)?;
        Ok(self.object(kref)?.is_some_and(|object| object.revoked))
    }

    fn insist_revocable(&self, kref: KRef, revocable: Revocable) -> Revoked<()> {
        self.insist_object(kref)?;
        let globals = self.globals();
        if [globals.vat_admin_root, globals.provisioner_root].contains(&Some(kref)) {
            return Err(RevocationError::Kernel(kref));
        }
        match revocable {
            Revocable::System => Ok(()),
            Revocable::Vat(vat) => self.insist_exported(kref, vat),
            Revocable::Users if self.is_of_system(kref)? => Err(RevocationError::System(kref)),
            Revocable::Users => Ok(()),
        }
    }

    fn insist_object(&self, kref: KRef) -> Revoked<()> {
        match kref {
            KRef::Promise(_) => Err(RevocationError::Promise(kref)),
            KRef::Device(_) => Err(RevocationError::DeviceNode(kref)),
            KRef::Object(_) if self.object(kref)?.is_none() => Err(RevocationError::Unknown(kref)),
            KRef::Object(_) => Ok(()),
        }
    }

    fn insist_exported(&self, kref: KRef, vat: VatId) -> Revoked<()> {
        self.insist_object(kref)?;
        let owner = self.object(kref)?.and_then(|object| object.owner);
        match owner == Some(Endpoint::Vat(vat)) {
            true => Ok(()),
            false => Err(RevocationError::Foreign { kref, vat }),
        }
    }

    /// Returns true if an object belongs to a vat of the system.
    fn is_of_system(&self, kref: KRef) -> Result<bool> {
        match self.object(kref)?.and_then(|object| object.owner) {
            Some(Endpoint::Vat(vat)) => {
                let config: Option<VatConfig> = self.get(&keys::vat_config(vat))?;
                Ok(config.is_some_and(|config| config.system))
            }
            Some(Endpoint::Kernel) => Ok(true),
            _ => Ok(false),
        }
    }
}
