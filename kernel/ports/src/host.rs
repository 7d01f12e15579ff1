//! The vat host port: workers that take deliveries, make syscalls and are metered.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_abi::{Delivery, DeliveryResult, Syscall, SyscallResult};

use crate::{
    Computrons, Hash, VatId,
    ahead::{Ahead, AheadPlan, Errand, Turn},
};

pub use crate::fault::HostFault;

/// The program of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerSource {
    /// A vat in JavaScript: an Endo bundle that runs on a JavaScript engine.
    JavaScript {
        /// Hash of the engine's base image. It is what [`VatHost::engine`] returned when the incarnation began.
        engine: Hash,
        /// The bundle's id (`b1-…`), a key for caches of whatever is derived from the bundle.
        bundle_id: String,
        /// The bundle's Endo zip archive.
        zip: Vec<u8>,
    },
    /// A vat whose bundle is a WebAssembly module.
    Wasm {
        /// The module's binary form.
        module: Vec<u8>,
    },
}

/// The options of a worker besides its source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WorkerOptions {
    /// Gives vat code `vatPowers.disavow` (liveslots' `enableDisavow`).
    pub enable_disavow: bool,
    /// Lets durable kinds hold what is not durable (liveslots' `relaxDurabilityRules`).
    pub relax_durability_rules: bool,
    /// Gives vat code `vatPowers.vatstore` (SwingSet's `enableVatstore`).
    pub enable_vatstore: bool,
    /// Runs the bundle's `setup()` without liveslots (SwingSet's `enableSetup`).
    pub enable_setup: bool,
    /// The vat is in its first incarnation, with liveslots. So its store is empty when it starts, and what liveslots does
    /// then before the vat's own code is a part of loading the bundle.
    pub is_new: bool,
}

impl Default for WorkerOptions {
    /// Returns the options of a usual vat: with liveslots, and with `vatPowers.vatstore`. Nothing is known about its store.
    fn default() -> Self {
        Self {
            enable_disavow: false,
            relax_durability_rules: false,
            enable_vatstore: true,
            enable_setup: false,
            is_new: false,
        }
    }
}

/// The outcome of a delivery that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The [`DeliveryResult`]. If the worker ran out of computrons, memory or stack, it is an error with the text of
    /// the [`Fault`](capstan_abi::Fault).
    pub result: DeliveryResult,
    /// The computrons spent, or `None` if the delivery ended in a fault or trap.
    pub computrons: Option<Computrons>,
    /// The lines that the vat wrote with `vatPowers.testLog`. They are outside consensus.
    pub test_log: Vec<String>,
}

/// A worker's heap as a list of page hashes. It suffices to restore the heap, wherever the pages are stored.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeapImage {
    /// The heap's hash, as [`VatHost::heap`] returns it. It covers the other fields and the pages' contents.
    pub hash: Hash,
    /// The size of the linear memory in bytes.
    pub memory_bytes: u64,
    /// The worker's state besides its memory, in a form that only the host reads.
    pub head: Vec<u8>,
    /// The vat's own pages, in ascending order. They differ from those of a worker that has loaded the same source with
    /// the same options and has not started. Their number is the same on every node.
    pub pages: Vec<HeapPage>,
}

/// A page of a heap, named by its content's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeapPage {
    /// The page's number. Its address is this number times the page size.
    pub number: u32,
    /// The hash of the page's content: the SHA-256 of a zero byte and the content.
    pub hash: Hash,
}

/// The kernel's side of a delivery: it answers the worker's syscalls.
pub trait Syscalls {
    /// Executes one syscall and returns its result.
    ///
    /// Returns `None` if the delivery ends here: this node failed, or the syscalls have caused more work than the
    /// delivery may. The implementation keeps the reason, and the host must unwind the worker at once.
    fn syscall(&mut self, syscall: Syscall) -> Option<SyscallResult>;

    /// Answers a syscall that could not be decoded. `problem` says what was wrong with it.
    ///
    /// Returns `None` in the same case as [`Syscalls::syscall`].
    fn malformed(&mut self, problem: &str) -> Option<SyscallResult>;

    /// Records a line that the worker printed. It is outside consensus.
    ///
    /// `text` is legible, as [`JsString`](capstan_abi::JsString) defines it. `source` names the part of the worker that
    /// printed, and is `vat` for the vat's own code. `level` is the console's method.
    fn console(&mut self, source: &str, level: &str, text: &str);
}

/// Refusal of a worker's source, with the reason. It is the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceRefused(pub String);

/// Verdict on a worker's source, as opposed to a [`HostFault`], which concerns this node alone.
pub type StartVerdict<T = ()> = Result<T, SourceRefused>;

/// The computrons of a worker's start. They are the same on every node, whatever the node has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartCost {
    /// Loading the source, which a host does once for all workers of the source. It keeps the result for the sources
    /// that were used last, which count at most [`LOADED_SOURCES`].
    pub load: Computrons,
    /// The start itself.
    pub own: Computrons,
}

/// The outcome of [`VatHost::start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The [`StartVerdict`]. If it is an error, no worker runs.
    pub verdict: StartVerdict,
    /// The [`StartCost`], of a refused start as well.
    pub cost: StartCost,
    /// Lines that the source printed while it was loaded, which are the same for each of its workers. They are outside
    /// consensus, and bounded by the host.
    pub printed: Vec<Printed>,
}

/// A line that a worker printed, as in [`Syscalls::console`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The part of the worker that printed it.
    pub source: String,
    /// The console's method.
    pub level: String,
    /// The line.
    pub text: String,
}

