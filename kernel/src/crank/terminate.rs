//! The end of vats: what happens at once, and the slow cleanup of what they held.

use capstan_kernel_ports::VatId;

use crate::{
    capdata::{self, Builder, KernelData, Parsed},
    error::{KernelPanic, Result, inconsistent},
    ids::{Endpoint, KRef},
    limits,
    state::cleanup::CleanupCounts,
    state::slog::Event,
    state::{
        handle::{State, decode},
        keys,
        rejection::Rejection,
        vat::{EndKind, Ending, VatStatus},
    },
};

/// Number of promises in a vat's c-list that its end looks at. SwingSet looks at all of them.
pub(crate) const MAX_PROMISES_AT_END: u64 = 4_096;

impl State<'_> {
    /// Ends a vat: it gets no more deliveries, its promises are rejected, the vatAdmin vat is told.
    /// If it is critical the kernel panics when the crank is complete, unless the vat is being launched: then the
    /// launch fails. What it ended with is cut to a few kilobytes before anybody sees it.
    pub(crate) fn terminate(&mut self, vat: VatId, kind: EndKind, info: &KernelData) -> Result<()> {
        let info = &limits::cut_ending(info.clone());
        if self.end_vat(vat, kind, info)? {
            self.pending_panic = Some(KernelPanic::CriticalVat { vat, info: info.body.clone() });
            return Ok(());
        }
        self.report_termination(vat, kind.rejects(), info)
    }

    /// Ends a vat of a launch that failed, by failure. Nobody relies yet on one that is critical.
    pub(crate) fn terminate_uncritical(&mut self, vat: VatId, info: &KernelData) -> Result<()> {
        let info = &limits::cut_ending(info.clone());
        self.end_vat(vat, EndKind::Failed, info)?;
        self.report_termination(vat, true, info)
    }

    /// Ends a vat without telling anyone. Returns true if the end of the vat is critical. That of a vat that is being
    /// launched is not, but its launch fails.
    pub(crate) fn end_vat(&mut self, vat: VatId, kind: EndKind, info: &KernelData) -> Result<bool> {
        let config = match self.is_alive(vat)? {
            true => Some(self.vat_config(vat)?),
            false => None,
        };
        let created = self.creating.take_if(|(created, _)| *created == vat);
        let name = match &config {
            Some(config) => config.name.clone(),
            None => created.map(|(_, name)| name),
        };
        self.log(Event::Terminate { vat, name: name.as_deref(), kind, info });
        self.stopped.push(vat);
        self.note_stop(vat)?;
        let Some(config) = config else { return Ok(false) };
        let is_launching = config.critical && self.is_launching(vat)?;
        self.mark_terminated(vat, kind, info)?;
        if kind.rejects() || is_launching {
            self.note_ended_member(vat, info)?;
        }
        if let (true, Some(name)) = (config.is_static, &config.name) {
            self.over.delete(&keys::static_name(name));
        }
        // A vat may decide any number of promises. Those that are not among the first are rejected by its cleanup.
        // Until then messages to them go the same way, because their decider has ended.
        for (_, promise) in self.clist_by_vref(Endpoint::Vat(vat), "p", MAX_PROMISES_AT_END)? {
            self.reject_decided(vat, promise)?;
        }
        // What the host started it held by its root; SwingSet's static vats keep their pins.
        if let (false, Some(root)) = (config.is_static, self.clist_kref(Endpoint::Vat(vat), "o+0")?)
        {
            self.unpin(root)?;
        }
        Ok(config.critical && !is_launching)
    }

    /// Rejects a promise if the vat, which has ended, decides it.
    fn reject_decided(&mut self, vat: VatId, promise: KRef) -> Result<()> {
        let decider = self.unresolved(promise)?.and_then(|pending| pending.decider);
        match decider == Some(Endpoint::Vat(vat)) {
            true => self.reject(promise, Rejection::vat_terminated(vat)),
            false => Ok(()),
        }
    }

    fn mark_terminated(&mut self, vat: VatId, kind: EndKind, info: &KernelData) -> Result<()> {
        let crank = self.globals().crank;
        let ending = Ending { kind, info: info.body.clone(), crank };
        let running = &mut self.globals_mut().running_vats;
        *running = running.saturating_sub(1);
        self.update_vat(vat, |state| state.status = VatStatus::Terminated(ending))?;
        let position = self.globals().next_dead;
        self.globals_mut().next_dead += 1;
        self.put(&keys::dead(position), &vat)
    }

    /// Tells the vatAdmin vat: `vatTerminated(vatID, shouldReject, info)`.
    fn report_termination(&mut self, vat: VatId, failure: bool, info: &KernelData) -> Result<()> {
        let parsed = Parsed::new(info)
            .ok_or_else(|| inconsistent(format!("{vat} ended with unreadable data")))?;
        let mut builder = Builder::default();
        let id = builder.text(vat.to_string());
        let info = builder
            .splice(&parsed.value, &parsed)
            .ok_or_else(|| inconsistent(format!("{vat} ended with unreadable data")))?;
        let failed = capdata::Json::Scalar(failure.to_string());
        let methargs = capdata::methargs(builder, "vatTerminated", vec![id, failed, info]);
        self.tell_vat_admin(self.without_what_is_refused(vat, failure, methargs)?)
    }

    /// Returns true if vatAdmin is a vat of the system, as on every chain.
    pub(crate) fn guards_vat_admin(&self) -> Result<bool> {
        let Some(root) = self.globals().vat_admin_root else { return Ok(false) };
        let Some(Endpoint::Vat(admin)) = self.live_owner(root)? else { return Ok(false) };
        Ok(self.vat_config(admin)?.system)
    }

    /// Leaves out of a report what the guard of vatAdmin would not let in, so that the rest arrives.
    fn without_what_is_refused(
        &self,
        vat: VatId,
        failure: bool,
        report: KernelData,
    ) -> Result<KernelData> {
        if !self.guards_vat_admin()? {
            return Ok(report);
        }
        let Some(refusal) = self.globals().options.guard.refusal(&report) else {
            return Ok(report);
        };
        let mut builder = Builder::default();
        let id = builder.text(vat.to_string());
        let text = format!("exit information was left out: {refusal}");
        let error = capdata::error(&text);
        let info = Parsed::new(&error).map_or_else(capdata::Json::undefined, |error| error.value);
        let failed = capdata::Json::Scalar(failure.to_string());
        Ok(capdata::methargs(builder, "vatTerminated", vec![id, failed, info]))
    }

    /// The terminated vat that has waited longest for its cleanup.
    pub(crate) fn next_dead(&self) -> Result<Option<VatId>> {
        let first = self.over.next_after(keys::DEAD, keys::DEAD)?;
        first.map(|(key, vat)| decode(&key, &vat)).transpose()
    }

    /// Removes part of what a terminated vat left, phase after phase. A phase that uses up its budget is the
    /// last of this crank.
    pub(crate) fn clean_up(&mut self, vat: VatId, budget: CleanupCounts) -> Result<CleanupCounts> {
        let mut work = CleanupCounts::default();
        let complete = self.clean_phases(vat, budget, &mut work)?;
        if complete {
            self.forget_dead(vat)?;
        }
        self.log(Event::VatCleanup { vat, work: &work, complete });
        Ok(work)
    }

    fn clean_phases(
        &mut self,
        vat: VatId,
        budget: CleanupCounts,
        work: &mut CleanupCounts,
    ) -> Result<bool> {
        let endpoint = Endpoint::Vat(vat);
        let exports = self.clist_by_vref(endpoint, "o+", budget.exports.max(1))?;
        for (_, kref) in &exports {
            self.orphan_object(*kref, endpoint)?;
        }
        work.exports = exports.len() as u64;
        if work.exports >= budget.exports.max(1) {
            return Ok(false);
        }
        work.imports = self.drop_parameters(vat, budget.imports)?;
        if work.imports < budget.imports.max(1) {
            let left = budget.imports.saturating_sub(work.imports);
            work.imports += self.drop_entries(endpoint, "o-", left)?;
        }
        if work.imports >= budget.imports.max(1) {
            return Ok(false);
        }
        work.promises = self.drop_promises(vat, budget.promises)?;
        if work.promises >= budget.promises.max(1) {
            return Ok(false);
        }
        // Device nodes hold no counts: their entries go with the keys.
        let clist = self.delete_device_entries(endpoint, budget.kv)?;
        work.kv = clist + self.delete_vatstore(vat, budget.kv.max(1) - clist)?;
        if work.kv >= budget.kv.max(1) {
            return Ok(false);
        }
        self.drop_heap(vat)?;
        work.transcripts = self.clean_transcript(vat, budget.transcripts.max(1))?;
        Ok(work.transcripts < budget.transcripts.max(1))
    }

    /// Lets go of what the vat's parameters refer to. SwingSet holds it for good.
    fn drop_parameters(&mut self, vat: VatId, limit: u64) -> Result<u64> {
        if !self.globals().options.collect_leaks {
            return Ok(0);
        }
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        self.release_parameters(vat, limit)
    }

    fn drop_entries(&mut self, endpoint: Endpoint, start: &str, limit: u64) -> Result<u64> {
        let entries = self.clist_by_vref(endpoint, start, limit.max(1))?;
        for (_, kref) in &entries {
            self.delete_entry(endpoint, *kref)?;
        }
        Ok(entries.len() as u64)
    }

    /// Drops promises, and rejects those that the vat's end has left to its cleanup.
    fn drop_promises(&mut self, vat: VatId, limit: u64) -> Result<u64> {
        let endpoint = Endpoint::Vat(vat);
        let entries = self.clist_by_vref(endpoint, "p", limit.max(1))?;
        for (_, promise) in &entries {
            self.reject_decided(vat, *promise)?;
            self.delete_entry(endpoint, *promise)?;
        }
        Ok(entries.len() as u64)
    }

    fn delete_device_entries(&mut self, endpoint: Endpoint, limit: u64) -> Result<u64> {
        let entries = self.clist_by_vref(endpoint, "d", limit.max(1))?;
        for (vref, kref) in &entries {
            self.forget_entry(endpoint, *kref, vref)?;
        }
        Ok(entries.len() as u64)
    }

    fn delete_vatstore(&mut self, vat: VatId, limit: u64) -> Result<u64> {
        let prefix = keys::vatstore(Endpoint::Vat(vat), "");
        let mut deleted = 0;
        let mut after = prefix.to_vec();
        if limit > 0 && self.over.get(&prefix)?.is_some() {
            self.delete_from_vatstore(vat, (&prefix, 0))?;
            deleted += 1;
        }
        while deleted < limit {
            let Some((key, _)) = self.over.next_after(&prefix, &after)? else { break };
            self.delete_from_vatstore(vat, (&key, key.len() - prefix.len()))?;
            deleted += 1;
            after = key;
        }
        Ok(deleted)
    }

    fn forget_dead(&mut self, vat: VatId) -> Result<()> {
        match self.over.next_after(keys::DEAD, keys::DEAD)? {
            Some((key, first)) if decode::<VatId>(&key, &first)? == vat => self.over.delete(&key),
            _ => return Err(inconsistent(format!("{vat} is not the next to be cleaned up"))),
        }
        self.forget_failed_upgrade(vat)?;
        self.forget_parameters(vat)?;
        self.settle_kept()?;
        self.update_vat(vat, |state| {
            if let VatStatus::Terminated(ending) = &state.status {
                state.status = VatStatus::Cleaned(ending.clone());
            }
        })?;
        // Until now it had to pay for the cleanup.
        self.ended_meter = self.vat_config(vat)?.meter;
        match self.ended_meter {
            Some(meter) => self.leave_meter(meter),
            None => Ok(()),
        }
    }
}
