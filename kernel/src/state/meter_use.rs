//! The vats that a meter pays for, and the rest that its owner gets back.
//!
//! Meters are charged in each crank, so what seldom changes lies in a record of its own.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    application::Rest,
    error::Result,
    ids::MeterId,
    state::{handle::State, keys},
};

/// The use of a meter: its owner, and the vats that it pays for.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MeterUse {
    /// The name by which the [`Application`](crate::Application) knows who gets back what is left. A meter without an
    /// owner keeps it.
    pub owner: Option<String>,
    /// The number of vats that the meter pays for: those that run, and those that ended and are not cleaned up yet.
    pub vats: u64,
    /// Computrons that the owner got back in all.
    pub given_back: u128,
}

impl State<'_> {
    pub(crate) fn meter_use(&self, id: MeterId) -> Result<MeterUse> {
        Ok(self.get(&keys::meter_use(id))?.unwrap_or_default())
    }

    /// Notes that the meter pays for one more vat.
    pub(crate) fn join_meter(&mut self, id: MeterId) -> Result<()> {
        let mut record = self.meter_use(id)?;
        record.vats += 1;
        self.put(&keys::meter_use(id), &record)
    }

    /// Notes that a vat of the meter was cleaned up.
    pub(crate) fn leave_meter(&mut self, id: MeterId) -> Result<()> {
        let mut record = self.meter_use(id)?;
        record.vats = record.vats.saturating_sub(1);
        self.put(&keys::meter_use(id), &record)
    }

    /// Gives what is left in a meter back to its owner. Does nothing while the meter pays for a vat, or if the application
    /// takes nothing back.
    pub(crate) fn give_back_rest(&mut self, id: MeterId) -> Result<()> {
        let Some(computrons) = self.meter(id)?.and_then(|meter| meter.remaining) else {
            return Ok(());
        };
        let mut record = self.meter_use(id)?;
        let (Some(owner), 0, true) = (&record.owner, record.vats, computrons > 0) else {
            return Ok(());
        };
        let Some(application) = self.application.as_deref_mut() else { return Ok(()) };
        let rest = Rest { owner, computrons, before: record.given_back };
        if !application.take_back(self.over, &rest)? {
            return Ok(());
        }
        record.given_back = record.given_back.saturating_add(computrons);
        self.put(&keys::meter_use(id), &record)?;
        self.update_meter(id, |meter| meter.remaining = Some(0))?;
        Ok(())
    }
}
