//! Large data of a settled promise is neither read nor written when something else about the promise changes.

use std::{cell::Cell, collections::BTreeSet, rc::Rc};

use capstan_abi::{Message, Resolution};
use capstan_kernel_ports::{
    Hash, VatId,
    memory::MemoryState,
    store::{Entry, LevelSize, Overlay, Read, StoreFault},
};

use crate::{
    capdata::KernelData,
    control::genesis::first_globals,
    crank::route::Route,
    ids::{Endpoint, KRef, RemoteId},
    limits::{MAX_NOTIFY_BYTES, SystemGuard},
    state::{
        clist_tests::options,
        event::Waiting,
        handle::State,
        keys,
        promise::{Promise, PromiseState, ResultPolicy},
        queue::{Payer, Queues, RunQueueEvent},
        rejection::{Cause, Rejection},
        stats::Stats,
    },
};

const LARGE: usize = 9_900_000;

/// A state that counts the bytes of all values that are read and written.
#[derive(Default)]
struct Counting {
    memory: MemoryState,
    bytes: Rc<Cell<usize>>,
}

impl Counting {
    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }
}

impl Read for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        let value = self.memory.get(key)?;
        self.count(value.as_ref().map_or(0, Vec::len));
        Ok(value)
    }

    fn next_after(&self, prefix: &[u8], after: &[u8]) -> Result<Option<Entry>, StoreFault> {
        let entry = self.memory.next_after(prefix, after)?;
        self.count(entry.as_ref().map_or(0, |(_, value)| value.len()));
        Ok(entry)
    }

    fn blob(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreFault> {
        self.memory.blob(hash)
    }
}

