//! A vat host that measures the computing time of vats, for this node's metrics.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use capstan_abi::{Delivery, Syscall, SyscallResult};
use capstan_kernel_ports::{
    Computrons, Hash, VatId,
    ahead::{Ahead, AheadPlan, Answers, Errand, Turn},
    host::{
        Delivered, HeapImage, HostFault, Start, Syscalls, VatHost, WorkerOptions, WorkerSource,
    },
    layer::HostLayer,
};

use crate::observe::metrics::Metrics;

/// A [`VatHost`] that records the computing time of an inner one in [`Metrics`]. It counts deliveries, and the start
/// and restoration of workers, on all threads. The time of syscalls is the kernel's and does not count. Nor does waiting for a
/// turn.
pub(crate) struct TimedHost<H> {
    host: H,
    metrics: Metrics,
    /// The memory of each vat that is online, in bytes.
    online: BTreeMap<VatId, u64>,
}

impl<H: VatHost> TimedHost<H> {
    pub(crate) fn new(host: H, metrics: Metrics) -> Self {
        Self { host, metrics, online: BTreeMap::new() }
    }

    /// Notes the memory of a vat after something may have changed it.
    fn measure(&mut self, vat: VatId) {
        match self.host.is_running(vat) {
            true => self.online.insert(vat, self.host.memory_bytes(vat)),
            false => self.online.remove(&vat),
        };
        self.metrics.online(self.online.len(), self.online.values().sum());
    }

    fn timed<T>(&mut self, work: impl FnOnce(&mut H) -> T) -> T {
        let began = Instant::now();
        let result = work(&mut self.host);
        self.metrics.vat_ran(began.elapsed());
        result
    }
}

/// Syscalls of a delivery, and their total duration.
struct TimedSyscalls<'a> {
    syscalls: &'a mut dyn Syscalls,
    spent: Duration,
}

impl TimedSyscalls<'_> {
    fn timed<T>(&mut self, work: impl FnOnce(&mut dyn Syscalls) -> T) -> T {
        let began = Instant::now();
        let result = work(self.syscalls);
        self.spent += began.elapsed();
        result
    }
}

impl Syscalls for TimedSyscalls<'_> {
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult> {
        self.timed(|syscalls| syscalls.syscall(syscall))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        self.timed(|syscalls| syscalls.malformed(problem))
    }

    fn console(&mut self, source: &str, level: &str, text: &str) {
        self.timed(|syscalls| syscalls.console(source, level, text));
    }
}

/// The answers to a delivery that is run ahead, with the time that it computes.
struct TimedAnswers {
    answers: Box<dyn Answers>,
    metrics: Metrics,
    /// When the worker began to compute. `None` while it waits.
    since: Option<Instant>,
}

impl Answers for TimedAnswers {
    fn answer(&mut self, syscall: &Syscall) -> Option<SyscallResult> {
        let (began, answer) = (Instant::now(), self.answers.answer(syscall));
        self.since = self.since.map(|since| since + began.elapsed());
        answer
    }

    fn computes(&mut self, does: bool) {
        self.answers.computes(does);
        let since = std::mem::replace(&mut self.since, does.then(Instant::now));
        if let Some(since) = since {
            self.metrics.vat_ran(since.elapsed());
        }
    }
}

/// Records the time that an errand takes on its thread. It makes no syscalls of the kernel.
fn timed_errand(errand: Errand, metrics: Metrics) -> Errand {
    Box::new(move |host| {
        let began = Instant::now();
        let number = errand(host);
        metrics.vat_ran(began.elapsed());
        number
    })
}

impl<H: VatHost> HostLayer for TimedHost<H> {
    type Host = H;

    fn host(&self) -> &H {
        &self.host
    }

    fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault> {
        let started = self.timed(|host| host.start(vat, source, options));
        self.measure(vat);
        started
    }

    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault> {
        let mut syscalls = TimedSyscalls { syscalls, spent: Duration::ZERO };
        let began = Instant::now();
        let delivered = self.host.deliver(vat, delivery, limit, &mut syscalls);
        self.metrics.vat_ran(began.elapsed().saturating_sub(syscalls.spent));
        self.measure(vat);
        delivered
    }

