//! The kernel's structured log of its work, outside consensus: for logs, tools and tests.
//!
//! The events and their fields follow SwingSet's slog. [`Slog`] receives them as they happen, also those of
//! cranks that are later undone.

use capstan_abi::{CapData, Delivery, DeliveryResult, Syscall, SyscallResult};
use capstan_kernel_ports::{Computrons, Hash, VatId, store::Overlay};

use crate::{
    ids::{Endpoint, KRef},
    state::cleanup::CleanupCounts,
    state::{ending::EndKind, event::RunQueueEvent, place::Place, vat_config::VatConfig},
};

/// A receiver of [`Event`]s.
pub trait Slog {
    /// One event.
    fn event(&mut self, event: Event<'_>);
}

/// The writes behind one link of the crank chain.
#[derive(Clone, Copy)]
pub struct Writes<'a>(pub(crate) &'a dyn Overlay);

impl Writes<'_> {
    /// Calls `visit` for each key that was written, in key order, with its value. A deleted key has the value
    /// `None`.
    pub fn visit(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        self.0.top_writes(visit);
    }
}

impl std::fmt::Debug for Writes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writes")
    }
}

/// The type of a crank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrankType {
    /// An event moves from the acceptance queue to where it belongs.
    Routing,
    /// An event is delivered.
    Delivery,
}

/// An event in the kernel's work.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A crank begins.
    CrankStart {
        /// Its number.
        crank: u64,
        /// Its type.
        crank_type: CrankType,
        /// The event that it works on.
        message: &'a RunQueueEvent,
        /// The [`Place`] on which that lay, or `None` if it came from no queue.
        place: Option<Place>,
    },
    /// A crank is over.
    CrankFinish {
        /// Its number.
        crank: u64,
    },
    /// The crank chain has a new link: a crank, before its [`Event::CrankFinish`], or a change from outside.
    Chained {
        /// The crank, or `None` for a change between cranks.
        crank: Option<u64>,
        /// The chain's hash from now on.
        hash: Hash,
        /// The hashed writes.
        writes: Writes<'a>,
    },
    /// A vat of the system failed in a delivery, which is undone. The vat goes on.
    DeliveryLost {
        /// The vat.
        vat: VatId,
        /// The reason of the failure.
        cause: &'a CapData<KRef>,
    },
    /// A vat is about to be brought into memory.
    WorkerStart {
        /// The vat.
        vat: VatId,
        /// Its configuration.
        config: &'a VatConfig,
    },
    /// The vat's worker has started. A replay may follow.
    WorkerStarted {
        /// The vat.
        vat: VatId,
    },
    /// A vat printed something during a delivery that is no replay.
    Console {
        /// The vat.
        vat: VatId,
        /// The origin of the output within the vat: `vat` is the vat's own code.
        source: &'a str,
        /// The console's method.
        level: &'a str,
        /// The printed text.
        text: &'a str,
    },
    /// A vat is handed a delivery.
    Deliver {
        /// The vat.
        vat: VatId,
        /// Its configuration.
        config: &'a VatConfig,
        /// The position in its transcript.
        delivery_number: u64,
        /// With krefs.
        kernel: &'a Delivery<KRef>,
        /// As the vat sees it.
        vat_delivery: &'a Delivery,
    },
    /// The delivery is over.
    DeliverResult {
        /// The vat.
        vat: VatId,
        /// The [`DeliveryResult`].
        result: &'a DeliveryResult,
        /// The computrons that it spent.
        computrons: Option<Computrons>,
        /// The lines that the vat wrote for tests.
        test_log: &'a [String],
    },
    /// A syscall and its result.
    Syscall {
        /// The vat.
        vat: VatId,
        /// As the vat made it.
        syscall: &'a Syscall,
        /// As the vat got it.
        result: &'a SyscallResult,
        /// The reason of a refusal, if it was refused.
        refusal: Option<&'a str>,
    },
    /// A c-list entry came or went.
    Clist {
        /// Whose.
        endpoint: Endpoint,
        /// `import`, `export` or `drop`.
        change: &'static str,
        /// The kernel's side.
        kref: KRef,
        /// The endpoint's side.
        vref: &'a str,
    },
    /// The upgrade of a vat failed and is undone. The vat goes on.
    UpgradeFailed {
        /// The vat.
        vat: VatId,
        /// The reason of the failure.
        cause: &'a str,
    },
    /// A vat ended, or could not start.
    Terminate {
        /// The vat.
        vat: VatId,
        /// Its name, also if its creation is undone. `None` if it has none.
        name: Option<&'a str>,
        /// The way in which it ended.
        kind: EndKind,
        /// The data that it ended with.
        info: &'a CapData<KRef>,
    },
    /// Part of a dead vat was cleaned up.
    VatCleanup {
        /// The vat.
        vat: VatId,
        /// The [`CleanupCounts`] of what was removed.
        work: &'a CleanupCounts,
        /// True if nothing is left of the vat.
        complete: bool,
    },
    /// A heap snapshot is about to be taken: the vat has brought out its dead.
    SnapshotStart {
        /// The vat.
        vat: VatId,
    },
    /// A heap snapshot was taken.
    SnapshotSaved {
        /// The vat.
        vat: VatId,
        /// The heap's hash, which is zero if the host keeps no heaps.
        heap: Hash,
        /// The pages that are not as in a new worker.
        pages: u64,
        /// The position in the transcript at which the vat comes back.
        position: u64,
    },
    /// A vat was started from a heap snapshot.
    SnapshotLoaded {
        /// The vat.
        vat: VatId,
        /// The heap's hash.
        heap: Hash,
    },
    /// A vat's transcript is about to be replayed.
    ReplayStart {
        /// The vat.
        vat: VatId,
        /// The number of transcript entries to replay.
        entries: u64,
    },
    /// The replay is over.
    Replay {
        /// The vat.
        vat: VatId,
        /// The number of replayed deliveries.
        deliveries: u64,
    },
    /// A device threw: the vat that called it sees an error that says nothing.
    DeviceThrew {
        /// The device's name.
        device: &'a str,
        /// The called method.
        method: &'a str,
        /// The reason, for the log alone.
        why: &'a str,
    },
    /// A service of the kernel was called.
    ServiceInvoked {
        /// The service's name.
        service: &'a str,
        /// The called method.
        method: &'a str,
        /// The reason why the call failed, or `None` if it did not.
        why_not: Option<&'a str>,
    },
    /// A promise with a logging policy was settled.
    PromisePolicy {
        /// The promise.
        promise: KRef,
        /// True if it was rejected.
        rejected: bool,
        /// To what.
        data: &'a CapData<KRef>,
    },
}
