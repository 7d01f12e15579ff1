//! The promises of a vat that ends: few at once, many with its cleanup.

use capstan_kernel_ports::{VatId, memory::MemoryState, store::Overlay};

use crate::{
    capdata,
    control::genesis::first_globals,
    crank::terminate::MAX_PROMISES_AT_END,
    ids::{Endpoint, KRef, RemoteId},
    policy::CleanupCounts,
    rejection::Cause,
    state::{
        clist::Use,
        clist_tests::{config, options},
        handle::State,
        keys,
        promise::{Promise, PromiseState},
        queue::{Queues, RunQueueEvent},
        stats::Stats,
        vat::EndKind,
    },
};

const DYING: VatId = VatId(1);
const WAITING: Endpoint = Endpoint::Remote(RemoteId(1));
const CLEANUP: CleanupCounts = CleanupCounts::uniform(50);

/// A vat that decides `count` promises, which an account waits for. Returns them in string order of the vat's names.
fn decided(state: &mut State<'_>, count: u64) -> Vec<KRef> {
    state.add_vat(DYING, &config()).unwrap();
    let mut names: Vec<String> = (1..=count).map(|number| format!("p+{number}")).collect();
    names.sort();
    let mut promises = Vec::new();
    for name in names {
        let promise = state.to_kernel(Endpoint::Vat(DYING), &name, Use::Mention);
        let promise = promise.unwrap_or_else(|_| panic!("{name} is refused"));
        state.subscribe(promise, WAITING).unwrap();
        promises.push(promise);
    }
    promises
}

/// Takes all notifications off the acceptance queue.
fn notified(state: &mut State<'_>) -> Vec<KRef> {
    let mut all = Vec::new();
    while let Some((event, _)) = state.next_accepted().unwrap() {
        let RunQueueEvent::Notify { endpoint: WAITING, promise } = event else {
            panic!("{event:?}")
        };
        all.push(promise);
    }
    all
}

fn is_rejected(state: &State<'_>, promise: KRef) -> bool {
    let KRef::Promise(number) = promise else { panic!("{promise}") };
    match Promise::load(&*state.over, number).unwrap().unwrap().state {
        PromiseState::RejectedByKernel { cause, .. } => cause == Cause::VatTerminated(DYING),
        _ => false,
    }
}

fn writes(over: &mut dyn Overlay) -> usize {
    let mut count = 0;
    over.top_writes(&mut |_, _| count += 1);
    count
}

#[test]
fn promises_are_rejected_in_the_order_of_their_names_at_the_end_or_by_the_cleanup() {
    for count in [10, MAX_PROMISES_AT_END, MAX_PROMISES_AT_END + 1, 3 * MAX_PROMISES_AT_END] {
        let (mut over, mut stats) = (MemoryState::default(), Stats::default());
        let mut state = State::new(&mut over, &mut stats, None, first_globals(options()));
        state.put(keys::QUEUES, &Queues::EMPTY).unwrap();
        let promises = decided(&mut state, count);
        state.over.push();
        state.end_vat(DYING, EndKind::Failed, &capdata::error("over")).unwrap();
        let at_end = count.min(MAX_PROMISES_AT_END);
        // A promise, its notification and the heads of queues.
        assert!(writes(state.over) <= 2 * at_end as usize + 10, "{count} promises");
        state.over.merge();
        let mut told = notified(&mut state);
        assert_eq!(told.len() as u64, at_end, "{count} promises");
        assert!(told.iter().all(|promise| is_rejected(&state, *promise)));
        while state.next_dead().unwrap() == Some(DYING) {
            state.over.push();
            state.clean_up(DYING, CLEANUP).unwrap();
            let written = writes(state.over);
            assert!(written <= 50 * 4 + 10, "{written} entries for 50 promises");
            state.over.merge();
            told.extend(notified(&mut state));
        }
        assert_eq!(told, promises);
        assert!(told.iter().all(|promise| is_rejected(&state, *promise)));
    }
}
