//! Subclusters: vats that belong together, and the record of each set.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::VatId;

pub use crate::state::notice::{News, Notice, Owner};
use crate::{
    capdata::KernelData,
    error::Result,
    ids::{KRef, SubclusterId},
    state::{handle::State, io_channel::IoChannel, keys, notice::SettledLaunch},
};

/// The record of a subcluster, part of the state until the subcluster ends.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Subcluster {
    /// Its id.
    pub id: SubclusterId,
    /// The name that its owner gave it. The names of system subclusters are unique.
    pub name: Option<String>,
    /// The [`Owner`] that launched it.
    pub owner: Owner,
    /// The name of the vat that got `bootstrap(roots, services)`. `None` if nobody was introduced.
    pub bootstrap: Option<String>,
    /// Its vats by name, in the order in which they were launched.
    pub vats: Vec<(String, VatId)>,
    /// The names of the kernel services that `bootstrap` was given.
    pub services: Vec<String>,
    /// Its io channels by name.
    pub io: BTreeMap<String, IoChannel>,
    /// The promise for the result of `bootstrap`, which this record holds. An account's subcluster has none: the
    /// account itself has the promise.
    pub bootstrap_result: Option<KRef>,
    /// The promise that the launch settles for whoever asked for it, which this record holds.
    pub answer: Option<KRef>,
    /// Its [`LaunchStatus`].
    pub status: LaunchStatus,
}

impl Subcluster {
    /// Returns the vat of that name.
    pub fn vat(&self, name: &str) -> Option<VatId> {
        self.vats.iter().find(|(other, _)| other == name).map(|(_, vat)| *vat)
    }
}

/// The progress of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum LaunchStatus {
    /// `bootstrap` has not answered yet. If it rejects, or a vat fails first, the subcluster ends.
    Launching,
    /// `bootstrap` was fulfilled.
    Running,
}

/// The reason why something cannot be done with a subcluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubclusterError {
    /// There is none with that id, or it has ended.
    #[error("Subcluster does not exist.")]
    Unknown,
    /// The vat belongs to another subcluster.
    #[error("Cannot add vat {vat} to subcluster {to} as it already belongs to subcluster {of}.")]
    Taken {
        /// The vat.
        vat: VatId,
        /// The subcluster that was to have it.
        to: SubclusterId,
        /// The subcluster that has it.
        of: SubclusterId,
    },
    /// The vat belongs to no subcluster.
    #[error("Vat {0} has no subcluster")]
    None(VatId),
    /// There is no system subcluster of that name.
    #[error("System subcluster \"{0}\" not found")]
    UnknownSystem(String),
    /// The system subcluster's bootstrap vat has ended.
    #[error("System subcluster \"{0}\" has no root object")]
    NoRoot(String),
    /// The subcluster has no vat of that name.
    #[error("Subcluster {0} has no vat \"{1}\"")]
    NoVat(SubclusterId, String),
    /// A vat of the subcluster is critical: its end would stop the chain.
    #[error("vat {0} is critical: its end would stop the chain")]
    Critical(VatId),
    /// The kernel stops with this [`KernelPanic`](crate::KernelPanic).
    #[error(transparent)]
    Panic(#[from] crate::error::KernelPanic),
}

impl State<'_> {
    /// The record of a subcluster, until it ends.
    pub(crate) fn subcluster(&self, id: SubclusterId) -> Result<Option<Subcluster>> {
        self.get(&keys::subcluster(id.0))
    }

    pub(crate) fn put_subcluster(&mut self, record: &Subcluster) -> Result<()> {
        self.put(&keys::subcluster(record.id.0), record)
    }

    /// A subcluster's id that was never used before.
    pub(crate) fn allocate_subcluster(&mut self) -> Result<SubclusterId> {
        let number = self.get::<u64>(keys::NEXT_SUBCLUSTER)?.unwrap_or(1);
        self.put(keys::NEXT_SUBCLUSTER, &(number + 1))?;
        Ok(SubclusterId(number))
    }

    /// The subcluster that a vat belongs to.
    pub(crate) fn subcluster_of(&self, vat: VatId) -> Result<Option<SubclusterId>> {
        self.get(&keys::subcluster_of(vat))
    }

    /// Returns true if a vat is one of a launch that fails with it.
    pub(crate) fn is_launching(&self, vat: VatId) -> Result<bool> {
        let Some(id) = self.subcluster_of(vat)? else { return Ok(false) };
        Ok(self.subcluster(id)?.is_some_and(|record| {
            record.status == LaunchStatus::Launching && !matches!(record.owner, Owner::Account(_))
        }))
    }

    /// Writes down that a vat belongs to a subcluster.
    pub(crate) fn join_subcluster(
        &mut self,
        record: &mut Subcluster,
        name: &str,
        vat: VatId,
    ) -> std::result::Result<(), SubclusterError> {
        if let Some(of) = self.subcluster_of(vat)? {
            return Err(SubclusterError::Taken { vat, to: record.id, of });
        }
        self.put(&keys::subcluster_of(vat), &record.id)?;
        record.vats.push((name.to_owned(), vat));
        Ok(())
    }

    /// Removes the records of a subcluster: its vats belong to none from now on.
    pub(crate) fn forget_subcluster(&mut self, record: &Subcluster) {
        self.over.delete(&keys::subcluster(record.id.0));
        for (_, vat) in &record.vats {
            self.over.delete(&keys::subcluster_of(*vat));
        }
        if let (Owner::System, Some(name)) = (&record.owner, &record.name) {
            self.over.delete(&keys::system_subcluster(name));
        }
    }

    /// Notes the failure of a vat, for the launch that it may have been part of.
    pub(crate) fn note_ended_member(&mut self, vat: VatId, info: &KernelData) -> Result<()> {
        if let Some(id) = self.subcluster_of(vat)? {
            let data = info.clone();
            self.settled_launches.push_back(SettledLaunch { id, rejected: true, data });
        }
        Ok(())
    }

    pub(crate) fn notify_of(&mut self, record: &Subcluster, news: News) {
        let Subcluster { id, name, owner, .. } = record.clone();
        self.notices.push(Notice { id: Some(id), name, owner, news });
    }

    /// The id of a live system subcluster.
    pub(crate) fn system_subcluster(
        &self,
        name: &str,
    ) -> std::result::Result<Subcluster, SubclusterError> {
        let unknown = || SubclusterError::UnknownSystem(name.to_owned());
        let id: SubclusterId = self.get(&keys::system_subcluster(name))?.ok_or_else(unknown)?;
        self.subcluster(id)?.ok_or_else(unknown)
    }

    /// The root object of a system subcluster's bootstrap vat.
    pub(crate) fn system_subcluster_root(
        &mut self,
        name: &str,
    ) -> std::result::Result<KRef, SubclusterError> {
        let record = self.system_subcluster(name)?;
        let vat = record.bootstrap.as_ref().and_then(|vat| record.vat(vat));
        match vat {
            Some(vat) if self.is_alive(vat)? => Ok(self.export_root(vat)?),
            _ => Err(SubclusterError::NoRoot(name.to_owned())),
        }
    }
}
