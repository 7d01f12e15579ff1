//! Places on queues, by which an operator names what is to be taken out of them.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{ids::KRef, state::keys};

/// The place where an event waits for its crank, or a message for its promise.
///
/// A place on a queue is never used twice, so it names its event for good.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Place {
    /// On the acceptance queue, as in `accepted-7`. Notifications of many subscribers of one promise come from one place.
    Accepted(u64),
    /// On the run queue, as in `run-7`.
    Run(u64),
    /// On the queue of an unresolved promise, as in `kp40-0`. The place is used again once that queue was
    /// moved as a whole.
    Waiting {
        /// The promise's number.
        promise: u64,
        /// The position.
        position: u64,
    },
}

impl Place {
    /// Returns the place with this key in the state, or `None` if the key is not a place's.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(b"k.")?;
        let position = |hex: &[u8]| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok();
        if let Some(hex) = rest.strip_prefix(b"q.a.") {
            return position(hex).map(Self::Accepted);
        }
        if let Some(hex) = rest.strip_prefix(b"q.r.") {
            return position(hex).map(Self::Run);
        }
        let (number, hex) =
            std::str::from_utf8(rest.strip_prefix(b"pq.")?).ok()?.split_once('.')?;
        Some(Self::Waiting { promise: number.parse().ok()?, position: position(hex.as_bytes())? })
    }

    /// Returns the place's key in the state.
    pub fn key(self) -> Vec<u8> {
        match self {
            Self::Accepted(position) => keys::acceptance(position).to_vec(),
            Self::Run(position) => keys::run(position).to_vec(),
            Self::Waiting { promise, position } => {
                keys::promise_message(promise, position).to_vec()
            }
        }
    }

    /// Reads a place on one of the two queues.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| digits.parse().ok();
        let place = match text.split_once('-')? {
            ("accepted", digits) => Self::Accepted(number(digits)?),
            ("run", digits) => Self::Run(number(digits)?),
            _ => return None,
        };
        (place.to_string() == text).then_some(place)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted(position) => write!(f, "accepted-{position}"),
            Self::Run(position) => write!(f, "run-{position}"),
            Self::Waiting { promise, position } => write!(f, "kp{promise}-{position}"),
        }
    }
}

/// The name of an event that is to be skipped; see [`Kernel::take_out`](crate::Kernel::take_out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakenOut {
    /// The message with this result promise.
    Result(KRef),
    /// The event that comes off a queue at this [`Place`].
    Place(Place),
}

impl TakenOut {
    /// Reads either form: `kp40`, `run-7` or `accepted-7`.
    pub fn parse(text: &str) -> Option<Self> {
        let result = KRef::parse(text).filter(|kref| matches!(kref, KRef::Promise(_)));
        result.map(Self::Result).or_else(|| Place::parse(text).map(Self::Place))
    }
}

impl std::fmt::Display for TakenOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Result(kref) => kref.fmt(f),
            Self::Place(place) => place.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let waiting = Place::Waiting { promise: 40, position: 3 };
        for place in [Place::Accepted(1), Place::Run(u64::MAX), waiting] {
            assert_eq!(Place::from_key(&place.key()), Some(place));
        }
        assert_eq!(TakenOut::parse("run-17"), Some(TakenOut::Place(Place::Run(17))));
        assert_eq!(TakenOut::parse("accepted-1"), Some(TakenOut::Place(Place::Accepted(1))));
        assert_eq!(TakenOut::parse("kp40"), Some(TakenOut::Result(KRef::Promise(40))));
        for text in ["", "run-", "run-017", "run-+1", "run-1 ", "queue-1", "kp40-3", "ko40", "kp"] {
            assert_eq!(TakenOut::parse(text), None, "{text}");
        }
        for key in ["k.q.a.", "k.q.a.x", "k.q.r", "k.pq.4", "k.pq.x.0", "k.p.4", "local.k.q.a.1"] {
            assert_eq!(Place::from_key(key.as_bytes()), None, "{key}");
        }
    }
}