impl Start {
    /// Returns a start that costs nothing, as of a host that runs no code.
    pub fn free(verdict: StartVerdict) -> Self {
        Self { verdict, cost: StartCost::default(), printed: Vec::new() }
    }
}

/// Number of sources whose loaded form every host keeps, the most recently used ones. A WebAssembly module counts as one
/// more source for each [`SOURCE_BYTES`], because its machine code is many times as large.
pub const LOADED_SOURCES: usize = 32;

/// Bytes of a WebAssembly module that count as one source towards [`LOADED_SOURCES`].
pub const SOURCE_BYTES: u64 = 256 << 10;

/// A machine for vats: it runs one worker for each vat in memory.
///
/// Whatever a worker shows is a function of its source, its options, and the deliveries and syscall results so far. It
/// does not depend on the machine, the compiler, caches or time.
pub trait VatHost {
    /// Returns the hash of the JavaScript engine's base image on which new incarnations start.
    fn engine(&self) -> Hash;

    /// Checks that a WebAssembly module can be a worker, before it is installed as a bundle.
    ///
    /// The error says why it cannot, and what would be allowed.
    fn validate(&self, module: &[u8]) -> StartVerdict;

    /// Starts a worker for `vat` and replaces one that runs.
    fn start(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
    ) -> Result<Start, HostFault>;

    /// Hands `delivery` to the worker of `vat`, and runs it until it is idle or has spent `limit`.
    fn deliver(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Result<Delivered, HostFault>;

    /// Returns the [`AheadPlan`] of this host.
    fn ahead_plan(&self) -> AheadPlan {
        AheadPlan::NONE
    }

    /// Begins deliveries before their turn, on another thread. Has no effect if the host has no [`AheadPlan`].
    ///
    /// The worker counts as being in memory meanwhile. Nobody may ask for its heap before [`VatHost::take_turn`]. If
    /// the worker is stopped or replaced, what it has run is lost.
    fn run_ahead(&mut self, ahead: Ahead) {
        let _ = ahead;
    }

    /// Ends the next of what was run ahead for `vat`, if it is this delivery within this limit: makes its syscalls of
    /// `syscalls`, in order, and returns the [`Turn`].
    ///
    /// Only a run that ends as it would have ended now counts.
    fn take_turn(
        &mut self,
        vat: VatId,
        delivery: &Delivery,
        limit: Computrons,
        syscalls: &mut dyn Syscalls,
    ) -> Turn {
        let _ = (vat, delivery, limit, syscalls);
        Turn::NotAhead
    }

    /// Begins to bring a worker of `vat` into memory before its turn, on another thread if one has time. Has no effect if the host has
    /// no [`AheadPlan`]. The worker does not count as being in memory before [`VatHost::take_prepared`].
    fn prepare(&mut self, vat: VatId, errand: Errand) {
        let _ = (vat, errand);
    }

    /// Ends the errand for `vat`, on this thread if no other has begun with it, and takes its worker over. Returns the errand's number, or `None` if
    /// there is no worker.
    fn take_prepared(&mut self, vat: VatId) -> Option<u64> {
        let _ = vat;
        None
    }

    /// Begins to load a source before its turn, on another thread. Returns false if the host has no [`AheadPlan`], or
    /// enough to do. Nothing is loaded then.
    fn load_ahead(&mut self, errand: Errand) -> bool {
        let _ = errand;
        false
    }

    /// Returns whether a worker of `vat` is in memory.
    fn is_running(&self, vat: VatId) -> bool;

    /// Drops the worker of `vat`, also one that is being prepared. Has no effect if there is none.
    fn stop(&mut self, vat: VatId);

    /// Returns the size of the worker's memory in bytes, which is the same on every node. Returns 0 if there is no worker, or
    /// if this host runs no code.
    fn memory_bytes(&self, vat: VatId) -> u64 {
        let _ = vat;
        0
    }

    /// Returns the [`Hash`](struct@Hash) of the worker's heap and its size in bytes.
    fn heap(&self, vat: VatId) -> Option<(Hash, u64)>;

    /// Returns `true` if the vat's heap may be snapshotted at all. The answer is the same on every node. A
    /// transcript without snapshots is replayed from its begin.
    fn takes_snapshots(&self, vat: VatId) -> bool {
        let _ = vat;
        true
    }

    /// Returns the [`HeapImage`] of the worker, between two deliveries.
    ///
    /// Returns `None` if there is no worker, or if this host has no heap images. Its vats are then restored by replay
    /// only. A host has images of all heaps or of none.
    fn heap_image(&mut self, vat: VatId) -> Result<Option<HeapImage>, HostFault> {
        let _ = vat;
        Ok(None)
    }

    /// Returns the current content of page `number` of the worker.
    fn heap_page(&self, vat: VatId, number: u32) -> Option<Vec<u8>> {
        let _ = (vat, number);
        None
    }

    /// Starts a worker for `vat` from `image`, and replaces one that runs.
    ///
    /// A worker of the same source and options must have had this heap. `page` returns the content of the page with a given hash.
    /// The host checks everything against [`HeapImage::hash`].
    fn restore(
        &mut self,
        vat: VatId,
        source: &WorkerSource,
        options: &WorkerOptions,
        image: &HeapImage,
        page: &mut dyn FnMut(&Hash) -> Result<Vec<u8>, HostFault>,
    ) -> Result<(), HostFault> {
        let _ = (source, options, image, page);
        Err(HostFault::Missing(format!("this host cannot restore the heap of {vat}")))
    }
}
