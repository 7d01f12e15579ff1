//! The causes of cranks: the transaction that put a crank's event on the kernel's queues, directly or by earlier cranks.
//!
//! Causes are followed outside of consensus, by the writes of each link of the crank chain. An event that a crank queues
//! inherits the crank's [`Cause`]. A message that waited on a promise keeps its own.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel::{ids::KRef, queue::Place};
use serde_json::{Value, json};

use crate::{
    observe::trace::{BlockTrace, TraceError, heights},
    tx::TxHash,
};

/// Cause of a crank, or of a change between cranks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cause {
    /// A message of a transaction.
    Message {
        /// Hash of the transaction.
        tx: TxHash,
        /// Address of the signer.
        signer: String,
        /// Index of the message in the transaction, from 0.
        index: u32,
        /// The message's type URL.
        kind: String,
    },
    /// The block itself, such as its time or an override.
    Block {
        /// Description for people.
        what: String,
    },
    /// The kernel's own work for no one in particular: collection of garbage, cleanup of vats.
    Kernel,
    /// The cause is unknown: this process did not see the event being queued.
    Unknown {
        /// Place of the event on a queue.
        place: Place,
        /// The event was queued before this block.
        before: u64,
    },
}

impl Cause {
    pub(crate) fn block(what: &str) -> Arc<Self> {
        Arc::new(Self::Block { what: what.to_owned() })
    }

    /// Returns the transaction's [`TxHash`], or `None` if no transaction is known to be the cause.
    pub fn tx(&self) -> Option<TxHash> {
        match self {
            Self::Message { tx, .. } => Some(*tx),
            _ => None,
        }
    }

