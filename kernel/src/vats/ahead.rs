//! Vats that run ahead of their turn: what they are told meanwhile, and how one comes back whose run is lost.
//!
//! Whether a delivery was run ahead is this node's own affair. At its turn its syscalls are made as ever, so that the
//! state and the log show nothing of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use capstan_abi::{Delivery, JsString, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::{
    Computrons, VatId,
    ahead::{Answers, Made, Turn},
    host::{Syscalls, VatHost},
    store::{Overlay, Read},
    through::{Through, Writes},
};

use crate::{
    error::{KernelPanic, Result},
    ids::Endpoint,
    limits::{MAX_BODY_BYTES, MAX_VATSTORE_KEY_BYTES},
    state::{handle::State, keys},
    vats::{
        replay::{Outcome, Replay},
        syscall::text_result,
        syscall_size::{result_bytes, syscall_bytes},
    },
};

/// Bytes of syscalls that a run keeps before it waits for its turn.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// Removed keys that a search of a vat's store passes before it waits for its turn.
const MAX_REMOVED: usize = 64;

/// The part of the work that may be lost is one in this.
const LOST_SHARE: u64 = 16;

/// Computrons of lost runs for which the node has credit at most.
const MAX_CREDIT: i64 = 50_000_000;

/// What bringing a vat back takes besides its replay, in computrons.
const RESTORE: u64 = 20_000;

/// Computrons that count as lost work for each run of a vat that ends. How far a run has come is not known.
const IN_VAIN: u64 = 1_000_000;

/// Vats whose lost runs are remembered.
const MAX_DEBTORS: usize = 1_024;

/// What this node knows for running vats ahead.
#[derive(Default)]
pub(crate) struct RunsAhead {
    /// Vats whose next deliveries were handed to the host, with the positions of their events on the run queue.
    begun: BTreeMap<VatId, VecDeque<u64>>,
    stores: BTreeMap<VatId, OwnStore>,
    /// Computrons that a vat has to spend on the kernel's thread before it runs ahead again.
    debts: BTreeMap<VatId, u64>,
    /// Computrons of work that may be lost. It is below zero after more was lost than that.
    credit: i64,
}

impl std::fmt::Debug for RunsAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunsAhead").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// A vat's own store: as it was once, and what was written since.
#[derive(Clone)]
struct OwnStore {
    before: Arc<dyn Read + Send + Sync>,
    since: Arc<Writes>,
}

impl RunsAhead {
    /// Returns whether the vat's next delivery was handed to the host.
    pub(crate) fn has_begun(&self, vat: VatId) -> bool {
        self.begun.contains_key(&vat)
    }

    /// Returns the number of vats whose next deliveries were handed to the host.
    pub(crate) fn under_way(&self) -> usize {
        self.begun.len()
    }

    /// Returns whether the vat may run ahead. Lost work stays a small part of all work, of the vat's own and of all vats'.
    pub(crate) fn is_worth_it(&self, vat: VatId) -> bool {
        self.credit >= 0 && !self.debts.contains_key(&vat)
    }

    /// Returns a vat whose delivery has had its turn and was not made, because its event came to something else.
    pub(crate) fn left_behind(&self, first: u64) -> Option<VatId> {
        let is_behind = |positions: &VecDeque<u64>| positions.front().is_some_and(|at| *at < first);
        self.begun.iter().find(|(_, positions)| is_behind(positions)).map(|(vat, _)| *vat)
    }

    /// Notes that the vat's next deliveries were handed to the host, those of events of the run queue. Returns what answers
    /// their syscalls, or `None` if the overlay cannot be read by another thread.
    pub(crate) fn begin(
        &mut self,
        over: &dyn Overlay,
        vat: VatId,
        positions: VecDeque<u64>,
    ) -> Option<OwnAnswers> {
        let prefix = keys::vatstore(Endpoint::Vat(vat), "");
        let store = match self.stores.get(&vat) {
            Some(store) => store.clone(),
            None => {
                let store = OwnStore { before: over.pin(&prefix)?, since: Arc::default() };
                self.stores.insert(vat, store.clone());
                store
            }
        };
        self.begun.insert(vat, positions);
        Some(OwnAnswers { prefix: prefix.to_vec(), store, own: Writes::new(), kept_bytes: 0 })
    }

