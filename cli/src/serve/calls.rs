//! The calls that an object works on at a time, and those that wait until they may begin.
//!
//! A caller can make a method never answer. So each method has a bound of its own, and each object that the account has
//! handed out, which are its callers as far as it can tell them apart. Calls beyond a bound wait, and hold nobody else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Calls that run, or whose answers wait to be sent, at a time.
pub(super) const MAX_RUNNING: usize = 128;
/// Calls that wait to begin, and their bytes. Further ones are rejected.
const MAX_WAITING: usize = 1_000;
const MAX_WAITING_BYTES: usize = 16 << 20;

/// The options that bound calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Calls of one method that run at a time.
    pub(super) per_method: usize,
    /// Calls of one object that run at a time, other than the published one.
    pub(super) per_object: usize,
    /// Time after which a call that runs is rejected.
    pub(super) time: Duration,
}

/// A call of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: String,
    /// The object that was called. `None` if it is the published one, which all callers share.
    pub(super) object: Option<String>,
    /// Upper bound of the memory that the call takes while it waits.
    pub(super) bytes: usize,
    /// What is said when it begins, as JSON and as text.
    pub(super) record: Value,
    pub(super) text: String,
    /// The promise for the answer, if somebody waits.
    pub(super) promise: Option<String>,
}

/// The calls that run or wait, by their numbers in the outbox.
#[derive(Debug)]
pub(super) struct Calls {
    limits: Limits,
    running: BTreeMap<u64, (Call, Instant)>,
    waiting: BTreeMap<u64, Call>,
    waiting_bytes: usize,
}

impl Calls {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, running: BTreeMap::new(), waiting: BTreeMap::new(), waiting_bytes: 0 }
    }

    /// Adds a call, which waits until [`Calls::begin`] returns it.
    ///
    /// # Errors
    /// Returns the call, and why it is rejected, if too many wait.
    pub(super) fn add(&mut self, number: u64, call: Call) -> Result<(), Box<(Call, String)>> {
        let bytes = self.waiting_bytes + call.bytes;
        // A call that can begin at once is no burden.
        let is_full = self.waiting.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES;
        if is_full && !self.can_begin(&call) {
            let why = format!("too many calls of {} wait to begin; try again later", call.method);
            return Err(Box::new((call, why)));
        }
        self.waiting_bytes = bytes;
        self.waiting.insert(number, call);
        Ok(())
    }

    /// Returns the next call that may begin, which counts as running from now on.
    pub(super) fn begin(&mut self) -> Option<(u64, Call)> {
        let number = self.waiting.iter().find(|(_, call)| self.can_begin(call)).map(|(n, _)| *n)?;
        let call = self.waiting.remove(&number)?;
        self.waiting_bytes -= call.bytes;
        self.running.insert(number, (call.clone(), Instant::now()));
        Some((number, call))
    }

    /// Notes that a call was answered.
    pub(super) fn end(&mut self, number: u64) {
        self.running.remove(&number);
    }

    /// Returns the number of calls that run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Returns the calls that have run for too long.
    pub(super) fn late(&self) -> Vec<u64> {
        let is_late =
            |(_, (_, began)): &(&u64, &(Call, Instant))| began.elapsed() > self.limits.time;
        self.running.iter().filter(is_late).map(|(number, _)| *number).collect()
    }

    fn can_begin(&self, call: &Call) -> bool {
        let count = |is: &dyn Fn(&Call) -> bool| {
            self.running.values().filter(|(running, _)| is(running)).count()
        };
        self.running.len() < MAX_RUNNING
            && count(&|other| other.method == call.method) < self.limits.per_method
            && (call.object.is_none()
                || count(&|other| other.object == call.object) < self.limits.per_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { per_method: 3, per_object: 2, time: Duration::ZERO };

    fn call(method: &str, object: Option<&str>) -> Call {
        let object = object.map(str::to_owned);
        let (record, text) = (Value::Null, String::new());
        Call { method: method.to_owned(), object, bytes: 100, record, text, promise: None }
    }

    fn begun(calls: &mut Calls) -> Vec<u64> {
        std::iter::from_fn(|| calls.begin()).map(|(number, _)| number).collect()
    }

    #[test]
    fn a_method_that_never_answers_holds_no_other_and_goes_on_once_it_is_late() {
        let mut calls = Calls::new(LIMITS);
        for number in 1..=10 {
            calls.add(number, call("never", None)).unwrap();
        }
        calls.add(11, call("other", None)).unwrap();
        assert_eq!(begun(&mut calls), [1, 2, 3, 11]);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(calls.late(), [1, 2, 3, 11]);
        calls.end(2);
        assert_eq!((begun(&mut calls), calls.running()), (vec![4], 4));
    }

    #[test]
    fn one_caller_of_a_method_leaves_room_for_others() {
        let mut calls = Calls::new(LIMITS);
        for number in 1..=5 {
            calls.add(number, call("never", Some("ro+2"))).unwrap();
        }
        calls.add(6, call("never", Some("ro+3"))).unwrap();
        calls.add(7, call("never", None)).unwrap();
        assert_eq!(begun(&mut calls), [1, 2, 6]);
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let mut calls = Calls::new(LIMITS);
        let mut number = 0;
        while calls.add(number, call("never", None)).is_ok() {
            begun(&mut calls);
            number += 1;
        }
        assert_eq!(number as usize, LIMITS.per_method + MAX_WAITING);
        let (refused, why) = *calls.add(number, call("never", None)).unwrap_err();
        assert!(refused.method == "never" && why.contains("try again later"), "{why}");
        calls.add(number, call("other", None)).unwrap();
        assert_eq!(begun(&mut calls), [number]);
        let large = Call { bytes: MAX_WAITING_BYTES, ..call("never", None) };
        let mut calls = Calls::new(Limits { per_method: 0, ..LIMITS });
        calls.add(1, large).unwrap();
        calls.add(2, call("never", None)).unwrap_err();
    }
}