impl Overlay for Counting {
    fn set(&mut self, key: &[u8], value: Vec<u8>) {
        self.count(value.len());
        self.memory.set(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.memory.delete(key);
    }

    fn put_blob(&mut self, bytes: Vec<u8>) -> Hash {
        self.memory.put_blob(bytes)
    }

    fn push(&mut self) -> usize {
        self.memory.push()
    }

    fn rollback(&mut self) {
        self.memory.rollback();
    }

    fn merge(&mut self) -> u64 {
        self.memory.merge()
    }

    fn is_written_below(&self, key: &[u8]) -> bool {
        self.memory.is_written_below(key)
    }

    fn warm_up(&mut self, key: &[u8]) -> bool {
        self.memory.warm_up(key)
    }

    fn top_size(&self) -> LevelSize {
        self.memory.top_size()
    }

    fn top_writes(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        self.memory.top_writes(visit);
    }
}

/// A state that counts, and its counter.
fn with_state(work: impl FnOnce(&mut State<'_>, &Counter)) {
    let mut over = Counting::default();
    let (counter, mut stats) = (Counter(over.bytes.clone()), Stats::default());
    let mut state = State::new(&mut over, &mut stats, None, first_globals(options()));
    state.put(keys::QUEUES, &Queues::EMPTY).unwrap();
    work(&mut state, &counter);
}

struct Counter(Rc<Cell<usize>>);

impl Counter {
    /// Asserts that `work` reads and writes at most `limit` bytes of values.
    fn at_most<T>(&self, limit: usize, what: &str, work: impl FnOnce() -> T) -> T {
        self.0.set(0);
        let value = work();
        assert!(self.0.get() <= limit, "{what}: {} bytes, not at most {limit}", self.0.get());
        value
    }
}

fn large(slots: &[KRef]) -> KernelData {
    KernelData { body: format!("#\"{}\"", "x".repeat(LARGE)), slots: slots.to_vec() }
}

fn new_promise(state: &mut State<'_>) -> KRef {
    let promise = state.add_promise(None, ResultPolicy::Ignore).unwrap();
    state.increment(promise).unwrap();
    promise
}

/// A promise that is settled with large data.
fn settled_with(state: &mut State<'_>, rejected: bool, data: KernelData) -> KRef {
    let promise = new_promise(state);
    state.resolve(vec![Resolution { promise, rejected, data }], None).unwrap();
    promise
}

fn loaded(state: &State<'_>, promise: KRef) -> Promise {
    let KRef::Promise(number) = promise else { panic!("{promise}") };
    Promise::load(&*state.over, number).unwrap().unwrap()
}

/// Sends a message and routes it. Returns its result.
fn send(state: &mut State<'_>, target: KRef) -> KRef {
    let result = new_promise(state);
    let methargs = KernelData { body: "#[\"go\",[]]".to_owned(), slots: vec![] };
    state.send(target, Message { methargs, result: Some(result) }, Payer::Nobody).unwrap();
    while let Some((event, _)) = state.next_accepted().unwrap() {
        state.route_accepted(event).unwrap();
    }
    result
}

fn account(number: u64) -> Endpoint {
    Endpoint::Remote(RemoteId(number))
}

fn promise_keys(state: &State<'_>) -> Vec<String> {
    let keys = state.over.scan(b"k.p").unwrap().into_iter();
    keys.map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

#[test]
fn counts_subscriptions_and_messages_leave_large_data_alone() {
    for rejected in [false, true] {
        with_state(|state, counter| {
            let promise = settled_with(state, rejected, large(&[]));
            counter.at_most(500, "a reference", || {
                state.increment(promise).unwrap();
                state.decrement(promise).unwrap();
            });
            counter
                .at_most(500, "a subscription", || state.subscribe(promise, account(1)).unwrap());
            let result = counter.at_most(2_000, "a message", || send(state, promise));
            assert_eq!(loaded(state, result).data() == Some(&large(&[])), rejected);
        });
    }
}

#[test]
fn results_share_the_data_of_a_rejected_target_until_the_last_one_goes() {
    with_state(|state, counter| {
        let held = state.add_object(account(1)).unwrap();
        let target = settled_with(state, true, large(&[held]));
        let mut holders: Vec<KRef> = (0..20).map(|_| send(state, target)).collect();
        let of_result = send(state, holders[3]);
        holders.extend([of_result, target]);
        for holder in &holders {
            assert_eq!(loaded(state, *holder).state, PromiseState::Rejected(large(&[held])));
        }
        assert_eq!(state.object(held).unwrap().unwrap().reachable, 1, "held once for all of them");
        let last = holders.remove(7);
        for holder in holders {
            counter.at_most(1_000, "a promise that goes", || {
                state.decrement(holder).unwrap();
                state.process_refcounts().unwrap();
            });
        }
        assert_eq!(loaded(state, last).data(), Some(&large(&[held])));
        state.decrement(last).unwrap();
        state.process_refcounts().unwrap();
        assert_eq!(state.object(held).unwrap().unwrap().reachable, 0, "nothing holds it any more");
        assert_eq!(promise_keys(state), Vec::<String>::new());
    });
}

#[test]
fn a_cause_is_shared_with_the_data() {
    with_state(|state, _| {
        let target = new_promise(state);
        let why = "w".repeat(1_000);
        state.reject(target, Rejection::undelivered(&why)).unwrap();
        let result = send(state, target);
        let PromiseState::RejectedByKernel { data, cause } = loaded(state, result).state else {
            panic!("not rejected by the kernel")
        };
        assert_eq!((data, cause), (crate::capdata::error(why.as_str()), Cause::DeliveryFailed));
    });
}

#[test]
fn a_single_object_in_a_long_body_is_still_the_target_of_messages() {
    with_state(|state, counter| {
        let object = state.add_object(account(1)).unwrap();
        let body = format!("#\"$0.Alleged: {}\"", "n".repeat(LARGE));
        let promise = settled_with(state, false, KernelData { body, slots: vec![object] });
        let methargs = KernelData { body: "#[\"go\",[]]".to_owned(), slots: vec![] };
        let message = Message { methargs, result: None };
        let route = counter.at_most(500, "a route", || state.route(promise, &message).unwrap());
        assert!(matches!(route, Route::Deliver { target, .. } if target == object));
    });
}

#[test]
fn many_subscribers_leave_the_record_small_and_are_told_in_string_order() {
    with_state(|state, counter| {
        let promise = new_promise(state);
        for number in (1..=300).rev() {
            counter.at_most(600, "a subscription", || {
                state.subscribe(promise, account(number)).unwrap();
                state.subscribe(promise, account(number)).unwrap();
            });
        }
        assert!(state.is_subscribed(promise, account(300)).unwrap());
        assert!(state.is_subscribed(promise, account(1)).unwrap());
        assert!(!state.is_subscribed(promise, account(301)).unwrap());
        let mut expected: Vec<String> = (1..=300).map(|n| account(n).to_string()).collect();
        expected.sort();
        let PromiseState::Unresolved(unresolved) = loaded(state, promise).state else {
            panic!("not unresolved")
        };
        let listed: Vec<String> = unresolved.subscribers.iter().map(ToString::to_string).collect();
        assert_eq!(listed, expected);
        state
            .resolve(vec![Resolution { promise, rejected: false, data: large(&[]) }], None)
            .unwrap();
        let mut told = Vec::new();
        while let Some((event, _)) = state.next_accepted().unwrap() {
            let RunQueueEvent::Notify { endpoint, .. } = event else { panic!("{event:?}") };
            told.push(endpoint.to_string());
        }
        assert_eq!(told, expected);
        assert_eq!(promise_keys(state).len(), 2, "the record and the data");
    });
}

#[test]
fn many_waiting_messages_are_routed_one_by_one_in_their_order() {
    for count in [3, 100, 101, 1_000] {
        with_state(|state, counter| {
            let promise = new_promise(state);
            let waiting: Vec<KRef> = (0..count).map(|_| send(state, promise)).collect();
            assert!(promise_keys(state).len() > count);
            let (limit, small) = (100 * 500, KernelData { body: "#1".to_owned(), slots: vec![] });
            counter.at_most(limit, "a settlement", || {
                state
                    .resolve(
                        vec![Resolution { promise, rejected: false, data: small.clone() }],
                        None,
                    )
                    .map(|()| state.over.scan(b"k.q.a.").unwrap().len())
                    .map(|accepted| assert!(accepted <= 100))
                    .unwrap();
            });
            // What is sent now comes after them.
            let later = new_promise(state);
            let methargs = KernelData { body: "#[\"go\",[]]".to_owned(), slots: vec![] };
            let message = Message { methargs, result: Some(later) };
            state.send(promise, message, Payer::Nobody).unwrap();
            let (mut routed, mut places) = (Vec::new(), BTreeSet::new());
            while let Some((event, place)) = state.next_accepted().unwrap() {
                routed.extend(event.result());
                assert!(places.insert(place), "{place} twice");
                state.route_accepted(event).unwrap();
            }
            assert_eq!(routed, [waiting, vec![later]].concat());
            state.process_refcounts().unwrap();
            assert_eq!(state.over.scan(b"k.pq.").unwrap(), []);
            assert_eq!(state.promise(promise).unwrap().ref_count, 1, "{count}");
        });
    }
}

#[test]
fn messages_to_a_promise_whose_decider_takes_them_at_once_keep_their_places() {
    with_state(|state, _| {
        let promise = new_promise(state);
        let mut waiting: Vec<KRef> = (0..150).map(|_| send(state, promise)).collect();
        state.requeue_promise(promise).unwrap();
        // Nobody takes them after all, and more come.
        let late = new_promise(state);
        let methargs = KernelData { body: "#[\"go\",[]]".to_owned(), slots: vec![] };
        let message = Message { methargs, result: Some(late) };
        state.wait_on_promise(promise, &Waiting { message, payer: Payer::Nobody }).unwrap();
        state.increment(promise).unwrap();
        state.increment(late).unwrap();
        waiting.push(late);
        let mut accepted = Vec::new();
        while let Some((event, _)) = state.next_accepted().unwrap() {
            accepted.extend(event.result());
        }
        assert_eq!(accepted, waiting[..150]);
        state.requeue_promise(promise).unwrap();
        let (event, _) = state.next_accepted().unwrap().unwrap();
        assert_eq!(event.result(), Some(late));
    });
}

#[test]
fn a_notification_does_not_read_what_it_does_not_carry() {
    let guard = SystemGuard { max_bytes: 10_000, ..SystemGuard::NONE };
    for guarded in [false, true] {
        with_state(|state, counter| {
            state.globals_mut().options.guard = guard;
            let mentioned: Vec<KRef> =
                (0..40).map(|_| settled_with(state, false, large(&[]))).collect();
            let root =
                settled_with(state, false, KernelData { body: "#[]".into(), slots: mentioned });
            let limit = if guarded { 20_000 } else { MAX_NOTIFY_BYTES + 20_000 };
            let vat = Endpoint::Vat(VatId(1));
            let told = counter.at_most(limit, "a notification", || {
                state.notification(root, vat, guarded).unwrap()
            });
            let carried = told.resolutions.len();
            // A guarded vat is told that it takes no promises, and nothing of them.
            let expected = if guarded { (1, 0) } else { (2, 39) };
            assert_eq!((carried, told.rest.len()), expected);
        });
    }
}

#[test]
fn what_many_transactions_let_go_of_is_not_written_again_with_each() {
    with_state(|state, counter| {
        let objects: Vec<KRef> =
            (0..1_000).map(|_| state.add_object(account(1)).unwrap()).collect();
        for object in &objects {
            let object = *object;
            counter.at_most(200, "an object", || {
                state.increment(object).unwrap();
                state.decrement(object).unwrap();
                state.postpone_refcounts().unwrap();
            });
        }
        let mut looked_at = Vec::new();
        for left in [1_000, 600, 200] {
            assert_eq!(state.over.scan(b"k.wait.").unwrap().len(), left);
            state.take_postponed(400).unwrap();
            looked_at.extend(std::iter::from_fn(|| state.maybe_free.take()));
        }
        assert_eq!(looked_at, objects);
        assert_eq!(state.over.scan(b"k.wait.").unwrap(), []);
        assert!(!state.has_postponed());
    });
}
