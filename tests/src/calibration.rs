use std::time::Duration;

use capstan_abi::{CapData, Delivery, Message, Syscall, SyscallData, SyscallResult};
use capstan_kernel_ports::host::{Syscalls, VatHost, WorkerOptions, WorkerSource};
use capstan_kernel_ports::{Computrons, VatId};
use capstan_vat_host::WasmHost;

use crate::{Options, host};

const VAT: VatId = VatId(1);

/// Computrons that no delivery of a measurement may spend.
const LIMIT: Computrons = Computrons(10_000_000_000);

/// Measurements of one figure, of which the least counts: what else the machine does can only add.
const ROUNDS: usize = 3;

/// A vat whose work is in the middle of what vats of ordinary programs do for a computron: calls, comparisons and additions.
const NOMINAL: &str = r#"(module
  (import "capstan" "done" (func $done (param i32 i32)))
  (memory (export "memory") 1 1)
  (func $fibonacci (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fibonacci (i32.sub (local.get 0) (i32.const 1)))
                     (call $fibonacci (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "capstan_abi") (result i32) (i32.const 1))
  (func (export "capstan_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "capstan_deliver") (param i32 i32)
    (i32.store (i32.const 512) (call $fibonacci (i32.const 27)))
    (call $done (i32.const 8) (i32.const 1))))"#;

/// Work of a vat, and the CPU time that it took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Computrons that the delivery counts.
    pub computrons: u64,
}

impl Measured {
    fn min(self, other: Self) -> Self {
        match other.cpu < self.cpu {
            true => other,
            false => self,
        }
    }

    /// Returns the CPU time for one computron in nanoseconds.
    pub fn nanoseconds(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.computrons.max(1) as f64
    }
}

/// A host that measures what deliveries to single vats take. They have no kernel, and all their syscalls are answered with
/// null.
#[derive(Debug)]
pub struct Scales {
    host: WasmHost,
}

impl Default for Scales {
    /// Opens a host for wasm modules with the compiler of a node.
    fn default() -> Self {
        Self { host: host(&Options { engine: crate::Engine::Idle, ..Options::usual() }) }
    }
}

impl Scales {
    /// Returns the nominal time of one computron on this machine in nanoseconds.
    ///
    /// It is that of a recursive function of calls, comparisons and additions. Times of other work are compared with it, since
    /// machines differ.
    pub fn nominal(&mut self) -> f64 {
        let module = wat::parse_str(NOMINAL).unwrap();
        self.weigh(&module, "work").unwrap().nanoseconds()
    }

    /// Measures a delivery of a message to a new vat of `module`, after one that warms it up.
    ///
    /// Returns the worker's error text if a delivery fails.
    pub fn weigh(&mut self, module: &[u8], method: &str) -> Result<Measured, String> {
        self.start(module)?;
        self.deliver(method)?;
        let mut least = self.deliver(method)?;
        for _ in 1..ROUNDS {
            least = least.min(self.deliver(method)?);
        }
        self.host.stop(VAT);
        Ok(least)
    }

    /// Measures the start of a vat of `module` and its first delivery. The module is compiled before.
    ///
    /// Returns the worker's error text if a delivery fails.
    pub fn weigh_start(&mut self, module: &[u8], method: &str) -> Result<Measured, String> {
        self.start(module)?;
        let mut least: Option<Measured> = None;
        for _ in 0..ROUNDS {
            self.host.stop(VAT);
            let started = self.start(module)?;
            let run = self.deliver(method)?;
            let sum = Measured {
                cpu: started.cpu + run.cpu,
                computrons: started.computrons + run.computrons,
            };
            least = Some(least.map_or(sum, |before| before.min(sum)));
        }
        self.host.stop(VAT);
        least.ok_or_else(|| "nothing was measured".to_owned())
    }

    /// Measures the compilation of `module` on a host that has not compiled it before, and the start of a vat of it. The CPU time
    /// is that of the process, since modules are compiled by several threads.
    ///
    /// Returns the worker's error text if the module is refused.
    pub fn weigh_compilation(module: &[u8]) -> Result<Measured, String> {
        let options = Options { engine: crate::Engine::Idle, cache_dir: None, ..Options::usual() };
        let mut host = host(&options);
        let source = WorkerSource::Wasm { module: module.to_vec() };
        let began = process_time();
        let started = host.start(VAT, &source, &WorkerOptions::default()).unwrap();
        let cpu = process_time().saturating_sub(began);
        started.verdict.map_err(|refused| refused.to_string())?;
        Ok(Measured { cpu, computrons: started.cost.load.0 + started.cost.own.0 })
    }

    /// Starts a vat. Compiling its module is not counted.
    fn start(&mut self, module: &[u8]) -> Result<Measured, String> {
        let source = WorkerSource::Wasm { module: module.to_vec() };
        let began = thread_time();
        let started = self.host.start(VAT, &source, &WorkerOptions::default()).unwrap();
        let cpu = thread_time().saturating_sub(began);
        started.verdict.map_err(|refused| refused.to_string())?;
        Ok(Measured { cpu, computrons: started.cost.own.0 })
    }

    fn deliver(&mut self, method: &str) -> Result<Measured, String> {
        let methargs = CapData { body: format!("#[\"{method}\",[]]"), slots: vec![] };
        let message = Message { methargs, result: None };
        let delivery = Delivery::Message { target: "o+0".to_owned(), message };
        let began = thread_time();
        let delivered = self.host.deliver(VAT, &delivery, LIMIT, &mut Null).unwrap();
        let cpu = thread_time().saturating_sub(began);
        match delivered.computrons {
            Some(computrons) => Ok(Measured { cpu, computrons: computrons.0 }),
            None => Err(format!("{:?}", delivered.result)),
        }
    }
}

/// Answers every syscall with null.
struct Null;

impl Syscalls for Null {
    fn syscall(&mut self, _: Syscall) -> Option<SyscallResult> {
        Some(SyscallResult::Ok(SyscallData::Null))
    }

    fn malformed(&mut self, problem: &str) -> Option<SyscallResult> {
        Some(SyscallResult::Error(problem.to_owned()))
    }

    fn console(&mut self, _: &str, _: &str, _: &str) {}
}

/// Returns the CPU time of this thread so far.
fn thread_time() -> Duration {
    time_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the CPU time of this process so far.
fn process_time() -> Duration {
    time_of(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn time_of(clock: libc::clockid_t) -> Duration {
    // SAFETY: the call fills in a plain record.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(clock, &raw mut time);
        time
    };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
