//! Who runs vats: workers that take deliveries, make syscalls and are metered.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};

use crate::{Computrons, Hash, VatId};

pub use crate::fault::HostFault;

/// What a worker is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerSource {
    /// A vat in JavaScript: an Endo bundle on a JavaScript engine.
    JavaScript {
        /// The engine's booted base image, as [`VatHost::engine`] named it when the incarnation
        /// began.
        engine: Hash,
        /// The bundle's id (`b1-…`), the key under which anything derived from it may be cached.
        bundle_id: String,
        /// The bundle: the bytes of the Endo zip archive.
        zip: Vec<u8>,
    },
    /// A vat whose bundle is a wasm module.
    Wasm {
        /// The module.
        module: Vec<u8>,
    },
}

/// What a worker is told beside its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WorkerOptions {
    /// Give vat code `vatPowers.disavow` (liveslots' `enableDisavow`).
    pub enable_disavow: bool,
    /// Let durable kinds hold what is not durable (liveslots' `relaxDurabilityRules`).
    pub relax_durability_rules: bool,
}

/// A delivery that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// How it ended. Running out of computrons, memory or stack is an error with the text of
    /// [`capstan_abi::Fault`].
    pub result: DeliveryResult,
    /// What it spent; none if it ended in a fault or trap.
    pub computrons: Option<Computrons>,
    /// Lines that the vat wrote for tests (`vatPowers.testLog`), outside consensus.
    pub test_log: Vec<String>,
}

/// Which pages make a heap, each named by its hash: enough to make it again wherever they lie.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeapImage {
    /// The heap's hash, as [`VatHost::heap`] gives it. Covers all that follows and the pages.
    pub hash: Hash,
    /// The memory's size in bytes.
    pub memory_bytes: u64,
    /// What belongs to the heap beside its memory, as the host wrote it.
    pub head: Vec<u8>,
    /// The pages that are not as in a new worker of the same source, in the order of their numbers.
    pub pages: Vec<HeapPage>,
}

/// A page of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeapPage {
    /// Where it lies: at this number times the size of a page.
    pub number: u32,
    /// The hash of what it holds.
    pub hash: Hash,
}

/// Answers a worker's syscalls.
pub trait Syscalls {
    /// Does one syscall. An error of this node is remembered by the implementation and ends the
    /// delivery: the result is then none, and the host must unwind the worker at once.
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult>;

    /// The answer to a syscall that could not be decoded: the text says what was wrong.
    fn malformed(&mut self, problem: &str) -> Option<SyscallResult>;

    /// Takes note of what the worker prints, outside consensus and legible (see
    /// [`JsString`](capstan_abi::JsString)). `source` says what of it prints: `vat` is the vat's own
    /// code; `level` is the console's method.
    fn console(&mut self, source: &str, level: &str, text: &str);
}

/// Runs vats.
///
/// Everything observable is a function of the source, the options and the deliveries and syscall
/// results so far: not of the machine, the compiler, caches or time.
pub trait VatHost {
    /// The hash of the JavaScript engine's base image on which new incarnations start.
    fn engine(&self) -> Hash;

    /// Checks, before a wasm bundle is installed, that it can be a worker. The error says why not
    /// and what would be allowed.
    fn validate(&self, module: &[u8]) -> Result<(), String>;

    /// Starts a worker for `vat`, replacing one that runs. `Ok(Err(text))` if the source itself
    /// cannot be started: the same on every node.
    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Result<(), String>, HostFault>;

    /// Hands `delivery` to the worker of `vat` and runs it until it rests or has spent `limit`.
    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault>;

    /// Whether a worker of `vat` is in memory.
    fn is_running(&self, vat: VatId) -> bool;

    /// Drops the worker of `vat`, if there is one.
    fn stop(&mut self, vat: VatId);

    /// The hash of the worker's heap image, and its size in bytes.
    fn heap(&self, vat: VatId) -> Option<(Hash, u64)>;

    /// The worker's heap between two deliveries. None if there is no worker, or if this host cannot
    /// give heaps: its vats come back by replay alone. A host gives all heaps or none.
    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        let _ = vat;
        Ok(None)
    }

    /// What the worker's page `number` holds now.
    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        let _ = (vat, number);
        None
    }

    /// Starts a worker for `vat` that goes on from `image`, which a worker of the same source once had;
    /// replaces one that runs. `page` gives what a page of that hash holds. Everything is checked
    /// against the image's hash.
    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        let _ = (source, image, page);
        Err(HostFault::Missing(format!("this host cannot restore the heap of {vat}")))
    }
}
