//! The ends of vats.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::capdata;

/// The end of a vat.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ending {
    /// The way in which it ended.
    pub kind: EndKind,
    /// The body of what it ended with.
    pub info: String,
    /// The crank in which it ended.
    pub crank: u64,
}

/// The way in which a vat ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EndKind {
    /// It exited by itself, with success.
    Exited,
    /// Whoever administers it asked for its end.
    Terminated,
    /// It failed, or exited by itself with a failure.
    Failed,
}

impl EndKind {
    /// Returns the kind of an end that the vat itself brought about.
    pub(crate) fn by_itself(failure: bool) -> Self {
        if failure { Self::Failed } else { Self::Exited }
    }

    /// Returns true if SwingSet rejects those who wait for the end of the vat.
    pub fn rejects(self) -> bool {
        self != Self::Exited
    }

    /// Returns the name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Terminated => "terminated",
            Self::Failed => "failed",
        }
    }
}

impl Ending {
    /// Returns true if nobody wanted the vat to end.
    pub fn is_failure(&self) -> bool {
        self.kind == EndKind::Failed
    }

    /// Returns the reason for people: an error's message or a string, else the body.
    pub fn reason(&self) -> String {
        capdata::message(&self.info)
    }
}