    /// Notes that the vat's next delivery counts as it was run by the host.
    fn pass(&mut self, vat: VatId) {
        if let Some(positions) = self.begun.get_mut(&vat) {
            positions.pop_front();
            if positions.is_empty() {
                self.begun.remove(&vat);
            }
        }
    }

    /// Notes that nothing of the vat is ahead.
    fn give_up(&mut self, vat: VatId) {
        self.begun.remove(&vat);
    }

    /// Notes the outcome of the turn of the vat's next delivery.
    pub(crate) fn note_turn(&mut self, vat: VatId, turn: &Turn) {
        match turn {
            Turn::Done(Ok(_)) => self.pass(vat),
            Turn::NotAhead | Turn::Done(Err(_)) | Turn::Lost(_) => self.give_up(vat),
        }
    }

    /// Notes a delivery that was made, with its syscalls.
    pub(crate) fn delivered(
        &mut self,
        vat: VatId,
        spent: Computrons,
        record: &[(Syscall, SyscallResult)],
    ) {
        let earned = i64::try_from(spent.0 / LOST_SHARE).unwrap_or(i64::MAX);
        self.credit = self.credit.saturating_add(earned).min(MAX_CREDIT);
        if let Some(debt) = self.debts.get_mut(&vat) {
            *debt = debt.saturating_sub(spent.0);
            if *debt == 0 {
                self.debts.remove(&vat);
            }
        }
        let Some(store) = self.stores.get_mut(&vat) else { return };
        let since = Arc::make_mut(&mut store.since);
        record.iter().for_each(|(syscall, _)| note_write(since, vat, syscall));
    }

    /// Notes a run that was lost. Replaying the vat's transcript takes `price`.
    pub(crate) fn lose(&mut self, vat: VatId, price: u64) {
        let price = price.saturating_add(RESTORE);
        self.credit = self.credit.saturating_sub(i64::try_from(price).unwrap_or(i64::MAX));
        if self.debts.len() >= MAX_DEBTORS && !self.debts.contains_key(&vat) {
            self.debts.pop_first();
        }
        let debt = self.debts.entry(vat).or_default();
        *debt = debt.saturating_add(price.saturating_mul(LOST_SHARE));
    }

    /// Notes that the kernel may have waited for the lost run until it had spent as much as the delivery did, `spent`. It
    /// comes after [`RunsAhead::lose`], and before the delivery itself counts.
    pub(crate) fn ran_in_vain(&mut self, vat: VatId, spent: Computrons) {
        if let Some(debt) = self.debts.get_mut(&vat) {
            *debt = debt.saturating_add(spent.0.saturating_mul(LOST_SHARE));
        }
    }

    /// Notes that all that runs ahead for a vat is lost.
    pub(crate) fn lose_all(&mut self, vat: VatId) {
        if let Some(positions) = self.begun.remove(&vat) {
            self.lose(vat, IN_VAIN.saturating_mul(positions.len() as u64));
        }
    }

    /// Notes that the vat's worker is gone.
    pub(crate) fn forget(&mut self, vat: VatId) {
        self.begun.remove(&vat);
        self.stores.remove(&vat);
    }

    /// Notes that the overlay is another one, whose state may be later.
    pub(crate) fn begin_block(&mut self) {
        self.stores.clear();
    }
}

fn note_write(writes: &mut Writes, vat: VatId, syscall: &Syscall) {
    let mut note = |key: &JsString, value| {
        writes.insert(keys::vatstore(Endpoint::Vat(vat), key.as_wtf8()).to_vec(), value);
    };
    match syscall {
        Syscall::VatstoreSet { key, value } => note(key, Some(value.as_wtf8().to_vec())),
        Syscall::VatstoreDelete { key } => note(key, None),
        _ => {}
    }
}

/// The answers to a vat that runs ahead, from its own store and its writes in this run.
pub(crate) struct OwnAnswers {
    prefix: Vec<u8>,
    store: OwnStore,
    own: Writes,
    kept_bytes: usize,
}

impl OwnAnswers {
    fn key(&self, key: &JsString) -> Option<Vec<u8>> {
        let fits = key.len() <= MAX_VATSTORE_KEY_BYTES;
        fits.then(|| [&self.prefix, key.as_wtf8()].concat())
    }

