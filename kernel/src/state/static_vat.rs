//! The description of a vat that is started without vatAdmin: by genesis, by the host, or with its subcluster.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Hash;

use crate::{
    capdata::KernelData,
    state::vat_config::{ReapThreshold, VatConfig},
};

/// A vat of the genesis configuration, or of a [`SubclusterConfig`](crate::subcluster::SubclusterConfig).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StaticVat {
    /// The id of its bundle.
    pub bundle_id: String,
    /// Its parameters, without slots: a smallcaps record.
    pub parameters: KernelData,
    /// The chain halts if it ends.
    pub critical: bool,
    /// Messages to promises that it decides go to it at once.
    pub enable_pipelining: bool,
    /// Gives its code `vatPowers.disavow`.
    pub enable_disavow: bool,
    /// Gives its code `vatPowers.vatstore`.
    pub enable_vatstore: bool,
    /// Makes it a raw vat: its bundle's default export `setup()` is called, and there is no liveslots.
    pub enable_setup: bool,
    /// Keeps a transcript. Only raw vats can do without one: their workers live for one delivery each.
    pub use_transcript: bool,
    /// Its own [`ReapThreshold`] for `bringOutYourDead`.
    pub reap: ReapThreshold,
    /// Makes it a vat of the system: the [`SystemGuard`](crate::limits::SystemGuard) applies to it, and it
    /// cannot be ended.
    pub system: bool,
}

impl StaticVat {
    /// Returns a vat with the usual options and empty parameters.
    pub fn new(bundle_id: impl Into<String>) -> Self {
        Self {
            bundle_id: bundle_id.into(),
            parameters: KernelData { body: "#{}".to_owned(), slots: vec![] },
            critical: false,
            enable_pipelining: false,
            enable_disavow: false,
            enable_vatstore: true,
            enable_setup: false,
            use_transcript: true,
            reap: ReapThreshold::default(),
            system: false,
        }
    }

    /// Returns the configuration of a vat of this name that starts outside of the genesis configuration.
    pub(crate) fn config(&self, name: &str, engine: Hash) -> VatConfig {
        VatConfig {
            name: Some(name.to_owned()),
            is_static: false,
            bundle_id: self.bundle_id.clone(),
            engine,
            critical: self.critical,
            meter: None,
            enable_pipelining: self.enable_pipelining,
            enable_disavow: self.enable_disavow,
            enable_vatstore: self.enable_vatstore,
            enable_setup: self.enable_setup,
            use_transcript: self.use_transcript,
            reap: self.reap,
            system: self.system,
            is_upgraded: false,
        }
    }
}
