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
        self.drop_parameters(vat)?;
        if *parameters != undefined() {
            self.keep(vat, Keeping::Parameters, capdata_bytes(parameters));
            self.put(&keys::vat_parameters(vat), parameters)?;
        }
        Ok(())
    }

    fn drop_parameters(&mut self, vat: VatId) -> Result<()> {
        let key = keys::vat_parameters(vat);
        let Some(old) = self.get::<KernelData>(&key)? else { return Ok(()) };
        self.over.delete(&key);
        self.free(vat, Keeping::Parameters, capdata_bytes(&old));
        self.decrement_all(&old.slots)
    }

    /// Forgets the parameters of a vat that ended. What they refer to is released, unless the kernel leaks what SwingSet
    /// leaks.
    pub(crate) fn forget_parameters(&mut self, vat: VatId) -> Result<()> {
        if self.globals().options.collect_leaks {
            return self.drop_parameters(vat);
        }
        let key = keys::vat_parameters(vat);
        let Some(old) = self.get::<KernelData>(&key)? else { return Ok(()) };
        self.free(vat, Keeping::Parameters, capdata_bytes(&old));
        match old.slots.is_empty() {
            true => self.over.delete(&key),
            false => self.put(&key, &KernelData { body: String::new(), ..old })?,
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
