//! What became of subclusters: what a crank follows up, and what the host is told.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{capdata::KernelData, ids::SubclusterId};

/// The party that launched a subcluster.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Owner {
    /// The program that runs the kernel, or a holder of the kernel's facet.
    Host,
    /// The chain, by its genesis document or its governors: a system subcluster.
    System,
    /// An account, by its address.
    Account(String),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::System => f.write_str("system"),
            Self::Account(address) => f.write_str(address),
        }
    }
}

/// The news of one subcluster, for whoever drives the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id. `None` if it was refused before it got one.
    pub id: Option<SubclusterId>,
    /// Its name.
    pub name: Option<String>,
    /// Its [`Owner`].
    pub owner: Owner,
    /// The [`News`].
    pub news: News,
}

/// The event in a subcluster's life that a [`Notice`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Its vats are being started.
    Launched,
    /// Its `bootstrap` was fulfilled.
    Bootstrapped,
    /// Its launch failed for this reason, and its vats have ended.
    Failed(String),
    /// It was ended for this reason.
    Terminated(String),
}

/// The outcome of a launch: `bootstrap` has answered, or a vat has ended.
#[derive(Debug)]
pub(crate) struct SettledLaunch {
    pub(crate) id: SubclusterId,
    pub(crate) rejected: bool,
    pub(crate) data: KernelData,
}
