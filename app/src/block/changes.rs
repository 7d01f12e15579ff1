//! A block's changes to vats, outboxes and objects, as events and as records.

use capstan_genesis::DENOM;
use capstan_kernel::{
    RunReport, changes,
    ids::{KRef, MeterId, RemoteId},
    subcluster::{News, Notice},
    vat::VatStatus,
    view,
};
use capstan_kernel_ports::{VatId, store::Overlay};
use capstan_store::StateView;
use tendermint_proto::v0_38::abci::Event;

use crate::{
    block::bridge,
    events::event,
    fault::NodeFault,
    records::{activity, created, results},
};

/// Records a block's changes to vats and outboxes. Returns their [`Event`]s.
pub(crate) fn note(
    before: &StateView,
    over: &mut dyn Overlay,
    height: u64,
) -> Result<Vec<Event>, NodeFault> {
    let changes = changes::collect(over);
    let mut events = Vec::new();
    for vat in changes.vats {
        events.extend(vat_events(before, over, vat)?);
        created::note(before, over, vat, height)?;
        activity::note(before, over, vat, height)?;
    }
    for (remote, number) in changes.posted {
        events.extend(outbox_events(over, remote, number, height)?);
    }
    for meter in changes.meters {
        events.extend(rest_event(before, over, meter)?);
    }
    for number in changes.revoked {
        events.extend(revocation_event(before, over, number)?);
    }
    Ok(events)
}

/// Returns the event of a meter whose rest was given back between two states.
fn rest_event(
    before: &StateView,
    over: &mut dyn Overlay,
    meter: MeterId,
) -> Result<Option<Event>, NodeFault> {
    let old = view::meter_use(before, meter)?.given_back;
    let new = view::meter_use(over, meter)?;
    let computrons = new.given_back.saturating_sub(old);
    let (Some(owner), true) = (new.owner, computrons > 0) else { return Ok(None) };
    let worth = bridge::params(over)?.fees.computron_worth(old, computrons);
    let attributes = [
        ("meter_id", meter.to_string()),
        ("owner", owner),
        ("computrons", computrons.to_string()),
        ("amount", format!("{worth}{DENOM}")),
    ];
    Ok(Some(event("meter.returned", &attributes)))
}

/// Returns the event of an object that was revoked between two states.
fn revocation_event(
    before: &StateView,
    after: &dyn Overlay,
    number: u64,
) -> Result<Option<Event>, NodeFault> {
    if view::object(before, number)?.is_some_and(|object| object.revoked) {
        return Ok(None);
    }
    let Some(object) = view::object(after, number)? else { return Ok(None) };
    let kref = ("kref", KRef::Object(number).to_string());
    let owner = ("owner", object.owner.map(|owner| owner.to_string()).unwrap_or_default());
    Ok(Some(event("object.revoked", &[kref, owner])))
}

pub(crate) fn run_event(report: &RunReport) -> Event {
    let attributes = [
        ("cranks", report.cranks.to_string()),
        ("computrons", report.computrons.to_string()),
        ("idle", report.idle.to_string()),
    ];
    event("block.run", &attributes)
}

/// Returns the [`Event`] of a subcluster's [`Notice`].
pub(crate) fn subcluster_event(notice: Notice) -> Event {
    let mut attributes = Vec::new();
    if let Some(id) = notice.id {
        attributes.push(("subcluster_id", id.to_string()));
    }
    attributes.push(("name", notice.name.unwrap_or_default()));
    attributes.push(("owner", notice.owner.to_string()));
    let (kind, reason) = match notice.news {
        News::Launched => ("subcluster.launched", None),
        News::Bootstrapped => ("subcluster.bootstrapped", None),
        News::Failed(reason) => ("subcluster.failed", Some(reason)),
        News::Terminated(reason) => ("subcluster.terminated", Some(reason)),
    };
    attributes.extend(reason.map(|reason| ("reason", reason)));
    event(kind, &attributes)
}

/// Returns the events of a vat between two states.
fn vat_events(
    before: &StateView,
    after: &dyn Overlay,
    vat: VatId,
) -> Result<Vec<Event>, NodeFault> {
    let (Some(config), Some(state)) = (view::vat_config(after, vat)?, view::vat_state(after, vat)?)
    else {
        return Ok(Vec::new());
    };
    let old = view::vat_state(before, vat)?;
    let id = ("vat_id", vat.to_string());
    let bundle = ("bundle_id", config.bundle_id);
    let mut events = Vec::new();
    match &old {
        None => {
            let name = ("name", config.name.unwrap_or_default());
            events.push(event("vat.created", &[id.clone(), name, bundle]));
        }
        Some(old) if old.incarnation != state.incarnation => {
            let incarnation = ("incarnation", state.incarnation.to_string());
            events.push(event("vat.upgraded", &[id.clone(), incarnation, bundle]));
        }
        Some(_) => {}
    }
    if let Some(failed) = view::failed_upgrade(after, vat)?
        && view::failed_upgrade(before, vat)?.as_ref() != Some(&failed)
    {
        let attributes = [id.clone(), ("bundle_id", failed.bundle_id), ("cause", failed.cause)];
        events.push(event("vat.upgrade_failed", &attributes));
    }
    let ran = old.is_none_or(|old| old.status == VatStatus::Running);
    if let Some(ending) = state.status.ending().filter(|_| ran) {
        let attributes = [
            id,
            ("kind", ending.kind.name().to_owned()),
            ("failure", ending.is_failure().to_string()),
            ("reason", ending.reason()),
        ];
        events.push(event("vat.terminated", &attributes));
    }
    Ok(events)
}

/// Returns the [`Event`]s of a new outbox entry. Marks the messages whose results it settles.
fn outbox_events(
    over: &mut dyn Overlay,
    remote: RemoteId,
    number: u64,
    height: u64,
) -> Result<Vec<Event>, NodeFault> {
    let Some(endpoint) = view::remote(over, remote)? else { return Ok(Vec::new()) };
    let account = ("account", endpoint.address.clone());
    let mut events = vec![event("outbox.posted", &[account, ("number", number.to_string())])];
    let entry = view::outbox_entry(over, remote, number)?;
    let Some(capstan_abi::Delivery::Notify { resolutions }) = entry else { return Ok(events) };
    for resolution in &resolutions {
        events.extend(results::settle(over, remote, height, resolution)?);
    }
    Ok(events)
}
