//! Meters: computrons bought in advance.

use borsh::{BorshDeserialize, BorshSerialize};
use capstan_kernel_ports::Computrons;

pub use crate::state::meter_use::MeterUse;
use crate::{
    capdata::{self, Builder, Json},
    error::Result,
    ids::MeterId,
    state::{handle::State, keys, vat::VatConfig},
};

/// A meter of computrons. A vat that has one pays for startVat, messages and notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Meter {
    /// The computrons that are left, or `None` if the meter is unlimited.
    pub remaining: Option<u128>,
    /// The lower bound below which the vatAdmin vat is told, once.
    pub threshold: u128,
}

impl State<'_> {
    /// Makes a meter. The application knows its owner by that name, if it has one.
    pub(crate) fn add_meter(
        &mut self,
        remaining: Option<u128>,
        threshold: u128,
        owner: Option<String>,
    ) -> Result<MeterId> {
        let id = MeterId(self.globals().next_meter);
        self.globals_mut().next_meter += 1;
        self.put(&keys::meter(id), &Meter { remaining, threshold })?;
        if owner.is_some() {
            self.put(&keys::meter_use(id), &MeterUse { owner, ..MeterUse::default() })?;
        }
        Ok(id)
    }

    pub(crate) fn meter(&self, id: MeterId) -> Result<Option<Meter>> {
        self.get(&keys::meter(id))
    }

    /// Changes a meter. Returns false if there is no such meter.
    pub(crate) fn update_meter(
        &mut self,
        id: MeterId,
        change: impl FnOnce(&mut Meter),
    ) -> Result<bool> {
        let Some(mut meter) = self.meter(id)? else { return Ok(false) };
        change(&mut meter);
        self.put(&keys::meter(id), &meter)?;
        Ok(true)
    }

    /// Returns true if the meter covers `spent`.
    pub(crate) fn meter_covers(&self, id: MeterId, spent: Computrons) -> Result<bool> {
        let remaining = self.meter(id)?.and_then(|meter| meter.remaining);
        Ok(remaining.is_none_or(|remaining| remaining >= u128::from(spent.0)))
    }

    /// Takes `spent` off the meter, down to zero. Returns what is left if that crossed the
    /// threshold.
    fn deduct_meter(&mut self, id: MeterId, spent: u128) -> Result<Option<u128>> {
        let Some(mut meter) = self.meter(id)? else { return Ok(None) };
        let Some(before) = meter.remaining else { return Ok(None) };
        let after = before.saturating_sub(spent);
        meter.remaining = Some(after);
        let crossed = after < meter.threshold && before >= meter.threshold;
        self.put(&keys::meter(id), &meter)?;
        Ok(crossed.then_some(after))
    }

    /// Takes computrons off a meter, and tells the vatAdmin vat if that crosses the meter's threshold.
    pub(crate) fn charge_meter(&mut self, meter: MeterId, spent: u128) -> Result<()> {
        let Some(remaining) = self.deduct_meter(meter, spent)? else { return Ok(()) };
        let mut builder = Builder::default();
        let id = builder.text(meter.to_string());
        let args = vec![id, Json::Text(format!("+{remaining}"))];
        self.tell_vat_admin(capdata::methargs(builder, "meterCrossedThreshold", args))
    }

    /// Adds computrons to those of this crank, whether it is undone or not.
    pub(crate) fn count(&mut self, computrons: Computrons) {
        self.spent = self.spent.saturating_add(computrons.0);
    }

    /// Returns the most that the vat's next delivery may spend.
    pub(crate) fn delivery_limit(&self, config: &VatConfig) -> Result<Computrons> {
        let options = &self.globals().options;
        let crank = Computrons(options.crank_limit);
        let (true, Some(meter)) = (options.billing.all_work, config.meter) else {
            return Ok(crank);
        };
        let Some(remaining) = self.meter(meter)?.and_then(|meter| meter.remaining) else {
            return Ok(crank);
        };
        // What is due for this crank so far is paid for when it is over.
        let left = remaining.saturating_sub(u128::from(self.due()));
        Ok(u64::try_from(left).map_or(crank, |left| crank.min(Computrons(left))))
    }
}
