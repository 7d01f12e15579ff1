//! Subclusters, as the application launches and ends them.
//!
//! Their records are in the state, so a kernel that is started again knows them and their vats. The vats come back
//! into memory at their next delivery, or when [`Kernel::run_vat`] asks for it. `bootstrap` is not called again.

use capstan_kernel_ports::{host::VatHost, store::Overlay};

use crate::{
    capdata::KernelData,
    control::kernel::Kernel,
    error::{KernelPanic, Result},
    ids::{KRef, SubclusterId},
    state::{
        handle::State,
        keys,
        subcluster::{Notice, Subcluster, SubclusterError},
    },
    subcluster::{Label, LaunchError, SubclusterConfig},
};

/// A launched subcluster, or the reason why its configuration is refused.
type LaunchVerdict = std::result::Result<Subcluster, LaunchError>;

impl<H: VatHost> Kernel<H> {
    /// Starts a set of vats and introduces them to each other. The promise for the result of `bootstrap` is held for
    /// the caller until [`Self::take_resolution`]. If it is rejected, the vats end.
    ///
    /// # Errors
    /// Returns a [`LaunchError`] if the configuration cannot be launched. Then no vat is started.
    pub fn launch_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        config: &SubclusterConfig,
    ) -> std::result::Result<Subcluster, LaunchError> {
        // An id that was given to a launch that is refused is used up all the same.
        self.between_cranks(over, |state| state.launch_for_host(config))?
    }

    /// Launches the default subcluster, at the first call in the life of the state. Returns `None` at any
    /// later call.
    pub fn launch_default_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        config: &SubclusterConfig,
    ) -> std::result::Result<Option<Subcluster>, LaunchError> {
        self.between_cranks(over, |state| {
            if state.get::<SubclusterId>(keys::DEFAULT_SUBCLUSTER)?.is_some() {
                return Ok(Ok(None));
            }
            let launched = state.launch_for_host(config)?;
            if let Ok(launched) = &launched {
                state.put(keys::DEFAULT_SUBCLUSTER, &launched.id)?;
            }
            Ok::<_, KernelPanic>(launched.map(Some))
        })?
    }

    /// Ends a subcluster: its vats in reverse order, then its io channels and its record. `reason` must be smallcaps
    /// without slots.
    ///
    /// # Errors
    /// Returns a [`SubclusterError`] if there is none with that id, or one of its vats is critical.
    pub fn terminate_subcluster(
        &mut self,
        over: &mut dyn Overlay,
        id: SubclusterId,
        reason: &KernelData,
    ) -> std::result::Result<(), SubclusterError> {
        self.between_cranks(over, |state| state.terminate_subcluster(id, reason))
    }

    /// Adds system subclusters by their unique names. They are launched when `after` is fulfilled, the promise for
    /// the result of the chain's bootstrap, or at once if there is none.
    ///
    /// # Errors
    /// Returns a [`LaunchError`] if a configuration cannot be launched, or a name stands twice.
    pub fn add_system_subclusters(
        &mut self,
        over: &mut dyn Overlay,
        subclusters: &[(String, SubclusterConfig)],
        after: Option<KRef>,
    ) -> std::result::Result<(), LaunchError> {
        self.between_cranks(over, |state| state.add_system_subclusters(subclusters, after))
    }

    /// Returns the root object of a system subcluster's bootstrap vat.
    ///
    /// # Errors
    /// Returns a [`SubclusterError`] if there is no such subcluster, or its bootstrap vat has ended.
    pub fn system_subcluster_root(
        &mut self,
        over: &mut dyn Overlay,
        name: &str,
    ) -> std::result::Result<KRef, SubclusterError> {
        self.between_cranks(over, |state| state.system_subcluster_root(name))
    }

    /// Returns and forgets what became of subclusters since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

impl State<'_> {
    /// Launches a subcluster whose `bootstrap` result the host looks at.
    fn launch_for_host(&mut self, config: &SubclusterConfig) -> Result<LaunchVerdict> {
        match self.launch_subcluster(config, Label::HOST, None) {
            Err(LaunchError::Panic(panic)) => Err(panic),
            Ok(launched) => {
                if let Some(result) = launched.bootstrap_result {
                    self.increment(result)?;
                }
                Ok(Ok(launched))
            }
            refused => Ok(refused),
        }
    }
}
