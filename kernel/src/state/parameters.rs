//! The parameters of vats, which an upgrade may keep.
//!
//! A vat without parameters has no record. Others deposit for theirs, as for everything that a vat keeps.

use capstan_kernel_ports::{VatId, store::Read};

use crate::{
    capdata::{Builder, Json, KernelData},
    error::Result,
    ids::KRef,
    state::{
        handle::{State, get_record},
        keeping::{Keeping, capdata_bytes},
        keys,
    },
};

impl State<'_> {
    /// Returns the parameters that the vat was started with.
    pub(crate) fn parameters(&self, vat: VatId) -> Result<KernelData> {
        Ok(self.get(&keys::vat_parameters(vat))?.unwrap_or_else(undefined))
    }

    /// Keeps the vat's parameters and holds what they refer to, in place of earlier ones.
    pub(crate) fn set_parameters(&mut self, vat: VatId, parameters: &KernelData) -> Result<()> {
        self.increment_all(&parameters.slots)?;
        self.replace_parameters(vat)?;
        if *parameters != undefined() {
            self.keep(vat, Keeping::Parameters, capdata_bytes(parameters));
            self.put(&keys::vat_parameters(vat), parameters)?;
        }
        Ok(())
    }

    fn replace_parameters(&mut self, vat: VatId) -> Result<()> {
        let key = keys::vat_parameters(vat);
        let Some(old) = self.get::<KernelData>(&key)? else { return Ok(()) };
        self.over.delete(&key);
        self.free(vat, Keeping::Parameters, capdata_bytes(&old));
        self.decrement_all(&old.slots)
    }

    /// Lets go of up to `limit` references of the parameters of a vat that ended. Returns how many.
    pub(crate) fn release_parameters(&mut self, vat: VatId, limit: usize) -> Result<u64> {
        let Some(mut held) = self.free_parameters(vat)? else { return Ok(0) };
        let released = held.slots.split_off(held.slots.len().saturating_sub(limit));
        self.decrement_all(&released)?;
        self.put_rest(vat, &held)?;
        Ok(released.len() as u64)
    }

    /// Forgets the parameters of a vat that ended, but for references that a kernel leaks which leaks what SwingSet leaks.
    pub(crate) fn forget_parameters(&mut self, vat: VatId) -> Result<()> {
        match self.free_parameters(vat)? {
            Some(held) => self.put_rest(vat, &held),
            None => Ok(()),
        }
    }

    /// Returns the references of the parameters of a vat that ended. The rest counts as freed from then on.
    fn free_parameters(&mut self, vat: VatId) -> Result<Option<KernelData>> {
        let Some(held) = self.get::<KernelData>(&keys::vat_parameters(vat))? else {
            return Ok(None);
        };
        if !held.body.is_empty() {
            self.free(vat, Keeping::Parameters, capdata_bytes(&held));
        }
        Ok(Some(KernelData { body: String::new(), ..held }))
    }

    fn put_rest(&mut self, vat: VatId, held: &KernelData) -> Result<()> {
        let key = keys::vat_parameters(vat);
        match held.slots.is_empty() {
            true => self.over.delete(&key),
            false => self.put(&key, held)?,
        }
        Ok(())
    }
}

/// Returns the parameters of a vat that was given none.
fn undefined() -> KernelData {
    Builder::default().finish(&Json::undefined())
}

/// Returns what the parameters of a vat refer to.
pub(crate) fn held_by(state: &(impl Read + ?Sized), vat: VatId) -> Result<Vec<KRef>> {
    let parameters = get_record::<KernelData>(state, &keys::vat_parameters(vat))?;
    Ok(parameters.map(|parameters| parameters.slots).unwrap_or_default())
}

/// Returns the bytes that a vat keeps for its parameters. What is left of those of a vat that ended counts nothing.
pub(crate) fn kept_by(state: &(impl Read + ?Sized), vat: VatId) -> Result<u64> {
    let parameters = get_record::<KernelData>(state, &keys::vat_parameters(vat))?;
    let kept = parameters.filter(|parameters| !parameters.body.is_empty());
    Ok(kept.map_or(0, |parameters| capdata_bytes(&parameters)))
}