    fn result(&mut self, syscall: &Syscall) -> Option<SyscallResult> {
        let maps = [&self.own, &*self.store.since];
        let through = Through { writes: &maps, below: &*self.store.before };
        let text = match syscall {
            // Only a device knows.
            Syscall::CallNow { .. } => return None,
            Syscall::VatstoreGet { key } => {
                through.get(&self.key(key)?).ok()?.filter(|value| !value.is_empty())
            }
            Syscall::VatstoreGetNextKey { prior } => {
                let found = through.next_after(&self.prefix, &self.key(prior)?, MAX_REMOVED);
                found.ok()??.map(|(key, _)| key[self.prefix.len()..].to_vec())
            }
            Syscall::VatstoreSet { key, value } => {
                if value.len() > MAX_BODY_BYTES {
                    return None;
                }
                let value = value.as_wtf8().to_vec();
                self.own.insert(self.key(key)?, Some(value));
                None
            }
            Syscall::VatstoreDelete { key } => {
                self.own.insert(self.key(key)?, None);
                None
            }
            // They return nothing, unless they are refused.
            Syscall::Send { .. }
            | Syscall::Subscribe { .. }
            | Syscall::Resolve { .. }
            | Syscall::Exit { .. }
            | Syscall::DropImports { .. }
            | Syscall::RetireImports { .. }
            | Syscall::RetireExports { .. }
            | Syscall::AbandonExports { .. } => return Some(SyscallResult::Ok(SyscallData::Null)),
        };
        text_result(text).ok()
    }
}

impl Answers for OwnAnswers {
    fn answer(&mut self, syscall: &Syscall) -> Option<SyscallResult> {
        let result = self.result(syscall)?;
        self.kept_bytes =
            self.kept_bytes.saturating_add(syscall_bytes(syscall) + result_bytes(&result));
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.kept_bytes = 0;
            return None;
        }
        Some(result)
    }
}

/// Brings a vat back whose run ahead is lost, as if it had never left memory: nothing is logged, counted or written.
pub(crate) fn bring_back<H: VatHost>(
    state: &State<'_>,
    host: &mut H,
    ahead: &mut RunsAhead,
    vat: VatId,
) -> Result<()> {
    ahead.lose(vat, state.vat(vat)?.replay_debt);
    repeat(state, host, vat)
}

/// Brings a vat into memory, as if it had never left.
pub(crate) fn repeat<H: VatHost>(state: &State<'_>, host: &mut H, vat: VatId) -> Result<()> {
    let record = state.vat(vat)?;
    let mut replay = Replay::new(&*state.over, vat, record.kept_from..record.span.end)?;
    while let Some(step) = replay.step(host)? {
        match step.outcome {
            Outcome::Same => {}
            Outcome::NotStarted(problem) => return Err(KernelPanic::Recreate { vat, problem }),
            Outcome::Differs(difference) => {
                let (position, problem) = (step.position, difference.to_string());
                return Err(KernelPanic::Anachrophobia { vat, position, problem });
            }
        }
    }
    Ok(())
}

/// Takes a vat back whose next delivery was run ahead and is not made: its event came to something else. If the vat cannot be
/// brought back, its next delivery meets the same fault.
pub(crate) fn take_back<H: VatHost>(
    state: &State<'_>,
    host: &mut H,
    ahead: &mut RunsAhead,
    vat: VatId,
) {
    ahead.give_up(vat);
    // Without any computrons no run counts, not even that of a collection which was run ahead.
    let other = Delivery::BringOutYourDead;
    let turn = host.take_turn(vat, &other, Computrons(0), &mut Nobody);
    if matches!(turn, Turn::Lost(_)) && bring_back(state, host, ahead, vat).is_err() {
        host.stop(vat);
    }
}

/// Answers a delivery that is never made.
struct Nobody;

impl Syscalls for Nobody {
    fn syscall(&mut self, _: Syscall) -> Option<SyscallResult> {
        None
    }

