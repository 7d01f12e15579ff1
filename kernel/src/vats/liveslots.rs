//! Liveslots' own records in a vat's store, as far as they concern the vat's imports.
//!
//! Liveslots counts the references from virtual and durable data to an import `o-N` under `vom.rc.o-N`. It
//! notes each weak collection that has the import as a key under `vom.ir.o-N|COLLECTION`
//! (`virtualReferences.js` of `@agoric/swingset-liveslots`). Both records are complete after every delivery.
//! So an import without them is held by the heap alone.

use capstan_kernel_ports::VatId;

use crate::{
    error::Result,
    ids::Endpoint,
    state::{handle::State, keys},
};

impl State<'_> {
    /// Lets go of the imports that only the heap of a vat's incarnation held, as `dropImports` and
    /// `retireImports` would: nobody else ever will once that heap is gone. A raw vat keeps its own books,
    /// which nobody here can read: it has to let go by itself.
    pub(crate) fn drop_heap_imports(&mut self, vat: VatId) -> Result<()> {
        let config = self.vat_config(vat)?;
        if config.is_raw() {
            return Ok(());
        }
        let endpoint = Endpoint::Vat(vat);
        for (vref, kref) in self.clist_by_vref(endpoint, "o-", u64::MAX)? {
            let counted = keys::vatstore(endpoint, format!("vom.rc.{vref}"));
            if self.over.get(&counted)?.is_some() {
                continue;
            }
            self.clear_reachable(endpoint, kref)?;
            let recognizers = keys::vatstore(endpoint, format!("vom.ir.{vref}|"));
            if self.over.next_after(&recognizers, &recognizers)?.is_none() {
                self.delete_entry(endpoint, kref)?;
            }
        }
        Ok(())
    }
}