    fn ahead_plan(&self) -> AheadPlan {
        self.host.ahead_plan()
    }

    fn run_ahead(&mut self, ahead: Ahead) {
        let Ahead { answers, .. } = ahead;
        let answers = TimedAnswers { answers, metrics: self.metrics.clone(), since: None };
        self.host.run_ahead(Ahead { answers: Box::new(answers), ..ahead });
    }

    // The run was timed on its own thread.
    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        let turn = self.host.take_turn(vat, delivery, limit, syscalls);
        self.measure(vat);
        turn
    }

    fn prepare(&mut self, vat: VatId, errand: Errand) {
        self.host.prepare(vat, timed_errand(errand, self.metrics.clone()));
    }

    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        let number = self.host.take_prepared(vat);
        self.measure(vat);
        number
    }

    fn load_ahead(&mut self, errand: Errand) -> bool {
        self.host.load_ahead(timed_errand(errand, self.metrics.clone()))
    }

    fn stop(&mut self, vat: VatId) {
        self.host.stop(vat);
        self.measure(vat);
    }

    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        let restored = self.timed(|host| host.restore(vat, source, options, image, page));
        self.measure(vat);
        restored
    }
}

#[cfg(test)]
mod tests {
    use capstan_kernel_ports::host::StartVerdict;

    use super::*;

    /// A host that is never asked.
    struct NoHost;

    impl VatHost for NoHost {
        fn engine(&self) -> Hash {
            Hash::default()
        }

        fn validate(&self, _: &[u8]) -> StartVerdict {
            Ok(())
        }

        fn start(
            &mut self,
            _: VatId,
            _: &WorkerSource,
            _: &WorkerOptions,
        ) -> Result<Start, HostFault> {
            Ok(Start::free(Ok(())))
        }

        fn deliver(
            &mut self,
            vat: VatId,
            _: &Delivery,
            _: Computrons,
            _: &mut dyn Syscalls,
        ) -> Result<Delivered, HostFault> {
            Err(HostFault::Missing(format!("no worker for {vat}")))
        }

        fn is_running(&self, _: VatId) -> bool {
            false
        }

        fn stop(&mut self, _: VatId) {}

        fn heap(&self, _: VatId) -> Option<(Hash, u64)> {
            None
        }
    }

    #[test]
    fn an_errand_counts_while_it_runs() {
        let metrics = Metrics::new(vec![], vec![]);
        let work: Errand = Box::new(|_| {
            std::thread::sleep(Duration::from_millis(2));
            Some(7)
        });
        assert_eq!(timed_errand(work, metrics.clone())(&mut NoHost), Some(7));
        assert!(metrics.vat_seconds() >= 0.002);
    }

    /// Answers after a while.
    struct Slow(Duration);

    impl Answers for Slow {
        fn answer(&mut self, _: &Syscall) -> Option<SyscallResult> {
            let began = Instant::now();
            while began.elapsed() < self.0 {}
            None
        }
    }

    #[test]
    fn a_run_ahead_counts_while_it_computes_and_not_while_it_is_answered_or_waits() {
        let metrics = Metrics::new(vec![], vec![]);
        let while_answered = Duration::from_millis(50);
        let answers = Box::new(Slow(while_answered));
        let mut timed = TimedAnswers { answers, metrics: metrics.clone(), since: None };
        let began = Instant::now();
        timed.computes(true);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2) {}
        assert_eq!(timed.answer(&Syscall::VatstoreGet { key: "k".into() }), None);
        timed.computes(false);
        let (counted, whole) = (metrics.vat_seconds(), began.elapsed());
        assert!(counted >= 0.002, "{counted}");
        assert!(counted <= (whole - while_answered).as_secs_f64(), "{counted} of {whole:?}");
        // Waiting counts nothing, however long it takes.
        timed.computes(false);
        assert_eq!(metrics.vat_seconds().to_bits(), counted.to_bits());
    }
}
