//! Io channels of subclusters, as their configurations declare them.

use borsh::{BorshDeserialize, BorshSerialize};

/// The declaration of an io channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IoChannel {
    /// Its [`IoDirection`].
    pub direction: IoDirection,
}

/// The ways in which data flows through an io channel, as its vat sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum IoDirection {
    /// The vat reads.
    In,
    /// The vat writes.
    Out,
    /// The vat does both.
    #[default]
    InOut,
}

impl IoDirection {
    /// Reads `in`, `out` or `inout`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "in" => Some(Self::In),
            "out" => Some(Self::Out),
            "inout" => Some(Self::InOut),
            _ => None,
        }
    }

    /// Returns the text that [`parse`](Self::parse) reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::InOut => "inout",
        }
    }
}
