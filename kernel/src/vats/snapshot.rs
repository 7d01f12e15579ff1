//! Heap snapshots: when one is due, and how it is taken.

use capstan_abi::Delivery;
use capstan_kernel_ports::{Hash, VatId, host::VatHost};

use crate::{
    capdata::{self, KernelData},
    error::Result,
    state::{
        handle::State,
        slog::Event,
        vat::{VatConfig, VatState},
    },
    vats::{
        online::Online,
        transcript::Entry,
        worker::{METER_UNDERFLOW, bring_online, deliver, not_started},
    },
};

/// The result of checking whether a snapshot is due.
pub(crate) enum Snapshot {
    /// It was not.
    NotDue,
    /// It was taken.
    Taken,
    /// The vat failed to bring out its dead: it has to end, with this.
    Failed(KernelData),
}

/// Vats of the system owe a replay of at most this share of `snapshot_debt`: whoever has one fail has it
/// brought back, too.
const SYSTEM_SHARE: u64 = 10;

/// Pages for which a page counts, besides itself, that the snapshot before did not have. A node compares and hashes each
/// page, but only these are copied, written and found again by their hashes.
const CHANGED_PAGE: u64 = 4;

/// Returns whether a snapshot follows the last of so many more deliveries, if they go well. Another may follow because of
/// what the deliveries cost.
pub(crate) fn follows(state: &State<'_>, record: &VatState, deliveries: u64) -> bool {
    let interval = state.globals().options.snapshot_interval;
    is_long(state, record, record.span.entries() + deliveries, interval)
}

/// Returns whether a snapshot is due because the replay of the vat's span costs so much.
pub(crate) fn owes_snapshot(state: &State<'_>, replay_debt: u64, config: &VatConfig) -> bool {
    let share = if config.system { SYSTEM_SHARE } else { 1 };
    replay_debt >= state.globals().options.snapshot_debt / share
}

/// Returns whether a snapshot is due for a span of so many entries, whatever replaying it would cost.
fn is_long(state: &State<'_>, record: &VatState, entries: u64, interval: u64) -> bool {
    let initial = state.globals().options.snapshot_initial;
    entries >= interval || (record.snapshot.is_none() && entries >= initial)
}

/// Takes a snapshot of the vat's heap if one is due: the first when its span has `snapshot_initial`
/// entries, later ones when it has `interval`, and any when replaying the span would cost
/// `snapshot_debt`. The vat brings out its dead first.
pub(crate) fn snapshot_if_due<H: VatHost>(
    state: &mut State<'_>,
    host: &mut H,
    online: &mut Online,
    vat: VatId,
    interval: u64,
) -> Result<Snapshot> {
    let record = state.vat(vat)?;
    let is_short = !is_long(state, &record, record.span.entries(), interval);
    if is_short && record.replay_debt < state.globals().options.snapshot_debt / SYSTEM_SHARE {
        return Ok(Snapshot::NotDue);
    }
    let config = state.vat_config(vat)?;
    let due = !is_short || owes_snapshot(state, record.replay_debt, &config);
    if !due || !config.use_transcript || !host.takes_snapshots(vat) {
        return Ok(Snapshot::NotDue);
    }
    state.save()?;
    state.over.push();
    let maybe_free = state.maybe_free.clone();
    let stopped = state.stopped.len();
    let reap = Delivery::BringOutYourDead;
    let status = deliver(state, host, online, vat, &Delivery::BringOutYourDead, reap)?;
    if let Some(info) = status.illegal.or(status.error.map(|text| capdata::error(&text))) {
        state.count_undone();
        state.over.rollback();
        state.reload()?;
        state.maybe_free.clone_from(&maybe_free);
        state.stopped.truncate(stopped);
        if !state.vat_config(vat)?.system {
            return Ok(Snapshot::Failed(info));
        }
        // Nothing ends a vat of the system: its heap of before is kept, with its dead.
        state.log(Event::DeliveryLost { vat, cause: &info });
        host.stop(vat);
        online.forget(vat);
        state.over.push();
        state.note_stop(vat)?;
        bring_online(state, host, online, vat).map_err(|error| not_started(vat, error))?;
    }
    take_snapshot(state, host, vat)?;
    if !state.covers_growth(vat)? {
        state.count_undone();
        state.over.rollback();
        state.reload()?;
        state.maybe_free = maybe_free;
        state.stopped.truncate(stopped);
        return Ok(Snapshot::Failed(capdata::error(METER_UNDERFLOW)));
    }
    state.save()?;
    state.over.merge();
    Ok(Snapshot::Taken)
}

fn take_snapshot<H: VatHost>(state: &mut State<'_>, host: &mut H, vat: VatId) -> Result<()> {
    state.log(Event::SnapshotStart { vat });
    let image = host.heap_image(vat)?;
    let pages = image.as_ref().map_or(0, |image| image.pages.len() as u64);
    let heap = image.as_ref().map_or(Hash::default(), |image| image.hash);
    state.append_entry(vat, &Entry::SaveSnapshot { heap })?;
    state.roll_span(vat)?;
    state.append_entry(vat, &Entry::LoadSnapshot { heap })?;
    let position = state.vat(vat)?.span.start;
    state.update_vat(vat, |state| {
        state.snapshot = Some((heap, position));
        state.heap_pages = pages;
    })?;
    let changed = match image {
        Some(image) => {
            let changed = state.save_heap(host, vat, &image)?;
            state.prune_transcript(vat, position)?;
            changed
        }
        // The vat comes back by replay alone: all of it stays.
        None => {
            state.update_vat(vat, |state| state.replay_debt = 0)?;
            0
        }
    };
    state.snapshot_pages = Some(pages + CHANGED_PAGE * changed);
    state.log(Event::SnapshotSaved { vat, heap, pages, position });
    Ok(())
}
