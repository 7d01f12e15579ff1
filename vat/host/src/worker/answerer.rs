//! Access of a worker's imports to the [`Syscalls`] of the current delivery.

use std::{
    ptr::NonNull,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capstan_kernel_ports::host::Syscalls;

/// Slot in which a delivery lends its [`Syscalls`] to the imports of its worker. Clones share the
/// slot.
#[derive(Clone, Default)]
pub(crate) struct Answerer(Arc<Mutex<Option<Lent>>>);

/// Reference whose lifetime the type does not show.
struct Lent(NonNull<dyn Syscalls>);

// SAFETY: the reference is used only while `Answerer::lend` runs, which keeps its owner from using it. The slot's lock lets
// one thread at a time through. That is always the thread of `lend`, since the worker whose imports ask is borrowed by
// the call that runs there.
unsafe impl Send for Lent {}

impl Answerer {
    /// Runs `work` while `syscalls` answers the calls of [`Answerer::ask`]. However `work` ends,
    /// nothing can be asked afterwards.
    pub(crate) fn lend<R>(
        &self,
        syscalls: Option<&mut dyn Syscalls>,
        work: impl FnOnce() -> R,
    ) -> R {
        *self.slot() = syscalls.map(|syscalls| {
            // SAFETY: this only forgets the lifetime. `_taken` empties the slot before `syscalls`, which this function
            // holds, ends: also if `work` panics.
            let syscalls: &mut (dyn Syscalls + 'static) = unsafe { std::mem::transmute(syscalls) };
            Lent(NonNull::from(syscalls))
        });
        let _taken = TakenBack(self);
        work()
    }

    /// Calls `ask` with the lent [`Syscalls`]. Returns `None` if nothing is lent.
    pub(crate) fn ask<R>(&self, ask: impl FnOnce(&mut dyn Syscalls) -> R) -> Option<R> {
        let mut slot = self.slot();
        let lent = slot.as_mut()?;
        // SAFETY: a reference in the slot is alive, see `lend`, and the lock keeps others from using it.
        Some(ask(unsafe { lent.0.as_mut() }))
    }

    fn slot(&self) -> MutexGuard<'_, Option<Lent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empties the slot when dropped.
struct TakenBack<'a>(&'a Answerer);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        *self.0.slot() = None;
    }
}

#[cfg(test)]
mod tests {
    use capstan_abi::{Syscall, SyscallResult};

    use super::*;

    /// Counts lines, and answers nothing.
    struct Lines(usize);

    impl Syscalls for Lines {
        fn syscall(&mut self, _: Syscall) -> Option<SyscallResult> {
            None
        }

        fn malformed(&mut self, _: &str) -> Option<SyscallResult> {
            None
        }

        fn console(&mut self, _: &str, _: &str, _: &str) {
            self.0 += 1;
        }
    }

    #[test]
    fn nothing_is_asked_outside_of_a_loan() {
        let answerer = Answerer::default();
        let mut lines = Lines(0);
        let print = || answerer.ask(|syscalls| syscalls.console("vat", "log", "x"));
        assert_eq!(print(), None);
        assert_eq!(answerer.lend(Some(&mut lines), print), Some(()));
        assert_eq!(print(), None);
        assert_eq!(answerer.lend(None, print), None);
        assert_eq!(lines.0, 1);
    }

    #[test]
    fn a_panic_ends_the_loan() {
        let answerer = Answerer::default();
        let mut lines = Lines(0);
        let work = || answerer.lend(Some(&mut lines), || panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(answerer.ask(|_| ()), None);
    }
}
