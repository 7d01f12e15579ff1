//! What vats keep on the disk of every node, and the deposits for it.
//!
//! A vat's meter pays computrons for work, once. What the vat keeps costs nodes room for as long as it stands. So each
//! kept byte takes a deposit from the meter, which comes back when the byte is freed. A record names the vat that pays
//! for it, and goes on doing so when that vat has ended: the deposit follows the bytes.
//!
//! A crank notes its changes in memory. [`State::save`] applies them, once for each vat.

use std::collections::BTreeMap;

use capstan_kernel_ports::VatId;

use crate::{
    error::Result,
    ids::{Endpoint, KRef},
    state::{
        clist::is_export,
        handle::State,
        keeping::{EXPORT_BYTES, Keeping, PAGE_BYTES, Paid, vatstore_bytes},
        slog::Event,
        vat::VatStatus,
    },
};

impl State<'_> {
    /// Notes that a vat keeps more from now on.
    pub(crate) fn keep(&mut self, vat: VatId, kind: Keeping, bytes: u64) {
        self.change_kept(vat, kind, i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Notes that something a vat kept is freed.
    pub(crate) fn free(&mut self, vat: VatId, kind: Keeping, bytes: u64) {
        self.change_kept(vat, kind, i64::try_from(bytes).map_or(i64::MIN, i64::wrapping_neg));
    }

    fn change_kept(&mut self, vat: VatId, kind: Keeping, change: i64) {
        let sum = self.kept.entry(vat).or_default().entry(kind).or_default();
        *sum = sum.saturating_add(change);
    }

    /// Keeps something, if the vat's meter covers the deposit for it. Returns false if it does not. Nobody's bytes are
    /// always covered.
    pub(crate) fn try_keep(
        &mut self,
        vat: Option<VatId>,
        kind: Keeping,
        bytes: u64,
    ) -> Result<bool> {
        let Some(vat) = vat else { return Ok(true) };
        self.keep(vat, kind, bytes);
        if self.covers_growth(vat)? {
            return Ok(true);
        }
        self.free(vat, kind, bytes);
        Ok(false)
    }

    /// Notes that outbox entries are freed.
    pub(crate) fn free_paid(&mut self, paid: &[Paid]) {
        for (vat, bytes) in paid {
            self.free(*vat, Keeping::Outbox, *bytes);
        }
    }

    /// Notes how many pages of its own the vat's heap has from now on.
    pub(crate) fn keep_heap(&mut self, vat: VatId, pages: u64) -> Result<()> {
        let before = self.vat(vat)?.kept.heap;
        if let Some(changes) = self.kept.get_mut(&vat) {
            // There is one heap: a change that was noted before is none any more.
            changes.remove(&Keeping::Heap);
        }
        self.free(vat, Keeping::Heap, before);
        self.keep(vat, Keeping::Heap, pages.saturating_mul(PAGE_BYTES));
        Ok(())
    }

    /// Notes that a c-list entry was added. Exports of vats are kept.
    pub(crate) fn keep_export(&mut self, endpoint: Endpoint) {
        if let Endpoint::Vat(vat) = endpoint {
            self.keep(vat, Keeping::Export, EXPORT_BYTES);
        }
    }

    /// Notes that a c-list entry was removed.
    pub(crate) fn free_entry(&mut self, endpoint: Endpoint, kref: KRef, vref: &str) {
        if let (Endpoint::Vat(vat), KRef::Object(_) | KRef::Promise(_), true) =
            (endpoint, kref, is_export(vref))
        {
            self.free(vat, Keeping::Export, EXPORT_BYTES);
        }
    }

    /// Sets a key of a vat's own store.
    pub(crate) fn set_in_vatstore(
        &mut self,
        vat: VatId,
        key: (&[u8], usize),
        value: Vec<u8>,
    ) -> Result<()> {
        let (key, own_bytes) = key;
        if let Some(old) = self.over.value_len(key)? {
            self.free(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, old));
        }
        self.keep(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, value.len()));
        self.over.set(key, value);
        Ok(())
    }

    /// Deletes a key of a vat's own store.
    pub(crate) fn delete_from_vatstore(&mut self, vat: VatId, key: (&[u8], usize)) -> Result<()> {
        let (key, own_bytes) = key;
        if let Some(old) = self.over.value_len(key)? {
            self.free(vat, Keeping::Vatstore, vatstore_bytes(own_bytes, old));
        }
        self.over.delete(key);
        Ok(())
    }

    /// Returns true if the vat's meter covers the deposit for what the vat keeps more than before, besides what is
    /// due for this crank.
    pub(crate) fn covers_growth(&self, vat: VatId) -> Result<bool> {
        let price = self.globals().options.billing.kept_byte;
        let grown = self.kept.get(&vat).map_or(0, growth);
        if price == 0 || grown <= 0 {
            return Ok(true);
        }
        let Some(meter) = self.vat_config(vat)?.meter else { return Ok(true) };
        let Some(remaining) = self.meter(meter)?.and_then(|meter| meter.remaining) else {
            return Ok(true);
        };
        let record = self.vat(vat)?;
        let total = record.kept.total().saturating_add(grown.unsigned_abs());
        let due = (u128::from(total) * u128::from(price)).saturating_sub(record.deposit);
        Ok(remaining.saturating_sub(u128::from(self.due())) >= due)
    }

    /// Applies the noted changes: the bytes of each vat, and the deposit for them.
    pub(crate) fn settle_kept(&mut self) -> Result<()> {
        for (vat, changes) in std::mem::take(&mut self.kept) {
            if changes.values().all(|change| *change == 0) {
                continue;
            }
            let mut record = self.vat(vat)?;
            for (kind, change) in &changes {
                let bytes = record.kept.of(*kind);
                match bytes.checked_add_signed(*change) {
                    Some(sum) => *bytes = sum,
                    // Only a fault of the kernel leads here. It costs the vat no more than a deposit, and must not stop
                    // the chain.
                    None => {
                        let text = format!(
                            "{vat} frees {change} bytes of {bytes} that it keeps: {kind:?}"
                        );
                        *bytes = 0;
                        self.log(Event::Console {
                            vat,
                            source: "kernel",
                            level: "error",
                            text: &text,
                        });
                    }
                }
            }
            record.deposit = self.settle_deposit(vat, record.kept.total(), record.deposit)?;
            let is_cleaned = matches!(record.status, VatStatus::Cleaned(_));
            self.put_vat(vat, Box::new(record))?;
            // Until a vat is cleaned up, its rest waits for what cleanup frees.
            if is_cleaned && let Some(meter) = self.vat_config(vat)?.meter {
                self.give_back_rest(meter)?;
            }
        }
        Ok(())
    }

    /// Moves computrons between a vat's meter and its deposit. Returns the new deposit. It is less than it should be if
    /// the meter does not hold enough, or never takes computrons.
    fn settle_deposit(&mut self, vat: VatId, bytes: u64, deposit: u128) -> Result<u128> {
        let price = self.globals().options.billing.kept_byte;
        let due = u128::from(bytes) * u128::from(price);
        if due == deposit {
            return Ok(deposit);
        }
        let Some(meter) = self.vat_config(vat)?.meter else { return Ok(deposit) };
        let Some(remaining) = self.meter(meter)?.and_then(|meter| meter.remaining) else {
            return Ok(deposit);
        };
        if due < deposit {
            self.update_meter(meter, |meter| {
                meter.remaining = meter.remaining.map(|old| old.saturating_add(deposit - due));
            })?;
            return Ok(due);
        }
        let taken = remaining.min(due - deposit);
        self.charge_meter(meter, taken)?;
        Ok(deposit + taken)
    }
}

/// Returns the sum of a vat's changes.
fn growth(changes: &BTreeMap<Keeping, i64>) -> i64 {
    changes.values().fold(0, |sum, change| sum.saturating_add(*change))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use capstan_kernel_ports::memory::MemoryState;

    use super::*;
    use crate::{
        control::genesis::first_globals,
        state::{clist_tests::options, stats::Stats, vat::DynamicOptions},
    };

    #[test]
    fn a_vat_that_frees_more_than_it_keeps_keeps_nothing_and_stops_no_kernel() {
        let (mut over, mut stats) = (MemoryState::default(), Stats::default());
        let mut state = State::new(&mut over, &mut stats, None, first_globals(options()));
        let vat = VatId(7);
        let config = DynamicOptions::default().config("b1-x".to_owned(), Default::default());
        state.add_vat(vat, &config).unwrap();
        state.keep(vat, Keeping::Export, 300);
        state.keep(vat, Keeping::Promise, 20);
        state.save().unwrap();
        state.free(vat, Keeping::Export, 301);
        state.save().unwrap();
        let kept = state.vat(vat).unwrap().kept;
        assert_eq!((kept.exports, kept.promises), (0, 20));
    }
}