    /// Returns the cause as a JSON object: a [`Value`].
    pub fn to_json(&self) -> Value {
        match self {
            Self::Message { tx, signer, index, kind } => json!({
                "tx_hash": tx.to_string(), "signer": signer, "message_index": index, "message_type": kind,
            }),
            Self::Block { what } => json!({"block": what}),
            Self::Kernel => json!({"kernel": true}),
            Self::Unknown { place, before } => {
                json!({"unknown": {"place": place.to_string(), "queued_before_height": before}})
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { tx, signer, index, kind } => {
                write!(f, "transaction {tx} of {signer}, message {index} ({kind})")
            }
            Self::Block { what } => write!(f, "no transaction: {what}"),
            Self::Kernel => f.write_str("no transaction: the kernel's own collection and cleanup"),
            Self::Unknown { before, .. } => write!(f, "unknown: queued before height {before}"),
        }
    }
}

/// Causes of the events on the queues, as far as this process saw them being queued.
#[derive(Debug)]
pub(crate) struct Causes {
    known: HashMap<Place, Known>,
    /// Height from which on causes are complete. An event without a known cause was queued before this block.
    since: u64,
}

#[derive(Debug)]
struct Known {
    cause: Arc<Cause>,
    /// Digest of a message that waits on a promise, which identifies it when it moves.
    message: Option<MessageDigest>,
}

/// The length and CRC-32 of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MessageDigest(usize, u32);

impl MessageDigest {
    fn new(message: &[u8]) -> Self {
        Self(message.len(), crc32fast::hash(message))
    }
}

/// Event that was put on a queue.
#[derive(Debug)]
struct Queued {
    place: Place,
    /// Digest of a message that waits on a promise, or that goes to one and may have waited on it.
    message: Option<MessageDigest>,
    /// Number of the promise that the message goes to.
    target: Option<u64>,
}

/// Changes to the queues by one link of the crank chain.
#[derive(Debug, Default)]
pub(crate) struct QueueChanges {
    queued: Vec<Queued>,
    taken: Vec<Place>,
    /// True if messages left the promises on which they waited.
    moves: bool,
}

impl QueueChanges {
    /// Records a write, if it is one to a queue. Writes come in key order, so removals from a promise's queue come
    /// before additions to the acceptance queue.
    pub(crate) fn note(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(place) = Place::from_key(key) else { return };
        let waits = matches!(place, Place::Waiting { .. });
        let Some(value) = value else {
            self.taken.push(place);
            self.moves |= waits;
            return;
        };
        let mut queued =
            Queued { place, message: waits.then(|| MessageDigest::new(value)), target: None };
        if let (true, Place::Accepted(_), Some((target, message))) =
            (self.moves, place, to_promise(value))
        {
            queued.target = Some(target);
            queued.message = Some(MessageDigest::new(message));
        }
        self.queued.push(queued);
    }
}

/// Decodes an event of the acceptance queue that is a message to a promise. Returns the promise's number, and the
/// message with its payer as on a promise's queue.
fn to_promise(mut event: &[u8]) -> Option<(u64, &[u8])> {
    const SEND: u8 = 0;
    match (u8::deserialize(&mut event), KRef::deserialize(&mut event)) {
        (Ok(SEND), Ok(KRef::Promise(target))) => Some((target, event)),
        _ => None,
    }
}

impl Causes {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), since: 0 }
    }

    /// Sets the height from which on causes are complete. Only the first call counts, until [`Causes::forget`].
    pub(crate) fn begin_block(&mut self, height: u64) {
        if self.since == 0 {
            self.since = height;
        }
    }

    /// Forgets all causes, since the block in which they were seen was not committed.
    pub(crate) fn forget(&mut self) {
        *self = Self::new();
    }

    /// Returns the [`Cause`] of the event at `place`.
    pub(crate) fn at(&self, place: Place) -> Arc<Cause> {
        match self.known.get(&place) {
            Some(known) => known.cause.clone(),
            None => Arc::new(Cause::Unknown { place, before: self.since }),
        }
    }

    /// Follows a link whose cause is `cause`, in the block at `height`. Returns the messages that moved from a
    /// promise to the acceptance queue: the new [`Place`] and the old one.
    pub(crate) fn follow(
        &mut self,
        height: u64,
        cause: &Arc<Cause>,
        changes: QueueChanges,
    ) -> Vec<(Place, Place)> {
        let QueueChanges { queued, mut taken, .. } = changes;
        taken.sort_unstable();
        let mut waited = Vec::new();
        for place in &taken {
            let known = self.known.remove(place);
            if matches!(place, Place::Waiting { .. }) {
                waited.push((*place, known));
            }
        }
        let mut moved = Vec::new();
        for Queued { place, message, target } in queued {
            let origin = target.and_then(|target| take_origin(&mut waited, target, message));
            let cause = match origin {
                Some((old, known)) => {
                    moved.push((place, old));
                    let unseen = || Arc::new(Cause::Unknown { place: old, before: self.since });
                    known.map_or_else(unseen, |known| known.cause)
                }
                None => cause.clone(),
            };
            self.learn(height, place, Known { cause, message });
        }
        moved
    }

    fn learn(&mut self, height: u64, place: Place, known: Known) {
        if self.known.len() < MAX_KNOWN {
            self.known.insert(place, known);
        } else {
            self.since = height + 1;
        }
    }
}

/// Takes from `waited` the [`Place`] on the promise `target` where a message waited. Returns `None` if it did not
/// wait.
fn take_origin(
    waited: &mut Vec<(Place, Option<Known>)>,
    target: u64,
    message: Option<MessageDigest>,
) -> Option<(Place, Option<Known>)> {
    let is_it = |(place, known): &(Place, Option<Known>)| {
        let same = known.as_ref().is_none_or(|known| known.message == message);
        matches!(place, Place::Waiting { promise, .. } if *promise == target) && same
    };
    let at = waited.iter().position(is_it)?;
    Some(waited.remove(at))
}

