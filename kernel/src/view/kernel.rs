//! The kernel as a whole: its counters and queues.

use capstan_kernel_ports::{Hash, VatId, store::Read};

use crate::{
    error::Result,
    state::{
        handle::{decode, get_record, need, read_globals},
        keys,
        queue::{Queues, RunQueueEvent},
        stats::Stats,
    },
};

/// The counters and queues of a kernel, as [`kernel_status`] reads them.
#[derive(Clone, Debug)]
pub struct KernelStatus {
    /// The number of cranks so far.
    pub cranks: u64,
    /// The `Hash` that chains the writes of all cranks.
    pub crank_chain: Hash,
    /// Events on the acceptance queue.
    pub acceptance_queue: u64,
    /// Events on the run queue.
    pub run_queue: u64,
    /// The number that the next vat gets. Not every number below it is that of a vat.
    pub next_vat: u64,
    /// Vats that run.
    pub running_vats: u64,
    /// Terminated vats that wait for their cleanup, by [`VatId`].
    pub dead: Vec<VatId>,
    /// The node-local [`Stats`].
    pub stats: Stats,
}

/// One of the two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The acceptance queue.
    Acceptance,
    /// The run queue.
    Run,
}

/// Returns true if the state holds a kernel.
pub fn is_initialized(state: &(impl Read + ?Sized)) -> Result<bool> {
    Ok(state.get(keys::GLOBALS)?.is_some())
}

/// Returns true if the kernel has work to do without any new message. A chain whose kernel is busy makes the
/// next block by itself. Cleanup of terminated vats counts.
pub fn is_busy(state: &(impl Read + ?Sized)) -> Result<bool> {
    let queues: Queues = need(state, keys::QUEUES)?;
    Ok(queues.acceptance.0 < queues.acceptance.1
        || queues.run.0 < queues.run.1
        || state.next_after(keys::GC_ACTIONS, keys::GC_ACTIONS)?.is_some()
        || get_record::<Vec<VatId>>(state, keys::REAP)?.is_some_and(|vats| !vats.is_empty())
        || has_dead(state)?
        || read_globals(state)?.is_collecting)
}

/// Returns true if terminated vats wait for their cleanup.
pub fn has_dead(state: &(impl Read + ?Sized)) -> Result<bool> {
    Ok(state.next_after(keys::DEAD, keys::DEAD)?.is_some())
}

/// Returns the [`KernelStatus`].
pub fn kernel_status(state: &(impl Read + ?Sized)) -> Result<KernelStatus> {
    let globals = read_globals(state)?;
    let queues: Queues = need(state, keys::QUEUES)?;
    Ok(KernelStatus {
        cranks: globals.crank,
        crank_chain: globals.crank_chain,
        acceptance_queue: queues.acceptance.1 - queues.acceptance.0,
        run_queue: queues.run.1 - queues.run.0,
        next_vat: globals.next_vat,
        running_vats: globals.running_vats,
        dead: state
            .scan(keys::DEAD)?
            .iter()
            .map(|(key, vat)| decode(key, vat))
            .collect::<Result<_>>()?,
        stats: get_record(state, keys::STATS)?.unwrap_or_default(),
    })
}

/// Returns at most `limit` events of a queue, as [`RunQueueEvent`]s.
pub fn queue(state: &(impl Read + ?Sized), queue: Queue, limit: u64) -> Result<Vec<RunQueueEvent>> {
    events(state, queue, 0)?.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}

/// Returns the events of a queue from the one after the first `skip` on. Each is read when it is asked for.
pub fn events<S: Read + ?Sized>(
    state: &S,
    queue: Queue,
    skip: u64,
) -> Result<impl Iterator<Item = Result<RunQueueEvent>>> {
    let queues: Queues = need(state, keys::QUEUES)?;
    let (head, tail) = match queue {
        Queue::Acceptance => queues.acceptance,
        Queue::Run => queues.run,
    };
    let key = move |position| match queue {
        Queue::Acceptance => keys::acceptance(position),
        Queue::Run => keys::run(position),
    };
    Ok((head.saturating_add(skip)..tail).map(move |at| need(state, &key(at))))
}
