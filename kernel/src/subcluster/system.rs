//! System subclusters: those that wait for the chain's bootstrap, and what governors do with them.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    ids::{KRef, VatId},
    state::{
        handle::{State, decode},
        keys,
        subcluster::{News, Notice, Owner, SubclusterError},
    },
    subcluster::{
        config::SubclusterConfig,
        launch::{Label, LaunchError},
    },
};

impl State<'_> {
    /// Launches system subclusters, or keeps them until the chain's bootstrap is fulfilled.
    ///
    /// `after` is the promise for the result of that, if the chain has a bootstrap vat.
    pub(crate) fn add_system_subclusters(
        &mut self,
        subclusters: &[(String, SubclusterConfig)],
        after: Option<KRef>,
    ) -> std::result::Result<(), LaunchError> {
        let mut names = BTreeSet::new();
        for (name, config) in subclusters {
            config.check()?;
            if !names.insert(name) {
                return Err(LaunchError::Duplicate(name.clone()));
            }
        }
        let waits = match after {
            Some(bootstrap) => self.unresolved(bootstrap)?.is_some(),
            None => false,
        };
        for (position, (name, config)) in subclusters.iter().enumerate() {
            match waits {
                true => self.put(&keys::pending_subcluster(position as u64), &(name, config))?,
                false => drop(self.launch_subcluster(config, Label::system(name), None)?),
            }
        }
        Ok(())
    }

    /// Launches the system subclusters that waited for the chain's bootstrap. The kernel goes on without one that
    /// cannot be launched.
    pub(crate) fn launch_pending(&mut self) -> Result<()> {
        for (key, value) in self.over.scan(keys::PENDING_SUBCLUSTERS)? {
            let (name, config): (String, SubclusterConfig) = decode(&key, &value)?;
            self.over.delete(&key);
            match self.launch_subcluster(&config, Label::system(&name), None) {
                Ok(_) => {}
                Err(LaunchError::Panic(panic)) => return Err(panic),
                Err(refusal) => self.notices.push(Notice {
                    id: None,
                    name: Some(name),
                    owner: Owner::System,
                    news: News::Failed(refusal.to_string()),
                }),
            }
        }
        Ok(())
    }

    /// The vat of a system subcluster, for an upgrade.
    pub(crate) fn system_subcluster_vat(
        &self,
        name: &str,
        vat: &str,
    ) -> std::result::Result<VatId, SubclusterError> {
        let record = self.system_subcluster(name)?;
        record.vat(vat).ok_or_else(|| SubclusterError::NoVat(record.id, vat.to_owned()))
    }
}