/// Replaces each [`Cause::Unknown`] that the traces in `dir` explain. It looks for the links that queued the events,
/// and for the causes of those. Traces of the block at `until` and later are left out.
///
/// # Errors
/// The traces cannot be read.
pub fn resolve<'a>(
    dir: &Path,
    causes: impl IntoIterator<Item = &'a mut Cause>,
    until: u64,
) -> Result<(), TraceError> {
    let mut sought = Sought::default();
    for cause in causes {
        if let Cause::Unknown { place, .. } = cause {
            sought.places.entry(*place).or_default().push(cause);
        }
    }
    for height in heights(dir)?.into_iter().rev().filter(|height| *height < until) {
        if sought.places.is_empty() {
            break;
        }
        match BlockTrace::read(dir, height) {
            Ok(trace) => sought.look_in(&trace),
            // An incomplete trace breaks the chain of causes, so older ones are not read.
            Err(TraceError::Damaged { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Unknown [`Cause`]s by the [`Place`]s of their events.
#[derive(Default)]
struct Sought<'a> {
    places: HashMap<Place, Vec<&'a mut Cause>>,
}

impl Sought<'_> {
    fn look_in(&mut self, trace: &BlockTrace) {
        for link in trace.links.iter().rev() {
            for (new, old) in &link.moved {
                self.comes_from(*new, &Cause::Unknown { place: *old, before: trace.height });
            }
            for write in link.writes.iter().filter(|write| write.value.is_some()) {
                if let (Some(place), Some(cause)) = (Place::from_key(&write.key), &link.cause) {
                    self.comes_from(place, cause);
                }
            }
        }
        for cause in self.places.values_mut().flatten() {
            if let Cause::Unknown { before, .. } = &mut **cause {
                *before = trace.height;
            }
        }
    }

    /// Records the [`Cause`] of the event at `place`.
    fn comes_from(&mut self, place: Place, cause: &Cause) {
        let Some(mut found) = self.places.remove(&place) else { return };
        found.iter_mut().for_each(|sought| **sought = cause.clone());
        if let Cause::Unknown { place, .. } = cause {
            self.places.entry(*place).or_default().append(&mut found);
        }
    }
}

/// Upper bound of the places that are remembered. Events beyond it are not followed.
const MAX_KNOWN: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use capstan_abi::Message;
    use capstan_kernel::queue::{Payer, RunQueueEvent};

    use super::*;

    fn send(target: KRef, result: Option<u64>) -> RunQueueEvent {
        let methargs = capstan_abi::CapData { body: "#[\"m\",[]]".to_owned(), slots: vec![] };
        let result = result.map(KRef::Promise);
        RunQueueEvent::Send { target, message: Message { methargs, result }, payer: Payer::Nobody }
    }

    fn queued(place: Place, value: &impl BorshSerialize) -> (Place, Vec<u8>) {
        (place, borsh::to_vec(value).unwrap())
    }

    fn tx(number: u8) -> Arc<Cause> {
        let tx = TxHash([number; 32]);
        let (signer, kind) = ("cap1".to_owned(), "/send".to_owned());
        Arc::new(Cause::Message { tx, signer, index: 0, kind })
    }

    /// The writes of a link, in key order.
    fn changes(queued: Vec<(Place, Vec<u8>)>, taken: Vec<Place>) -> QueueChanges {
        let taken = taken.into_iter().map(|place| (place.key(), None));
        let queued = queued.into_iter().map(|(place, value)| (place.key(), Some(value)));
        let mut writes: Vec<_> = taken.chain(queued).collect();
        writes.sort();
        let mut changes = QueueChanges::default();
        writes.iter().for_each(|(key, value)| changes.note(key, value.as_deref()));
        changes
    }

    #[test]
    fn what_a_crank_queues_has_its_cause_and_what_waited_keeps_its_own() {
        let mut causes = Causes::new();
        causes.begin_block(5);
        let (promise, object) = (KRef::Promise(40), KRef::Object(20));
        let waiting = |position| Place::Waiting { promise: 40, position };
        // Two transactions send to a promise; each message waits on it.
        for (number, position) in [(1, 0), (2, 1)] {
            let message = send(promise, Some(50 + position));
            let at = Place::Accepted(position);
            causes.follow(5, &tx(number), changes(vec![queued(at, &message)], vec![]));
            let RunQueueEvent::Send { message, payer, .. } = message else { panic!() };
            let cause = causes.at(at);
            assert_eq!(cause, tx(number));
            let moves = changes(vec![queued(waiting(position), &(message, payer))], vec![at]);
            assert_eq!(causes.follow(5, &cause, moves), []);
        }
        // A third transaction's crank sends to the promise itself, and then settles it.
        let own = queued(Place::Accepted(7), &send(promise, Some(60)));
        let first = queued(Place::Accepted(8), &send(promise, Some(50)));
        let second = queued(Place::Accepted(9), &send(promise, Some(51)));
        let other = queued(Place::Accepted(10), &send(object, None));
        let moves = changes(vec![own, first, second, other], vec![waiting(0), waiting(1)]);
        let moved = causes.follow(6, &tx(3), moves);
        assert_eq!(moved, [(Place::Accepted(8), waiting(0)), (Place::Accepted(9), waiting(1))]);
        let found = [7, 8, 9, 10].map(|at| causes.at(Place::Accepted(at)));
        assert_eq!(found, [tx(3), tx(1), tx(2), tx(3)]);
        let unknown = Cause::Unknown { place: Place::Run(3), before: 5 };
        assert_eq!(*causes.at(Place::Run(3)), unknown);
        assert_eq!(unknown.to_string(), "unknown: queued before height 5");
    }

    #[test]
    fn memory_is_bounded_and_what_is_left_out_is_unknown() {
        let mut causes = Causes::new();
        causes.begin_block(5);
        let event = borsh::to_vec(&send(KRef::Object(20), None)).unwrap();
        let places = (0..=MAX_KNOWN as u64).map(|at| (Place::Run(at), event.clone()));
        causes.follow(8, &tx(1), changes(places.collect(), vec![]));
        let last = MAX_KNOWN as u64 - 1;
        assert_eq!(causes.at(Place::Run(last)), tx(1));
        let left_out = Place::Run(last + 1);
        assert_eq!(*causes.at(left_out), Cause::Unknown { place: left_out, before: 9 });
        causes.forget();
        assert!(causes.known.is_empty());
    }

    #[test]
    fn traces_tell_what_this_process_did_not_see() {
        use crate::observe::trace::{Link, Written};
        use capstan_kernel_ports::Hash;
        let dir = tempfile::tempdir().unwrap();
        let link = |cause: Cause, place: Place, moved: Vec<(Place, Place)>| Link {
            crank: Some(1),
            about: vec![],
            hash: Hash([1; 32]),
            writes: vec![Written::new(&place.key(), Some(b"event"))],
            place: None,
            cause: Some(cause),
            moved,
        };
        let unknown = |place, before| Cause::Unknown { place, before };
        let waiting = Place::Waiting { promise: 40, position: 0 };
        let write = |height, links| {
            BlockTrace { height, links, ..BlockTrace::default() }.write(dir.path()).unwrap();
        };
        // tx -> accepted-1 -> kp40-0, which moved to accepted-5 -> run-6.
        write(3, vec![link((*tx(1)).clone(), Place::Accepted(1), vec![])]);
        write(4, vec![link(unknown(Place::Accepted(1), 4), waiting, vec![])]);
        let settles =
            link((*tx(2)).clone(), Place::Accepted(5), vec![(Place::Accepted(5), waiting)]);
        write(6, vec![settles, link(unknown(Place::Accepted(5), 6), Place::Run(6), vec![])]);
        let of = |cause: &Cause, until| {
            let mut both = [cause.clone(), cause.clone()];
            resolve(dir.path(), &mut both, until).unwrap();
            assert_eq!(both[0], both[1]);
            both[0].clone()
        };
        assert_eq!(of(&unknown(Place::Run(6), 9), 9), *tx(1));
        assert_eq!(of(&unknown(waiting, 9), 9), *tx(1));
        assert_eq!(of(&tx(2), 9), *tx(2));
        // Not yet queued then, and before all traces.
        assert_eq!(of(&unknown(Place::Run(6), 9), 6), unknown(Place::Run(6), 3));
        assert_eq!(of(&unknown(Place::Run(99), 9), 9), unknown(Place::Run(99), 3));
    }
}