    fn malformed(&mut self, _: &str) -> Option<SyscallResult> {
        None
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

/// Answers a delivery that is made again after its run was lost: first as the kernel did then, afterwards by the kernel.
pub(crate) struct MadeAgain<'a> {
    made: std::vec::IntoIter<Made>,
    kernel: &'a mut dyn Syscalls,
}

impl<'a> MadeAgain<'a> {
    pub(crate) fn new(made: Vec<Made>, kernel: &'a mut dyn Syscalls) -> Self {
        Self { made: made.into_iter(), kernel }
    }
}

impl Syscalls for MadeAgain<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        match self.made.next() {
            Some(Made::Syscall(result)) => Some(result),
            // The worker does something else than before: nothing that it does can be trusted.
            Some(Made::Line) => None,
            None => self.kernel.syscall(syscall),
        }
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        match self.made.next() {
            Some(Made::Syscall(result)) => Some(result),
            Some(Made::Line) => None,
            None => self.kernel.malformed(problem),
        }
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        if self.made.next().is_none() {
            self.kernel.console(source, level, text);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use capstan_abi::DeliveryResult;
    use capstan_kernel_ports::{host::Delivered, memory::MemoryState};

    use super::*;

    const VAT: VatId = VatId(7);

    fn get(key: &str) -> Syscall {
        Syscall::VatstoreGet { key: key.into() }
    }

    fn set(key: &str, value: &str) -> Syscall {
        Syscall::VatstoreSet { key: key.into(), value: value.into() }
    }

    fn next(prior: &str) -> Syscall {
        Syscall::VatstoreGetNextKey { prior: prior.into() }
    }

    fn text(text: &str) -> Option<SyscallResult> {
        Some(SyscallResult::Ok(SyscallData::Text(text.into())))
    }

    fn null() -> Option<SyscallResult> {
        Some(SyscallResult::Ok(SyscallData::Null))
    }

    fn store() -> MemoryState {
        let mut state = MemoryState::default();
        for (vat, key) in [(6, "a"), (7, "b"), (7, "d"), (70, "c")] {
            let key = keys::vatstore(Endpoint::Vat(VatId(vat)), key);
            state.set(&key, format!("of v{vat}").into_bytes());
        }
        state
    }

    #[test]
    fn a_run_reads_the_vats_own_store_and_its_own_writes() {
        let (mut state, mut ahead) = (store(), RunsAhead::default());
        let mut answers = ahead.begin(&state, VAT, [5, 7].into()).unwrap();
        assert!(ahead.has_begun(VAT) && ahead.under_way() == 1);
        // What happens to the state in the meantime is not seen.
        state.set(&keys::vatstore(Endpoint::Vat(VAT), "b"), b"later".to_vec());
        assert_eq!(answers.answer(&get("b")), text("of v7"));
        assert_eq!(answers.answer(&get("a")), null());
        assert_eq!(answers.answer(&set("c", "mine")), null());
        assert_eq!(answers.answer(&set("b", "")), null());
        assert_eq!(answers.answer(&get("b")), null(), "an empty value reads as none");
        assert_eq!(answers.answer(&next("")), text("b"));
        assert_eq!(answers.answer(&next("b")), text("c"));
        assert_eq!(answers.answer(&Syscall::VatstoreDelete { key: "d".into() }), null());
        assert_eq!(answers.answer(&next("c")), null());
        assert_eq!((ahead.left_behind(5), ahead.left_behind(6)), (None, Some(VAT)));
        // The first of the two counts, and the second one is lost.
        let done = Delivered { result: DeliveryResult::Ok, computrons: None, test_log: vec![] };
        ahead.note_turn(VAT, &Turn::Done(Ok(done)));
        assert_eq!((ahead.left_behind(7), ahead.left_behind(8)), (None, Some(VAT)));
        assert!(ahead.has_begun(VAT) && ahead.under_way() == 1);
        ahead.note_turn(VAT, &Turn::Lost(vec![]));
        assert!(!ahead.has_begun(VAT) && ahead.under_way() == 0);
        // The next run sees the writes of those that were delivered.
        let made = |syscall| (syscall, SyscallResult::Ok(SyscallData::Null));
        ahead.delivered(VAT, Computrons(1), &[made(set("e", "more"))]);
        let mut answers = ahead.begin(&state, VAT, [5].into()).unwrap();
        assert_eq!(answers.answer(&get("e")), text("more"));
        assert_eq!(answers.answer(&get("c")), null(), "that run was never delivered");
        // The worker is gone, and with it what was remembered.
        ahead.forget(VAT);
        assert!(!ahead.has_begun(VAT));
        assert_eq!(ahead.begin(&state, VAT, [5].into()).unwrap().answer(&get("b")), text("later"));
    }

    #[test]
    fn what_only_the_kernel_can_tell_waits() {
        let mut answers = RunsAhead::default().begin(&store(), VAT, [5].into()).unwrap();
        let long = "k".repeat(MAX_VATSTORE_KEY_BYTES + 1);
        let args = capstan_abi::CapData { body: "#[]".to_owned(), slots: vec![] };
        let call = Syscall::CallNow { target: "d-70".to_owned(), method: "m".into(), args };
        for unknown in [
            call,
            get(&long),
            next(&long),
            set(&long, ""),
            set("k", &"v".repeat(MAX_BODY_BYTES + 1)),
        ] {
            assert_eq!(answers.answer(&unknown), None);
        }
        for number in 0..=MAX_REMOVED {
            answers.answer(&Syscall::VatstoreDelete { key: format!("m{number:05}").into() });
        }
        assert_eq!(answers.answer(&next("m")), None, "too many removed keys");
        let large = "v".repeat(MAX_KEPT_BYTES / 2);
        assert_eq!(answers.answer(&set("1", &large)), null());
        assert_eq!(answers.answer(&set("2", &large)), None, "too much to keep");
        assert_eq!(answers.answer(&get("2")), text(&large), "it was made all the same");
    }

    #[test]
    fn lost_work_is_a_small_part_of_all_work() {
        let mut ahead = RunsAhead::default();
        let other = VatId(8);
        assert!(ahead.is_worth_it(VAT));
        ahead.lose(VAT, 1_000_000);
        assert!(!ahead.is_worth_it(VAT) && !ahead.is_worth_it(other));
        // Others work for the credit of all, and each vat for its own.
        let price = 1_000_000 + RESTORE;
        ahead.delivered(other, Computrons(price * LOST_SHARE), &[]);
        assert!(ahead.is_worth_it(other) && !ahead.is_worth_it(VAT));
        ahead.delivered(VAT, Computrons(price * LOST_SHARE - 1), &[]);
        assert!(!ahead.is_worth_it(VAT));
        ahead.delivered(VAT, Computrons(1), &[]);
        assert!(ahead.is_worth_it(VAT));
        // The memory of lost runs is bounded.
        (0..2 * MAX_DEBTORS as u64).for_each(|vat| ahead.lose(VatId(vat), 0));
        assert!(ahead.debts.len() <= MAX_DEBTORS);
        assert!(!ahead.is_worth_it(VatId(100_000)), "nothing is run ahead after so many losses");
    }

    #[test]
    fn a_lost_run_that_the_kernel_waited_for_is_not_made_good_by_its_own_delivery() {
        let mut ahead = RunsAhead::default();
        let long = Computrons(100_000_000);
        ahead.lose(VAT, 0);
        ahead.ran_in_vain(VAT, long);
        (0..LOST_SHARE).for_each(|_| ahead.delivered(VAT, long, &[]));
        assert!(!ahead.is_worth_it(VAT));
        ahead.delivered(VAT, Computrons(RESTORE * LOST_SHARE), &[]);
        assert!(ahead.is_worth_it(VAT));
    }

    /// Notes what reaches the kernel.
    #[derive(Default)]
    struct Kernel(Vec<String>);

    impl Syscalls for Kernel {
        fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
            self.0.push(format!("{syscall:?}"));
            text("new")
        }

        fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
            self.0.push(problem.to_owned());
            None
        }

        fn console(&mut self, _: &str, _: &str, text: &str) {
            self.0.push(text.to_owned());
        }
    }

    #[test]
    fn what_was_made_is_not_made_of_the_kernel_again() {
        let mut kernel = Kernel::default();
        let old = SyscallResult::Ok(SyscallData::Text("old".into()));
        let made = vec![Made::Syscall(old.clone()), Made::Line, Made::Syscall(old.clone())];
        let mut again = MadeAgain::new(made, &mut kernel);
        assert_eq!(again.syscall(get("a")), Some(old.clone()));
        again.console("vat", "log", "printed before");
        assert_eq!(again.malformed("problem"), Some(old));
        assert_eq!(again.syscall(get("b")), text("new"));
        again.console("vat", "log", "new line");
        assert_eq!(again.malformed("new problem"), None);
        let expected = [format!("{:?}", get("b")), "new line".to_owned(), "new problem".to_owned()];
        assert_eq!(kernel.0, expected);
        // A worker that does something else than before is not answered.
        assert_eq!(MadeAgain::new(vec![Made::Line], &mut kernel).syscall(get("a")), None);
    }
}
